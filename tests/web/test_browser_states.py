"""States that a visitor makes by hand, on a phone and for assistive technology, in both themes."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from benchmarks.web_server import chromium, complete
from planner.web.asked import Asked
from planner.web.comparing import written
from tests.cli.test_check import LOG
from tests.web.test_browser_hands import tab_to
from tests.web.test_browser_pages import FAST, OF_COLOURS, answer, darken, serious

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium here"),
]

PHONE = {"width": 390, "height": 844}


def can_be_used(page: Any) -> None:
    """The page is no wider than a phone, and axe finds nothing serious in either theme."""
    complete(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert serious(page) == []
    darken(page)
    assert serious(page, *OF_COLOURS) == []


def test_a_row_of_what_fits_that_was_clicked(visit: Callable[..., Any]) -> None:
    page = visit(f"/fits?{FAST}&fits-groups=Two+GPUs", **PHONE)
    complete(page)
    box = page.locator('[data-testid="stDataFrame"]').first.bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + 38 + 35 * 1.5)
    page.wait_for_url(lambda url: urlsplit(url).path == "/")
    answer(page).get_by_text("2× RTX 3090").wait_for()
    can_be_used(page)


def test_four_compared(visit: Callable[..., Any]) -> None:
    kept = [
        written(Asked(on=on, model="Qwen3.5-9B", weights="bf16", engine="vllm", context="4k"))
        for on in ("rtx-4090", "rtx-3090", "h100")
    ]
    page = visit(f"/compare?{FAST}&{urlencode({'compare': kept}, doseq=True)}", **PHONE)
    page.get_by_text("3 kept").wait_for()
    page.get_by_role("table").nth(3).wait_for()
    can_be_used(page)
    tab_to(page, ".st-key-compare-take-3", most=80)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlsplit(url).path == "/")
    answer(page).get_by_text("H100").wait_for()


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        (LOG, "All 3 figures"),
        (LOG.replace("623,040", "587,504"), "1 of 3 figures contradicts the plan"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "Cannot be compared"),
    ],
)
def test_a_log_pasted_without_a_mouse(visit: Callable[..., Any], pasted: str, said: str) -> None:
    on_spark = FAST.replace("rtx-5090", "dgx-spark")
    page = visit(f"/trust?{on_spark}&trust-tab=Check+a+log", **PHONE)
    complete(page)
    tab_to(page, ".st-key-trust-log textarea")
    page.keyboard.insert_text(pasted)
    tab_to(page, "[data-testid=stFormSubmitButton] button")
    page.keyboard.press("Enter")
    page.get_by_text(said).first.wait_for()
    can_be_used(page)


@pytest.mark.parametrize("path", ["/", "/trust", "/explore", "/compare"])
def test_fewer_held_than_asked_for(visit: Callable[..., Any], path: str) -> None:
    page = visit(f"{path}?{FAST.replace('context=4k', 'context=128k')}&users=64", **PHONE)
    page.get_by_text("of 64").first.wait_for()
    can_be_used(page)
