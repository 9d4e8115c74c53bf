"""Whatever is handed over, the answer is an answer or one of the project's own errors."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
import planner
from hardware_db.database import load_file
from planner.engines import ENGINES
from planner.engines.commands import read_command
from planner.logs import read_log
from planner.model import gguf, safetensors
from planner.model.catalog import catalog
from planner.model.headers import parse_json
from planner.model.hf_config import read_config
from planner.model.parameters import count_parameters
from planner.model.quantization_config import read_quantization
from planner.patterns import PatternError, read_glob, read_pattern
from planner.units import parse_bytes, parse_tokens
from planner.web import address
from planner.web.asked import Asked
from tests.fuzz.given import json_of, mutated, mutated_bytes, mutated_text, own_errors_only, some
from tests.model.builders import Stub
from tests.model.builders import gguf as gguf_file
from tests.model.builders import safetensors as safetensors_file

CONFIGS = {entry.id: json.loads(json.dumps(entry.config)) for entry in catalog()}
SMALL = CONFIGS["Qwen/Qwen3.5-0.8B"]
MOE = CONFIGS["Qwen/Qwen3.5-35B-A3B"]

HOSTILE = (
    "re:.*.*.*.*.*.*.*.*!",
    "re:(.|.)*!",
    "re:((.+))+!",
    "re:(?=(.|..)*[!])(.|..)*[!]",
    "re:" + "(" * 200,
    "-:(.*)*[!]",
    "*" * 50 + "[!]",
    "[" * 50,
)

QUANTIZED: tuple[dict[str, Any], ...] = (
    {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}}},
    {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": ["mlp.gate"]},
    {
        "quant_method": "auto-round",
        "bits": 4,
        "group_size": 128,
        "extra_config": {".*x": {"bits": 8}},
    },
    {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ["lm_head", "re:.*gate$"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True},
            }
        },
    },
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head", "*gate*"]},
    {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["lm_head"]},
)


@given(st.sampled_from(sorted(CONFIGS)).flatmap(lambda name: mutated(CONFIGS[name])))
@some(40, cost=10)
def test_config_json(document: Any) -> None:
    model = own_errors_only(lambda: read_config(document, name="x"))
    if model is not None:
        own_errors_only(lambda: count_parameters(read_config(document, name="x")))


@pytest.mark.parametrize("engine", sorted(ENGINES))
@given(document=st.sampled_from([SMALL, MOE]).flatmap(mutated))
@some(6, cost=1000)
def test_config_json_down_to_a_plan(engine: str, document: Any) -> None:
    assert planned(document, engine)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize("layers", [1, 3])
def test_a_model_without_full_attention_is_planned_or_refused(engine: str, layers: int) -> None:
    document = json.loads(json.dumps(SMALL))
    document["text_config"]["num_hidden_layers"] = layers
    document["text_config"].pop("layer_types", None)
    assert planned(document, engine)


def planned(document: Any, engine: str) -> bool:
    """Whether the config was planned, to a document that is valid JSON, or refused."""

    def question() -> object:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(json.dumps(document), encoding="utf-8")
            plan = planner.plan(folder, on="2x h100-sxm", engine=engine, context="8k")
        return json.dumps(plan.to_dict(), allow_nan=False)

    own_errors_only(question)
    return True


@given(st.sampled_from(QUANTIZED).flatmap(mutated), st.lists(st.sampled_from(HOSTILE), max_size=3))
@some(40, cost=10)
def test_quantization_config_with_attack_patterns(found: Any, hostile: list[str]) -> None:
    for key in ("ignore", "modules_to_not_convert", "exclude_modules", "llm_int8_skip_modules"):
        if isinstance(found.get(key), list):
            found[key] += hostile
    for key in ("dynamic", "extra_config"):
        if isinstance(found.get(key), dict):
            found[key] |= {text.removeprefix("re:"): {"bits": 8} for text in hostile}
    model = read_config(SMALL, name="x")

    def stored() -> object:
        scheme = read_quantization({**SMALL, "quantization_config": found}, name="x")
        return scheme.store(model) if scheme is not None else None

    own_errors_only(stored)


@given(
    st.one_of(st.sampled_from(HOSTILE), st.text(alphabet="ab.*+?{}()[]|\\^$,1d<=!:P-", max_size=40))
)
@some(100)
def test_patterns(text: str) -> None:
    for read in (read_pattern, read_glob):
        try:
            read(text).search("model.language_model.layers.17.mlp.experts.103.gate_up_proj")
        except PatternError:
            continue


@given(mutated(MOE).flatmap(lambda document: mutated_bytes(json_of(document))))
@some(100)
def test_json_documents(content: bytes) -> None:
    own_errors_only(lambda: parse_json(content, "x.json"))


SAFETENSORS = safetensors_file(
    {
        "model.layers.0.mlp.up_proj.weight": ("BF16", (64, 32)),
        "lm_head.weight": ("F8_E4M3", (8, 8)),
    },
    {"format": "pt"},
)
GGUF = gguf_file(
    {"general.architecture": "qwen35", "qwen35.block_count": 4, "tokenizer.tokens": ["a", "b"]},
    {"blk.0.ffn_up.weight": ("Q4_K", (64, 256)), "output.weight": ("BF16", (8, 32))},
)


def header(reader: Any, stub: Stub, content: bytes) -> None:
    """Read a file whose beginning is `content`."""
    size = stub.size - len(stub.head) + len(content)

    def read(offset: int, length: int) -> bytes:
        assert offset + length <= size
        return Stub(content, size).slice(offset, offset + length)

    own_errors_only(lambda: reader.read_header(read, size, "x"))


@given(mutated_bytes(SAFETENSORS.head))
@some(100)
def test_safetensors_headers(content: bytes) -> None:
    header(safetensors, SAFETENSORS, content)


@given(mutated_bytes(GGUF.head))
@some(100)
def test_gguf_headers(content: bytes) -> None:
    header(gguf, GGUF, content)


TOML = """
[[accelerator]]
id = "my-card"
name = "My card"
vendor = "nvidia"
like = "rtx-4090"
memory_marketed_gb = 48
"""


@given(mutated_text(TOML))
@some(20, cost=100)
def test_hardware_files(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hardware.toml"
        path.write_text(text, encoding="utf-8", errors="replace")
        own_errors_only(lambda: load_file(path))


COMMANDS = (
    "vllm serve Qwen/Qwen3.5-27B --tensor-parallel-size 2 --max-model-len 32768",
    "python -m sglang.launch_server --model-path Qwen/Qwen3.5-4B --tp 2 --mem-fraction-static 0.8",
    "llama-server -hf unsloth/Qwen3.5-35B-A3B-GGUF:Q4_K_M -ngl 99 -c 32768 -ot '(.|.)*x=CPU'",
    "docker run --gpus all vllm/vllm-openai:v0.33.0 --model Qwen/Qwen3.5-4B -tp 2",
)


@given(st.sampled_from(COMMANDS).flatmap(mutated_text))
@some(60, cost=10)
def test_commands(text: str) -> None:
    own_errors_only(lambda: read_command(text))


LOG = """INFO 11-20 10:00:00 [core.py:77] Initializing a V1 LLM engine (v0.33.0) with config: model='x'
INFO 11-20 10:00:00 [gpu_model_runner.py:1] Model loading took 12.3456 GiB and 10.2 seconds
INFO 11-20 10:00:00 [gpu_worker.py:1] Available KV cache memory: 5.43 GiB
llama_context: n_ctx = 32768
load_tensors: CUDA0 model buffer size = 1234.56 MiB
"""


@given(mutated_text(LOG))
@some(40, cost=10)
def test_logs(text: str) -> None:
    own_errors_only(lambda: read_log(text))


@given(
    st.one_of(
        st.sampled_from(
            ["128k", "1M", "24GB", "2x rtx-4090 + rtx-3090", "custom:48GiB", "8 x h100"]
        ).flatmap(mutated_text),
        st.text(max_size=40),
    )
)
@some(60, cost=10)
def test_sizes_and_hardware(text: str) -> None:
    own_errors_only(lambda: parse_tokens(text))
    own_errors_only(lambda: parse_bytes(text))
    own_errors_only(lambda: hardware_db.resolve(text))


ADDRESS = (
    "v=2&on=2x h100-sxm&model=Qwen3.5-27B&with=vllm&context=64k&users=4&layout=tp2&o-max_num_seqs=8"
)


@given(mutated_text(ADDRESS))
@some(60, cost=10)
def test_addresses_of_the_page(text: str) -> None:
    asked, _ = address.read(dict(parse_qsl(text)), Asked(on="h100-sxm"))
    for part in ("number", "tokens", "concurrency", "degrees", "policy", "option_values", "wish"):
        own_errors_only(partial(getattr, asked, part))
    own_errors_only(lambda: asked.system_of(None))
    again, _ = address.read(address.words_of(asked), Asked(on="h100-sxm"))
    assert again == asked
