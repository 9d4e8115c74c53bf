"""What is reached by keyboard alone, and what is folded away on a phone, in a browser."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.web_server import chromium, complete

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium here"),
]

FAST = "v=2&model=Qwen3.5-9B&weights=bf16&with=vllm&context=4k&on=rtx-5090"


def answer(page: Any) -> Any:
    return page.locator(".st-key-answer").first


def tab_to(page: Any, selector: str, most: int = 60) -> None:
    """Press Tab until what has the focus is, or lies in, what `selector` finds."""
    inside = f"document.activeElement.closest({selector!r}) !== null"
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(inside):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_a_rung_of_the_ladder_is_taken_by_keyboard(visit: Callable[..., Any]) -> None:
    page = visit("/?v=2&model=Qwen3.5-9B&on=rtx-3060-12&with=llamacpp")
    complete(page)
    tab_to(page, ".st-key-by-keyboard")
    page.keyboard.type("Q6_K")
    offered = page.get_by_role("option").first.inner_text()
    assert "Q6_K" in offered
    page.keyboard.press("Enter")
    page.get_by_text("Fixed by you").wait_for()
    complete(page)
    assert "Q6_K" in parse_qs(urlsplit(page.url).query)["weights"][0]


def test_a_row_of_what_fits_is_taken_by_keyboard(visit: Callable[..., Any]) -> None:
    page = visit(f"/fits?{FAST}&fits-groups=Two+GPUs")
    page.get_by_text("as they are").wait_for()
    complete(page)
    tab_to(page, ".st-key-by-keyboard")
    page.keyboard.type("2× RTX 3090")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlsplit(url).path == "/")
    answer(page).get_by_text("2× RTX 3090").wait_for()


def test_the_command_is_copied_and_a_page_chosen_by_keyboard(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}", permissions=["clipboard-read", "clipboard-write"])
    complete(page)
    tab_to(page, '[data-testid="stCode"] button')
    page.keyboard.press("Enter")
    page.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)")
    assert page.evaluate("navigator.clipboard.readText()").startswith("vllm serve ")
    tab_to(page, '[href*="/trust"]', most=80)
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Check a log").wait_for()


@pytest.mark.parametrize(
    ("engine", "flag"), [("llamacpp", "--spec-type draft-mtp"), ("vllm", "--speculative-config")]
)
def test_drafts_are_asked_for_on_a_phone(visit: Callable[..., Any], engine: str, flag: str) -> None:
    page = visit(f"/?v=2&model=Qwen3.5-9B&on=rtx-5090&with={engine}", width=390, height=844)
    complete(page)
    page.get_by_role("button", name=re.compile("RTX 5090 · Qwen3.5-9B")).click()
    page.get_by_role("button", name="More").first.click()
    switch = page.get_by_text("Speculative decoding (MTP)", exact=True)
    switch.scroll_into_view_if_needed()
    box = switch.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    switch.click()
    page.get_by_text("Fixed by you").wait_for()
    page.keyboard.press("Escape")
    complete(page)
    page.get_by_test_id("stCode").filter(has_text=flag).first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    fresh = visit(f"/?{urlsplit(page.url).query}", width=390, height=844)
    complete(fresh)
    assert answer(fresh).inner_text() == answer(page).inner_text()


def test_a_page_is_chosen_from_the_menu_of_a_phone(visit: Callable[..., Any]) -> None:
    page = visit(f"/?{FAST}", width=390, height=844)
    complete(page)
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_text("The present deployment").wait_for()
    complete(page)
    page.get_by_role("link", name="Compare", exact=True).wait_for(state="hidden")
    box = answer(page).bounding_box()
    assert 0 < box["y"] < 300
    assert "RTX 5090" in answer(page).inner_text()


@pytest.mark.parametrize(
    ("role", "name", "typed", "word"),
    [("spinbutton", "Users", "12", "users=12"), ("combobox", "Context", "48k", "context=48k")],
)
def test_what_is_typed_counts_where_a_page_is_pressed_next(
    visit: Callable[..., Any], role: str, name: str, typed: str, word: str
) -> None:
    """The page stayed, its address was empty, and what was typed was lost."""
    page = visit(f"/?{FAST}")
    complete(page)
    field = page.get_by_role(role, name=name)
    field.click()
    field.press("Control+a")
    page.keyboard.type(typed)
    where = page.locator('[href*="/trust"]').first.bounding_box()
    page.mouse.move(where["x"] + 10, where["y"] + 10)
    page.mouse.down()
    page.mouse.up()
    page.get_by_role("tab", name="Check a log").wait_for()
    page.wait_for_url(lambda url: urlsplit(url).path == "/trust" and word in url)
    complete(page)
    assert word in page.url


def test_tab_goes_into_what_was_opened(visit: Callable[..., Any]) -> None:
    """It went on behind the panel, whose fields nobody reached without a mouse."""
    page = visit(f"/?{FAST}")
    complete(page)
    page.get_by_role("button", name="More").first.focus()
    page.keyboard.press("Enter")
    page.locator('[data-testid="stPopoverBody"] input').first.wait_for()
    complete(page)
    page.keyboard.press("Tab")
    page.wait_for_function("document.activeElement.closest('[data-testid=stPopoverBody]') !== null")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Best for"


def test_a_number_out_of_range_is_told_beside_the_old_answer(visit: Callable[..., Any]) -> None:
    """The field became red, and the answer to the question before it stayed as it was."""
    page = visit(f"/?{FAST}")
    complete(page)
    told = "getComputedStyle(document.querySelector('.st-key-line'), '::before').content"
    assert page.evaluate(told) == "none"
    field = page.get_by_role("spinbutton", name="How many")
    for number in ("5000", "0"):
        field.fill(number)
        field.press("Enter")
        page.wait_for_function(f"{told}.includes('Not answered')")
    field.fill("2")
    field.press("Enter")
    answer(page).get_by_text("2× RTX 5090").wait_for()
    assert page.evaluate(told) == "none"
