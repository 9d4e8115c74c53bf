"""What only a browser shows: keys, links, clipboard, files, widths, themes, names for screen readers."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from benchmarks.web_server import chromium, complete

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium here"),
]


def verdict(page: Any) -> Any:
    return page.locator(".st-key-answer").first


def chart(page: Any) -> Any:
    return page.locator(".js-plotly-plot .main-svg").first


def test_first_load_shows_the_verdict_and_asks_nobody_else(visit: Callable[..., Any]) -> None:
    page = visit()
    verdict(page).wait_for()
    chart(page).wait_for()
    assert re.search(r"\d", verdict(page).inner_text())
    assert page.outside == []
    assert page.faults == []


FAST = "v=2&model=Qwen3.5-9B&weights=bf16&with=vllm&context=4k"


def say(page: Any, *words: str) -> None:
    """Wait until the answer's line holds all `words`."""
    for word in words:
        verdict(page).get_by_text(word).first.wait_for()


def asked(page: Any) -> dict[str, str]:
    complete(page)  # the address is written after the answer
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def choose(page: Any, picker: str, typed: str, key: str = "Enter", found: str = "") -> None:
    """Type into a picker, wait for what it offers, of those with `found` in them, and press a key."""
    field = page.get_by_role("combobox", name=picker)
    field.click()
    field.fill(typed)
    page.get_by_role("option").filter(has_text=found).first.wait_for()
    field.press(key)


def test_a_key_in_a_field_changes_the_answer_and_the_address(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=h200-sxm")
    say(page, "fits")
    field = page.get_by_role("spinbutton", name="Users")
    field.focus()
    field.press("ArrowUp")
    say(page, "2 users at 4k")
    page.wait_for_function("new URLSearchParams(location.search).get('users') === '2'")


def test_each_picker_changes_the_answer_and_the_address(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=h100-sxm")
    say(page, "H100")
    choose(page, "Machine", "h200")
    say(page, "H200")
    choose(page, "Model", "Qwen3.5-4B")
    say(page, "Qwen3.5-4B")
    choose(page, "Context", "8k")
    page.wait_for_function("location.search.includes('context=8k')")
    for name, typed in (("How many", "2"), ("RAM (GB)", "512"), ("Users", "3")):
        field = page.get_by_role("spinbutton", name=name)
        field.fill(typed)
        field.press("Enter")
    say(page, "3 users at 8k")
    page.wait_for_function("location.search.includes('ram=512')")
    choose(page, "With", "SGLang")
    say(page, "with SGLang")
    complete(page)
    page.get_by_role("button", name="More").first.click()
    choose(page, "KV cache", "fp8")
    page.get_by_text("KV cache fp8").first.wait_for()
    page.wait_for_function("location.search.includes('with=sglang')")
    found = asked(page)
    assert (found["model"], found["count"], found["users"]) == ("Qwen3.5-4B", "2", "3")
    assert found["kv"].startswith("fp8")
    assert page.outside == []


def test_back_undoes(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-4090")
    say(page, "RTX 4090")
    choose(page, "Machine", "5090")
    say(page, "RTX 5090")
    page.wait_for_function("location.search.includes('rtx-5090')")
    page.go_back()
    say(page, "RTX 4090")
    page.get_by_role("link", name="Trust").click()
    page.get_by_role("tab", name="Check a log").wait_for()
    page.go_back()
    chart(page).wait_for()


def test_a_link_restores_the_page_in_a_fresh_browser(visit: Callable[..., Any]) -> None:
    first = visit(f"/?{FAST}&on=rtx-5090")
    say(first, "fits")
    choose(first, "Context", "20000")
    first.wait_for_function("location.search.includes('20000')")
    link = urlsplit(first.url)
    assert asked(first)["model"] == "Qwen3.5-9B"
    second = visit(f"{link.path}?{link.query}")
    say(second, "fits")
    complete(first)
    complete(second)
    assert verdict(second).inner_text() == verdict(first).inner_text()


def test_another_engine_is_picked_for_anew_and_undone(visit: Callable[..., Any]) -> None:
    page = visit("/?v=2&model=Qwen3.5-9B&on=rtx-5090&with=vllm")
    say(page, "with vLLM")
    before = verdict(page).inner_text()
    choose(page, "With", "SGLang")
    page.get_by_text("Picked anew").wait_for()
    say(page, "with SGLang")
    page.get_by_role("button", name="Undo").click()
    say(page, "with vLLM")
    assert verdict(page).inner_text() == before


def test_another_machine_is_picked_for_anew_and_undone(visit: Callable[..., Any]) -> None:
    page = visit("/?v=2&model=Qwen3.5-9B&on=rtx-5090")
    say(page, "RTX 5090 with vLLM")
    choose(page, "Machine", "mac studio 256")
    page.get_by_text("Picked anew").wait_for()
    say(page, "M3 Ultra 256 GB with MLX")
    page.get_by_role("button", name="Undo").click()
    say(page, "RTX 5090 with vLLM")


def test_the_command_is_copied(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090", permissions=["clipboard-read", "clipboard-write"])
    complete(page)
    code = page.get_by_test_id("stCode").first
    code.hover()
    code.get_by_role("button", name=re.compile("copy", re.IGNORECASE)).click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)")
    assert page.evaluate("navigator.clipboard.readText()").startswith("vllm serve ")


def test_the_plan_is_downloaded(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090")
    complete(page)
    page.get_by_role("button", name="Download").first.click()
    files = page.get_by_test_id("stPopoverBody")
    with page.expect_download() as waiting:
        files.get_by_role("button", name="JSON").click()
    with open(waiting.value.path(), encoding="utf-8") as file:
        assert json.load(file)["verdict"]
    for title, holds in (
        ("CSV", "rank,alike,term"),
        ("Markdown", "Qwen3.5-9B"),
        ("Shell script", "vllm serve"),
        ("Compose", "services:"),
        ("Kubernetes", "apiVersion:"),
    ):
        with page.expect_download() as waiting:
            files.get_by_role("button", name=title).click()
        with open(waiting.value.path(), encoding="utf-8") as file:
            assert holds in file.read()


def test_on_a_phone_the_verdict_is_on_the_first_screen_and_nothing_overflows(
    visit: Callable[..., Any],
) -> None:
    page = visit(width=390, height=844)
    complete(page)
    box = verdict(page).bounding_box()
    assert box["y"] + box["height"] < 844
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_text_in_the_chart_reads_on_the_theme(
    visit: Callable[..., Any], scheme: Any, dark: Any
) -> None:
    page = visit(scheme=scheme)
    chart(page).wait_for()
    background = page.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) is dark
    inks = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot .xtick text, .legendtext')]"
        ".map(text => getComputedStyle(text).fill)"
    )
    assert inks
    assert all((sum(map(int, re.findall(r"\d+", ink)[:3])) > 500) is dark for ink in inks)


def cells(page: Any) -> Any:
    return page.locator('[data-testid="stDataFrame"] canvas').first


def test_a_rung_of_the_ladder_is_taken_with_one_click(visit: Callable[..., Any]) -> None:
    page = visit("/?v=2&model=Qwen3.6-27B&on=rtx-3090&with=llamacpp", height=1100)
    say(page, "fits")
    complete(page)
    box = cells(page).bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 38 + 35 * 7.5)
    page.wait_for_function("!location.search.includes('weights=best')")
    page.get_by_text("Fixed by you").wait_for()
    assert asked(page)["weights"].startswith(("unsloth/", "bartowski/"))
    page.get_by_role("button", name="Let it pick").click()
    page.wait_for_function("location.search.includes('weights=best')")


def test_an_alternative_is_taken_with_one_click(visit: Callable[..., Any]) -> None:
    page = visit("/?v=2&model=Qwen3.6-27B&on=rtx-3090", height=1300)
    complete(page)
    page.get_by_text(": longer context").first.click()
    say(page, "Qwen3.6-27B")
    page.wait_for_function("location.search.includes('kv=q8_0')")


def test_what_is_typed_is_found_by_the_names_that_people_use(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090")
    say(page, "RTX 5090")
    for typed, found in (
        ("mac studio", "Mac Studio"),
        ("pro 6000", "RTX PRO 6000"),
        ("p5.48", "p5.48xlarge"),
    ):
        choose(page, "Machine", typed, key="Escape", found=found)
    choose(page, "Machine", "mac studio 256")  # what is typed, which one name alone has in it
    say(page, "M3 Ultra 256 GB")
    field = page.get_by_role("combobox", name="Machine")
    field.click()
    field.fill("2x 4090")
    page.get_by_role("option").filter(has_text="2x 4090").first.click()
    say(page, "2× RTX 4090")
    assert (asked(page)["on"], asked(page)["count"]) == ("rtx-4090", "2")


def test_tab_takes_what_was_typed(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090")
    say(page, "RTX 5090")
    field = page.get_by_role("combobox", name="Machine")
    field.click()
    field.press("Tab")
    say(page, "RTX 5090")
    choose(page, "Machine", "rtx 4090", key="Tab", found="RTX 4090")
    say(page, "RTX 4090")


def test_a_link_with_an_unknown_value_has_no_verdict(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-6090")
    say(page, "Not answered")
    assert asked(page)["on"] == "rtx-6090"
    assert page.locator(".js-plotly-plot").count() == 0
    page.get_by_role("button", name="Use RTX 5090").click()
    say(page, "fits")


def test_the_answer_stays_in_sight(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090", height=600)
    chart(page).wait_for()
    more = page.locator(".st-key-more button").bounding_box()
    x, y = more["x"] + more["width"] / 2, more["y"] + more["height"] / 2
    over = f"document.elementFromPoint({x}, {y}).closest('.st-key-more')"
    assert page.evaluate(f"{over} !== null"), "nothing lies over the options"
    page.mouse.move(600, 400)
    page.mouse.wheel(0, 700)
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop > 100")
    box = verdict(page).bounding_box()
    assert 0 < box["y"] < 120
    x, y = box["x"] + 20, box["y"] + box["height"] / 2
    over = f"document.elementFromPoint({x}, {y}).closest('.st-key-answer')"
    assert page.evaluate(f"{over} !== null"), "nothing lies over it"
    page.get_by_role("link", name="Trust").click()  # another page begins at its top
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop === 0")


def test_pickers_fold_to_one_line_on_a_phone(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090", width=390, height=844)
    say(page, "fits")
    field = page.get_by_role("combobox", name="Machine")
    field.wait_for(state="hidden")  # Streamlit fetches what applies a style after the first words
    assert not field.is_visible()
    page.get_by_role("button", name=re.compile("RTX 5090 · Qwen3.5-9B")).click()
    field.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_a_mouse(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}&on=rtx-5090")
    say(page, "RTX 5090")
    field = page.get_by_role("combobox", name="Machine")
    for _ in range(30):
        page.keyboard.press("Tab")
        if field.evaluate("field => field === document.activeElement"):
            break
    page.keyboard.type("4090")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("Enter")
    say(page, "RTX 4090")
    complete(page)
    page.keyboard.press("Tab")
    for _ in range(12):
        if page.evaluate("document.activeElement.textContent.includes('Undo')"):
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent.includes('Undo')")
    page.keyboard.press("Enter")
    say(page, "RTX 5090")


def test_advice_is_one_click(visit: Callable[..., Any]) -> None:
    page = visit("/?v=2&model=Qwen3.5-27B&on=rtx-4090&weights=bf16&with=vllm")
    say(page, "does not fit")
    complete(page)
    page.get_by_role("button", name="Apply").first.click()
    say(page, "spare")


def test_the_theme_can_be_changed_and_the_chart_follows(visit: Callable[..., Any]) -> None:
    page = visit(scheme="light")
    chart(page).wait_for()
    page.get_by_test_id("stMainMenu").get_by_role("button").click()
    page.get_by_test_id("stMainMenuPopover").get_by_text("dark_mode").click()
    page.wait_for_function(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        " === 'rgb(18, 22, 28)'"
    )
    page.wait_for_function(
        "[...document.querySelectorAll('.js-plotly-plot .xtick text')]"
        ".every(text => getComputedStyle(text).fill === 'rgb(232, 237, 244)')"
    )


@pytest.mark.parametrize(
    "repository",
    [
        "![x](https://evil.example/x.png)",
        "[Log in again](https://evil.example)",
        "https://evil.example/a",
        "www.evil.example/a b",
        "a@evil.example",
        ":material/home: :streamlit: -> -- evil.example/x",
    ],
)
def test_a_link_to_the_app_shows_what_it_carries_as_text(visit: Any, repository: str) -> None:
    page = visit("/?" + urlencode({"model": "other", "repository": repository}))
    shown = verdict(page).inner_text().replace("\u2060", "")
    assert "evil.example" in shown
    assert repository in shown or not repository.startswith(":"), "no icon, no sign"
    assert page.locator('a[href*="evil"], img[src*="evil"]').count() == 0
    assert page.outside == []
