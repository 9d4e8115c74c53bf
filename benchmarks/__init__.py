"""Measurements of the planner itself: fidelity to reference cases, and ratios of time."""
