"""The Hugging Face Hub: what a repository is and what its weights' headers say.

Imported by the doors when a model is not bundled; huggingface_hub itself is imported when the first
question is asked.
"""

from planner.hub.address import Address, parse_address
from planner.hub.headers import fetch_headers
from planner.hub.repository import HubRepository, fetch_config, fetch_repository
from planner.hub.session import HubSession, RefusedError, StatusError, open_session

__all__ = [
    "Address",
    "HubRepository",
    "HubSession",
    "RefusedError",
    "StatusError",
    "fetch_config",
    "fetch_headers",
    "fetch_repository",
    "open_session",
    "parse_address",
]
