"""A model's facts from the Hub, from folders and from single files, end to end on headers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import get_scheme
from planner.model.spec import ModelSpec
from planner.sources import load
from tests.hub.conftest import hub  # noqa: F401  (a fixture)
from tests.hub.loopback import LoopbackHub
from tests.model import builders

REPO = "someone/Qwen3.5-0.8B-copy"
DTYPES = {"bfloat16": "BF16", "float32": "F32", "fp8-block128": "F8_E4M3"}


def entry(name: str = "Qwen3.5-0.8B") -> tuple[ModelSpec, dict[str, Any]]:
    found = find(name)
    assert found is not None
    return found[0].model, json.loads(json.dumps(found[0].config))


def header(model: ModelSpec, scheme: str = "bf16") -> dict[str, tuple[str, tuple[int, ...]]]:
    """Names, dtypes and shapes of a checkpoint of `model`, as its maker would write it."""
    checkpoint = Checkpoint(id="x", model=model, scheme=get_scheme(scheme), source="test")
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    for row in checkpoint.stored:
        for layer in row.tensor.layers or (0,):
            for expert in range(row.tensor.experts):
                name = row.tensor.name.format(layer=layer, expert=expert)
                tensors[name] = (DTYPES[row.format.name], row.tensor.shape)
                if row.format.name == "fp8-block128":
                    rows, columns = row.tensor.shape
                    scales = (-(-rows // 128), -(-columns // 128))
                    tensors[f"{name}_scale_inv"] = ("BF16", scales)
    return tensors


@pytest.fixture
def repository(hub: LoopbackHub) -> Any:  # noqa: F811
    model, config = entry()
    return hub.add(
        REPO, {"config.json": config, "model.safetensors": builders.safetensors(header(model))}
    )


def test_a_repository_is_planned_by_its_headers(repository: Any) -> None:
    checkpoint = load(REPO)
    assert checkpoint.nbytes() == 1_746_882_752  # the published total of Qwen3.5-0.8B
    assert checkpoint.other == 0
    assert checkpoint.revision == repository.commit
    assert checkpoint.scheme.name == "bf16"
    bundled = planner.load_checkpoint("Qwen3.5-0.8B")
    for part in ("text", "vision", "mtp"):
        assert checkpoint.nbytes(part) == bundled.nbytes(part)
    plan = planner.plan(checkpoint, on="rtx-3060-12", context=8192)
    twin = planner.plan(bundled, on="rtx-3060-12", context=8192)
    assert plan.headroom == twin.headroom
    assert plan.launch is not None
    assert f"--revision {repository.commit}" in plan.launch.command


def test_what_a_checkpoint_does_not_ship_is_not_counted(hub: LoopbackHub) -> None:  # noqa: F811
    model, config = entry()
    kept = {name: row for name, row in header(model).items() if not name.startswith("mtp.")}
    kept["model.extra.weight"] = ("BF16", (10, 10))
    hub.add(REPO, {"config.json": config, "model.safetensors": builders.safetensors(kept)})
    checkpoint = load(REPO)
    assert checkpoint.nbytes("mtp") == 0
    assert checkpoint.model.mtp is not None
    assert not checkpoint.model.mtp.shipped
    assert checkpoint.other == 200
    refused = planner.plan(checkpoint, on="h100", options={"num_speculative_tokens": 1})
    assert "no MTP module" in refused.verdict


def test_quantized_repositories_say_so_themselves(hub: LoopbackHub) -> None:  # noqa: F811
    model, config = entry("Qwen3.5-4B")
    model = replace(model, float32_components=())
    config["quantization_config"] = {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "weight_block_size": [128, 128],
        "activation_scheme": "dynamic",
    }
    hub.add(
        REPO,
        {"config.json": config, "model.safetensors": builders.safetensors(header(model, "fp8"))},
    )
    checkpoint = load(REPO)
    expected = Checkpoint(id="x", model=model, scheme=get_scheme("fp8"), source="test")
    assert checkpoint.nbytes() == expected.nbytes()
    with pytest.raises(planner.InputError, match="name its 16-bit model"):
        load(REPO, precision="awq-int4")


def test_a_precision_that_is_not_stored_is_a_hypothesis(repository: Any) -> None:
    checkpoint = load(REPO, precision="fp8")
    assert checkpoint.hypothetical
    assert checkpoint.revision is None
    assert checkpoint.nbytes() == planner.load_checkpoint("Qwen3.5-0.8B", precision="fp8").nbytes()


def test_folders_files_and_configs_are_read(tmp_path: Path) -> None:
    model, config = entry()
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    plain = load(str(tmp_path))
    stub = builders.safetensors(header(replace(model, float32_components=())))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(stub.head)
        file.truncate(stub.size)
    by_header = load(str(tmp_path))
    assert by_header.nbytes() == plain.nbytes() == 2 * 873_438_784
    assert load(str(tmp_path / "model.safetensors")).nbytes() == plain.nbytes()
    assert load(str(tmp_path), precision="fp8").hypothetical


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./nowhere", "no such file or folder"),
        ("/dev/null", "config.json nor a weight file"),
        ("nowhere.gguf", "no such file"),
        ("x" * 5000, "unknown model"),
        ("a\0b", "unknown model"),
    ],
)
def test_paths_that_lead_nowhere(name: str, says: str) -> None:
    with pytest.raises(planner.PlannerError, match=says) as error:
        load(name)
    assert len(str(error.value)) < 6000


def test_a_visitors_path_is_never_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(planner.PlannerError) as error:
        load(str(tmp_path), local=False, anonymous=True)
    assert "config.json" not in str(error.value)


def test_offline_the_bundled_models_still_work(
    hub: LoopbackHub,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert load("Qwen/Qwen3.5-27B").nbytes() > 0
    with pytest.raises(planner.OfflineError, match="bundled and alike: Qwen/"):
        load(REPO)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Qwen/Qwen3-Next-80B-A3B-Thinking-FP8", "Qwen/Qwen3-Next-80B-A3B-Thinking-FP8"),
        ("qwen/qwen3-next-80b-a3b-thinking", "Qwen/Qwen3-Next-80B-A3B-Thinking"),
        ("Qwen3.5-9B-Base", "Qwen/Qwen3.5-9B-Base"),
        ("nvidia/Qwen3.6-27B-NVFP4", "nvidia/Qwen3.6-27B-NVFP4"),
        ("sakamakismile/Qwen3.6-27B-NVFP4", "sakamakismile/Qwen3.6-27B-NVFP4"),
        ("unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL", "unsloth/Qwen3.5-27B-GGUF"),
        ("Lorbus/Qwen3.6-27B-int4-AutoRound", "Lorbus/Qwen3.6-27B-int4-AutoRound"),
        ("qwen3.5:27b-q8_0", "qwen3.5:27b-q8_0"),
        ("qwen3.5-35b", "Qwen/Qwen3.5-35B-A3B"),
    ],
)
def test_what_was_asked_is_what_comes_back(asked: str, answered: str) -> None:
    assert load(asked).id == answered


def test_a_variants_own_checkpoint_is_named() -> None:
    thinking = load("Qwen/Qwen3-Next-80B-A3B-Thinking", precision="fp8")
    assert thinking.id == "Qwen/Qwen3-Next-80B-A3B-Thinking-FP8"
    plan = planner.plan("Qwen/Qwen3-Next-80B-A3B-Thinking-FP8", on="2x h200", context=8192)
    assert plan.launch is not None
    assert "Qwen3-Next-80B-A3B-Thinking-FP8" in plan.launch.command


def test_a_files_bare_name_is_known_where_there_is_no_such_file() -> None:
    found = load("Qwen3.8-27B-UD-Q4_K_XL.gguf")
    assert found.id == "unsloth/Qwen3.8-27B-GGUF"
    assert found.files == (("Qwen3.8-27B-UD-Q4_K_XL.gguf", 17_559_178_144),)


def test_an_ollama_tag_is_the_file_that_ollama_pulls() -> None:
    assert load("qwen3.5:27b").scheme.name == "q4_k_m"
    assert load("qwen3.5:27b", precision="fp8").id == "Qwen/Qwen3.5-27B-FP8"


def test_a_registry_row_is_stored_as_it_is() -> None:
    with pytest.raises(planner.InputError, match=r"name its 16-bit model Qwen/Qwen3\.6-27B"):
        load("Lorbus/Qwen3.6-27B-int4-AutoRound", precision="fp8")
    by_label = load("unsloth/Qwen3.5-27B-GGUF", precision="UD-Q4_K_XL")
    assert by_label == load("unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL")


@pytest.mark.parametrize(
    ("name", "open_model"),
    [
        ("Qwen3.6-Flash", "Qwen/Qwen3.6-35B-A3B"),
        ("qwen3.6-plus", "Qwen/Qwen3.5-397B-A17B"),
        ("qwen3.6-max-preview", "Qwen/Qwen3.5-397B-A17B"),
        ("qwen-3.8-max", "Qwen/Qwen3.8-2.4T-A95B"),
        ("qwen3-8-max-0902", "Qwen/Qwen3.8-2.4T-A95B"),
        ("qwen3p8-max", "Qwen/Qwen3.8-2.4T-A95B"),
        ("qwen3.8-max:batch", "Qwen/Qwen3.8-2.4T-A95B"),
        ("qwen3.8-flash", "Qwen/Qwen3.8-27B"),
        ("qwen3.5-omni-plus", "Qwen/Qwen3.5-35B-A3B"),
        ("alibaba/qwen-plus", "Qwen/Qwen3.5-397B-A17B"),
    ],
)
def test_hosted_names_say_which_open_model_is_meant(name: str, open_model: str) -> None:
    with pytest.raises(planner.UnknownModelError, match="hosted service") as error:
        load(name)
    assert error.value.candidates == (open_model,)


def test_names_of_other_families_are_not_likened_to_this_one() -> None:
    with pytest.raises(planner.UnknownModelError) as error:
        load("Qwen3-32B")
    assert error.value.candidates == ()
    with pytest.raises(planner.UnknownModelError, match=r"did you mean Qwen/Qwen3\.5-35B-A3B"):
        load("qwen3.5-35b-a3")
