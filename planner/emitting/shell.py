"""A plan as a shell script, one command per node; and as a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.emitting.container import heading
from planner.engines import FACES
from planner.engines.shell_words import assignments, quoted_words
from planner.errors import InputError
from planner.planning import Plan

WIDTH = 88


def script(plan: Plan) -> str:
    """The launch command as a script; one block per node where there are several."""
    launch = plan.launch
    assert launch is not None
    lines = ["#!/bin/sh", *heading(plan)]
    lines += [f"export {said}" for said in assignments(launch.environment)]
    if not launch.per_node:
        lines += [*folded(launch.argv)]
        return "\n".join(lines) + "\n"
    nodes = (launch.argv, *launch.per_node)
    lines += [
        "# Run as: sh this-file RANK, on each node, with its own RANK",
        'case "${1:?RANK}" in',
    ]
    for rank, argv in enumerate(nodes):
        lines += [f"{rank})", *("  " + line for line in folded(argv)), "  ;;"]
    lines += ["esac"]
    return "\n".join(lines) + "\n"


def ray_script(plan: Plan) -> str:
    """A Ray cluster over the nodes, and the server on it.

    Raises:
        InputError: one node needs no cluster, or the engine does not use Ray.
    """
    launch = plan.launch
    assert launch is not None
    container = FACES[plan.engine].container
    if container is None or not container.ray_words:
        raise InputError(f"{plan.engine_title} does not run on Ray")
    if not launch.per_node:
        raise InputError("one node needs no Ray cluster: the shell form starts it")
    argv = [*without(launch.argv, container.node_flags), *container.ray_words]
    lines = ["#!/bin/sh", *heading(plan)]
    lines += [f"export {said}" for said in assignments(launch.environment)]
    lines += [
        "# Run as: sh this-file head, on the first node; sh this-file HEAD_ADDRESS, on the others",
        'if [ "${1:?head, or the address of the head}" != head ]; then',
        '  exec ray start --block --address="$1:6379"',
        "fi",
        "ray start --head --port=6379",
        f"echo 'waiting for {len(launch.per_node)} further node(s)'",
        f'until [ "$(ray list nodes --filter state=ALIVE --format json | grep -c node_id)" -ge'
        f" {1 + len(launch.per_node)} ]; do sleep 5; done",
        *folded(argv),
    ]
    return "\n".join(lines) + "\n"


def without(argv: Sequence[str], flags: Mapping[str, int]) -> list[str]:
    """`argv` without the given flags and the values that follow them."""
    kept: list[str] = []
    queue = list(argv)
    while queue:
        word = queue.pop(0)
        if word in flags:
            del queue[: flags[word]]
            continue
        kept.append(word)
    return kept


def folded(argv: Sequence[str]) -> list[str]:
    """A command over several lines, each flag with its values, joined by backslashes."""
    groups: list[list[str]] = [[]]
    for word in argv:
        if word.startswith("-") and groups[-1]:
            groups.append([])
        groups[-1].append(word)
    lines = [" ".join(quoted_words(group)) for group in groups]
    if len(" ".join(lines)) <= WIDTH:
        return [" ".join(lines)]
    return [
        ("" if index == 0 else "  ") + line + (" \\" if index < len(lines) - 1 else "")
        for index, line in enumerate(lines)
    ]
