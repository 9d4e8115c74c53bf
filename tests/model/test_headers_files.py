"""Which files are the weights, and reading them from a folder."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InputError, UnsupportedModelError
from planner.model.local_files import open_ranges, read_checkpoint
from planner.model.weight_files import choose, closest_companion, gguf_sets, refuse_other_kinds
from tests.model import builders
from tests.model.builders import Stub, Tensors

REPOSITORY = {
    name: size
    for size, name in enumerate(
        (
            "README.md",
            "Qwen3.5-27B-Q4_K_M.gguf",
            "Qwen3.5-27B-UD-Q4_K_XL.gguf",
            "Qwen3.5-27B-IQ4_XS.gguf",
            "Qwen3.5-27B-Q8_0.gguf",
            "Qwen3.5-27B-MXFP4_MOE.gguf",
            "BF16/Qwen3.5-27B-BF16-00001-of-00002.gguf",
            "BF16/Qwen3.5-27B-BF16-00002-of-00002.gguf",
            "mmproj-F16.gguf",
            "mmproj-BF16.gguf",
            "mmproj-Q8_0.gguf",
            "mtp-Qwen3.5-27B-Q8_0.gguf",
            "imatrix_unsloth.gguf",
        ),
        1,
    )
}
ONE: Tensors = {"a.weight": ("BF16", (4, 4))}
TWO: Tensors = {"b.weight": ("BF16", (4, 4)), "b.bias": ("F32", (4,))}


def write(folder: Path, files: dict[str, Stub]) -> Path:
    for name, stub in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as handle:
            handle.write(stub.head)
            handle.truncate(stub.size)
    return folder


def names(stored: Any) -> set[str]:
    return {tensor.name for tensor in stored.tensors}


# ---------------------------------------------------------------- which files


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("Q4_K_M", "Qwen3.5-27B-Q4_K_M.gguf"),
        ("q4_k_m", "Qwen3.5-27B-Q4_K_M.gguf"),
        ("UD-Q4_K_XL", "Qwen3.5-27B-UD-Q4_K_XL.gguf"),
        ("Q4_K_XL", "Qwen3.5-27B-UD-Q4_K_XL.gguf"),
        ("IQ4_XS", "Qwen3.5-27B-IQ4_XS.gguf"),
        ("MXFP4_MOE", "Qwen3.5-27B-MXFP4_MOE.gguf"),
        ("mxfp4", "Qwen3.5-27B-MXFP4_MOE.gguf"),
        ("BF16", "BF16/Qwen3.5-27B-BF16-00001-of-00002.gguf"),
        ("*Q8_0*", "Qwen3.5-27B-Q8_0.gguf"),
        ("Qwen3.5-27B-Q8_0.gguf", "Qwen3.5-27B-Q8_0.gguf"),
        ("BF16/Qwen3.5-27B-BF16-00002-of-00002.gguf", "BF16/Qwen3.5-27B-BF16-00001-of-00002.gguf"),
        ("mmproj-F16.gguf", "mmproj-F16.gguf"),
    ],
)
def test_a_gguf_is_chosen_by_its_quantization_or_name(pattern: str, first: str) -> None:
    assert choose(REPOSITORY, "org/x", pattern=pattern).files[0][0] == first


def test_a_split_set_is_one_choice() -> None:
    found = choose(REPOSITORY, "org/x", pattern="bf16")
    assert len(found.files) == 2
    assert found.label == "BF16"
    assert found.nbytes == 7 + 8


def test_without_a_name_the_choices_are_listed_and_companions_are_none_of_them() -> None:
    with pytest.raises(InputError, match="holds 6 GGUF sets; name one of") as caught:
        choose(REPOSITORY, "org/x")
    for label in ("Q4_K_M", "UD-Q4_K_XL", "IQ4_XS", "Q8_0", "MXFP4_MOE", "BF16"):
        assert label in str(caught.value)
    for companion in ("mmproj", "mtp", "imatrix"):
        assert companion not in str(caught.value)


def test_an_unknown_quantization_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no GGUF file that matches 'Q5_K_M'; it has .*Q4_K_M"):
        choose(REPOSITORY, "org/x", pattern="Q5_K_M")


def test_names_with_one_quantization_twice_are_listed_in_full() -> None:
    listing = {"a-Q4_K_M.gguf": 1, "a-MTP-Q4_K_M.gguf": 2}
    with pytest.raises(InputError, match=r"a-Q4_K_M\.gguf.*a-MTP-Q4_K_M\.gguf"):
        choose(listing, "org/x", pattern="Q4_K_M")


def test_companions_are_parts_of_their_own() -> None:
    parts = {s.files[0][0]: s.part for s in gguf_sets(REPOSITORY)}
    assert parts["mmproj-F16.gguf"] == "mmproj"
    assert parts["mtp-Qwen3.5-27B-Q8_0.gguf"] == "mtp"
    assert parts["imatrix_unsloth.gguf"] == "imatrix"
    assert choose(REPOSITORY, "org/x", part="mtp").files[0][0] == "mtp-Qwen3.5-27B-Q8_0.gguf"
    with pytest.raises(InputError, match="no GGUF file holds the draft"):
        choose(REPOSITORY, "org/x", part="draft")


@pytest.mark.parametrize(
    ("model", "companion"),
    [("Q8_0", "mmproj-Q8_0.gguf"), ("Q4_K_M", "mmproj-Q8_0.gguf"), ("BF16", "mmproj-BF16.gguf")],
)
def test_the_nearest_companion_is_llamacpps(model: str, companion: str) -> None:
    found = closest_companion(
        gguf_sets(REPOSITORY), "mmproj", choose(REPOSITORY, "org/x", pattern=model)
    )
    assert found is not None
    assert found.files[0][0] == companion


def test_a_companion_is_chosen_for_the_model_it_lies_beside() -> None:
    def chosen(**how: Any) -> Any:
        return choose(REPOSITORY, "org/x", part="mmproj", **how).files[0][0]

    assert chosen(beside="Qwen3.5-27B-Q8_0.gguf") == "mmproj-Q8_0.gguf"
    assert chosen(beside="Qwen3.5-27B-Q8_0.gguf", pattern="F16") == "mmproj-F16.gguf"
    with pytest.raises(InputError, match="holds 3 GGUF sets"):
        chosen()
    with pytest.raises(InputError, match="no GGUF file holds the draft"):
        choose(REPOSITORY, "org/x", part="draft", beside="Qwen3.5-27B-Q8_0.gguf")


def test_the_only_gguf_needs_no_name() -> None:
    assert choose({"model.gguf": 5, "mmproj-F16.gguf": 6}, "org/x").label == "model"


@pytest.mark.parametrize(
    ("listing", "error", "words"),
    [
        ({}, InputError, "no weights"),
        ({"config.json": 1}, InputError, "no weights"),
        ({"pytorch_model.bin": 1, "tf_model.h5": 1}, UnsupportedModelError, "pytorch_model.bin"),
        ({"model_index.json": 1, "unet/x.safetensors": 1}, UnsupportedModelError, "pipeline"),
        (
            {"adapter_config.json": 1, "adapter_model.safetensors": 1},
            UnsupportedModelError,
            "is an adapter",
        ),
        (
            {"adapter_config.json": 1, "adapter_model.safetensors": 1, "config.json": 1},
            UnsupportedModelError,
            "is an adapter",
        ),
        ({"m-00001-of-00003.gguf": 1}, InputError, r"2 of 3 shards .* m-00002-of-00003.gguf"),
        ({"m-00002-of-00002.safetensors": 1}, InputError, "m-00001-of-00002.safetensors"),
        ({"m-00001-of-99999.gguf": 1}, InputError, "claims 99,999 shards"),
        ({"m-00001-of-00000.gguf": 1}, InputError, "claims 0 shards"),
        ({"imatrix.gguf": 1}, InputError, "no GGUF file holds the model"),
    ],
)
def test_what_is_no_models_weights_is_refused(
    listing: dict[str, Any], error: type[Any], words: str
) -> None:
    with pytest.raises(error, match=words):
        choose(listing, "org/x")


def test_an_adapter_is_refused_with_its_base() -> None:
    with pytest.raises(UnsupportedModelError, match=r"plan its base model: Qwen/Qwen3\.5-27B"):
        refuse_other_kinds(["adapter_config.json"], "org/lora", ["Qwen/Qwen3.5-27B"])


def test_a_second_copy_of_the_weights_is_not_counted() -> None:
    listing = {"model-00001-of-00001.safetensors": 1, "consolidated.safetensors": 1}
    assert choose(listing, "x").files == (("model-00001-of-00001.safetensors", 1),)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a//b", "", "a\\b", "a\0b"])
def test_an_index_cannot_name_files_elsewhere(name: str) -> None:
    with pytest.raises(InputError, match="names a file outside"):
        choose({"x.safetensors": 1}, "org/x", index={"a": name})


def test_an_index_names_what_is_loaded() -> None:
    listing = {"x.safetensors": 1, "mtp.safetensors": 2, "other.safetensors": 3}
    found = choose(listing, "org/x", index={"a": "x.safetensors", "b": "mtp.safetensors"})
    assert [name for name, _ in found.files] == ["mtp.safetensors", "x.safetensors"]


# ---------------------------------------------------------------- folders


def test_a_sharded_folder_is_read_and_progress_told(tmp_path: Path) -> None:
    write(tmp_path, builders.sharded([ONE, TWO]))
    told = []
    stored = read_checkpoint(tmp_path, progress=lambda *args: told.append(args))
    assert names(stored) == {"a.weight", "b.weight", "b.bias"}
    assert stored.tensor_nbytes == 32 + 32 + 16
    assert stored.nbytes == sum(
        path.stat().st_size for path in tmp_path.iterdir() if path.suffix == ".safetensors"
    )
    assert stored.notes == ()
    assert [(done, total) for done, total, _ in told] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    "name", ["model-00002-of-00002.safetensors", "model.safetensors.index.json"]
)
def test_one_shard_or_the_index_stands_for_the_whole_set(tmp_path: Path, name: str) -> None:
    write(tmp_path, builders.sharded([ONE, TWO]))
    assert names(read_checkpoint(tmp_path / name)) == {"a.weight", "b.weight", "b.bias"}


def test_a_shard_that_the_index_names_and_nobody_downloaded_is_named(tmp_path: Path) -> None:
    files = builders.sharded([ONE, TWO])
    del files["model-00002-of-00002.safetensors"]
    write(tmp_path, files)
    with pytest.raises(InputError, match=r"1 of 2 shards .*model-00002-of-00002\.safetensors"):
        read_checkpoint(tmp_path)


def test_an_index_that_disagrees_with_the_headers_is_reported(tmp_path: Path) -> None:
    files = builders.sharded([ONE, TWO])
    head = files["model.safetensors.index.json"].head.replace(b"b.bias", b"c.bias")
    files["model.safetensors.index.json"] = Stub(head, len(head))
    stored = read_checkpoint(write(tmp_path, files))
    assert stored.notes == (
        "1 tensor named by the index are in no file, such as c.bias",
        "1 tensor in the files are not named by the index, such as b.bias",
    )


def test_a_tensor_stored_twice_is_refused(tmp_path: Path) -> None:
    files = {"a.safetensors": builders.safetensors(ONE), "b.safetensors": builders.safetensors(ONE)}
    with pytest.raises(InputError, match=r"a\.weight is also in a\.safetensors"):
        read_checkpoint(write(tmp_path, files))


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b"{}", "no weight_map"),
        (b'{"weight_map": []}', "no weight_map"),
        (b'{"weight_map": {"a": 1}}', "no weight_map"),
        (b'{"weight_map": {}}', "is empty"),
        (b"[", "unreadable JSON"),
    ],
)
def test_a_broken_index_is_refused(tmp_path: Path, index: bytes, words: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(InputError, match=words):
        read_checkpoint(tmp_path)


def test_ggufs_are_read_split_or_not_and_below(tmp_path: Path) -> None:
    def shard(number: int) -> Stub:
        pairs: dict[str, object] = {"split.no": number, "split.count": 2, "split.tensors.count": 2}
        return builders.gguf(pairs, {f"t{number}": ("F32", (8,))})

    write(
        tmp_path,
        {
            "x-Q8_0.gguf": builders.gguf({}, {"t": ("Q8_0", (2, 32))}),
            "mmproj-F16.gguf": builders.gguf({}, {"v.blk.0": ("F32", (8,))}),
            "BF16/x-BF16-00001-of-00002.gguf": shard(0),
            "BF16/x-BF16-00002-of-00002.gguf": shard(1),
        },
    )
    assert read_checkpoint(tmp_path, pattern="q8_0").tensor_nbytes == 68
    assert names(read_checkpoint(tmp_path, pattern="BF16")) == {"t0", "t1"}
    assert names(read_checkpoint(tmp_path, part="mmproj")) == {"v.blk.0"}
    one = tmp_path / "BF16" / "x-BF16-00002-of-00002.gguf"
    assert names(read_checkpoint(one)) == {"t0", "t1"}
    (tmp_path / "BF16" / "x-BF16-00001-of-00002.gguf").unlink()
    with pytest.raises(InputError, match="1 of 2 shards"):
        read_checkpoint(one)


def test_gguf_beside_safetensors_is_chosen_by_name_only(tmp_path: Path) -> None:
    files = {"model.safetensors": builders.safetensors(ONE)}
    write(tmp_path, files | {"x-Q8_0.gguf": builders.gguf({}, {"t": ("F32", (8,))})})
    assert read_checkpoint(tmp_path).kind == "safetensors"
    assert read_checkpoint(tmp_path, pattern="Q8_0").kind == "gguf"
    with pytest.raises(InputError, match="no GGUF file that matches 'Q2_K'"):
        read_checkpoint(tmp_path, pattern="Q2_K")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"model.safetensors": builders.safetensors({})})
    with pytest.raises(InputError, match="no tensors"):
        read_checkpoint(tmp_path)


def test_what_would_hang_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no weights"):
        read_checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"no file model\.safetensors"):
        read_checkpoint(tmp_path / "model.safetensors")
    with (
        pytest.raises(InputError, match="regular file"),
        open_ranges(tmp_path / "model.safetensors"),
    ):
        pass
    with pytest.raises(InputError, match="regular file"), open_ranges(Path("/dev/zero")):
        pass
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.gguf"))
        with pytest.raises(InputError, match=r"no file s\.gguf"):
            read_checkpoint(tmp_path / "s.gguf")


def test_links_in_circles_and_into_nowhere_are_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").symlink_to(tmp_path / "b.gguf")
    (tmp_path / "b.gguf").symlink_to(tmp_path / "a.gguf")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no weights"):
        read_checkpoint(tmp_path)
    with pytest.raises(InputError, match=r"a\.gguf: "):
        read_checkpoint(tmp_path / "a.gguf")


def test_linked_files_are_read_as_in_the_cache_of_the_hub(tmp_path: Path) -> None:
    blobs = write(tmp_path / "blobs", {"abc": builders.safetensors(ONE)})
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to(blobs / "abc")
    assert names(read_checkpoint(tmp_path / "snapshot")) == {"a.weight"}


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "x" * 5000, "file.txt", "file.txt/below"])
def test_paths_that_are_none_are_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(InputError) as caught:
        read_checkpoint(f"{tmp_path}/{path}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
