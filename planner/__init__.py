"""Hardware memory planner for the Qwen3.5 family."""
