"""How much slower the app is than a bare Streamlit page with the same elements and constant data.

    python -m benchmarks.web [--presses 120] [--loads 9] [--json]

Both pages are driven in turn in one Chromium on this machine: from a key press in the field of
users until the number is on screen (never the same deployment twice, so nothing is answered from
a cache), and from a fresh browser context until the verdict can be read. Asked: ratios of at most
1.3 at p50 and p95.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.fidelity import quantile
from benchmarks.web_server import PATIENCE, ROOT, browsing, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOST = 1.3
"""Largest ratio asked for."""

STEPS = 24
"""Key presses on one page."""

QUESTION = "v=2&on=h200-sxm&count=8&model=Qwen3.5-9B&weights=bf16&with=vllm&users=1"
"""Holds every step, so that the answer names the users."""

_ARM = """needle => {
  window.arrived = null;
  let start = null;
  addEventListener('keydown', () => { start = performance.now(); }, {capture: true, once: true});
  const look = () => {
    const alert = document.querySelector('.st-key-answer');
    if (start !== null && alert && alert.textContent.includes(needle)) {
      observer.disconnect();
      requestAnimationFrame(() => { window.arrived = performance.now() - start; });
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, {subtree: true, childList: true, characterData: true});
}"""

_FIRST = """() => {
  const look = () => {
    const alert = document.querySelector('.st-key-answer');
    if (alert && alert.textContent.includes('spare')) {
      observer.disconnect();
      requestAnimationFrame(() => { window.readable = performance.now(); });
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document, {subtree: true, childList: true, characterData: true});
}"""


def _settled(page: Page) -> None:
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_selector(".js-plotly-plot .main-svg")


def _opened(browser: Browser, address: str) -> tuple[Page, float]:
    """A page in a fresh context, and milliseconds until its verdict could be read."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE * 4)
    page.add_init_script(f"({_FIRST})()")
    page.goto(address)
    page.wait_for_function("window.readable !== undefined")
    taken = float(page.evaluate("window.readable"))
    _settled(page)
    return page, taken


def _presses(page: Page, steps: Sequence[int]) -> list[float]:
    """Milliseconds from each key press to its number, counting the users up over `steps`."""
    field = page.get_by_role("spinbutton", name="Users").first
    field.focus()
    times = []
    for users in steps:
        page.evaluate(_ARM, f" {users} users")
        field.press("ArrowUp")
        page.wait_for_function("window.arrived !== null")
        times.append(float(page.evaluate("window.arrived")))
        _settled(page)
    return times


def measure(presses: int, loads: int) -> dict[str, Any]:
    """Times of both pages in milliseconds, and their ratios.

    Raises:
        SystemExit: there is no Chromium here.
    """
    steps = range(2, 2 + STEPS)
    keys: dict[str, list[float]] = {"app": [], "bare": []}
    first: dict[str, list[float]] = {"app": [], "bare": []}
    with (
        browsing() as browser,
        served(ROOT / "app.py") as app,
        served(ROOT / "benchmarks" / "bare_page.py") as bare,
    ):
        for address in (app, bare):  # the servers' own first imports are nobody's page
            _opened(browser, address)[0].context.close()
        for _ in range(loads):
            for name, address in (("app", app), ("bare", bare)):
                page, taken = _opened(browser, address)
                first[name].append(taken)
                page.context.close()
        tokens = 4096
        while len(keys["app"]) < presses:
            tokens += 1024  # another question each time: nothing is answered from a cache
            for name, address in (("app", f"{app}/?{QUESTION}&context={tokens}"), ("bare", bare)):
                page, _ = _opened(browser, address)
                keys[name] += _presses(page, steps)
                page.context.close()
    return {
        "key_to_number": _compared(keys),
        "first_load": _compared(first),
        "presses": len(keys["app"]),
        "loads": loads,
    }


def _compared(times: dict[str, list[float]]) -> dict[str, Any]:
    rows = {
        name: {"p50": round(median(found), 1), "p95": round(quantile(found, 0.95), 1)}
        for name, found in times.items()
    }
    ratios = {
        f"ratio_{key}": round(rows["app"][key] / rows["bare"][key], 2) for key in ("p50", "p95")
    }
    return rows | ratios


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 3 if a ratio is above what was asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--presses", type=int, default=120)
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    report = measure(max(1, options.presses), max(1, options.loads))
    if options.json:
        print(json.dumps(report))
    else:
        for what in ("key_to_number", "first_load"):
            row = report[what]
            print(
                f"{what:14} app {row['app']['p50']}/{row['app']['p95']} ms,"
                f" bare {row['bare']['p50']}/{row['bare']['p95']} ms (p50/p95);"
                f" ratio {row['ratio_p50']}/{row['ratio_p95']}, asked at most {MOST}"
            )
    rows = (report["key_to_number"], report["first_load"])
    ratios = [row[f"ratio_{key}"] for row in rows for key in ("p50", "p95")]
    return 0 if max(ratios) <= MOST else 3


if __name__ == "__main__":
    sys.exit(main())
