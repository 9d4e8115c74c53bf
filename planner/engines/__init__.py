"""Engines by name: who allocates memory, each by its own rules."""
