"""A plan as Kubernetes manifests: a Deployment, or a LeaderWorkerSet over several nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.emitting.container import CACHE, RESOURCES, Service, heading, service_of
from planner.emitting.yaml_text import yaml_text
from planner.engines.containers import HEAD_ADDRESS
from planner.planning import Plan
from planner.secrets import HIDDEN, as_variables, secret_variables

LEADER = "$(LWS_LEADER_ADDRESS)"
INDEX = "$(LWS_WORKER_INDEX)"
LOADING_SECONDS = 3600
"""A first start downloads and loads the weights; it is not restarted before this."""


def manifests(plan: Plan) -> str:
    """Volume claim, server and Service as YAML documents.

    A Hub token is taken from the optional secret ``huggingface``, key ``token``.

    Raises:
        InputError: no container image is known for this engine and these accelerators.
    """
    service = service_of(plan)
    server = _deployment(service) if service.nodes == 1 else _leader_worker_set(service)
    documents = (_claim(plan, service), server, _service(service))
    lines = heading(plan)
    for folder, inside in service.mounts.items():
        holds = "" if folder == inside else f", with what {folder} holds"
        lines.append(f"# {inside} is mounted from the node: it must be there{holds}")
    return "\n".join(lines) + "\n" + yaml_text(*documents)


def _labels(service: Service) -> dict[str, str]:
    return {"app": service.name}


def _claim(plan: Plan, service: Service) -> dict[str, Any]:
    gib = -(-plan.deployment.checkpoint.nbytes() * 12 // (10 * 2**30)) + 5
    mode = "ReadWriteOnce" if service.nodes == 1 else "ReadWriteMany"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{service.name}-models", "labels": _labels(service)},
        "spec": {
            "accessModes": [mode],
            "resources": {"requests": {"storage": f"{gib}Gi"}},
        },
    }


def _service(service: Service) -> dict[str, Any]:
    selector = dict(_labels(service))
    if service.nodes > 1:
        selector["role"] = "leader"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "labels": _labels(service)},
        "spec": {
            "selector": selector,
            "ports": [{"name": "http", "port": 80, "targetPort": service.port}],
        },
    }


def _deployment(service: Service) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service.name, "labels": _labels(service)},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _labels(service)},
            "template": {
                "metadata": {"labels": _labels(service)},
                "spec": _pod(service, _as_said(service.argv()), serves=True),
            },
        },
    }


def _leader_worker_set(service: Service) -> dict[str, Any]:
    """One leader and its workers (LeaderWorkerSet v1); each node's rank is its index."""
    leader = _with_leader(service.argv())
    worker = _with_rank(
        _with_leader(service.words(service.launch.per_node[0])), service.container.rank_flag
    )
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": service.name, "labels": _labels(service)},
        "spec": {
            "replicas": 1,
            "leaderWorkerTemplate": {
                "size": service.nodes,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {
                    "metadata": {"labels": {**_labels(service), "role": "leader"}},
                    "spec": _pod(service, leader, serves=True),
                },
                "workerTemplate": {
                    "metadata": {"labels": _labels(service)},
                    "spec": _pod(service, worker, serves=False),
                },
            },
        },
    }


def _as_said(argv: Sequence[str]) -> list[str]:
    """Return the words with "$(" doubled: Kubernetes reads $(NAME) as a variable of its own."""
    return [*as_variables(argv, "$({})".format, lambda word: word.replace("$(", "$$("))]


def _with_leader(argv: Sequence[str]) -> list[str]:
    return [word.replace(HEAD_ADDRESS, LEADER) for word in _as_said(argv)]


def _with_rank(argv: list[str], flag: str | None) -> list[str]:
    words = list(argv)
    if flag in words:
        words[words.index(flag) + 1] = INDEX
    return words


def _pod(service: Service, argv: list[str], *, serves: bool) -> dict[str, Any]:
    resource = RESOURCES.get(service.vendor, RESOURCES["nvidia"])
    environment: list[dict[str, Any]] = [
        {
            "name": "HF_TOKEN",
            "valueFrom": {
                "secretKeyRef": {"name": "huggingface", "key": "token", "optional": True}
            },
        }
    ]
    own = service.launch.environment
    environment += [
        {"name": name, "value": value}
        for name, value in zip(own, _as_said(tuple(own.values())), strict=True)
        if value != HIDDEN
    ]
    secrets = [name for name, value in own.items() if value == HIDDEN]
    secrets += secret_variables(service.launch.argv)
    environment += [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": service.name, "key": name}}}
        for name in dict.fromkeys(secrets)
        if name != "HF_TOKEN"
    ]
    container: dict[str, Any] = {
        "name": "server",
        "image": service.image,
        "command": [argv[0]],
        "args": argv[1:],
        "env": environment,
        "resources": {"limits": {resource: service.accelerators}},
        "volumeMounts": [
            {"name": "models", "mountPath": CACHE},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }
    volumes: list[dict[str, Any]] = [
        {
            "name": "models",
            "persistentVolumeClaim": {"claimName": f"{service.name}-models"},
        },
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    for number, inside in enumerate(service.mounts.values(), 1):
        name = "checkpoint" if number == 1 else f"checkpoint-{number}"
        container["volumeMounts"] += [{"name": name, "mountPath": inside, "readOnly": True}]
        volumes += [{"name": name, "hostPath": {"path": inside, "type": "Directory"}}]
    if serves:
        container["ports"] = [{"containerPort": service.port, "name": "http"}]
        container["startupProbe"] = {
            **_check(service),
            "periodSeconds": 10,
            "failureThreshold": LOADING_SECONDS // 10,
        }
        container["readinessProbe"] = {**_check(service), "periodSeconds": 10}
    return {"containers": [container], "volumes": volumes}


def _check(service: Service) -> dict[str, Any]:
    """Healthy means that the model is loaded and answers."""
    return {"httpGet": {"path": service.container.health, "port": service.port}}
