"""Accelerators, systems and links, each figure with its source."""
