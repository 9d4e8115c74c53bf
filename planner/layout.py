"""How a model is spread over accelerators."""

from __future__ import annotations

from dataclasses import dataclass

from planner.units import check_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Degrees of parallelism; their product without experts is the number of accelerators.

    Attributes:
        tensor_parallel: ranks that share every layer.
        pipeline_parallel: stages that share the layers out.
        data_parallel: replicas of everything (of attention only, where experts are parallel too).
        expert_parallel: experts are shared out over tensor x data parallel ranks instead of
            being cut.

    Raises:
        InputError: a degree is not a whole number from 1 on.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: bool = False

    def __post_init__(self) -> None:
        """Check the ranges; what a model allows is the engine's business."""
        check_count(self.tensor_parallel, what="tensor parallel size")
        check_count(self.pipeline_parallel, what="pipeline parallel size")
        check_count(self.data_parallel, what="data parallel size")

    @property
    def accelerators(self) -> int:
        """How many accelerators the layout occupies."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def expert_ranks(self) -> int:
        """Over how many ranks the experts are shared out (1 without expert parallelism)."""
        return self.tensor_parallel * self.data_parallel if self.expert_parallel else 1

    def __str__(self) -> str:
        """Short form for people: ``TP 2 x PP 2``, ``TP 8 EP``, ``1 GPU``."""
        degrees = (
            ("TP", self.tensor_parallel),
            ("PP", self.pipeline_parallel),
            ("DP", self.data_parallel),
        )
        words = [f"{name} {degree}" for name, degree in degrees if degree > 1]
        text = " x ".join(words) or "TP 1"
        return f"{text} EP" if self.expert_parallel else text
