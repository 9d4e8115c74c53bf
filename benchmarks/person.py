"""Somebody at the page: types into its fields, clicks and reads, at the pace of a hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.web_server import complete

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_KEY, _LOOK = 90, 900
"""Milliseconds: of a key, and to find the next thing to click."""


class Person:
    """Somebody at the page, who sees what is drawn and knows nothing of addresses."""

    def __init__(self, page: Page, *, phone: bool) -> None:
        self.page, self._phone = page, phone

    def pick(self, picker: str, typed: str, choose: str = "") -> None:
        """Type into a list; take what it offers, or the line with `choose` in it."""
        field = self._shown(self.page.get_by_role("combobox", name=picker).first)
        field.click()
        self.page.keyboard.type(typed, delay=_KEY)
        offered = self.page.get_by_role("option").filter(has_text=choose).first
        offered.wait_for()
        self.page.wait_for_timeout(_LOOK)
        offered.click()
        complete(self.page)

    def count(self, field: str, number: int) -> None:
        """Put a number into a field."""
        box = self._shown(self.page.get_by_role("spinbutton", name=field).first)
        box.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(str(number), delay=_KEY)
        self.page.keyboard.press("Enter")
        complete(self.page)

    def switch_in_more(self, label: str) -> None:
        """Turn on a switch among what is asked less often, and close that."""
        self._shown(self.page.get_by_role("button", name="More").first).click()
        self.page.get_by_text("YaRN beyond").first.wait_for()
        self.page.get_by_text(label, exact=True).first.click()
        complete(self.page)
        self.page.keyboard.press("Escape")

    def go(self, title: str, tab: str = "") -> None:
        """Go to another page by the menu, and to one of its tabs."""
        self.page.keyboard.press("Escape")
        if self._phone:
            self.page.get_by_test_id("stExpandSidebarButton").click()
            self.page.wait_for_timeout(_LOOK)
        self.page.get_by_role("link", name=title, exact=True).first.click()
        complete(self.page)
        if tab:
            self.page.wait_for_timeout(_LOOK)
            self.page.get_by_role("tab", name=tab).click()
            complete(self.page)

    def read(self, *, below: bool = False) -> str:
        """All that can be read, with what is folded there where `below` is asked for."""
        self.page.wait_for_timeout(_LOOK)
        if below:
            for fold in self.page.locator("[data-testid=stExpander] summary").all():
                fold.click()
        complete(self.page)
        return str(self.page.locator("[data-testid=stMain]").inner_text()).replace("\u2060", "")

    def _shown(self, field: Locator) -> Locator:
        """A field of the question, unfolded on a phone."""
        self.page.wait_for_timeout(_LOOK)
        if self._phone and not field.is_visible():
            self.page.locator(".st-key-fold button").click()
            field.wait_for()
        return field
