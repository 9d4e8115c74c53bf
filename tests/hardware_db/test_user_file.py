"""The user's own hardware: the same schema, found in the config folder, errors on one line."""

import os
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hardware_db
from hardware_db import HardwareError, get, last_good, resolve
from hardware_db.building import load_file
from hardware_db.database import user_file
from hardware_db.last_good import BEFORE, LastGood
from hardware_db.reference_text import SCHEMA
from tests.present import accelerator_of, some

CARD = """
[[accelerator]]
id = "our-card"
name = "Our card"
vendor = "ours"
architecture = "none"
memory_driver_mib = { value = 49140, grade = "A", source = "nvidia-smi here" }
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Any]:
    def written(text: Any, name: str = "hardware.toml") -> Any:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_the_example_of_the_reference_page_works(
    write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = some(re.search(r"```toml\n(.*?)```", SCHEMA, re.DOTALL))[1]
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(write(example)))
    card = get("RTX 5090 64")
    assert accelerator_of(card).architecture == "Blackwell"  # from its family
    assert "Marlin" in accelerator_of(card).formats["nvfp4"]
    assert accelerator_of(card).total_bytes == (65247 - 652) << 20
    assert some(accelerator_of(card).memory_driver_mib).date == "2026-11-21"  # `accessed`
    server = resolve("our server")
    assert server.count == 4
    assert server.accelerator is card
    assert server.intra_node_link == "PCIe 5.0 x16"
    assert resolve("2x our-server").count == 8
    assert card in hardware_db.accelerators()
    assert server in hardware_db.systems()
    assert get("h100").id == "h100-sxm"


def test_found_in_the_config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file() is None
    folder = tmp_path / "qwenplan"
    folder.mkdir()
    (folder / "hardware.toml").write_text(CARD, encoding="utf-8")
    assert user_file() == folder / "hardware.toml"
    assert get("our card").id == "our-card"


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"HOME": "/h"}, "/h/.config"),
        ("linux", {"HOME": "/h", "XDG_CONFIG_HOME": "relative"}, "/h/.config"),
        ("linux", {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support"),
        ("win32", {"HOME": "/h", "APPDATA": "/h/Roaming"}, "/h/Roaming"),
    ],
)
def test_the_folder_of_each_platform(
    platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardware_db import database

    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert database._config_folder().as_posix() == expected


def test_a_changed_file_is_read_anew(
    write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(CARD)
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(path))
    assert get("our-card").name == "Our card"
    path.write_text(CARD.replace("Our card", "Our other card"), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert get("our-card").name == "Our other card"


def test_a_missing_file_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(tmp_path / "nothing.toml"))
    with pytest.raises(HardwareError, match=r"QWENPLAN_HARDWARE names no file: .*nothing.toml"):
        get("h100")


def test_own_instances_give_hourly_prices_once(write: Callable[..., Any]) -> None:
    more = """
[[system]]
id = "our-cloud"
name = "our cloud"
accelerator = "h100-sxm"
accelerators_per_node = 4
prices = [{ value = 10.0, kind = "hourly", source = "contract", date = "2026-01" }]
"""
    before = get("h100").prices
    found = load_file(write(more)).by_name["h100"].prices
    assert found[: len(before)] == before
    assert len(found) == len(before) + 1
    assert found[-1].value == 2.5


def test_own_chip_in_sizes(write: Callable[..., Any]) -> None:
    text = """
[[accelerator]]
id = "apple-m9"
name = "Apple M9"
family = "apple"
aliases = ["m9"]
memory_sizes_gb = { value = [16, 600], grade = "A", source = "the shop" }
gpu_share = [{ up_to_gb = 1024, value = 0.5, grade = "C", source = "read here" }]
bandwidth_gb_s = { value = 200, grade = "A", source = "the shop" }

[accelerator.by_size.16]
bandwidth_gb_s = { value = 100, grade = "A", source = "the shop" }
"""
    found = load_file(write(text)).by_name
    assert found["m9"] is found["m9600gb"]
    assert accelerator_of(found["m9"]).total_bytes == 300 << 30
    assert accelerator_of(found["m916"]).total_bytes == 8 << 30
    assert some(accelerator_of(found["m916"]).bandwidth_gb_s).value == 100
    assert accelerator_of(found["m9"]).vendor == "apple"


def card(**changes: Any) -> str:
    """CARD with fields changed (None: left out), as TOML."""
    fields: dict[str, Any] = {
        "id": '"our-card"',
        "name": '"Our card"',
        "vendor": '"ours"',
        "architecture": '"none"',
        "memory_driver_mib": '{ value = 49140, grade = "A", source = "here" }',
    }
    fields.update(changes)
    lines = [f"{name} = {value}" for name, value in fields.items() if value is not None]
    return "[[accelerator]]\n" + "\n".join(lines) + "\n"


def figure(value: str = "49140", more: str = "") -> Any:
    return f'{{ value = {value}, grade = "A", source = "here"{more} }}'


FAULTS = {
    "not toml": ("[[accelerator]", "not valid TOML"),
    "unknown table": ("[[gpu]]\nid = 1\n", "'gpu' is not one of"),
    "unknown field": (card(bandwith_gb_s=figure()), "bandwith_gb_s is not a field"),
    "no name": (card(name=None), "name is missing"),
    "no id": (card(id=None), "id is missing"),
    "id of one letter case": (card(id='"Our Card"'), "id must be lower-case"),
    "id too long": (card(id='"' + "a" * 90 + '"'), "id must be"),
    "name is a number": (card(name="4"), "name must be a text"),
    "name of two lines": (card(name='"a\\nb"'), "name must be one line"),
    "taken id": (card(id='"l4"'), "'l4': this id is taken"),
    "taken alias": (card(aliases='["RTX 4090"]'), "taken by 'rtx-4090'"),
    "taken name": (card(name='"dgx spark"'), "taken by"),
    "aliases no list": (card(aliases='"one"'), "aliases must be a list"),
    "aliases of numbers": (card(aliases="[4]"), "aliases[0]: text must be a text"),
    "no memory": (card(memory_driver_mib=None), "give one of memory_cuda_mib"),
    "memory is no figure": (card(memory_driver_mib="49140"), "memory_driver_mib: must be a table"),
    "memory of zero": (card(memory_driver_mib=figure("0")), "above 0"),
    "negative": (card(memory_driver_mib=figure("-1")), "above 0"),
    "nan": (card(bandwidth_gb_s=figure("nan")), "above 0"),
    "infinite": (card(bandwidth_gb_s=figure("inf")), "above 0"),
    "a fraction of a MiB": (card(memory_driver_mib=figure("1.5")), "must be a whole number"),
    "true": (card(memory_driver_mib=figure("true")), "must be a whole number"),
    "text": (card(memory_driver_mib=figure('"48 GB"')), "must be a whole number"),
    "absurd": (card(memory_driver_mib=figure("1" + "0" * 18)), "at most 1e+09"),
    "too small": (card(memory_driver_mib=figure("12")), "outside 256 MiB to 64 TiB"),
    "too large": (card(memory_driver_mib=figure("900000000")), "outside 256 MiB to 64 TiB"),
    "no source": (card(memory_driver_mib='{ value = 49140, grade = "A" }'), "source is missing"),
    "empty source": (
        card(memory_driver_mib='{ value = 49140, grade = "A", source = " " }'),
        "source must be a text",
    ),
    "unknown source": (
        card(memory_driver_mib='{ value = 49140, grade = "A", source = "{nobody}" }'),
        "[sources] has no 'nobody'",
    ),
    "grade E": (
        card(memory_driver_mib='{ value = 49140, grade = "E", source = "x" }'),
        "grade must be one of A, B, C, D",
    ),
    "date": (card(memory_driver_mib=figure(more=', date = "21.11.2026"')), "date must be"),
    "unknown part of a figure": (card(memory_driver_mib=figure(more=", unit = 1")), "unit is not"),
    "alternative": (
        card(memory_driver_mib=figure(more=", alternatives = [{ value = 1 }]")),
        "alternatives[0]: source is missing",
    ),
    "capability": (card(compute_capability='"9"'), 'compute_capability must look like "9.0"'),
    "capability as number": (card(compute_capability="9.0"), "compute_capability must be a text"),
    "gfx": (card(gfx='"mi300"'), "gfx must look like"),
    "pcie": (card(pcie='"gen5"'), "pcie must look like"),
    "nvlink kind": (card(nvlink_kind='"yes"'), "nvlink_kind must be one of"),
    "max per node": (card(max_per_node="0"), "max_per_node must be a whole number from 1"),
    "family": (card(family='"volvo"'), "family must name"),
    "family as number": (card(family="4"), "family must name"),
    "price kind": (
        card(prices='[{ value = 1, kind = "free", source = "x" }]'),
        "prices[0]: kind must be one of",
    ),
    "share above one": (
        card() + "[accelerator.unified]\ndefault_gpu_share = " + figure("1.5"),
        "at most 1",
    ),
    "accelerator no list": ("accelerator = 1\n", "write [[accelerator]]"),
    "accelerator of numbers": ("accelerator = [1]\n", "accelerator 1 must be a table"),
    "family no table": ("family = 1\n", "write [family.name]"),
    "family taken": ("[family.ada]\nvendor = 'x'\n", "family 'ada' is taken"),
    "family circle": (
        "[family.a]\nfamily = 'b'\n[family.b]\nfamily = 'a'\n" + card(family="'a'"),
        "family must name",
    ),
    "sources no table": ("sources = 3\n", "sources must be a table"),
    "accessed": ("accessed = 2026-11-21\n", "accessed must be"),
    "sizes": (
        card(memory_driver_mib=None, memory_sizes_gb=figure('["big"]')),
        "memory_sizes_gb.value must be a list of whole GB",
    ),
    "size that is not sold": (
        card(memory_driver_mib=None, memory_sizes_gb=figure("[16]"))
        + "[accelerator.by_size.32]\ntdp_w = "
        + figure("5"),
        "by_size.32 is not one of the sizes",
    ),
    "share of no size": (
        card(
            memory_driver_mib=None,
            memory_sizes_gb=figure("[16]"),
            gpu_share=f"[{figure('0.5', ', up_to_gb = 8')}]",
        ),
        "no step that reaches 16 GB",
    ),
    "system of nothing": (
        '[[system]]\nid = "s"\nname = "s"\naccelerator = "h101"\naccelerators_per_node = 1\n',
        "accelerator names no known accelerator: 'h101'",
    ),
    "system of half a card": (
        '[[system]]\nid = "s"\nname = "s"\naccelerator = "l4"\naccelerators_per_node = 0.5\n',
        "accelerators_per_node must be a whole number",
    ),
    "system with a wrong field": (
        '[[system]]\nid = "s"\nname = "s"\naccelerator = "l4"\naccelerators_per_node = 1\ngpus = 1\n',
        "gpus is not a field",
    ),
    "the same system twice": (
        '[[system]]\nid = "s"\nname = "s"\naccelerator = "l4"\naccelerators_per_node = 1\n' * 2,
        "taken by 's'",
    ),
}


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_faults_name_file_entry_and_field(
    text: str, expected: str, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(text)
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(path))
    with pytest.raises(HardwareError) as caught:
        get("h100")
    message = str(caught.value)
    assert expected in message
    assert len(message.splitlines()) == 1
    assert len(message) < 500 + len(str(path))
    assert message.startswith(str(path))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "hardware.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(HardwareError, match="not valid TOML"):
        load_file(path)
    with pytest.raises(HardwareError):
        load_file(tmp_path)
    path.write_bytes(b"#" * (5 << 20))
    with pytest.raises(HardwareError, match="larger than 4 MiB"):
        load_file(path)
    path.write_text("a = " + "9" * 5000, encoding="utf-8")
    with pytest.raises(HardwareError, match="not valid TOML"):
        load_file(path)
    path.write_text("a = " + "[" * 20_000, encoding="utf-8")
    with pytest.raises(HardwareError, match="not valid TOML"):
        load_file(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    field=st.sampled_from(sorted(hardware_db.Accelerator.__dataclass_fields__)),
    value=st.sampled_from(
        ["0", "-1", "nan", "1e400", "''", "'x'", "[]", "[1]", "{}", "true", "2026-01-01"]
    )
    | st.text(string.ascii_letters + ' "[{', max_size=8),
)
def test_any_value_in_any_field_is_a_line_or_a_card(
    field: Any, value: Any, write: Callable[..., Any]
) -> None:
    path = write(card(**{field: value}))
    try:
        found = load_file(path)
    except HardwareError as caught:
        problem = str(caught)
    else:
        problem = str(found.accelerators[-1].total_bytes)
    assert len(problem.splitlines()) == 1


def test_a_mistake_in_a_file_that_is_served_leaves_what_it_said_before(
    write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(CARD)
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(path))
    server = LastGood(is_server=True)
    monkeypatch.setattr(last_good, "_SERVES", [server])
    card = get("our-card")
    copy = os.environ[BEFORE]
    write("x = [" + CARD)
    assert get("our-card") is card
    assert get("our-card") is card
    assert "is not valid TOML" in server.mistake
    assert capsys.readouterr().err.count("is not valid TOML") == 1, "once, and not for every look"
    monkeypatch.setattr(last_good, "_SERVES", [LastGood(is_server=False)])
    assert get("our-card").name == card.name, "a process that begins now knows it as well"
    monkeypatch.setattr(last_good, "_SERVES", [server])
    path.unlink()
    assert get("our-card") is card
    assert "names no file" in server.mistake
    write(CARD.replace("Our card", "Mended"))
    assert get("our-card").name == "Mended"
    assert server.mistake == ""
    server.close()
    assert not Path(copy).exists()
    assert BEFORE not in os.environ


def test_who_serves_a_file_that_was_never_right_has_the_bundled_data(
    write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(write("x = [")))
    with pytest.raises(HardwareError, match="is not valid TOML"):
        get("h100")
    monkeypatch.setattr(last_good, "_SERVES", [LastGood(is_server=True)])
    assert get("h100").id == "h100-sxm"


def test_a_size_that_is_a_part_of_the_name_stays(
    write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "RTX 5090 with 64 GB" was called "RTX 5090 with"."""
    text = CARD.replace('"Our card"', '"RTX 5090 with 64 GB"')
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(write(text)))
    assert resolve("our-card").accelerator.short_name == "RTX 5090 with 64 GB"
