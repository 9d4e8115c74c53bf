"""Questions that the tests of this folder share."""

from typing import Any

import pytest

import planner
from planner.question import Question


@pytest.fixture(scope="session")
def ask() -> Any:
    """A question from names; further keywords are options of the engine."""

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
            model,
            on=on,
            engine=engine,
            precision=precision,
            context=context,
            concurrency=concurrency,
            kv_cache_dtype=kv_cache_dtype,
            layout=layout,
            objective=objective,
            options=options or None,
        )

    return question
