"""Questions that the tests of this folder share."""

from collections.abc import Callable
from typing import Any

import pytest

from planner.api import load_checkpoint, make_options, resolve_hardware
from planner.engines import get_engine
from planner.search.question import Question


@pytest.fixture(scope="session")
def ask() -> Callable[..., Any]:
    """A question from names; further keywords are options of the engine."""

    def question(
        model: str,
        on: str,
        *,
        precision: str | None = None,
        context: int = 32_768,
        concurrency: int = 1,
        engine: str = "vllm",
        kv_cache_dtype: str = "auto",
        layout: Any = None,
        **options: Any,
    ) -> Question:
        return Question(
            checkpoint=load_checkpoint(model, precision=precision),
            system=resolve_hardware(on),
            engine=get_engine(engine),
            context=context,
            concurrency=concurrency,
            kv_cache_dtype=kv_cache_dtype,
            layout=layout,
            options=make_options(engine, options),
        )

    return question
