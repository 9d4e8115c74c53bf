"""Start-up logs against plans.

Figures are those of published logs (their sources stand beside them); the lines around them follow
the engines' own formats.
"""

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import planner
from planner import log_text, logs, observed
from planner.engines.log_figure import Basis, read_figures
from planner.engines.log_readers import readers
from planner.engines.log_row import LogRow
from planner.engines.logged_arguments import as_words, logged_values
from planner.errors import InputError, PlannerError
from planner.layout import Layout
from planner.logs import LogCheck
from planner.unbroken import MOST_LINES

# djangodevreng/dgx-spark-benchmarks, results/qwen-3.6 bf16 _bootlog.txt
SPARK_35B = """\
(APIServer pid=1) INFO 04-19 10:18:36 [utils.py:233] non-default args: {'model_tag': \
'Qwen/Qwen3.6-35B-A3B', 'host': '0.0.0.0', 'api_key': ['EMPTY'], 'model': 'Qwen/Qwen3.6-35B-A3B', \
'max_model_len': 131072, 'language_model_only': True, 'gpu_memory_utilization': 0.95, \
'lora_modules': [LoRAModulePath(name='x')], 'mode': <CompilationMode.NONE: 0>}
(EngineCore pid=2) INFO 04-19 10:19:08 [core.py:107] Initializing a V1 LLM engine \
(v0.19.2rc1.dev134+gfe9c3d6c5) with config: model='Qwen/Qwen3.6-35B-A3B', speculative_config=None
(EngineCore pid=2) INFO 04-19 10:19:53 [gpu_model_runner.py:4837] Model loading took 64.69 GiB \
memory and 126.29 seconds
\x1b[32m(EngineCore pid=2)\x1b[0m INFO [interface.py:606] Setting attention block size to 1056 \
tokens to ensure that attention page size is >= mamba page size.
(EngineCore pid=2) INFO [interface.py:630] Padding mamba page size by 0.76% to ensure
(EngineCore pid=2) INFO [gpu_worker.py:436] Available KV cache memory: 47.55 GiB
(EngineCore pid=2) INFO [kv_cache_utils.py:1319] GPU KV cache size: 623,040 tokens
(EngineCore pid=2) INFO [kv_cache_utils.py:1324] Maximum concurrency for 131,072 tokens per \
request: 18.44x
(EngineCore pid=2) INFO [gpu_worker.py:580] CUDA graph pool memory: 0.1 GiB (actual), 0.93 GiB \
(estimated)
"""

# a log of vLLM 0.24.0 on two RTX 3090, Qwen3.6-27B-FP8 with MTP
TWO_3090 = """\
INFO [utils.py:233] non-default args: {'model': 'Qwen/Qwen3.6-27B-FP8', 'max_model_len': 262144, \
'tensor_parallel_size': 2, 'max_num_seqs': 2, 'max_num_batched_tokens': 8192, 'kv_cache_dtype': \
'fp8', 'enable_prefix_caching': True, 'speculative_config': {'method': 'mtp', \
'num_speculative_tokens': 3}}
INFO [core.py:107] Initializing a V1 LLM engine (v0.24.0) with config: model='x'
(Worker_TP0 pid=3) INFO [gpu_worker.py:436] Available KV cache memory: 5.34 GiB
(Worker_TP1 pid=4) INFO [gpu_worker.py:436] Available KV cache memory: 5.33 GiB
INFO [kv_cache_utils.py:1319] GPU KV cache size: 300,220 tokens
INFO [kv_cache_utils.py:1324] Maximum concurrency for 262,144 tokens per request: 1.15x
"""

# a GB10 log of SGLang 0.5.x, Qwen3.8-27B-NVFP4, --max-mamba-cache-size 360
SPARK_SGLANG = """\
[2026-09-20 12:20:27] server_args=ServerArgs(model_path='nvidia/Qwen3.6-27B-NVFP4', \
tokenizer_path='x', revision=None, tp_size=1, context_length=None, mem_fraction_static=0.7, \
max_running_requests=72, max_mamba_cache_size=360, kv_cache_dtype='fp8_e4m3', page_size=1, \
chunked_prefill_size=8192, disable_radix_cache=False, speculative_algorithm=None, \
mamba_full_memory_ratio=0.9, quantization='modelopt_fp4', cuda_graph_bs=[1, 2, 4])
[2026-09-20 12:25:00] Mamba Cache is allocated. max_mamba_cache_size: 360, conv_state size: \
0.99GB, ssm_state size: 50.77GB
[2026-09-20 12:25:01] KV Cache is allocated. #tokens: 228520, K size: 3.49 GB, V size: 3.49 GB
[2026-09-20 12:25:40] max_total_num_tokens=228520, chunked_prefill_size=8192, \
max_prefill_tokens=16384, max_running_requests=72, context_len=262144, available_gpu_mem=29.76 GB
"""

# a Strix Halo log of llama.cpp b9010, Qwen3.6-35B-A3B, 4 slots of 4,096
STRIX = """\
build: 9010 (0c1e57098) with clang
llama_model_loader: loaded meta data with 55 key-value pairs and 733 tensors from \
/models/Qwen3.6-35B-A3B-Q4_K_M.gguf (version GGUF V3 (latest))
load_tensors: offloaded 41/41 layers to GPU
load_tensors:      Vulkan0 model buffer size = 20583.34 MiB
load_tensors:  Vulkan_Host model buffer size =   515.31 MiB
llama_context: n_seq_max     = 4
llama_context: n_ctx         = 16384
llama_context: n_batch       = 2048
llama_context: n_ubatch      = 512
llama_context: flash_attn    = enabled
llama_context: kv_unified    = false
llama_context: Vulkan_Host  output buffer size =     3.79 MiB
llama_kv_cache:    Vulkan0 KV buffer size =   320.00 MiB
llama_kv_cache: size =  320.00 MiB (  4096 cells,  10 layers,  4/4 seqs), K (f16):  160.00 MiB, \
V (f16):  160.00 MiB
llama_memory_recurrent:    Vulkan0 RS buffer size =   251.25 MiB
llama_memory_recurrent: size =  251.25 MiB (     4 cells,  40 layers,  4 seqs), R (f32):   \
11.25 MiB, S (f32):  240.00 MiB
sched_reserve:    Vulkan0 compute buffer size =   501.00 MiB
sched_reserve: Vulkan_Host compute buffer size =    16.03 MiB
"""

CASES = {
    "vLLM on a Spark": (SPARK_35B, {"on": "dgx-spark"}, 4),
    "vLLM on two GPUs": (TWO_3090, {"on": "2x rtx-3090"}, 2),
    "SGLang": (SPARK_SGLANG, {"on": "dgx-spark", "model": "Qwen3.6-27B", "precision": "nvfp4"}, 6),
    "llama.cpp": (STRIX, {"on": "strix-halo"}, 9),
}


def check(text: str, **question: Any) -> LogCheck:
    return observed.check_log(None, text, **question)


def row(found: LogCheck, name: str) -> LogRow:
    return next(row for row in (*found.rows, *found.unplanned) if row.figure == name)


@pytest.mark.parametrize(("text", "question", "least"), CASES.values(), ids=CASES)
def test_published_logs_agree_with_the_plan_of_their_own_arguments(
    text: str, question: dict[str, Any], least: int
) -> None:
    found = check(text, **question)
    contradicted = [row for row in found.rows if row.agrees is False]
    assert not contradicted
    assert sum(row.agrees is True for row in found.rows) >= least
    assert found.agrees


CHANGES = [
    ("vLLM on a Spark", "623,040", "623,041", "KV cache size"),
    ("vLLM on a Spark", "623,040", "621,984", "KV cache size"),
    ("vLLM on a Spark", "18.44x", "18.47x", "concurrency"),
    ("vLLM on a Spark", "47.55", "47.75", "KV cache size"),
    ("vLLM on a Spark", "1056", "1072", "block size"),
    ("vLLM on a Spark", "0.76%", "0.78%", "padding of state pages"),
    ("vLLM on two GPUs", "300,220", "300,900", "KV cache size"),
    ("SGLang", "50.77", "50.79", "SSM state"),
    ("SGLang", "K size: 3.49", "K size: 3.52", "keys"),
    ("SGLang", "max_running_requests=72, context", "max_running_requests=41, context", "requests"),
    ("llama.cpp", "size =  320.00", "size =  320.03", "KV cache"),
    ("llama.cpp", "240.00", "240.02", "SSM state"),
    ("llama.cpp", "3.79", "0.95", "output buffer"),
]


@pytest.mark.parametrize(("case", "before", "after", "name"), CHANGES)
def test_a_figure_that_is_off_is_found(case: str, before: str, after: str, name: str) -> None:
    text, question, _ = CASES[case]
    assert before in text
    found = check(text.replace(before, after), **question)
    assert not found.agrees
    assert any(row.agrees is False and row.figure.startswith(name) for row in found.rows)


NO_START = ("mlx", "ktransformers")
"""mlx-lm prints no start-up log; KTransformers prints SGLang's, known by arguments that no plan prints."""


@pytest.mark.parametrize("engine", [name for name in readers() if name not in NO_START])
@pytest.mark.parametrize("context", [8192, 131_072])
def test_a_plan_agrees_with_the_log_that_it_expects(engine: str, context: int) -> None:
    plan = planner.plan(
        "Qwen3.5-35B-A3B",
        on="h100",
        engine=engine,
        precision="q4_k_m" if engine == "llamacpp" else "fp8",
        context=context,
        concurrency=2,
    )
    found = planner.check_log(plan, "\n".join(plan.expected_log))
    assert found.agrees
    assert not found.unplanned
    assert any(row.agrees for row in found.rows)
    figures = read_figures(plan.expected_log, readers()[engine].figures)
    assert len(figures) >= 8


@settings(max_examples=30)
@given(gib=st.integers(300, 9000), context=st.sampled_from([4096, 32_768, 262_144]))
def test_tokens_follow_from_the_logged_memory_whatever_it_is(gib: int, context: int) -> None:
    """A log that was printed with another amount of memory agrees; one token more does not."""
    whole = planner.load_checkpoint("Qwen3.5-9B")
    plan = planner.plan(whole, on="h100", context=context)
    pinned = planner.plan(
        whole,
        on="h100",
        context=context,
        options={"kv_cache_memory_bytes": gib * 2**30 // 100},
    )
    assume(pinned.fits)
    lines = [
        f"Available KV cache memory: {gib / 100:.2f} GiB"
        if line.startswith("Available KV")
        else line
        for line in pinned.expected_log
    ]
    assert planner.check_log(plan, "\n".join(lines)).rules_agree
    tokens = pinned.figures["kv_cache_size_tokens"]
    more = "\n".join(lines).replace(f"{tokens:,}", f"{tokens * 2 + 10_000:,}")
    assert not planner.check_log(plan, more).rules_agree


def test_estimates_must_lie_within_their_band() -> None:
    """W20: a figure far off was an estimate, and so nothing to complain of."""
    assert row(check(SPARK_35B, on="dgx-spark"), "weights").agrees is None
    found = check(SPARK_35B.replace("64.69 GiB", "164.69 GiB"), on="dgx-spark")
    assert found.rules_agree
    assert not found.agrees
    weights = row(found, "weights")
    assert weights.basis is Basis.ESTIMATE
    assert weights.agrees is False
    assert weights.difference is not None
    assert weights.difference > 90
    assert row(found, "CUDA graphs").planned is None


def test_a_refused_start_is_checked_by_what_it_says_of_its_needs() -> None:
    """27B at 262,144 tokens in FP8 without prefix caching needs 8.18 GiB (a 24 GB Ada card)."""
    plan = planner.plan(
        "Qwen3.6-27B",
        on="rtx-4090",
        precision="awq-int4",
        kv_cache_dtype="fp8",
        context=262_144,
        options={"enable_prefix_caching": False, "version": "0.24.0"},
    )
    line = (
        "ValueError: To serve at least one request with the model's max seq len (262144), (8.18 GiB"
        " KV cache is needed, which is larger than the available KV cache memory (3.5 GiB)."
    )
    text = "INFO [gpu_worker.py:436] Available KV cache memory: 3.5 GiB\n" + line
    assert planner.check_log(plan, text).agrees
    assert not planner.check_log(plan, text.replace("8.18", "8.37")).agrees


def test_a_fixed_cache_needs_no_logged_memory() -> None:
    """6 GiB of FP8 cache for 35B-A3B hold 609,637 tokens, and 528,230 with MTP-2 (vLLM 0.25.0)."""
    for drafted, tokens in ((0, 609_637), (2, 528_230)):
        plan = planner.plan(
            "Qwen3.6-35B-A3B",
            on="dgx-spark",
            precision="nvfp4",
            kv_cache_dtype="fp8",
            context=262_144,
            options={
                "version": "0.25.0",
                "kv_cache_memory_bytes": 6 * 2**30,
                "num_speculative_tokens": drafted,
            },
        )
        text = f"GPU KV cache size: {tokens:,} tokens"
        found = planner.check_log(plan, text)
        assert [row.agrees for row in found.rows] == [True]
        assert not planner.check_log(plan, f"GPU KV cache size: {tokens + 1:,} tokens").agrees


def test_padding_layers_of_the_groups() -> None:
    """35B-A3B with MTP: "Add 3 padding layers, may waste at most 10.00%"; with DFlash 2 and 6."""
    mtp = planner.plan("Qwen3.6-35B-A3B", on="h200", options={"num_speculative_tokens": 2})
    assert any("Add 3 padding layers, may waste at most 10.00%" in x for x in mtp.expected_log)
    drafting = {"num_speculative_tokens": 15, "speculative_method": "dflash"}
    dflash = "\n".join(planner.plan("Qwen3.6-35B-A3B", on="h200", options=drafting).expected_log)
    assert "Add 2 padding layers, may waste at most 6.67%" in dflash
    assert "Add 6 padding layers, may waste at most 60.00%" in dflash


def test_a_build_between_releases_is_compared_with_the_rules_of_either() -> None:
    """0.20.1 counts tokens anew; a build before it may not yet."""
    for release, tokens in (("0.20.0", 12_288), ("0.20.1", 0)):
        pinned = planner.plan(
            "Qwen3.5-9B",
            on="h100",
            context=8192,
            options={"version": release, "kv_cache_memory_bytes": 2**32},
        )
        text = (
            "INFO Initializing a V1 LLM engine (v0.20.1.dev0+g101584af0) with config: "
            "model='Qwen/Qwen3.5-9B', dtype=torch.bfloat16, max_seq_len=8192,"
            " tensor_parallel_size=1, kv_cache_dtype=auto, enable_prefix_caching=False\n"
            "Available KV cache memory: 4.0 GiB\n"
            f"GPU KV cache size: {pinned.figures['kv_cache_size_tokens']:,} tokens\n"
        )
        found = check(text, on="h100")
        assert found.rules_agree
        assert found.plan.engine_version == release
        assert tokens == 0 or tokens != pinned.figures["kv_cache_size_tokens"]


def test_of_several_starts_the_last_with_figures_counts() -> None:
    crashed = SPARK_35B.splitlines()[0]
    text = SPARK_35B.replace("623,040", "1,056") + SPARK_35B + crashed + "\nCUDA out of memory"
    found = check(text, on="dgx-spark")
    assert found.agrees
    assert any("2 starts" in note for note in found.notes)


def test_what_a_log_repeats_of_the_question_is_no_agreement() -> None:
    """'Agrees', of 33 requests where 12 were planned: the context alone, which was asked, was the same."""
    text = "GPU KV cache size: 290,864 tokens\nMaximum concurrency for 32,768 tokens per request: 33.04x"
    found = check(text, on="h20", model="Qwen3.5-27B")
    assert row(found, "longest request").agrees is None
    assert all(row.agrees is None for row in found.rows)
    assert any("nothing could be contradicted" in note for note in found.notes)


def test_what_is_given_comes_before_what_the_log_says() -> None:
    found = check(SPARK_35B, on="dgx-spark", context=65_536, options={"version": "0.24.0"})
    assert found.plan.deployment.context == 65_536
    assert found.plan.engine_version == "0.24.0"
    assert row(found, "longest request").agrees is False
    assert any("0.19.2rc1" in note for note in found.notes)


def test_hardware_is_taken_from_a_log_that_names_it() -> None:
    devices = "".join(
        f"  Device {index}: NVIDIA GeForce RTX 3090, compute capability 8.6, VMM: yes\n"
        for index in range(2)
    )
    found = check(devices + STRIX)
    assert found.plan.deployment.system.count == 2
    assert "3090" in found.plan.deployment.system.name


def test_more_memory_than_the_plan_has_room_for_is_a_contradiction() -> None:
    plan = planner.plan("Qwen3.5-27B", on="h100", engine="sglang", precision="fp8")
    lines = "\n".join(plan.expected_log)
    short = lines.replace(lines.split("avail mem=")[2].split(" GB")[0], "1.00")
    found = planner.check_log(plan, short)
    assert not found.agrees
    assert row(found, "KV tokens").planned is None


BAD = [
    ("", "it is empty"),
    ("hello\nworld", "no engine"),
    ("vLLM API server version 0.24.0\nnothing else", "what the server was told"),
    (SPARK_35B, "--on"),
    (SPARK_35B.splitlines()[0], "no figure on memory"),
]


@pytest.mark.parametrize(("text", "says"), BAD, ids=range(len(BAD)))
def test_what_is_no_log_is_one_line(text: str, says: str) -> None:
    question = {} if says == "--on" else {"on": "dgx-spark"}
    with pytest.raises(InputError) as error:
        check(text, **question)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_log_of_another_engine_or_a_plan_that_cannot_run_is_refused() -> None:
    plan = planner.plan("Qwen3.5-9B", on="h100", engine="sglang")
    with pytest.raises(InputError, match="vLLM's"):
        planner.check_log(plan, SPARK_35B)
    with pytest.raises(InputError, match="nothing to compare"):
        planner.check_log(
            planner.plan("Qwen3.5-27B", on="8x h100", layout=Layout(tensor_parallel=3)), SPARK_35B
        )


def test_long_logs_are_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_text, "MOST", 20_000)
    read = 0

    def lines() -> Any:
        nonlocal read
        yield from SPARK_35B.splitlines(keepends=True)
        while True:
            read += 1
            yield "INFO Avg prompt throughput: 0.0 tokens/s\n"

    found = logs.read_log(lines())
    assert found.cut
    assert read < 1000 + MOST_LINES  # so many are looked at before the first is read
    assert any("not read" in note for note in check_notes(found))


def check_notes(found: logs.Log) -> tuple[str, ...]:
    return observed.check_log(None, found, on="dgx-spark").notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_in_the_encodings_that_shells_write(tmp_path: Any, encoding: str) -> None:
    path = tmp_path / "start.log"
    path.write_text(SPARK_35B, encoding=encoding)
    assert logs.open_log(str(path)).version == "0.19.2rc1.dev134"


@pytest.mark.parametrize(
    "content", [b"\x7fELF\x00\x01", b"\x1f\x8b\x08", bytes(range(256)) * 100, b"", b"\xff" * 5000]
)
def test_what_is_not_text_is_one_line(tmp_path: Any, content: bytes) -> None:
    path = tmp_path / "junk"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        logs.open_log(str(path))
    assert "\n" not in str(error.value)


@given(st.text(), st.sampled_from(["server_args=ServerArgs(", "non-default args: {", "x=1, "]))
def test_any_arguments_are_read_without_complaint(text: str, start: str) -> None:
    values = logged_values(start.partition("=" if "(" in start else ": ")[2] + text)
    assert isinstance(as_words(values, {"--model"}), list)


NUMBERS = st.one_of(
    st.from_regex(r"[0-9.,]{1,12}", fullmatch=True),
    st.sampled_from(["-0.12", "9" * 400, "1.2.3", ".", "1e9", "0", "nan"]),
)


@settings(max_examples=40)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_whatever_the_numbers_are_there_is_an_answer_or_one_line(
    case: str, data: st.DataObject
) -> None:
    text, question, _ = CASES[case]
    question = {"model": "Qwen3.5-9B"} | question
    parts = re.split(r"(\d[\d.,]*)", text)
    for place in data.draw(st.lists(st.integers(0, len(parts) // 2 - 1), max_size=6)):
        parts[2 * place + 1] = data.draw(NUMBERS)
    said = ""
    try:
        found = check("".join(parts), **question)
        assert found.agrees in (True, False)
        assert found.to_dict()
    except PlannerError as error:
        said = str(error)
    assert "\n" not in said


def test_lines_made_to_be_slow_are_not() -> None:
    lines = [
        "Available KV cache memory: " + "1" * 9000,
        "max_total_num_tokens=" * 9000,
        "Load weight end. " * 9000,
        "llama_kv_cache: size = K (" * 9000,
        "non-default args: " + "{'model': " * 9000,
        "server_args=" + "(" * 9000,
    ]
    for line in lines:
        with pytest.raises(InputError):
            check("\n".join([line] * 20), on="h100")


def test_arguments_in_python_notation() -> None:
    assert logged_values("{'a': 1, 'b': None, 'c': <X.Y: 3>, 'd': Z(q=1), 'e': {'f': [1]}}") == {
        "a": 1,
        "b": None,
        "c": None,
        "e": {"f": [1]},
    }
    assert logged_values("ServerArgs(tp_size=2, model_path='a/b', x=<object>)")["tp_size"] == 2
    words = as_words(
        {"a_b": True, "c": False, "d": -1, "e": {"f": 1}, "g": None, "h": ["x", "y"], "z": 1},
        {"--a-b", "--no-c", "--d", "--e", "--g", "--h"},
    )
    assert words == ["--a-b", "--no-c", "--d=-1", '--e={"f": 1}', "--h", "x", "y"]


def test_a_check_is_plain_data() -> None:
    document = json.loads(json.dumps(check(SPARK_35B, on="dgx-spark").to_dict()))
    assert document["agrees"] is True
    assert {"figure", "planned", "logged", "difference", "agrees"} <= set(document["rows"][0])
