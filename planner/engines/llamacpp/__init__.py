"""llama.cpp: what it allocates, from its own graph, scheduler and allocator."""
