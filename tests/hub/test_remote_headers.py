"""Headers over the network: exactly the bytes that they have, whatever the network does."""

import os
import struct
import threading
from typing import Any

import huggingface_hub
import pytest

from planner.errors import InputError, OfflineError, SourceError, UnsupportedModelError
from planner.hub import RefusedError, fetch_headers, fetch_repository, open_session
from planner.hub import headers as remote
from planner.model.gguf import CHUNK, architecture_facts
from tests.hub import loopback
from tests.hub.loopback import LoopbackHub
from tests.model import builders
from tests.model.builders import Stub

Q = "Qwen/Qwen3.5-27B"
G = "unsloth/Qwen3.5-27B-GGUF"
HUGE = 2**20  # rows of a matrix whose data nobody must ask for


def shards(count: int) -> Any:
    return builders.sharded(
        [
            {f"layers.{n}.{m}.weight": ("BF16", (HUGE, 4)) for m in range(5)}
            | {f"layers.{n}.norm": ("F32", (7,))}
            for n in range(count)
        ]
    )


def header_bytes(files: Any) -> Any:
    return sum(len(stub.head) for name, stub in files.items() if name.endswith(".safetensors"))


@pytest.fixture
def repo(hub: LoopbackHub) -> Any:
    return hub.add(Q, {"config.json": {"model_type": "qwen3_5"}, **shards(12)})


@pytest.fixture
def gguf_repo(hub: LoopbackHub) -> Any:
    tokens = [f"token {n}" for n in range(3000)]
    pairs: dict[str, object] = {"general.architecture": "qwen35", "tokenizer.ggml.tokens": tokens}

    def split(number: Any) -> Any:
        facts = {"split.no": number, "split.count": 2, "split.tensors.count": 2}
        return builders.gguf(facts, {f"blk.{number}.x": ("BF16", (HUGE, 4))})

    return hub.add(
        G,
        {
            "x-Q4_K_M.gguf": builders.gguf(pairs, {"a": ("Q4_K", (HUGE, 256))}),
            "x-UD-Q4_K_XL.gguf": builders.gguf(pairs, {"b": ("Q4_K", (HUGE, 256))}),
            "BF16/x-BF16-00001-of-00002.gguf": split(0),
            "BF16/x-BF16-00002-of-00002.gguf": split(1),
            "mmproj-F16.gguf": builders.gguf({}, {"v.x": ("F32", (8,))}),
        },
    )


def read(address: str = Q, session: Any = None, **options: Any) -> Any:
    session = session or open_session(sleep=lambda seconds: None)
    return fetch_headers(fetch_repository(address, session=session), **options)


def test_every_shard_is_read_and_not_one_byte_more_than_its_header(
    hub: LoopbackHub, repo: Any
) -> None:
    stored = read()
    assert len(stored.tensors) == 12 * 6
    assert stored.tensor_nbytes == 12 * (5 * HUGE * 4 * 2 + 28)
    assert stored.nbytes == sum(
        stub.size for name, stub in repo.files.items() if name.endswith(".safetensors")
    )
    assert stored.notes == ()
    assert [file.file for file in stored.files] == sorted(file.file for file in stored.files)
    assert sum(r.sent for r in hub.requests if r.server == "store") == header_bytes(repo.files)


def test_the_hub_is_asked_once_per_shard_and_the_store_twice(hub: LoopbackHub, repo: Any) -> None:
    read()
    weights = hub.asked(".safetensors")
    assert sum(r.server == "hub" and "index" not in r.path for r in weights) == 12
    assert sum(r.server == "store" for r in weights) == 24


def test_progress_is_told_in_the_callers_thread(hub: LoopbackHub, repo: Any) -> None:
    told = []
    read(progress=lambda done, total, what: told.append((done, total, threading.current_thread())))
    assert [(done, total) for done, total, _ in told] == [(n, 12) for n in range(1, 13)]
    assert {thread for _, _, thread in told} == {threading.current_thread()}


def test_a_progress_that_raises_ends_the_reading(hub: LoopbackHub, repo: Any) -> None:
    def stop(done: Any, total: Any, what: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(progress=stop)
    assert not [t for t in threading.enumerate() if t.name.startswith("hub-headers")]


def test_links_that_run_out_are_renewed(hub: LoopbackHub, repo: Any) -> None:
    first = remote._RemoteFile(fetch_repository(Q), "model-00001-of-00012.safetensors")
    before = first.read(0, 8)
    hub.expire_links()
    assert first.read(0, 8) == before
    assert [r.status for r in hub.requests[-3:]] == [403, 302, 206]


def test_connections_that_are_cut_now_and_then_change_nothing(hub: LoopbackHub, repo: Any) -> None:
    for number in range(2, 8):
        hub.fault(f"-0000{number}-of.*sig=", loopback.cut(3), times=2)
        hub.fault(f"resolve.*-0000{number}-of", loopback.status(429, {"Retry-After": "1"}))
    assert len(read().tensors) == 72
    assert len([r for r in hub.requests if r.status == 429]) == 6


def test_one_shard_that_cannot_be_read_ends_it_with_one_line(hub: LoopbackHub, repo: Any) -> None:
    hub.fault("-00003-of", loopback.status(503), times=99)
    with pytest.raises(SourceError, match=r"-00003-of-00012\.safetensors: the server answers 503"):
        read()
    assert not [t for t in threading.enumerate() if t.name.startswith("hub-headers")]


def test_shards_that_are_gated_say_so(hub: LoopbackHub, repo: Any) -> None:
    hub.fault("/resolve/.*safetensors$", loopback.status(403, {"X-Error-Code": "GatedRepo"}), 99)
    with pytest.raises(RefusedError, match="is gated: accept the terms"):
        read()


def test_a_shard_that_is_longer_than_listed_is_not_believed(hub: LoopbackHub, repo: Any) -> None:
    hub.fault("-00003-of.*sig=", loopback.other_size, times=99)
    with pytest.raises(SourceError, match=r"listed with [\d,]+ bytes, served with"):
        read()


def test_a_server_without_ranges_is_read_all_the_same(hub: LoopbackHub, repo: Any) -> None:
    hub.fault("sig=", loopback.whole, times=99)
    assert len(read().tensors) == 72


def test_where_the_listing_has_no_sizes_the_server_is_asked(hub: LoopbackHub, repo: Any) -> None:
    repo.tells_sizes = False
    stored = read()
    assert stored.nbytes == sum(
        stub.size for name, stub in repo.files.items() if name.endswith(".safetensors")
    )
    assert sum(r.sent for r in hub.requests if r.server == "store") == header_bytes(repo.files) + 12


@pytest.mark.parametrize(
    ("stub", "words", "sent"),
    [
        (Stub(struct.pack("<Q", 2**60) + b"{", 10**9), "claims a header of", 8),
        (Stub(struct.pack("<Q", 10**8) + b"{", 10**9), "at most 33,554,432", 8),
        (builders.safetensors_raw(b"[" * 100_000, 0), "nested too deeply", 100_008),
        (builders.safetensors_raw(b'{"a":{},"a":{}}', 0), "occurs twice", 23),
    ],
)
def test_header_bombs_are_refused_after_the_bytes_that_show_them(
    hub: LoopbackHub, stub: Stub, words: str, sent: int
) -> None:
    hub.add(Q, {"model.safetensors": stub})
    with pytest.raises(InputError, match=words):
        read()
    assert sum(r.sent for r in hub.requests if r.server == "store") == sent


def test_header_bytes_over_all_shards_are_bounded(
    hub: LoopbackHub, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(InputError, match="more than 1,000 header bytes"):
        read()


def test_a_repository_without_weights_is_told(hub: LoopbackHub) -> None:
    hub.add(Q, {"config.json": {}})
    with pytest.raises(InputError, match="there are no weights"):
        read()
    hub.add("a/b", {"pytorch_model.bin": b""})
    with pytest.raises(UnsupportedModelError, match=r"only pytorch_model\.bin"):
        read("a/b")


# ---------------------------------------------------------------- GGUF


def test_a_gguf_repository_lists_its_choices(hub: LoopbackHub, gguf_repo: Any) -> None:
    with pytest.raises(InputError, match=r"3 GGUF sets; name one of .*Q4_K_M \(.*UD-Q4_K_XL"):
        read(G)
    assert fetch_repository(G).config is None


@pytest.mark.parametrize(
    ("address", "options", "tensors"),
    [
        (f"{G}:Q4_K_M", {}, {"a"}),
        (G, {"pattern": "UD-Q4_K_XL"}, {"b"}),
        (f"{G}:Q4_K_M", {"pattern": "bf16"}, {"blk.0.x", "blk.1.x"}),
        (f"https://huggingface.co/{G}/blob/main/x-UD-Q4_K_XL.gguf", {}, {"b"}),
        (
            f"{G}/BF16/x-BF16-00002-of-00002.gguf",
            {},
            {"blk.0.x", "blk.1.x"},
        ),
        (f"{G}:Q4_K_M", {"part": "mmproj", "beside": "x-Q4_K_M.gguf"}, {"v.x"}),
        (f"{G}:Q4_K_M", {"pattern": "F16", "part": "mmproj"}, {"v.x"}),
        (f"{G}/x-UD-Q4_K_XL.gguf", {"part": "mmproj"}, {"v.x"}),
    ],
)
def test_one_set_is_read_and_no_more_than_a_chunk_of_its_data(
    hub: LoopbackHub, gguf_repo: Any, address: Any, options: Any, tensors: Any
) -> None:
    stored = read(address, **options)
    assert {tensor.name for tensor in stored.tensors} == tensors
    for file in stored.files:
        assert 0 < hub.sent(file.file) <= file.header_nbytes + CHUNK


def test_gguf_metadata_answers_what_a_plan_needs(hub: LoopbackHub, gguf_repo: Any) -> None:
    facts = architecture_facts(read(f"{G}:Q4_K_M").metadata)
    assert facts == {"architecture": "qwen35", "vocab_size": 3000}


def test_a_file_that_is_not_there_is_told(hub: LoopbackHub, gguf_repo: Any) -> None:
    with pytest.raises(InputError, match=r"there is no file x-Q2_K\.gguf"):
        read(f"{G}/x-Q2_K.gguf")


# ---------------------------------------------------------------- the cache


@pytest.fixture
def downloaded(hub: LoopbackHub) -> Any:
    """A whole repository was downloaded before."""
    repo = hub.add(
        Q, {"config.json": {}, "model.safetensors": builders.safetensors({"a": ("F32", (9,))})}
    )
    for name in repo.files:
        huggingface_hub.hf_hub_download(
            Q, name, endpoint=hub.url, cache_dir=os.environ["HF_HUB_CACHE"]
        )
    hub.requests.clear()
    return repo


def test_downloaded_weights_are_read_from_disk(hub: LoopbackHub, downloaded: Any) -> None:
    assert read().tensor_nbytes == 36
    assert not hub.asked("safetensors")


def test_offline_downloaded_weights_are_read_from_disk(
    hub: LoopbackHub, downloaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert read().tensor_nbytes == 36
    assert hub.requests == []


def test_a_visitors_headers_come_from_the_hub(hub: LoopbackHub, downloaded: Any) -> None:
    assert read(session=open_session(anonymous=True)).tensor_nbytes == 36
    assert hub.asked("safetensors")


def test_offline_with_the_config_alone_the_caller_is_told_to_fall_back(
    hub: LoopbackHub, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    huggingface_hub.hf_hub_download(
        Q, "config.json", endpoint=hub.url, cache_dir=os.environ["HF_HUB_CACHE"]
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match="holds its config but no weights"):
        read()
