"""The Hub on the loopback address, here as for the tests of the Hub's client."""

from tests.hub.conftest import hub

__all__ = ["hub"]
