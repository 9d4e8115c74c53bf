"""What to type: a plan as a shell script, Compose file, Kubernetes manifests or Ray cluster."""

from planner.emitting.emit import KINDS, emit, kinds

__all__ = ["KINDS", "emit", "kinds"]
