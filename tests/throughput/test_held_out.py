"""What is left out of a fit is not seen by it; bands are those that hold what was not seen."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import held_out as bench
from benchmarks.fidelity import unseen
from benchmarks.speed_fit import Pool
from benchmarks.suites.speed_doubts import doubts_of, rig_of, source_of

REFERENCE = Path(__file__).parent.parent / "reference" / "speed"


@cache
def kept() -> tuple[bench.Asked, ...]:
    return tuple(bench.points({"throughput": REFERENCE}))


def pool() -> Pool:
    return Pool([one.sample for one in kept()])


@pytest.mark.parametrize("group", [bench.by_rig, bench.by_source, bench.by_class])
def test_folds_part_whole_groups(group: bench.Grouping) -> None:
    folds = bench.folds_of(kept(), group)
    assert (np.sum(folds, axis=0) == 1).all()
    for out in folds:
        left = {group(one) for one, gone in zip(kept(), out, strict=True) if gone}
        used = {group(one) for one, gone in zip(kept(), out, strict=True) if not gone}
        assert not left & used


def test_what_is_held_out_does_not_change_its_own_estimate() -> None:
    """A rig's measured times may be anything: its estimate stays, its error does not."""
    changed, plain = pool(), pool()
    fold = bench.folds_of(kept(), bench.by_rig)[0]
    changed.target = changed.target + np.where(fold, 2.0, 0.0)
    ratios, again = plain.ratios(plain.fit(~fold)), changed.ratios(changed.fit(~fold))
    assert again[fold] == pytest.approx(ratios[fold] / np.exp(2.0), rel=1e-6)


def test_the_same_points_give_the_same_constants_wherever_the_fit_begins() -> None:
    everything, here = np.ones(len(kept()), dtype=bool), pool()
    first, other = (here.ratios(here.fit(everything, seed)) for seed in (None, 1))
    assert other == pytest.approx(first, rel=0.01)


def test_bands_hold_their_estimates_and_widen_with_ignorance() -> None:
    held = [bench.held_out(pool(), kept(), group) for group in (bench.by_rig, bench.by_source)]
    bands = bench.bands_of(kept(), *held, held[1])
    for kind in {one.kind for one in kept()}:
        fitted, sibling = bands[kind]["fitted"], bands[kind]["sibling"]
        assert sibling[0] <= fitted[0] < 1 < fitted[1] <= sibling[1]
    found = bench.hits(kept(), held[0], bench.basis_without(kept(), bench.by_rig), bands)
    assert sum(found) > 0.9 * len(found)


@pytest.mark.parametrize("kept_out", range(4))
def test_a_band_of_few_rigs_reaches_beyond_them(kept_out: int) -> None:
    """Of eleven rigs a twelfth lies beyond all in one case of six, and bands claim one in sixteen."""
    one_of_each = {bench.by_rig(one): one for one in kept()}
    asked = list(one_of_each.values())[kept_out : kept_out + 5]
    assert len(asked) == 5
    ratios = np.exp(np.array([-0.4, -0.2, 0.0, 0.2, 0.4]))
    low, high = bench.ends(asked, ratios, range(5))
    assert low < ratios.min()
    assert high > ratios.max()
    # Student: t of 4 degrees of freedom at 0.97 is 2.60, the spread 0.316, sqrt(1 + 1 / 5) = 1.095
    assert np.log(high) == pytest.approx(2.60 * 0.316 * 1.095, rel=0.03)
    wider = bench.ends(asked, ratios**2, range(5))
    assert wider[0] < low < high < wider[1]


def test_suites_answer_every_point_without_its_rig() -> None:
    (summary,) = unseen(REFERENCE, ["throughput", "params"]).values()
    assert summary["cases"] == len(kept())
    assert {"decode, GPU", "serving, GPU"} <= set(summary["groups"])


@pytest.mark.parametrize(
    ("source", "publisher"),
    [
        ("https://github.com/Owner/Repo/tree/main/x.json", "owner/repo"),
        ("Owner/Repo@1234 docs/results.json", "owner/repo"),
        ("github.com/m4r1k/vllm-1mtps", "m4r1k/vllm-1mtps"),
        ("public file ref 53129682873", "public file ref 53129682873"),
        ("localmaxxing.com", "localmaxxing.com"),
        ("SemiAnalysis InferenceX", "semianalysis"),
    ],
)
def test_publishers_are_told(source: str, publisher: str) -> None:
    assert source_of(source) == publisher
    assert rig_of(source, "rtx-3090", 2, None) == f"{publisher} | rtx-3090 | 2 | None"


ROW: dict[str, Any] = {
    "kind": "prefill-offload", "source": "a/b", "isl": 4096, "ubatch": 4096, "confidence": "high",
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "times"),
    [
        ({}, []),
        ({"ubatch": None}, [3.0]),
        ({"ubatch": None, "isl": 512}, []),
        ({"ubatch": None, "kind": "prefill"}, []),
        ({"confidence": "medium"}, [1.5]),
        ({"confidence": "low"}, [3.0]),
        ({"engine_version": "day-0 image"}, [3.0]),
        ({"source": "SemiAnalysis InferenceX", "osl": 7372}, [3.0]),
        ({"source": "SemiAnalysis InferenceX", "osl": 921}, []),
        ({"kind": "decode", "source": "localmaxxing.com", "osl": 100, "depth": 9000}, [4.0]),
    ],
)
def test_what_a_source_leaves_open_is_doubted(told: dict[str, Any], times: list[float]) -> None:
    assert [doubt.times for doubt in doubts_of(ROW | told)] == times


def test_a_summary_of_a_suite_that_was_not_fitted_is_not_held_out(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text(json.dumps({}))
    assert unseen(tmp_path, ["params"]) == {}
