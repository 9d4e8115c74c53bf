"""Launch commands read back: what is planned is what the command says, flag by flag."""

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import planner
from planner import observed
from planner.engines import get_engine
from planner.engines.commands import read_command, readers
from planner.errors import InputError
from planner.layout import Layout
from planner.planning import Outcome, Plan
from tests.present import plan_of_weights

UNTOLD = {
    "vllm": (
        "version",
        "wsl2",
        "draft_num_layers",
        "draft_num_key_value_heads",
        "draft_head_dim",
        "draft_gib",
    ),
    "sglang": ("version",),
    "llamacpp": ("host_memory_gib",),
    "mlx": ("version", "iogpu_wired_limit_mb"),
    "tensorrt-llm": (),
    "ktransformers": ("host_memory_gib",),
}
"""Options that have no flag: the command cannot tell them."""

shares = st.floats(0.5, 0.97)


def some(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=optional).map(lambda given: required | given)


VLLM_OPTIONS = some(
    {},
    gpu_memory_utilization=shares,
    max_num_seqs=st.integers(1, 512),
    max_num_batched_tokens=st.sampled_from([2048, 4096, 8192, 12345]),
    enable_prefix_caching=st.booleans(),
    num_speculative_tokens=st.integers(0, 4),
    block_size=st.sampled_from([16, 64, 128]),
    mamba_ssm_cache_dtype=st.sampled_from(["auto", "bfloat16", "float32"]),
    mamba_cache_dtype=st.sampled_from(["auto", "bfloat16"]),
    language_model_only=st.booleans(),
    limit_images=st.integers(0, 4),
    mm_encoder_tp_mode=st.sampled_from(["weights", "data"]),
    gdn_prefill_backend=st.sampled_from(["auto", "flashinfer", "triton", "cutedsl"]),
    enforce_eager=st.booleans(),
    kv_cache_memory_bytes=st.integers(2**30, 2**34),
    cpu_offload_gb=st.floats(0, 20),
    version=st.sampled_from(["0.17.1", "0.20.0", "0.24.0", "0.29.0", "0.33.0"]),
)
MTP = {"speculative_algorithm": "NEXTN"}
SGLANG_OPTIONS: st.SearchStrategy[Any] = st.one_of(
    *(
        some(base, **strategies)
        for base in (
            {},
            MTP,
            MTP
            | {
                "speculative_num_steps": 2,
                "speculative_eagle_topk": 1,
                "speculative_num_draft_tokens": 3,
            },
        )
        for strategies in [
            {
                "mem_fraction_static": shares,
                "chunked_prefill_size": st.sampled_from([-1, 2048, 4096, 8192]),
                "max_prefill_tokens": st.sampled_from([4096, 16384]),
                "max_running_requests": st.integers(1, 300),
                "max_total_tokens": st.integers(1000, 10**6),
                "page_size": st.sampled_from([1, 16, 64]),
                "cuda_graph_max_bs": st.integers(1, 256),
                "disable_cuda_graph": st.booleans(),
                "disable_radix_cache": st.booleans(),
                "disable_overlap_schedule": st.booleans(),
                "mamba_radix_cache_strategy": st.sampled_from(
                    ["auto", "no_buffer", "extra_buffer"]
                ),
                "mamba_full_memory_ratio": st.floats(0.1, 3),
                "max_mamba_cache_size": st.integers(10, 400),
                "mamba_ssm_dtype": st.sampled_from(["float32", "bfloat16"]),
                "mm_feature_transport": st.sampled_from(["cpu", "cuda_ipc"]),
                "attn_dp_size": st.sampled_from([1, 2]),
                "version": st.sampled_from(["0.5.12.post1", "0.5.18", "0.5.20", "0.5.23"]),
            }
        ]
    )
)
LLAMACPP_OPTIONS = some(
    {},
    n_gpu_layers=st.integers(0, 70),
    n_cpu_moe=st.integers(1, 40),
    tensor_split=st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)),
    split_mode=st.sampled_from(["layer", "none"]),
    kv_unified=st.booleans(),
    batch_size=st.sampled_from([512, 2048]),
    ubatch_size=st.sampled_from([256, 512, 1024]),
    flash_attn=st.sampled_from(["auto", "on"]),
    kv_offload=st.booleans(),
    op_offload=st.booleans(),
    fit=st.booleans(),
    fit_target_mib=st.integers(0, 4096),
    spec_type=st.sampled_from(["none", "draft-mtp"]),
    spec_draft_n_max=st.integers(1, 4),
    spec_draft_type_k=st.sampled_from(["f16", "q8_0"]),
    spec_draft_type_v=st.sampled_from(["f16", "q5_1"]),
    mmproj=st.booleans(),
    mmproj_offload=st.booleans(),
    ctx_checkpoints=st.integers(0, 64),
    cache_ram_mib=st.sampled_from([0, 4096, 8192]),
    load_mode=st.sampled_from(["auto", "none", "mmap", "mlock"]),
    cache_type_v=st.sampled_from(["f16", "q8_0"]),
)

layouts = st.builds(
    Layout,
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
    pipeline_parallel=st.sampled_from([1, 2]),
    data_parallel=st.sampled_from([1, 2, 4]),
    expert_parallel=st.booleans(),
)


def again(plan: Plan, **question: Any) -> Plan:
    """The plan of the command that `plan` prints, told what no flag can say."""
    engine = plan.engine
    launch = plan.written
    assert launch is not None
    options = plan.deployment.options
    return observed.plan_command(
        launch.command,
        options={name: getattr(options, name) for name in UNTOLD[engine]},
        **question,
    )


def planned(**question: Any) -> Plan:
    try:
        plan = plan_of_weights(question.pop("model"), **question)
    except InputError:
        assume(False)
    assume(plan.outcome is not Outcome.CANNOT_RUN)
    return plan


quick = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@quick
@given(
    model=st.sampled_from(["Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-397B-A17B"]),
    precision=st.sampled_from([None, "fp8"]),
    on=st.sampled_from(["8x h200", "2x dgx-spark", "16x h100", "8x rtx-4090"]),
    layout=layouts,
    kv_cache_dtype=st.sampled_from(["auto", "fp8", "fp8_e4m3", "bfloat16"]),
    context=st.integers(1000, 262_144),
    concurrency=st.integers(1, 64),
    options=VLLM_OPTIONS,
)
def test_vllm_commands_round_trip(**question: Any) -> None:
    plan = planned(**question, engine="vllm")
    same(plan, again(plan, on=question["on"], concurrency=question["concurrency"]))


@quick
@given(
    model=st.sampled_from(["Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-397B-A17B"]),
    precision=st.sampled_from([None, "fp8"]),
    on=st.sampled_from(["8x h200", "16x h100", "2x rtx-pro-6000"]),
    layout=layouts,
    kv_cache_dtype=st.sampled_from(["auto", "fp8_e4m3", "fp8_e5m2"]),
    context=st.integers(1000, 262_144),
    concurrency=st.integers(1, 64),
    options=SGLANG_OPTIONS,
)
def test_sglang_commands_round_trip(**question: Any) -> None:
    plan = planned(**question, engine="sglang")
    same(plan, again(plan, on=question["on"], concurrency=question["concurrency"]))


@settings(quick, max_examples=12)
@given(
    model=st.sampled_from(["Qwen3.5-9B", "Qwen3.5-35B-A3B"]),
    precision=st.sampled_from(["q4_k_m", "q8_0"]),
    on=st.sampled_from(["rtx-4090", "2x rtx-3090"]),
    kv_cache_dtype=st.sampled_from(["auto", "q8_0", "bf16"]),
    context=st.integers(1000, 131_072),
    concurrency=st.integers(1, 5),
    options=LLAMACPP_OPTIONS,
)
def test_llamacpp_commands_round_trip(**question: Any) -> None:
    """The command fixes the slots, so that is how many it can hold, whatever the memory.

    RAM is said: of a command without it, --fit may move what a plan leaves where it is.
    """
    question["options"] = question["options"] | {"parallel": question["concurrency"]}
    question["on"] += " + 1GB RAM"
    plan = planned(**question, engine="llamacpp")
    told = {name: question[name] for name in ("on", "concurrency", "context")}
    same(plan, again(plan, **told))


OTHERS: dict[str, dict[str, Any]] = {
    "mlx": {
        "on": "m3-ultra-512",
        "precision": "mlx-4bit",
        "options": some(
            {},
            kv_bits=st.sampled_from([2, 4, 8]),
            kv_group_size=st.sampled_from([32, 64]),
            quantized_kv_start=st.integers(0, 9000),
            prefill_step_size=st.sampled_from([512, 2048]),
            decode_concurrency=st.integers(1, 64),
            prompt_cache_size=st.integers(0, 12),
        ),
    },
    "tensorrt-llm": {
        "on": "4x b200",
        "precision": "nvfp4",
        "options": some(
            {"max_batch_size": 16},
            max_num_tokens=st.sampled_from([2048, 8192]),
            free_gpu_memory_fraction=shares,
        ),
    },
    "ktransformers": {
        "on": "4x rtx-4090",
        "precision": None,
        "options": some(
            {"host_memory_gib": 1000.0},
            mem_fraction_static=shares,
            kt_num_gpu_experts=st.integers(0, 4),
            kt_cpuinfer=st.integers(1, 128),
            kt_threadpool_count=st.integers(1, 4),
            kt_gpu_prefill_token_threshold=st.integers(1, 9000),
            chunked_prefill_size=st.sampled_from([2048, 4096]),
            max_running_requests=st.integers(1, 32),
            max_total_tokens=st.integers(1000, 40_000),
        ),
    },
}


def test_every_engine_with_a_reader_is_tried() -> None:
    assert set(readers()) == set(UNTOLD)


@pytest.mark.parametrize("engine", OTHERS)
@settings(quick, max_examples=10)
@given(
    model=st.sampled_from(["Qwen3.5-35B-A3B", "Qwen3.5-397B-A17B"]),
    context=st.integers(1000, 100_000),
    concurrency=st.integers(1, 4),
    data=st.data(),
)
def test_commands_of_other_engines_round_trip(
    engine: str, data: st.DataObject, **question: Any
) -> None:
    place = OTHERS[engine]
    told = {"on": place["on"], "precision": place["precision"]}
    options = data.draw(place["options"])
    plan = planned(**question, **told, engine=engine, options=options)
    del question["model"]
    same(plan, again(plan, **question, **told))


def test_commands_of_several_nodes_and_beyond_the_native_length_round_trip() -> None:
    questions: list[dict[str, Any]] = [
        {"model": "Qwen3.5-397B-A17B", "on": "16x h200", "layout": Layout(tensor_parallel=16)},
        {"model": "Qwen3.5-27B", "on": "h200", "context": 500_000, "yarn": True},
    ]
    plans = []
    for engine in ("vllm", "sglang"):
        for question in questions:
            plan = planner.plan(**question, engine=engine)
            same(plan, again(plan, on=question["on"]))
            plans.append(plan)
    assert plans[-1].written is not None
    assert plans[-1].written.environment


def same(plan: Plan, read: Plan) -> None:
    assert plan.written is not None
    assert read.written is not None
    assert read.written.argv == plan.written.argv
    assert read.written.per_node == plan.written.per_node
    assert read.written.environment == plan.written.environment
    if plan.engine == "llamacpp" and read.deployment.options.kept_free_mib == 0:
        # the command says where tensors go: --fit, which kept a margin in the plan, has no say in it
        assert [rank.terms for rank in read.ranks] == [rank.terms for rank in plan.ranks]
        assert read.fits >= plan.fits
        return
    assert read.ranks == plan.ranks
    assert plan.capacity is not None
    # SGLang's command bounds every sequence by the context that was planned for
    bound = getattr(read.deployment.options, "context_length", None)
    longest = min(plan.capacity.longest_context, bound or plan.capacity.longest_context)
    if plan.engine == "llamacpp" and not plan.fits:
        # one request alone may lie elsewhere than the command says for all that were asked
        assert read.capacity is not None
        longest = read.capacity.longest_context
    assert read.capacity == dataclasses.replace(plan.capacity, longest_context=longest)
    assert read.outcome == plan.outcome


VLLM = "vllm serve Qwen/Qwen3.5-27B"
READ: list[tuple[str, dict[str, Any]]] = [
    (f"{VLLM} --max-model-len 128k", {"context": 128_000}),
    (f"{VLLM} --max-model-len 128K", {"context": 131_072}),
    (f"{VLLM} --max-model-len=25.6k", {"context": 25_600}),
    (f"{VLLM} --max_model_len 4096", {"context": 4096}),
    (f"{VLLM} --max-model 4096", {"context": 4096}),
    (f"{VLLM} --max-model-len 1 --max-model-len 2", {"context": 2}),
    (VLLM, {"context": None, "layout": None}),
    (
        f"{VLLM} -tp=2 -pp 3 -dp 4 -ep",
        {
            "layout": Layout(
                tensor_parallel=2, pipeline_parallel=3, data_parallel=4, expert_parallel=True
            )
        },
    ),
    (f"{VLLM} --kv-cache-memory-bytes 2G", {"kv_cache_memory_bytes": 2**31}),
    (f"{VLLM} --kv-cache-memory=1073741824", {"kv_cache_memory_bytes": 2**30}),
    (
        f"""{VLLM} --speculative-config '{{"method": "qwen3_next_mtp", "num_speculative_tokens": 2}}'""",
        {"speculative_method": "mtp", "num_speculative_tokens": 2},
    ),
    (
        f"{VLLM} --speculative-config.method mtp --speculative-config.num_speculative_tokens 3",
        {"num_speculative_tokens": 3},
    ),
    (
        f"""{VLLM} -sc '{{"model": "z-lab/Qwen3.5-27B-DFlash", "num_speculative_tokens": 8}}'""",
        {"speculative_method": "dflash", "draft_model": "z-lab/Qwen3.5-27B-DFlash"},
    ),
    (f"{VLLM} --limit-mm-per-prompt image=2,video=0", {"limit_images": 2}),
    (f"{VLLM} --limit-mm-per-prompt.image 0 --limit-mm-per-prompt.video 0", {"limit_images": 0}),
    (
        f"""{VLLM} --hf-overrides '{{"text_config": {{"rope_parameters": {{"rope_type": "yarn"}}}}}}'""",
        {"yarn": True},
    ),
    (f"VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 {VLLM}", {"yarn": True}),
    (
        "docker run --gpus all -v ~/x:/x -e A=b -p 8000:8000 vllm/vllm-openai:v0.24.0 \\\n"
        "  --model Qwen/Qwen3.5-9B --trust-remote-code \\\n  --max-num-seqs 8  # enough",
        {"model": "Qwen/Qwen3.5-9B", "version": "0.24.0", "max_num_seqs": 8},
    ),
    (
        "# don't\nexport CUDA_VISIBLE_DEVICES=0\ncd /x && python3 -m"
        " vllm.entrypoints.openai.api_server --model a/b > log.txt 2>&1 &",
        {"model": "a/b", "environment": {"CUDA_VISIBLE_DEVICES": "0"}},
    ),
    (
        "python -m sglang.launch_server --model-path a/b --tp 8 --dp 8 --enable-dp-attention",
        {"layout": Layout(tensor_parallel=8), "attn_dp_size": 8},
    ),
    ("sglang serve a/b --tp-size 2 --dp 2", {"layout": Layout(tensor_parallel=2, data_parallel=2)}),
    (
        "sglang serve --model a/b --tp 4 --ep 4",
        {"layout": Layout(tensor_parallel=4, expert_parallel=True), "ep_size": None},
    ),
    ("sglang serve --model a/b --tp 4 --ep 2", {"ep_size": 2}),
    (
        "sglang serve --model a/b --mamba-scheduler-strategy no_buffer --cuda-graph-max-bs 8",
        {"mamba_radix_cache_strategy": "no_buffer", "cuda_graph_max_bs": 8},
    ),
    (
        "./llama-server -hf unsloth/Qwen3.5-35B-A3B-GGUF:UD-Q4_K_XL -c 65536 -np 4 -fa",
        {
            "model": "unsloth/Qwen3.5-35B-A3B-GGUF",
            "precision": "UD-Q4_K_XL",
            "context": 16_384,
            "flash_attn": "on",
        },
    ),
    (
        "llama-server -m x.gguf -ctk q8_0 -ctv q4_0 -ngl 99 -cmoe -np 1",
        {"kv_cache_dtype": "q8_0", "cache_type_v": "q4_0", "n_gpu_layers": 99, "n_cpu_moe": 10_000},
    ),
    (
        "llama-server -m x.gguf -ctk q8_0",
        {"cache_type_v": "f16", "parallel": 4, "shared": True, "kv_unified": True},
    ),
    ("llama-server -m x.gguf -ngl all --no-mmap", {"n_gpu_layers": 10_000, "load_mode": "none"}),
    (
        "python3 -m sglang.launch_server --model-path a/b --kt-method AMXINT4 --kt-weight-path /w"
        " --kt-num-gpu-experts 2 --mem-fraction-static 0.98 --trust-remote-code",
        {"kt_method": "AMXINT4", "kt_weight_path": "/w", "mem_fraction_static": 0.98},
    ),
    ("mlx_lm.server --model a/b --kv-bits 4", {"kv_bits": 4, "layout": None}),
    ("python -m mlx_lm server --model a/b --port 1", {"model": "a/b"}),
    (
        "trtllm-serve a/b --tp_size 4 --ep_size 4 --max_seq_len 8192 --backend pytorch",
        {"layout": Layout(tensor_parallel=4, expert_parallel=True), "context": 8192},
    ),
    (
        "llama-server -m x.gguf -ngl auto -np -1 --fit off --mmproj /x/mm.gguf -fa off --port 80",
        {
            "n_gpu_layers": 10_000,  # all: without --fit nobody moves any
            "parallel": 4,
            "shared": True,
            "fit": False,
            "mmproj": True,
            "mmproj_file": "/x/mm.gguf",
            "flash_attn": "off",
            "kept": ("--port", "80"),
        },
    ),
    (
        "llama-cli -m x.gguf -p 'hello there' -cnv -c 4096 --temp 0.6",
        {"context": 4096, "slots": 1, "parallel": 1, "kept": ("--temp", "0.6")},
    ),
    (
        "OLLAMA_NUM_PARALLEL=2 OLLAMA_KV_CACHE_TYPE=q8_0 OLLAMA_CONTEXT_LENGTH=16384 ollama serve &"
        " ollama run hf.co/unsloth/Qwen3.5-9B-GGUF:Q4_K_M",
        {
            "model": "unsloth/Qwen3.5-9B-GGUF",
            "precision": "Q4_K_M",
            "slots": 2,
            "context": 16_384,
            "kv_cache_dtype": "q8_0",
        },
    ),
    ("ollama run qwen3.5:9b --verbose", {"model": "qwen3.5:9b", "context": None}),
    (
        "llama-server -m x.gguf -ot 'blk.[0-9].ffn_.*_exps=CPU' --tensor-split 3,1",
        {"override_tensor": ("blk.[0-9].ffn_.*_exps=CPU",), "tensor_split": (3.0, 1.0)},
    ),
]


@pytest.mark.parametrize(("text", "says"), READ, ids=[text[:70] for text, _ in READ])
def test_commands_as_people_write_them(text: str, says: dict[str, Any]) -> None:
    engine, command = read_command(text)
    told = get_engine(engine).options_type(**command.options)
    for name, value in says.items():
        place = command if hasattr(command, name) else told
        assert getattr(place, name) == value


BAD = [
    ("", "empty"),
    ("# nothing", "empty"),
    ("echo hello", "starts no server"),
    ("vllm bench serve", "instead: vllm serve MODEL"),
    ("vllm serve", "names no model"),
    ("sglang serve --tp 2", "names no model"),
    ("llama-server -c 4096", "names no model"),
    ("ollama serve", "names no model"),
    ("llama-server -m x.gguf --model-draft y.gguf", "separate drafter"),
    (f"{VLLM} --max-model-len", "needs a value"),
    (f"{VLLM} --max-model-len --max-num-seqs 4", "needs a value"),
    (f"{VLLM} --max-model-len abc", "abc"),
    (f"{VLLM} --max-model-len 1.5K", "decimals"),
    (f"{VLLM} --max-model-len {'9' * 5000}", "whole number"),
    (f"{VLLM} --max-num-seqs $SEQS", "stands for a value"),
    (f"{VLLM} --max-num-seqs {{seqs}}", "stands for a value"),
    (f"{VLLM} --max-num-sequence 4", "did you mean --max-num-seqs"),
    (f"{VLLM} --max-num-seqs 1e18", "1e18"),
    (f"{VLLM} --max-num-seqs {10**18}", "out of range"),
    (f"{VLLM} --gpu-memory-utilization nan", "nan"),
    (f"{VLLM} --gpu-memory-utilization 92", "share"),
    (f"{VLLM} -tp 0", "tensor parallel"),
    (f"{VLLM} -tp -2", "tensor parallel"),
    (f"{VLLM} --speculative-config '[1]'", "JSON object"),
    (f"{VLLM} --speculative-config 'x'", "JSON"),
    (f"{VLLM} --speculative-config '{'[' * 50_000}'", "JSON"),
    (f"""{VLLM} --speculative-config '{{"method": "ngram"}}'""", "ngram"),
    (f"{VLLM} --dtype float32", "float32"),
    (f"{VLLM} --enforce-eager=perhaps", "true or false"),
    (f"{VLLM} 'x", "quotation mark"),
    ("vllm serve " + "x" * 200_000, "longer than"),
    ("sglang serve --model a/b --speculative-algorithm EAGLE3", "EAGLE3"),
    ("llama-server -m x.gguf -ts a,b", "must be a number"),
    ("llama-server -m x.gguf --spec-type ngram-mod", "ngram-mod"),
    ("llama-server -m x.gguf -c -5", "out of range"),
    ("llama-server -m x.gguf -np 0", "-np: 0"),
    ("mlx_lm.server --kv-bits 4", "names no model"),
    ("mlx_lm.server --model a/b --kv-bits 5", "kv-bits"),
    ("trtllm-serve --tp_size 4", "names no model"),
    ("trtllm-serve a/b --tp_size 4 --ep_size 2", "ep_size"),
    ("sglang serve --model a/b --kt-method INT3", "INT3"),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=[text[:60] for text, _ in BAD])
def test_what_cannot_be_read_is_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        read_command(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@given(st.text(max_size=60), st.sampled_from(["vllm serve a/b ", "sglang serve a/b ", ""]))
def test_any_text_is_read_or_refused(text: str, start: str) -> None:
    said = ""
    try:
        engine, _ = read_command(start + text)
        assert engine in readers()
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_words_that_change_nothing_are_told_from_those_that_are_not_planned() -> None:
    _, command = read_command(
        f"{VLLM} --port 8000 --enable-auto-tool-choice --enable-lora --brand-new 7"
    )
    assert command.kept == (
        "--port",
        "8000",
        "--enable-auto-tool-choice",
        "--enable-lora",
        "--brand-new",
        "7",
    )
    assert [re.split("[: ]", line)[0] for line in command.unplanned] == [
        "--enable-lora",
        "--brand-new",
    ]


def test_a_command_is_planned_as_it_stands() -> None:
    plan = observed.plan_command(
        "vllm serve Qwen/Qwen3.5-27B-FP8 -tp 2 --max-model-len 32K --max-num-seqs 16 --enable-lora",
        on="2x rtx-4090",
        concurrency=2,
        options={"version": "0.24.0"},
    )
    assert plan.deployment.context == 32_768
    assert plan.engine_version == "0.24.0"
    assert plan.allocation is not None
    assert plan.settings["max_num_seqs"] == 16
    assert any("--enable-lora" in warning for warning in plan.warnings)


def test_what_the_plan_adds_to_a_command_is_told() -> None:
    """vLLM's default max_num_seqs of 256 needs more than is left, by less than the estimates' band."""
    bare = (
        "vllm serve cyankiwi/Qwen3.8-27B-AWQ-INT4 -tp 2 --dtype float16 --max-model-len 2048"
        " --speculative-config.method mtp --speculative-config.num_speculative_tokens 1"
    )
    asked: dict[str, Any] = {"on": "2x tesla-t4", "options": {"version": "0.30.0"}}
    plan = observed.plan_command(bare, **asked)
    assert any(line.startswith("--max-num-seqs: the command leaves") for line in plan.warnings)
    assert plan.written is not None
    whole = observed.plan_command(plan.written.command, **asked)
    assert not any("the command leaves" in line for line in whole.warnings)


def test_a_command_that_refuses_by_default_is_told_what_starts() -> None:
    """vLLM's default max_num_seqs of 256 needs more blocks than this leaves: it refuses."""
    bare = "vllm serve Qwen/Qwen3.5-27B-FP8 -tp 2 --max-model-len 32K"
    plan = observed.plan_command(bare, on="2x rtx-4090")
    assert plan.outcome is Outcome.DOES_NOT_FIT
    helps = next(advice for advice in plan.advice if "--max-num-seqs" in advice.title)
    assert helps.enough
    assert helps.command is not None
    assert observed.plan_command(helps.command, on="2x rtx-4090").fits


@pytest.mark.parametrize(
    ("model", "id_", "precision"),
    [
        ("/srv/models/Qwen3.5-27B-FP8", "Qwen/Qwen3.5-27B-FP8", "fp8"),
        (
            "/root/.cache/huggingface/hub/models--Qwen--Qwen3.5-9B/snapshots/0a1",
            "Qwen/Qwen3.5-9B",
            "bf16",
        ),
    ],
)
def test_paths_of_another_machine_tell_their_model(model: str, id_: str, precision: str) -> None:
    plan = observed.plan_command(f"vllm serve {model}", on="h200")
    assert plan.deployment.checkpoint.id == id_
    assert plan.deployment.checkpoint.scheme.name == precision


def test_files_of_another_machine_tell_their_precision() -> None:
    plan = observed.plan_command(
        "llama-server -m /x/Qwen3.5-9B-Q4_K_M-00001-of-00002.gguf -c 8192 -np 1", on="rtx-4090"
    )
    assert plan.deployment.checkpoint.scheme.name == "q4_k_m"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vllm serve /x/nobody-knows", "tells no model"),
        ("llama-server -m /x/model.gguf -np 1", "tells no model"),
        ("vllm serve Qwen/Qwen3.5-27B --quantization torchao", "--quantization torchao"),
        ("vllm serve Qwen/Qwen3.5-27B -tp 2", "has 1"),
    ],
)
def test_commands_that_cannot_be_planned_are_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        observed.plan_command(text, on="h100")


@pytest.mark.parametrize(
    "text",
    [
        "bash -c 'vllm serve Qwen/Qwen3.5-9B --max-model-len 8192'",
        '/bin/sh -lc "export A=1; vllm serve Qwen/Qwen3.5-9B --max-model-len 8192"',
        "docker run --gpus all vllm/vllm-openai:latest bash -c 'vllm serve Qwen/Qwen3.5-9B"
        " --max-model-len 8192'",
    ],
)
def test_a_command_that_a_shell_is_given(text: str) -> None:
    engine, told = read_command(text)
    assert engine == "vllm"
    assert (told.model, told.context) == ("Qwen/Qwen3.5-9B", 8192)


@pytest.mark.parametrize(
    ("model", "on"),
    [
        ("unsloth/Qwen3.5-9B-GGUF:UD-Q6_K_XL", "rtx-4060-ti-16"),
        ("mlx-community/Qwen3.5-9B-MLX-4bit", "m4-24"),
    ],
)
def test_where_fewer_are_held_the_command_starts_so_many(model: str, on: str) -> None:
    """llama.cpp fills every slot's cache at start, and mlx-lm takes in whom it is told to: `-np 4`
    was written where one of four fits."""
    fewer = planner.plan(model, on=on, context="128k", concurrency=4)
    assert fewer.outcome is Outcome.HOLDS_FEWER
    assert fewer.capacity is not None
    assert fewer.launch is not None
    held = fewer.capacity.sequences
    started = planner.plan_command(fewer.launch.command, on=on, context="128k", concurrency=held)
    assert started.fits
    more = planner.plan_command(fewer.launch.command, on=on, context="128k", concurrency=held + 1)
    assert more.capacity is not None
    assert more.capacity.sequences == held


LLAMA = "llama-server -hf unsloth/Qwen3.5-4B-GGUF:Q4_K_M -c 32768"
IMAGE = "ghcr.io/ggml-org/llama.cpp:server-cuda -hf unsloth/Qwen3.5-4B-GGUF:Q4_K_M -c 32768"


@pytest.mark.parametrize(
    ("command", "on", "seen"),
    [
        (LLAMA, "2x 3090", "2x-rtx-3090"),
        (f"CUDA_VISIBLE_DEVICES=0,1 {LLAMA}", "2x 3090", "2x-rtx-3090"),
        (f"CUDA_VISIBLE_DEVICES=1 {LLAMA}", "2x 3090", "rtx-3090"),
        (f"CUDA_VISIBLE_DEVICES=1 {LLAMA}", "3090", "rtx-3090"),
        (f"CUDA_VISIBLE_DEVICES=1 {LLAMA}", "3060 12GB + 3090", "rtx-3090"),
        (f"CUDA_VISIBLE_DEVICES=GPU-8932f937 {LLAMA}", "2x 3090", "rtx-3090"),
        (f"HIP_VISIBLE_DEVICES=0 {LLAMA}", "2x 7900xtx", "rx7900xtx"),
        (f"HIP_VISIBLE_DEVICES=0 {LLAMA}", "2x 3090", "2x-rtx-3090"),
        (f"docker run --gpus all {IMAGE}", "2x 3090", "2x-rtx-3090"),
        (f"docker run --gpus 1 {IMAGE}", "2x 3090", "rtx-3090"),
        (f"docker run --gpus device=0 {IMAGE}", "2x 3090", "rtx-3090"),
        (f"docker run --gpus '\"device=0,2\"' {IMAGE}", "4x 3090", "2x-rtx-3090"),
        (f"podman run --device nvidia.com/gpu=0 {IMAGE}", "2x 3090", "rtx-3090"),
        (f"docker run --gpus all -e CUDA_VISIBLE_DEVICES=0 {IMAGE}", "2x 3090", "rtx-3090"),
    ],
)
def test_what_a_command_may_see_is_what_is_planned(command: str, on: str, seen: str) -> None:
    """The variable was printed again, and all GPUs were planned."""
    assert planner.plan_command(command, on=on).deployment.system.id == seen


@pytest.mark.parametrize(
    ("value", "on", "told"),
    [
        ("", "2x 3090", "shows no GPU"),
        ("-1", "2x 3090", "shows no GPU"),
        ("0,1,2", "2x 3090", "shows 3 GPUs, and the machine has 2"),
        ("5", "2x 3090", "no GPU 5, the last is 1"),
        ("1,1", "3x 3090", "no GPU 1"),
        ("GPU-8932f937", "3090 + 3060", "no GPU GPU-8932f937"),
        ("0", "2 nodes of 2x 3090", "--on '2 nodes of 1x rtx-3090'"),
    ],
)
def test_what_a_command_cannot_see_is_refused(value: str, on: str, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        planner.plan_command(f"CUDA_VISIBLE_DEVICES={value} {LLAMA}", on=on)
