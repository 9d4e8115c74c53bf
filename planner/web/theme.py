"""What the visitor's theme, light or dark, means for figures. The themes are in `config.toml`."""

from __future__ import annotations

import streamlit as st

from planner.web.palette import (
    DARK_THEME_EDGE,
    DARK_THEME_GROUND,
    DARK_THEME_TEXT,
    LIGHT_THEME_EDGE,
    LIGHT_THEME_GROUND,
    LIGHT_THEME_TEXT,
)

WORDS = "factor"
"""A language of Streamlit's highlighter whose tokens are the words between spaces, as a command's are."""


def is_dark() -> bool:
    """Return whether the visitor's theme is the dark one."""
    return bool(st.context.theme.type == "dark")


def text_colour() -> str:
    """Colour of text in figures; Streamlit's own grey is too faint on white."""
    return DARK_THEME_TEXT if is_dark() else LIGHT_THEME_TEXT


_FOLLOW = f"""<style>
.stPlotlyChart :is(.xtick, .ytick, .legend, .annotation, .g-xtitle, .g-ytitle) text,
:is(.st-key-memory-bar, .st-key-compare-bars) .xy .barlayer .trace:last-child text {{ fill: currentColor !important; }}
[data-testid="stLayoutWrapper"]:has(> .st-key-line) {{
    position: sticky; top: 3.75rem; z-index: 90; padding: 0.6rem 0;
    background: light-dark({LIGHT_THEME_GROUND}, {DARK_THEME_GROUND});
    border-bottom: 1px solid light-dark({LIGHT_THEME_EDGE}, {DARK_THEME_EDGE});
}}
[data-testid="stSkillsNudgeAnchor"] {{ display: none }}
[data-testid="stSidebar"]:not(:has([data-testid="stSidebarCollapseButton"])) {{ visibility: hidden }}
.st-key-line:has([data-testid="stSpinner"]) .st-key-answer {{ opacity: 0.4 }}
.stMain:has(.st-key-question [aria-invalid="true"]) .st-key-answer {{ opacity: 0.4 }}
.stMain:has(.st-key-question [aria-invalid="true"]) .st-key-line::before {{
    content: "Not answered. The number in the red field is out of its range; below is the answer to the one before.";
}}
[data-testid="stElementContainer"]:has(> .stHtml > script) {{ position: absolute }}
.st-key-compare-cards th p, .st-key-how-sure th p {{ white-space: nowrap !important }}
[data-testid="stTable"] td {{ overflow-wrap: anywhere }}
.st-key-formats :is(th, td:not(:last-child)) p {{ white-space: nowrap !important }}
.st-key-line .stMarkdownColoredText, [data-testid="stWidgetLabel"] code {{ white-space: nowrap }}
.st-key-formats td:last-child * {{ overflow-wrap: anywhere }}
[data-testid="stTable"] td [data-testid="stMarkdownContainer"] {{ max-width: none }}
.st-key-front-take button {{ height: auto }}
.st-key-front-take button p {{ white-space: normal !important; text-align: left }}
.language-{WORDS} .token {{ display: inline-block; max-width: 100%; color: inherit !important }}
:is(.st-key-answer, .st-key-picked) strong {{ display: inline-block; max-width: 100% }}
[data-testid="stMain"] {{ scroll-padding: 9rem 0 2rem }}
[data-testid="stTopNavLink"]:focus-visible, .stMain:focus-visible {{ outline: 2px solid; outline-offset: 1px }}
.stMain:focus-visible {{ outline-offset: -3px }}
[data-testid="stLayoutWrapper"]:has(> .st-key-by-keyboard:not(:focus-within)) {{
    height: 0; margin-top: -1rem; overflow: hidden; opacity: 0
}}
@media (max-width: 640px) {{
    [data-testid="stTable"] :is(th, td) {{ padding: 0.3rem 0.3rem !important }}
    [data-testid="stCode"] code {{ font-size: 0.75rem !important }}
}}
[data-testid="stCode"]:focus-within > div:has([data-testid="stElementToolbarButton"]),
[data-testid="stCode"]:focus-within [data-testid="stElementToolbarButton"] * {{
    opacity: 1 !important; visibility: visible !important
}}
@media (hover: none) {{
    [data-testid="stCode"] pre {{ padding-right: 3.5rem }}
    [data-testid="stCode"] > div:has([data-testid="stElementToolbarButton"]) {{
        opacity: 1 !important; visibility: visible !important
    }}
    [data-testid="stCode"] [data-testid="stElementToolbarButton"] * {{ visibility: visible !important }}
}}
@media (min-width: 641px) {{
    [data-testid="stLayoutWrapper"]:has(> .st-key-fold) {{ display: none }}
}}
</style>"""
"""Text of figures takes the page's colour; the answer stays below the menu; Streamlit's
advertisement, which comes with a browser that it opened, lies over nothing; a closed menu has no links; an answer is dim
while the next one is computed, and under a field with a number that Streamlit does not send; scripts take no room; names of rows stay on one
line, long words break and sentences take the room that there is; a word of a command stays whole
(Chromium would break it after each hyphen), as does a name in the answer that a line has room for; what has the focus is seen, and not below the menu; a
keyboard's field for a table shows while it is used; pickers fold and tables are narrow on
phones; who cannot hover, or comes by keyboard, sees the button that copies. Streamlit 1.67 has no part for these."""

_MANNERS = """<script>
if (!window.hasManners) {
  window.hasManners = true;
  const soon = (find, tries) => {
    const found = find();
    if (found) found.focus(); else if (tries) setTimeout(soon, 50, find, tries - 1);
  };
  const enter = field => {
    const key = {key: 'Enter', code: 'Enter', keyCode: 13, bubbles: true, cancelable: true};
    field.dispatchEvent(new KeyboardEvent('keydown', key));
  };
  document.addEventListener('keydown', event => {
    const field = event.target;
    if (event.key === 'Enter' && field.closest('.st-key-by-keyboard')) {
      const page = location.pathname;
      soon(() => document.activeElement === document.body && location.pathname === page
        && document.querySelector('.st-key-by-keyboard input'), 200);
    }
    if (event.key !== 'Tab') return;
    if (!event.shiftKey && field.closest('[data-testid="stPopover"] [aria-expanded="true"]')) {
      const body = kind => document.querySelector(`[data-testid="stPopoverBody"] ${kind}`);
      event.preventDefault();
      soon(() => body('input') ?? body('button'), 100);
    }
    const inTables = document.querySelectorAll('.stMain:has(.st-key-by-keyboard) canvas');
    for (const table of inTables) table.tabIndex = -1;
    if (event.shiftKey || !field.value) return;
    if (!field.closest('.st-key-pickers') || field.getAttribute('aria-expanded') !== 'true') return;
    enter(field);
  }, true);
  const link = event => event.target.closest?.('[data-testid$="NavLink"]');
  let typing = false;
  document.addEventListener('pointerdown', event => {
    const field = document.activeElement;
    typing = Boolean(link(event)) && field.matches('.stMain input, .stMain textarea');
    if (typing && field.value && field.getAttribute('aria-expanded') === 'true') enter(field);
  }, true);
  document.addEventListener('click', event => {
    const chosen = link(event);
    if (!typing || !chosen) return;
    typing = false;
    event.preventDefault();
    event.stopImmediatePropagation();
    const asked = () => document.querySelector('[data-test-script-state="rerunRequested"]');
    const follow = tries => { if (asked() && tries) setTimeout(follow, 50, tries - 1); else chosen.click() };
    setTimeout(follow, 100, 600);
  }, true);
  document.addEventListener('click', event => {
    const close = document.querySelector('[data-testid="stSidebarCollapseButton"] button');
    if (event.target.closest('[data-testid="stSidebarNavLink"]')) setTimeout(() => close?.click());
  });
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  let acted = false;
  for (const act of ['pointerdown', 'keydown']) addEventListener(act, () => { acted = true }, true);
  addEventListener('popstate', () => { acted = false }, true);
  history.pushState = (...entry) => { (acted ? push : replace)(...entry); acted = false };
}
</script>"""
"""Tab in a field with a list takes what was typed, as Enter does; Streamlit 1.67 drops it. It goes into
what was opened, and waits for its fields, and goes past a table whose cells are taken when they are reached: the field
above it is the keyboard's, and has the focus again where what it took drew it anew. What was typed is
taken before a page that is pressed next is shown: Streamlit heard of both at once, showed the page before
and lost the question. A phone's menu closes
once a page is chosen in it: Streamlit leaves it over that page. And what a visitor does is one entry of the
browser's history: for a page and its question Streamlit makes two or three, among them the old page with the
new question, and each of them would ask for one more Back."""

_FOLD = """<style>
@media (max-width: 640px) {
    [data-testid="stLayoutWrapper"]:has(> .st-key-pickers) { display: none }
}
</style>"""


def fold() -> None:
    """Hide the pickers on a phone; a button shows them."""
    st.html(_FOLD)


def follow_theme() -> None:
    """Let text in figures take the page's text colour at once when the visitor changes the theme.

    Streamlit does not run the page again then, so the colour drawn into a figure would stay.
    """
    st.html(_FOLLOW)


def show_command(text: str) -> None:
    """Show commands that can be copied; a line is broken between words, never within a flag."""
    st.code(text, language=WORDS, wrap_lines=True)


def begin_at_top(page: str) -> None:
    """Show a page from its top: Streamlit keeps how far the one before was scrolled.

    Args:
        page: its name. The script is drawn in every run, so that what follows keeps its place.
    """
    st.html(
        f"<script>if (window.pageShown !== '{page}') {{ window.pageShown = '{page}';"
        " document.querySelector('[data-testid=stMain]')?.scrollTo(0, 0); }</script>",
        unsafe_allow_javascript=True,
    )


def behave() -> None:
    """Let Tab take what was typed into a picker, and Back undo one step at a time."""
    st.html(_MANNERS, unsafe_allow_javascript=True)
