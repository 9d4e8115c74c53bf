"""A plan as one container per node: image, command, accelerators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hardware_db.records import frozen
from planner.engines import FACES
from planner.engines.containers import Container
from planner.engines.engine import Launch
from planner.errors import InputError
from planner.planning import Plan
from planner.units import check_count

CACHE = "/root/.cache/huggingface"
"""Where the images keep what huggingface_hub downloads."""

RESOURCES = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "intel": "gpu.intel.com/xe"}
"""Kubernetes resource names of the vendors' device plugins."""

EVERYWHERE = ("--host", "0.0.0.0")
"""Words that make a server listen beyond its container where it was told another address."""

HOME = "/root"
"""The home of the user in the images."""

WEIGHTS = (".gguf", ".safetensors", ".json")
"""How files end that a checkpoint is read from."""

FILES = "/models"
"""Where a container finds weight files that are named without a folder."""


@frozen
class Service:
    """One server in containers.

    Attributes:
        name: a DNS label made from the model's name.
        container: how the engine runs in one.
        image: with its tag.
        vendor: of the accelerators.
        accelerators: per node.
        nodes: how many.
        launch: the command.
        checkpoint: its name in the command.
        path: where it is on this machine; None: it comes from the Hub.
        port: that the server listens on: the user's own, or the engine's default.
    """

    name: str
    container: Container
    image: str
    vendor: str
    accelerators: int
    nodes: int
    launch: Launch
    checkpoint: str
    path: str | None
    port: int

    def argv(self) -> list[str]:
        """The first node's command, listening beyond its container."""
        argv = self.words(self.launch.argv)
        listen = self.container.listen or (EVERYWHERE if "--host" in argv else ())
        return [*argv, *listen]

    def words(self, argv: Sequence[str]) -> list[str]:
        """Return a command as it reads in a container.

        A checkpoint of this machine is named by its whole path; a file without a path is expected
        in the folder that is handed in, and one of another folder where that is handed in.
        """
        mounts = self.mounts
        return [self._inside(word, mounts) for word in argv]

    def _inside(self, word: str, mounts: Mapping[str, str]) -> str:
        """Return a word with a path of this machine as the container has it."""
        if self.path is not None and word == self.checkpoint:
            return self.path
        if _is_loose(word):
            return f"{FILES}/{word}"
        folder = self._folder_of(word)
        if folder is not None:
            return mounts[folder] + word[len(folder) :]
        return f"{HOME}{word[1:]}" if word.startswith("~/") else word

    @property
    def mounts(self) -> dict[str, str]:
        """Folders of this machine to hand in, each with where the container finds it.

        They are the checkpoint's own, those of weight files, and that of files without a folder. What
        lies below the user's home, or below the present folder, has another place in the container.
        """
        found: dict[str, str] = {}
        if self.path is not None:
            own = _parent(self.path) if self.path.endswith(WEIGHTS) else self.path
            found[own] = own
        elif any(map(_is_loose, self.launch.argv)):
            found["./models"] = FILES
        for folder in filter(None, map(self._folder_of, self.launch.argv)):
            taken = [place for place in found.values() if place.startswith(FILES)]
            inside = f"{FILES}-{len(taken) + 1}" if taken else FILES
            found.setdefault(folder, folder if folder.startswith("/") else inside)
        return found

    def _folder_of(self, word: str) -> str | None:
        """Return the folder that a word of the command names, or in which its file is; None: no path."""
        if not word.startswith(("/", "~/", "./", "../")) or word == self.path:
            return None
        if word.endswith(WEIGHTS):
            return _parent(word)
        return word.rstrip("/") if word in self.launch.model and word != self.checkpoint else None


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _is_loose(word: str) -> bool:
    """Say whether a word names a weight file without a folder."""
    return word.endswith(".gguf") and "/" not in word and "\\" not in word


def _port(plan: Plan, default: int) -> int:
    """Return the port that the user's own words name (the last one counts), else the engine's.

    Raises:
        InputError: it is none.
    """
    words, port = list(plan.kept), default
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--port":
            text = value if equals else "".join(words[place + 1 : place + 2])
            port = check_count(int(text) if text.isdigit() else text, what="--port", most=65_535)
    return port


def service_of(plan: Plan) -> Service:
    """The plan as a service.

    Raises:
        InputError: no container of this engine is known for these accelerators.
    """
    assert plan.launch is not None
    container = FACES[plan.engine].container
    system = plan.deployment.system
    vendor = system.accelerator.vendor
    image = container.images.get(vendor) if container else None
    if container is None or image is None:
        raise InputError(f"no container image of {plan.engine_title} is known for {vendor}")
    count = plan.deployment.layout.accelerators
    nodes = 1 + len(plan.launch.per_node)
    return Service(
        name=service_name(plan.deployment.checkpoint.id),
        container=container,
        image=image.format(version=plan.engine_version),
        vendor=vendor,
        accelerators=-(-count // nodes),
        nodes=nodes,
        launch=plan.launch,
        checkpoint=plan.deployment.checkpoint.id,
        path=plan.deployment.checkpoint.path,
        port=_port(plan, container.port),
    )


def service_name(checkpoint: str) -> str:
    """A DNS label for a checkpoint: ``qwen3-5-27b-fp8``."""
    short = checkpoint.rstrip("/").rpartition("/")[2].lower()
    label = re.sub(r"[^a-z0-9]+", "-", short).strip("-")[:50].strip("-")
    return label if label[:1].isalpha() else f"model-{label}".strip("-")


def heading(plan: Plan, comment: str = "#") -> list[str]:
    """Comment lines that say what the text was made for."""
    lines = [f"{comment} {plan.verdict}"]
    assert plan.launch is not None
    notes = (*plan.launch.notes, *plan.warnings)
    if plan.launch.per_node:
        notes += plan.deployment.system.notes
    lines += [f"{comment} {note}" for note in notes]
    return [" ".join(line.splitlines()) for line in lines]  # names may hold anything
