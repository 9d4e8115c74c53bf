"""What fits, Explore, Compare, Trust and the reference pages in a browser: clicks, logs, phones."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from benchmarks.web_server import chromium, complete
from planner.web.views import explore, trust
from tests.cli.test_check import LOG

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium() is None, reason="no Chromium here"),
]

FAST = "v=2&model=Qwen3.5-9B&weights=bf16&with=vllm&context=4k&on=rtx-5090"
PAGES = (
    f"/fits?{FAST}&fits-groups=Two+GPUs",
    *(f"/explore?{FAST}&count=2&{urlencode({'explore-tab': tab})}" for tab in explore.TABS),
    f"/compare?{FAST}",
    *(f"/trust?{FAST}&{urlencode({'trust-tab': tab})}" for tab in trust.TABS),
    f"/models?{FAST}",
    f"/hardware?{FAST}",
)


def answer(page: Any) -> Any:
    return page.locator(".st-key-answer").first


def test_a_row_of_what_fits_becomes_the_question(visit: Callable[..., Any]) -> None:
    page = visit(f"/fits?{FAST}&fits-groups=Two+GPUs")
    says = page.get_by_text("as they are").inner_text()
    complete(page)
    table = page.locator('[data-testid="stDataFrame"]').first
    box = table.bounding_box()
    page.mouse.click(box["x"] + 60, box["y"] + 38 + 35 * 1.5)  # the second row: the first is yours
    page.wait_for_url(lambda url: urlsplit(url).path == "/")
    answer(page).get_by_text("2× RTX 3090").wait_for()
    complete(page)
    asked = parse_qs(urlsplit(page.url).query)
    assert (asked["on"], asked["count"]) == (["rtx-3090"], ["2"])
    assert asked["weights"] == ["bf16"]
    page.go_back()  # one step: to the table as it was, which does not choose the row again
    page.wait_for_url(lambda url: urlsplit(url).path == "/fits")
    answer(page).get_by_text("RTX 5090").wait_for()
    page.get_by_text(says).wait_for()  # of the same machines: the filter is as it was
    page.wait_for_function("location.search.includes('on=rtx-5090')")
    complete(page)
    asked = parse_qs(urlsplit(page.url).query)
    assert (asked["on"], asked["fits-groups"]) == (["rtx-5090"], ["Two GPUs"])
    page.go_forward()
    page.wait_for_url(lambda url: urlsplit(url).path == "/")
    answer(page).get_by_text("2× RTX 3090").wait_for()


def test_a_log_is_pasted_and_compared(visit: Callable[..., Any]) -> None:
    page = visit(f"/trust?{FAST.replace('rtx-5090', 'dgx-spark')}&trust-tab=Check+a+log")
    page.get_by_role("textbox", name="Start-up log").fill(LOG + "api_key='sk-verysecret1234'\n")
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("All 3 figures").wait_for()
    complete(page)
    shown = page.locator("[data-testid=stMain]").inner_text()
    assert "sk-verysecret1234" not in shown
    assert page.outside == []


def test_a_log_file_is_compared(visit: Callable[..., Any], tmp_path: Any) -> None:
    path = tmp_path / "start.log"
    path.write_text(LOG.replace("623,040", "587,504"), encoding="utf-8")
    page = visit(f"/trust?{FAST.replace('rtx-5090', 'dgx-spark')}&trust-tab=Check+a+log")
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_text("start.log").wait_for()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("1 of 3 figures contradicts the plan").wait_for()


def test_what_is_kept_can_be_compared_by_a_link(visit: Callable[..., Any]) -> None:
    page = visit(f"/compare?{FAST}")
    page.get_by_role("button", name="Keep this one").click()
    page.get_by_text("1 kept").wait_for()
    page.wait_for_function("new URLSearchParams(location.search).getAll('compare').length === 1")
    link = urlsplit(page.url)
    other = visit(f"{link.path}?{link.query.replace('rtx-5090', 'rtx-4090', 1)}")
    other.get_by_role("button", name="Remove").wait_for()
    other.get_by_role("table").nth(1).wait_for()
    cards = other.get_by_role("table").all_inner_texts()
    assert len(cards) == 2
    assert "RTX 4090" in cards[0]
    assert "RTX 5090" in cards[1]


def test_a_chosen_row_is_in_the_address_and_back_undoes_it(visit: Callable[..., Any]) -> None:
    page = visit("/models?v=2&model=Qwen3.5-9B")
    page.get_by_text("checkpoints that can be downloaded").first.wait_for()
    page.locator("[data-testid=stDataFrame] canvas").first.wait_for()
    page.wait_for_function("location.search.includes('users=1')")
    complete(page)
    box = page.locator("[data-testid=stDataFrame]").first.bounding_box()
    taken = []
    for row in (1.5, 3.5):
        before = page.url
        page.mouse.click(box["x"] + 15, box["y"] + 38 + 35 * row)
        page.wait_for_function("before => location.href !== before", arg=before)
        complete(page)
        taken.append(parse_qs(urlsplit(page.url).query)["models-checkpoint"][0])
        page.get_by_text(f"What is stored how in {taken[-1]}").wait_for()
    assert taken[0] != taken[1]
    page.go_back()
    page.get_by_text(f"What is stored how in {taken[0]}").wait_for()
    fresh = visit(f"/models?{urlsplit(page.url).query}")
    fresh.get_by_text(f"What is stored how in {taken[0]}").wait_for()


_COVERED = """() => {
  const covered = [];
  const bars = [...document.querySelectorAll('[data-testid=stElementToolbar]')];
  for (const control of document.querySelectorAll('button, input, [role=tab], [role=combobox]')) {
    if (control.closest('[data-testid=stElementToolbar], canvas, [data-testid=stDataFrame]')) continue;
    if (control.closest('.st-key-by-keyboard')) continue;  // seen while it has the focus
    const box = control.getBoundingClientRect();
    if (!box.width || !box.height || box.right > innerWidth) continue;
    for (const bar of bars) {
      const over = bar.getBoundingClientRect();
      if (over.width && box.left < over.right && over.left < box.right
          && box.top < over.bottom && over.top < box.bottom) covered.push(control.innerText);
    }
  }
  return covered;
}"""


@pytest.mark.parametrize("path", ["/", f"/?{FAST.replace('rtx-5090', 'rtx-3060-12')}", *PAGES])
def test_every_page_on_a_phone_and_for_assistive_technology(
    visit: Callable[..., Any], path: str
) -> None:
    """One visit for all that is asked of the same page: opening it costs more than each look."""
    page = visit(path, width=390, height=844)
    complete(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(_COVERED) == []
    wide = page.evaluate(
        "[...document.querySelectorAll('[data-testid=stMarkdownContainer] p')]"
        ".filter(p => !p.closest('[data-testid=stTable]')"
        " && p.getBoundingClientRect().right > innerWidth + 1).map(p => p.innerText)"
    )
    assert [words for words in wide if not re.match(r"\w+( \w+){0,3}$", words)] == []
    page.set_viewport_size({"width": 1280, "height": 860})
    complete(page)
    assert serious(page) == []
    darken(page)
    assert serious(page, *OF_COLOURS) == []


OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules of axe that the theme can break; all others see the same page in both."""


def serious(page: Any, *rules: str) -> list[tuple[str, list[str]]]:
    """What axe finds serious, of these rules or of all: rule, and where."""
    from axe_playwright_python.sync_playwright import Axe

    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **only}).response
    return [
        (entry["id"], [node["html"][:160] for node in entry["nodes"]])
        for entry in found["violations"]
        if entry["impact"] in ("serious", "critical")
    ]


def darken(page: Any) -> None:
    """The system's theme becomes dark: wait until page and charts are."""
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(DARK)


DARK = """() => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor
  === 'rgb(18, 22, 28)' && [...document.querySelectorAll('.js-plotly-plot .xtick text, .legendtext')]
  .every(text => getComputedStyle(text).fill === 'rgb(232, 237, 244)')"""


def test_a_pasted_log_and_its_tab_are_there_after_another_page(visit: Callable[..., Any]) -> None:
    page = visit("/trust?v=2&on=rtx-5090&model=Qwen3.5-9B&trust-tab=Check+a+log")
    field = page.locator(".st-key-trust-log textarea")
    field.fill("torch.OutOfMemoryError: CUDA out of memory.")
    page.get_by_role("button", name="Compare").last.click()
    page.get_by_text("Cannot be compared").wait_for()
    steps = page.evaluate("history.length")
    page.get_by_role("link", name="Run it").click()
    page.get_by_text("What to type").first.wait_for()
    page.wait_for_function("location.search.includes('v=2') && !location.search.includes('trust')")
    assert page.evaluate("history.length") == steps + 1  # Streamlit alone makes three
    page.go_back()
    page.get_by_text("Cannot be compared").wait_for()
    page.wait_for_function(
        "document.querySelector('.st-key-trust-log textarea')?.value.includes('OutOfMemoryError')"
    )
