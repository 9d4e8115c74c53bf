"""How much slower the app is than a bare Streamlit page with the same elements and constant data.

    python -m benchmarks.web [--presses 120] [--loads 9] [--json]

Both pages are driven in turn in one Chromium on this machine: from a key press on the context
slider until the number is on screen (never the same deployment twice, so nothing is answered from
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
from benchmarks.web_server import FLAGS, PATIENCE, ROOT, chromium, served
from planner.web.choices import contexts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOST = 1.3
"""Largest ratio asked for."""

NATIVE = 262_144
HARDWARE = "on=h200-sxm&count=8&model=Qwen3.5-9B&precision=bf16"
"""Holds every step of the slider, so that the verdict names the tokens."""

_ARM = """needle => {
  window.arrived = null;
  let start = null;
  addEventListener('keydown', () => { start = performance.now(); }, {capture: true, once: true});
  const look = () => {
    const alert = document.querySelector('[data-testid="stAlert"]');
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
    const alert = document.querySelector('[data-testid="stAlert"]');
    if (alert && alert.textContent.includes('tokens')) {
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
    """Milliseconds from each key press to its number, walking the slider over `steps`."""
    handle = page.get_by_role("slider").first
    handle.focus()
    times = []
    for tokens in steps:
        page.evaluate(_ARM, f"{tokens:,} tokens")
        handle.press("ArrowRight")
        page.wait_for_function("window.arrived !== null")
        times.append(float(page.evaluate("window.arrived")))
        _settled(page)
    return times


def measure(presses: int, loads: int) -> dict[str, Any]:
    """Times of both pages in milliseconds, and their ratios.

    Raises:
        SystemExit: there is no Chromium here.
    """
    from playwright.sync_api import sync_playwright

    found = chromium()
    if found is None:
        raise SystemExit("no Chromium here: set CHROMIUM to its path")
    app_steps = contexts(NATIVE)[1:]
    bare_steps = tuple(4096 * step // 2 for step in range(3, 3 + len(app_steps)))
    keys: dict[str, list[float]] = {"app": [], "bare": []}
    first: dict[str, list[float]] = {"app": [], "bare": []}
    with (
        served(ROOT / "app.py") as app,
        served(ROOT / "benchmarks" / "bare_page.py") as bare,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        for address in (app, bare):  # the servers' own first imports are nobody's page
            _opened(browser, address)[0].context.close()
        for _ in range(loads):
            for name, address in (("app", app), ("bare", bare)):
                page, taken = _opened(browser, address)
                first[name].append(taken)
                page.context.close()
        concurrency = 1
        while len(keys["app"]) < presses:
            concurrency += 1
            query = f"{HARDWARE}&concurrency={concurrency}&context=4k"
            for name, address, steps in (
                ("app", f"{app}/?{query}", app_steps),
                ("bare", bare, bare_steps),
            ):
                page, _ = _opened(browser, address)
                keys[name] += _presses(page, steps)
                page.context.close()
        browser.close()
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
