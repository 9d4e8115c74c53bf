"""What there is to serve: architecture, tensors, number formats, checkpoints."""
