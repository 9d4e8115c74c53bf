"""Buffers that were worked out beforehand: those of the whole graph, and none after a change of code."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.engines.llamacpp import ready
from planner.engines.llamacpp.compute import compute_buffers
from planner.engines.llamacpp.ggml.segment import Peaks
from planner.engines.llamacpp.graphs import asked_of_graph, whole_graph
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.llamacpp.placement import Placement, experts_on_host
from planner.engines.llamacpp.server import Server
from planner.memo import forget_all
from tests.test_imports import all_loaded_by

MODELS = ("Qwen3.5-0.8B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3-Next-80B-A3B-Instruct")


@pytest.fixture(scope="module", autouse=True)
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a build writes."""
    file = tmp_path_factory.mktemp("ready") / "ready.bin"
    ready.write(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ready, "FILE", file)
        forget_all()
        yield file
    forget_all()


def server(model: str, *, precision: str = "q4_k_m", context: int = 8192, slots: int = 1) -> Server:
    """A server on one GPU, as somebody starts it who says nothing else."""
    return ready.plain_server(model, precision=precision, context=context, slots=slots)


def known(of: Server, placement: Placement | None = None, *, dry_run: bool = False) -> Peaks | None:
    """What was worked out of a server's graph."""
    placement = placement or of.placement()
    asked = asked_of_graph(
        of.model, of.scheme, placement, of.trunk, op_offload=True, dry_run=dry_run
    )
    return ready.peaks(of.model, placement, *asked[1:])


@settings(max_examples=12, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    precision=st.sampled_from(("q4_k_m", "q8_0", "iq4_xs")),
    context=st.integers(2, 1024).map(lambda steps: 256 * steps),
    slots=st.integers(1, ready.SLOTS),
    dry_run=st.booleans(),
)
def test_what_was_worked_out_is_what_the_whole_graph_takes(
    model: str, precision: str, context: int, slots: int, dry_run: bool
) -> None:
    of = server(model, precision=precision, context=context, slots=slots)
    found = known(of, dry_run=dry_run)
    assert found is not None
    arguments = (of.model, of.scheme, of.placement(), of.trunk)
    whole = whole_graph(*arguments, dry_run=dry_run)
    assert compute_buffers(*arguments, dry_run=dry_run) == whole
    assert (found.nbytes, found.nodes, found.splits) == (
        whole.nbytes,
        whole.graph_nodes,
        whole.graph_splits,
    )


@settings(max_examples=12, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    precision=st.sampled_from(("q4_k_m", "bf16", "q4_k_m-nomtp")),
    context=st.integers(2, 1024).map(lambda steps: 256 * steps),
    gpus=st.sampled_from(ready.SEVERAL),
    share=st.sampled_from((1.0, 23.5)),
    dry_run=st.booleans(),
)
def test_likewise_on_several_gpus_that_are_alike(
    model: str, precision: str, context: int, gpus: int, share: float, dry_run: bool
) -> None:
    of = server(model, precision=precision, context=context)
    of = replace(of, devices=gpus, shares=(share,) * gpus)
    found = known(of, dry_run=dry_run)
    assert found is not None
    whole = whole_graph(of.model, of.scheme, of.placement(), of.trunk, dry_run=dry_run)
    assert (found.nbytes, found.nodes, found.splits) == (
        whole.nbytes,
        whole.graph_nodes,
        whole.graph_splits,
    )


def test_nothing_is_said_of_what_was_not_worked_out() -> None:
    of = server("Qwen3.5-35B-A3B")
    assert known(of) is not None
    plain = of.placement()
    for other in (
        replace(plain, n_gpu_layers=3),
        replace(plain, kv_offload=False),
        replace(plain, overrides=experts_on_host(4, host=1)),
    ):
        assert known(of, other) is None
    assert known(replace(of, slots=ready.SLOTS + 1)) is None
    two = replace(of, devices=2, shares=(1.0, 1.0))
    assert known(two) is not None
    for unlike in (replace(two, slots=2), replace(two, shares=(2.0, 1.0))):
        assert known(unlike) is None
    assert known(replace(of, type_k="q8_0")) is None
    assert known(replace(of, options=LlamacppOptions(ubatch_size=256))) is None


def test_whatever_changes_the_code_of_graphs_turns_it_off(
    monkeypatch: pytest.MonkeyPatch, written: Path, tmp_path: Path
) -> None:
    of = server("Qwen3.5-27B")
    before = compute_buffers(of.model, of.scheme, of.placement(), of.trunk)
    monkeypatch.setattr(ready, "digest", lambda: b"another")
    forget_all()
    assert known(of) is None
    assert compute_buffers(of.model, of.scheme, of.placement(), of.trunk) == before
    monkeypatch.setattr(ready, "FILE", tmp_path / "not there")
    forget_all()
    assert known(of) is None


def test_the_digest_is_of_every_module_by_which_graphs_are_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copied = Path(copytree(ready.HERE, tmp_path / "llamacpp"))
    monkeypatch.setattr(ready, "HERE", copied)
    modules = [*(copied / "ggml").glob("*.py"), copied / "whereabouts.py"]
    seen = {ready.digest()}
    for module in modules:
        module.write_text(module.read_text("utf-8") + "\n", "utf-8")
        seen.add(ready.digest())
    assert len(seen) == 1 + len(modules) > 20


STARTED = """
import contextlib, io, pathlib
from planner.cli.main import run
from planner.engines.llamacpp import ready
ready.FILE = pathlib.Path({file!r})
with contextlib.redirect_stdout(io.StringIO()):
    run(["plan", "Qwen3.5-27B", "--on", "rtx-4090", "--engine", "llama.cpp", "--precision", "q4_k_m"])
"""


def test_a_common_start_loads_nothing_that_makes_graphs(written: Path) -> None:
    loaded = all_loaded_by(STARTED.format(file=str(written)))
    assert "planner.engines.llamacpp.ready" in loaded
    assert "planner.engines.llamacpp.graphs" not in loaded
    made = ("inputs", "model", "scheduler", "samples", "pieces", "structures", "shapes")
    assert loaded.isdisjoint(f"planner.engines.llamacpp.ggml.{name}" for name in made)
