"""The page of engine options is the one that the declarations make."""

from pathlib import Path

from planner.report.options import options_markdown

PAGE = Path(__file__).parents[1] / "docs" / "options.md"


def test_the_page_is_current() -> None:
    """`python -m planner.report.options > docs/options.md` renews it."""
    assert PAGE.read_text("utf-8") == options_markdown()
