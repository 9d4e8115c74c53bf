"""One checkpoint that can be downloaded: what it is, how large, and who says so."""

from __future__ import annotations

from typing import Literal

from hardware_db.records import frozen

Container = Literal[
    "gguf", "gguf-ik", "gguf-fork", "safetensors", "mlx", "mlx-fork", "exl3", "onnx", "other"
]
"""What programs can load: ``gguf-ik`` holds types that only ik_llama.cpp knows, ``gguf-fork`` and
``mlx-fork`` need a fork; ``other`` belongs to one program of its own."""

Part = Literal["model", "mmproj", "draft"]
"""A model, the vision tower that lies beside one, or a drafter."""

Maker = Literal["official", "community", "derivative"]
"""The model's maker, others who stored the same model, or a fine-tune: another model."""

Vision = Literal["inside", "beside"]
"""The vision tower is in the files, or in an mmproj file of the same repository."""

Evidence = Literal["bytes", "rounded", "recipe", "name"]
"""How the size is known: to the byte; as a rounded figure; a repository that is known to exist,
sized by its recipe; not at all: what its name says, not read."""

OFFICIAL = "Qwen"
"""The organisation of the model's maker."""

GGUF_HEADER = 10_990_000
"""Bytes of a GGUF file of this family before its tensors: vocabulary and metadata. The 16 files of
Q8_0 and BF16 whose tensors follow the recipe exactly have 10,961,696 to 11,015,072."""


@frozen
class Entry:
    """One row of the registry.

    Attributes:
        repo: repository id as the Hub writes it, or an Ollama tag (``qwen3.5:27b``).
        base: the bundled id of the model that it stores.
        container: which programs can load it.
        label: which file of a repository: ``UD-Q4_K_XL``; empty where there is only one.
        file: name of the file, by the author's way of naming; None for sets of safetensors.
        nbytes: published bytes (of the files, GGUF headers included); None: not published.
        within: how far `nbytes` may be off, because it was printed rounded.
        recipe: scheme of the planner whose roles are the nearest.
        kept: what is quantized and what stays at 16 bits, in the author's words; empty: not said.
        mtp: the MTP module is in it; None: not known.
        vision: where the vision tower is; None: in none of its files, or not known.
        derivative: a fine-tune of the same shapes: another model, never recommended.
        part: model, vision tower or drafter.
        downloads: downloads in 30 days at `date`, where known.
        date: when the size was listed.
        source: who listed it.
        named: it is no row: its name alone says what it is.
        experts: routed experts of a layer, where some of the base's were pruned away.
        made_for: how the id of the accelerators begins for which its author stored it; empty: for any.
    """

    repo: str
    base: str
    container: Container
    label: str
    file: str | None
    nbytes: int | None
    within: int
    recipe: str
    kept: str
    mtp: bool | None
    vision: Vision | None
    derivative: bool
    part: Part
    downloads: int | None
    date: str
    source: str
    named: bool = False
    experts: int | None = None
    made_for: str = ""

    @property
    def maker(self) -> Maker:
        """Who made it."""
        if self.derivative:
            return "derivative"
        return "official" if self.repo.startswith(f"{OFFICIAL}/") else "community"

    @property
    def recommendable(self) -> bool:
        """It may be proposed: a row of its own, of the model itself, in its maker's or others' files."""
        return not self.derivative and not self.named and self.part == "model"

    @property
    def name(self) -> str:
        """What a command is told: ``unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL``, or the repository."""
        return f"{self.repo}:{self.label}" if self.label else self.repo

    @property
    def spoken(self) -> str:
        """The label as people read it; one that is a number alone says bits per weight."""
        alone = self.label.replace(".", "").isdigit()
        return f"{self.label}-bit GGUF" if alone else self.label

    @property
    def ollama(self) -> bool:
        """It is a tag of Ollama's library, not a repository of the Hub."""
        return ":" in self.repo

    @property
    def docker(self) -> bool:
        """It is an image of Docker's own library, which no server downloads by this name."""
        return self.repo.startswith("ai/")

    @property
    def evidence(self) -> Evidence:
        """How its size is known."""
        if self.named:
            return "name"
        if self.nbytes is None:
            return "recipe"
        return "rounded" if self.within else "bytes"

    @property
    def gguf(self) -> bool:
        """It is a GGUF file, whichever program reads its types."""
        return self.container.startswith("gguf")
