"""Put on a page what is not this app's own words: as it stands."""

from __future__ import annotations

import re

from planner.errors import printable

_MARKS = {ord(c): f"\\{c}" for c in "\\|*_`$[]<>~:&"}
_ADDRESS = re.compile(r"//|@|www(?=\.)", re.IGNORECASE)
_JOINER = "\u2060"
_ICON = re.compile(r":(?=[\w+/-]+:)")
_SIGN = re.compile(r"(?<!\S)(?=(?:<->|->|<-|--|>=|<=|~=)(?!\S))")
"""Streamlit makes icons and signs of these once the text is taken apart, when no backslash is left.

Source: Streamlit 1.67 frontend, StreamlitMarkdown.
"""


def escape(text: object) -> str:
    """Return `text` as it stands, without Markdown meaning: whatever is not this app's own words.

    Addresses in it become no links: a reader would take them for the app's. Markdown links a bare
    address even where its marks are escaped; an invisible joiner is what keeps it from that, and
    icons and signs (":material/home:", "->") from being made of it.
    """
    line = " ".join(printable(str(text)).split())
    line = _SIGN.sub(_JOINER, _ICON.sub(f":{_JOINER}", line))
    return _ADDRESS.sub(rf"\g<0>{_JOINER}", line.translate(_MARKS))
