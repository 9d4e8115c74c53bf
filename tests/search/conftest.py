"""Questions that the tests of this folder share."""

from typing import Any

import pytest

import planner
from planner.question import Question


@pytest.fixture(scope="session")
def ask() -> Any:
    """A question of the very weights that are named; further keywords are options of the engine."""

    def question(
        model: str,
        on: str,
        *,
        precision: str | None = None,
        context: int = 32_768,
        concurrency: int = 1,
        engine: str | None = "vllm",
        kv_cache_dtype: str = "auto",
        layout: Any = None,
        objective: Any = "latency",
        **options: Any,
    ) -> Question:
        return planner.ask(
            planner.load_checkpoint(model, precision=precision),
            on=on,
            engine=engine,
            context=context,
            concurrency=concurrency,
            kv_cache_dtype=kv_cache_dtype,
            layout=layout,
            objective=objective,
            options=options or None,
        )

    return question
