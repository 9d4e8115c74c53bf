"""What a repository is, and every way in which that cannot be told."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from planner.errors import (
    InputError,
    OfflineError,
    SourceError,
    UnknownModelError,
    UnsupportedModelError,
)
from planner.hub import RefusedError, fetch_config, fetch_repository, open_session
from tests.hub import loopback
from tests.hub.loopback import LoopbackHub
from tests.model import builders

Q = "Qwen/Qwen3.5-27B"
CONFIG = {"model_type": "qwen3_5", "text_config": {"hidden_size": 5120}}
WEIGHTS = builders.safetensors({"a": ("BF16", (4, 4))})


@pytest.fixture
def repo(hub: LoopbackHub) -> Any:
    return hub.add(Q, {"config.json": CONFIG, "model.safetensors": WEIGHTS})


def ask(address: str = Q, revision: Any = None, **options: Any) -> Any:
    options.setdefault("session", open_session(sleep=lambda seconds: None))
    return fetch_repository(address, revision, **options)


def test_a_repository_is_its_commit_config_and_files(hub: LoopbackHub, repo: Any) -> None:
    found = ask()
    assert found.repo == Q
    assert found.commit == repo.commit
    assert found.config == CONFIG
    assert found.quantization is None
    assert found.listing["model.safetensors"] == WEIGHTS.size
    assert found.source == "hub"
    assert found.notes == ()
    assert len(hub.requests) == 2


def test_the_config_is_that_of_the_commit_that_is_reported(hub: LoopbackHub, repo: Any) -> None:
    ask()
    assert f"/resolve/{repo.commit}/config.json" in hub.requests[-1].path


def test_a_url_of_the_endpoint_and_a_revision_are_followed(hub: LoopbackHub, repo: Any) -> None:
    assert ask(f"{hub.url}/{Q}/tree/main").revision == "main"
    assert ask(revision=repo.commit).commit == repo.commit
    assert "/revision/" in hub.requests[-2].path


def test_modelopts_own_file_is_read(hub: LoopbackHub) -> None:
    sidecar = {"quantization": {"quant_algo": "NVFP4"}}
    hub.add(Q, {"config.json": CONFIG, "hf_quant_config.json": sidecar})
    assert ask().quantization == sidecar


def test_a_config_alone_can_be_asked_for(hub: LoopbackHub, repo: Any) -> None:
    assert fetch_config(Q) == CONFIG
    hub.add("a/b-GGUF", {"x.gguf": b""})
    with pytest.raises(InputError, match=r"has no config\.json \(a GGUF"):
        fetch_config("a/b-GGUF")


def test_a_renamed_repository_is_followed_and_told(hub: LoopbackHub, repo: Any) -> None:
    hub.renamed["Qwen/Old"] = Q
    found = ask("Qwen/Old")
    assert found.repo == Q
    assert found.notes == (f"Qwen/Old is now called {Q}",)


# ---------------------------------------------------------------- who may see it


def test_a_gated_repository_says_where_to_accept_the_terms(hub: LoopbackHub, repo: Any) -> None:
    repo.gated = True
    with pytest.raises(RefusedError) as caught:
        ask()
    assert str(caught.value) == (
        f"{Q} is gated: accept the terms at {hub.url}/{Q}, then set HF_TOKEN"
    )


def test_a_token_that_has_not_accepted_the_terms_is_told_so(hub: LoopbackHub, repo: Any) -> None:
    refusal = loopback.status(403, {"X-Error-Code": "GatedRepo"})
    hub.fault("/resolve/", refusal)
    with pytest.raises(RefusedError, match=r"gated: .*\(the token that was sent has no access\)"):
        ask(session=open_session(hub.token))


def test_a_gated_repository_opens_with_the_token(
    hub: LoopbackHub, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.gated = repo.private = True
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert ask().config == CONFIG
    assert {request.token for request in hub.requests} == {hub.token}


def test_the_servers_own_token_never_serves_a_visitor(
    hub: LoopbackHub, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.private = True
    monkeypatch.setenv("HF_TOKEN", hub.token)
    with pytest.raises(UnknownModelError):
        fetch_repository(Q, anonymous=True)
    assert {request.token for request in hub.requests} == {None}


def test_a_private_repository_asks_for_a_token(hub: LoopbackHub, repo: Any) -> None:
    repo.private = True
    with pytest.raises(UnknownModelError, match=r"or it is private \(then set HF_TOKEN\)"):
        ask()


def test_a_token_that_the_hub_does_not_know_is_named_as_the_cause(
    hub: LoopbackHub, repo: Any
) -> None:
    with pytest.raises(RefusedError, match=r"not accept the token .* renew or unset it"):
        ask(session=open_session("hf_expired"))


def test_a_disabled_repository_is_refused_with_the_servers_words(
    hub: LoopbackHub, repo: Any
) -> None:
    repo.disabled = True
    with pytest.raises(RefusedError, match=r"403: Access to this resource is disabled\."):
        ask()


@pytest.mark.parametrize("token", ["with space", "zwölf", "a\nb", "x" * 2000])
def test_a_token_that_cannot_be_one_is_refused_before_it_is_sent(
    hub: LoopbackHub, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    if token.strip() == token.replace("\n", ""):
        with pytest.raises(InputError, match="characters that no token has"):
            open_session()
    with pytest.raises(InputError, match="characters that no token has"):
        open_session(token)


# ---------------------------------------------------------------- what is not there


def test_a_missing_repository_is_answered_with_the_nearest_names(
    hub: LoopbackHub, repo: Any
) -> None:
    hub.add("Qwen/Qwen3.5-27B-FP8", {})
    with pytest.raises(UnknownModelError) as caught:
        ask("Qwen/Qwen3.5-27")
    assert caught.value.candidates[0] == Q
    assert "the nearest: Qwen/Qwen3.5-27B" in str(caught.value)


def test_names_that_are_known_here_are_offered_when_the_search_fails(hub: LoopbackHub) -> None:
    hub.fault("/api/models[?]", loopback.status(500), times=99)
    with pytest.raises(UnknownModelError) as caught:
        ask("qwen/qwen3.5-27B", known=["Qwen/Qwen3.5-122B-A10B", Q])
    assert caught.value.candidates[0] == Q


def test_the_right_name_in_the_wrong_place_is_found(hub: LoopbackHub) -> None:
    with pytest.raises(UnknownModelError) as caught:
        ask("Qwen3.5-27B", known=[Q])
    assert caught.value.candidates == (Q,)


def test_a_missing_repository_with_a_token_is_told_apart(hub: LoopbackHub) -> None:
    with pytest.raises(UnknownModelError, match="or the token that was sent may not see it"):
        ask("a/b", session=open_session(hub.token))


def test_a_missing_revision_is_told_with_where_to_look(hub: LoopbackHub, repo: Any) -> None:
    with pytest.raises(InputError, match=f"has no revision 'v9'; .*{hub.url}/{Q}/commits/main"):
        ask(revision="v9")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"adapter_config.json": {}, "adapter_model.safetensors": b""}, "is an adapter .*: Qwen/"),
        ({"model_index.json": {}, "unet/model.safetensors": b""}, "is a diffusers pipeline"),
    ],
)
def test_what_is_no_model_is_refused_by_name(hub: LoopbackHub, files: Any, words: Any) -> None:
    hub.add("a/b", files, base_model=Q)
    with pytest.raises(UnsupportedModelError, match=words):
        ask("a/b")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[1]", "must hold a JSON object"),
        (b"<html>", "a web page came from .* instead of JSON"),
        (b"nonsense", "unreadable JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": "' + b"x" * 5_000_000 + b'"}', "longer than 4,194,304 bytes"),
    ],
)
def test_a_config_that_is_none_is_refused(hub: LoopbackHub, config: bytes, words: str) -> None:
    hub.add(Q, {"config.json": config})
    with pytest.raises((InputError, SourceError), match=words) as caught:
        ask()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["/api/models/", "config.json"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "an empty answer"),
        (b" \n", "an empty answer"),
        (b"\xef\xbb\xbf\n<!doctype html><title>Log in", "a web page"),
    ],
)
def test_a_login_page_in_between_is_the_sources_fault(
    hub: LoopbackHub, place: str, body: bytes, words: str
) -> None:
    hub.add(Q, {"config.json": {}})
    hub.fault(place, loopback.status(200, body=body), times=9)
    with pytest.raises(SourceError, match=f"{words} came from 127") as caught:
        ask()
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"{"])
def test_a_listing_that_is_no_listing_is_the_sources_fault(hub: LoopbackHub, body: bytes) -> None:
    hub.add(Q, {"config.json": {}})
    hub.fault("/api/models/", loopback.status(200, body=body), times=9)
    with pytest.raises(SourceError):
        ask()


COMMIT = "0" * 40


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"id": "../../x<script>", "sha": COMMIT}, "no repository's id"),
        ({"id": "a/\ud800", "sha": COMMIT}, "no repository's id"),
        (
            {"id": Q, "sha": COMMIT, "siblings": [{"rfilename": "m\ud800.safetensors"}]},
            "cannot be a file's name",
        ),
    ],
)
def test_names_that_nobody_could_ask_for_are_refused(
    hub: LoopbackHub, document: dict[str, Any], words: str
) -> None:
    hub.fault("/api/models/", loopback.status(200, body=json.dumps(document).encode()), times=9)
    with pytest.raises(SourceError, match=words) as caught:
        ask()
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["a/b\udc80", "\ud800", "a/b@\ud800", "hf://a/\udfff"])
def test_half_a_character_names_no_repository(hub: LoopbackHub, name: str) -> None:
    with pytest.raises(InputError):
        fetch_repository(name)
    with pytest.raises(InputError):
        fetch_repository(Q, "\udc80")
    assert hub.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{}", b'{"sha": 5}', b'{"sha": "' + b"z" * 40 + b'"}', b"\xff"]
)
def test_an_answer_that_is_no_repository_is_refused(hub: LoopbackHub, repo: Any, body: Any) -> None:
    hub.fault("/api/models/", loopback.status(200, body=body))
    with pytest.raises((InputError, SourceError)) as caught:
        ask()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- no network


@pytest.fixture
def cached(hub: LoopbackHub, repo: Any) -> Any:
    """The config was downloaded before, as transformers does it."""
    huggingface_hub.hf_hub_download(
        Q, "config.json", endpoint=hub.url, cache_dir=huggingface_hub_cache()
    )
    hub.requests.clear()
    return repo


def huggingface_hub_cache() -> Any:
    import os

    return os.environ["HF_HUB_CACHE"]


@pytest.mark.parametrize("setting", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_the_cache_answers_and_nobody_is_asked(
    hub: LoopbackHub, cached: Any, monkeypatch: pytest.MonkeyPatch, setting: Any
) -> None:
    monkeypatch.setenv(setting, "1")
    found = ask()
    assert (found.source, found.config, found.commit) == ("cache", CONFIG, cached.commit)
    assert found.notes == (
        f"{Q} from the cache of huggingface_hub, commit {cached.commit}: HF_HUB_OFFLINE is set",
    )
    assert hub.requests == []


def test_offline_without_a_cache_the_caller_is_told_to_fall_back(
    hub: LoopbackHub, repo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"OFFLINE is set, and .* is not in the cache"):
        ask()


def test_a_hub_that_is_not_there_is_offline(
    hub: LoopbackHub, cached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    pauses: list[float] = []
    found = ask(session=open_session(sleep=pauses.append))
    assert found.source == "cache"
    assert "127.0.0.1:1 cannot be reached" in found.notes[0]
    assert pauses == [0.5]
    with pytest.raises(OfflineError, match="cannot be reached"):
        ask("a/b", session=open_session(sleep=pauses.append))


def test_a_hub_in_trouble_is_answered_for_by_the_cache(hub: LoopbackHub, cached: Any) -> None:
    hub.fault("/api/models/", loopback.status(503), times=9)
    found = ask()
    assert found.source == "cache"
    assert "the server answers 503" in found.notes[0]


def test_a_refusal_is_not_papered_over_by_the_cache(hub: LoopbackHub, cached: Any) -> None:
    cached.disabled = True
    with pytest.raises(RefusedError):
        ask()


def test_a_visitor_gets_nothing_out_of_the_servers_cache(
    hub: LoopbackHub, cached: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"^HF_HUB_OFFLINE is set$"):
        fetch_repository(Q, anonymous=True)


def test_what_is_cached_of_the_very_commit_is_not_fetched_again(
    hub: LoopbackHub, cached: Any
) -> None:
    assert ask().config == CONFIG
    assert [request.path.split("?")[0] for request in hub.requests] == [f"/api/models/{Q}"]
    fetch_repository(Q, anonymous=True)
    assert len(hub.asked("config.json")) == 1


@pytest.mark.parametrize("kind", ["file", "loop", "folder of another", "broken ref"])
def test_a_cache_that_cannot_be_read_holds_nothing(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    hub.add(Q, {"config.json": {"a": 1}})
    cache = tmp_path / "odd"
    if kind == "file":
        cache.write_bytes(b"\0")
    elif kind == "loop":
        cache.symlink_to(cache)
    else:
        refs = cache / f"models--{Q.replace('/', '--')}" / "refs"
        refs.mkdir(parents=True)
        if kind == "broken ref":
            (refs / "main").write_bytes(b"\xff\xfe../../x")
        else:
            (refs / "main").mkdir()
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    assert ask().config == {"a": 1}
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OfflineError):
        ask()
