"""A plan as a Docker Compose file (Compose specification)."""

from __future__ import annotations

from itertools import starmap
from typing import Any

from planner.emitting.container import CACHE, Service, heading, service_of
from planner.emitting.yaml_text import yaml_text
from planner.errors import InputError
from planner.planning import Plan
from planner.secrets import HIDDEN, as_variables


def document(plan: Plan) -> str:
    """The Compose file; the model is kept in a volume over restarts.

    Raises:
        InputError: several nodes, which Compose does not span; or no known image.
    """
    service = service_of(plan)
    if service.nodes > 1:
        raise InputError(
            f"Compose runs on one node and the plan takes {service.nodes}: use shell, ray or"
            " kubernetes"
        )
    content = {
        "services": {service.name: _service(service)},
        "volumes": {"huggingface": {}},
    }
    return "\n".join(heading(plan)) + "\n" + yaml_text(content)


def _mount(folder: str, inside: str) -> dict[str, Any]:
    """A folder of this machine at its place in the container; Compose fills the home in itself."""
    source = folder.replace("$", "$$")
    if source.startswith("~/"):
        source = "${HOME}" + source[1:]
    target = inside.replace("$", "$$")
    return {"type": "bind", "source": source, "target": target, "read_only": True}


def _doubled(word: str) -> str:
    return word.replace("$", "$$")


def _service(service: Service) -> dict[str, Any]:
    argv = service.argv()
    port = service.port
    # Compose reads $ as a variable; the command's own are doubled.
    own = {
        name: f"${{{name}:-}}" if value == HIDDEN else _doubled(value)
        for name, value in service.launch.environment.items()
    }
    environment = {"HF_TOKEN": "${HF_TOKEN:-}", **own}
    content: dict[str, Any] = {
        "image": service.image,
        "entrypoint": [argv[0]],
        "command": [*as_variables(argv[1:], "${{{}}}".format, _doubled)],
        "environment": environment,
        "ports": [f"{port}:{port}"],
        "volumes": [f"huggingface:{CACHE}", *starmap(_mount, service.mounts.items())],
        "ipc": "host",
        "restart": "unless-stopped",
        "healthcheck": {
            "test": ["CMD", "curl", "-f", f"http://localhost:{port}{service.container.health}"],
            "interval": "30s",
            "timeout": "10s",
            "retries": 3,
            "start_period": "30m",
        },
    }
    if service.vendor == "nvidia":
        device = {
            "driver": "nvidia",
            "count": service.accelerators,
            "capabilities": ["gpu"],
        }
        content["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    else:
        content["devices"] = ["/dev/kfd:/dev/kfd", "/dev/dri:/dev/dri"]
        content["group_add"] = ["video"]
        if service.vendor != "amd":
            content["devices"] = ["/dev/dri:/dev/dri"]
    return content
