"""Every figure is one that plotly accepts, and says what the plan says."""

import pytest
from plotly.graph_objects import Figure

import planner
from planner.layout import Layout
from planner.planning import Plan
from planner.question import question_of
from planner.units import GIB
from planner.web import curves
from planner.web.figures.anatomy import describe_layers, layer_strip
from planner.web.figures.context import memory_over_context, reach
from planner.web.figures.document import Checked
from planner.web.figures.layout_map import layout_map
from planner.web.figures.memory_bar import compared_bars, memory_bar
from planner.web.holdings import holdings
from planner.web.palette import (
    DARK_THEME_TEXT,
    FAIR,
    GOOD,
    LIGHT_THEME_TEXT,
    NONE,
    PARTS,
    TONES,
    Part,
)
from planner.web.wording import layout_words
from tests.present import some

INK = LIGHT_THEME_TEXT


@pytest.fixture(scope="module")
def fitting() -> Plan:
    return planner.plan("Qwen3.5-35B-A3B", on="2x rtx-5090", precision="fp8", context="64k")


@pytest.fixture(scope="module")
def failing() -> Plan:
    return planner.plan(
        "Qwen3.5-27B", on="4x rtx-4090", precision="bf16", layout=Layout(pipeline_parallel=4)
    )


def test_plotly_accepts_every_figure(fitting: Plan, failing: Plan) -> None:
    checkpoint = fitting.deployment.checkpoint
    curve = some(curves.memory_curve(question_of(fitting)))
    documents = [
        memory_bar(fitting.ranks, text=INK),
        memory_bar(failing.ranks, text=INK),
        compared_bars([("1", fitting.ranks[0]), ("2", failing.ranks[0])], text=INK),
        memory_over_context(curve, asked=65_536, text=INK),
        reach(
            {"one": curves.frontier(question_of(fitting))},
            asked=(65_536, 4),
            native=262_144,
            text=INK,
        ),
        layer_strip(checkpoint.model, text=INK),
        layer_strip(curves.all_full_attention(checkpoint.model), text=INK),
        layout_map(holdings(checkpoint.model, Layout(tensor_parallel=8)), text=INK),
        layout_map(
            holdings(checkpoint.model, Layout(data_parallel=4, expert_parallel=True)), text=INK
        ),
    ]
    for document in documents:
        Figure(**document)
        assert Checked(document).to_dict() is document


def test_parts_free_and_over_make_up_every_accelerator(fitting: Plan, failing: Plan) -> None:
    for plan in (fitting, failing):
        figure = memory_bar(plan.ranks, text=INK)
        named = {trace["name"]: trace["x"] for trace in figure["data"]}
        over = named.pop("over the usable memory", [0.0] * len(plan.ranks))
        for row, rank in enumerate(plan.ranks):
            total = sum(values[row] for values in named.values()) - over[row]
            assert total == pytest.approx(rank.usable / GIB)
        assert any(over) is (not plan.fits)


def test_the_ghost_keeps_four_times_the_cache(fitting: Plan) -> None:
    from planner.memory.breakdown import Kind

    long = some(curves.memory_curve(question_of(fitting))).points[-1]
    cache, state = long.sizes[Kind.KV_CACHE], long.sizes[Kind.RECURRENT_STATE]
    ghost = some(long.every_layer) - (long.used - cache - state)
    assert ghost / cache == pytest.approx(4, rel=0.05)


def test_every_head_and_layer_is_held_and_none_is_lost(fitting: Plan) -> None:
    model = fitting.deployment.checkpoint.model
    for layout in (
        Layout(tensor_parallel=8),
        Layout(tensor_parallel=2, pipeline_parallel=3),
        Layout(tensor_parallel=2, data_parallel=2, expert_parallel=True),
    ):
        held = holdings(model, layout)
        assert len(held) == layout.accelerators
        first = [h for h in held if h.replica == 0]
        stage = [h for h in first if h.stage == 0]
        heads = [n for h in stage for n in range(h.query_heads[0], h.query_heads[1] + 1)]
        assert heads == list(range(model.attention.num_attention_heads))
        for head in range(model.attention.num_key_value_heads):
            keepers = [h for h in stage if h.kv_heads[0] <= head <= h.kv_heads[1]]
            assert len(keepers) == held[0].kv_copies
        layers = {n for h in first for n in range(h.layers[0], h.layers[1] + 1)}
        assert layers == set(range(model.num_hidden_layers))
        if layout.expert_parallel:
            experts = [n for h in held for n in range(some(h.experts)[0], some(h.experts)[1] + 1)]
            assert sorted(experts) == list(range(some(model.moe).num_experts))


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.label)
def test_fills_stand_out_and_their_labels_can_be_read(part: Part) -> None:
    assert contrast(part.fill, part.ink) >= 4.5
    for background in ("#ffffff", "#12161c"):
        assert contrast(part.fill, background) >= 3


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", [GOOD, FAIR, NONE])
def test_verdicts_in_tables_can_be_read(dark: bool, name: str) -> None:
    tone = TONES[dark][name]
    assert contrast(tone.fill, tone.ink) >= 4.5


def test_text_in_figures_can_be_read_on_both_themes() -> None:
    assert contrast(LIGHT_THEME_TEXT, "#ffffff") >= 4.5
    assert contrast(DARK_THEME_TEXT, "#12161c") >= 4.5


def test_the_strip_says_what_newer_layers_are_made_of() -> None:
    checkpoint = planner.load_checkpoint("Qwen3.8-Flash-Next")
    words = describe_layers(checkpoint.model)
    for said in ("12 indexed-attention layers", "2,048 tokens", "4 times", "51.2 billion"):
        assert said in words
    strip = layer_strip(checkpoint.model, text=INK)
    assert [trace["x"] for trace in strip["data"] if trace["type"] == "scatter"] == [[1]]
    plain = planner.load_checkpoint("Qwen3.5-27B").model
    assert "indexed" not in describe_layers(plain)
    assert all(trace["type"] == "bar" for trace in layer_strip(plain, text=INK)["data"])


def test_labels_stay_clear_of_the_hatching_and_of_what_is_too_small(
    fitting: Plan,
) -> None:
    """What lies beyond the usable line is hatched; on a phone a label shrinks with its bar."""
    too_large = planner.plan("Qwen3.5-27B", on="rtx-4090", precision="bf16", engine="vllm")
    rank = next(rank for rank in too_large.ranks if rank.headroom < 0)
    bars = memory_bar([rank], text=INK)
    assert bars["layout"]["uniformtext"]["mode"] == "hide"
    start = 0.0
    for trace in bars["data"]:
        if trace["name"] in ("free", "over"):
            continue
        clear = min(start + trace["x"][0], rank.usable / GIB) - start
        assert not trace["text"][0] or clear > 0
        assert trace["insidetextanchor"] == "start"
        start += trace["x"][0]
    plain = memory_bar(fitting.ranks, text=INK)["data"][0]
    assert plain["insidetextanchor"] == "middle"
    assert plain["text"][0]


def test_layouts_are_written_with_the_sign_for_times() -> None:
    assert layout_words(Layout(tensor_parallel=2, data_parallel=4)) == "TP 2 × DP 4"
