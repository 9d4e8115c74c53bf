"""Work out compute buffers for starts to come: ``python -m planner.engines.llamacpp``."""

from planner.engines.llamacpp import ready

if __name__ == "__main__":
    ready.write()
