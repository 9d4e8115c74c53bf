"""Carry ggml's graph, scheduler and allocator over: what a compute buffer comes to.

A port: it changes only when llama.cpp's own code does. It knows tensors, weights' types and homes,
and a batch; nothing of servers, options or machines.
"""
