"""Join lines of a log that a terminal broke at its width, or that were folded where they were quoted.

Only what somebody pastes is looked at: a log of more lines than `MOST_LINES` came from a file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, pairwise

MOST_LINES = 2_000
"""Lines of a text that may have been copied from a terminal."""

MOST_LENGTH = 2**20
"""Characters of such a text."""

NARROWEST, WIDEST = 40, 400
"""Columns that terminals have."""

LEAST_CUE = 12
"""Characters of words that are telling enough to be looked for over the end of a line."""

_SEEN = 90
"""Characters on either side of a line's end in which such words are looked for."""

_RECORD = re.compile(
    r"\s{2}|\t|[\w.-]{1,60}\s{1,20}\| |\s*(?:[|#$>^`]|\[[\dA-Z]|\([A-Z][A-Za-z]+|(?:19|20)\d{2}[-/.]\d{2}|\d{2}[:-]\d{2}|--\w|time=|level="
    r"|(?:INFO|WARN|WARNING|ERROR|DEBUG|TRACE|FATAL|CRITICAL|Traceback|File|During|Error|Exception)\b"
    r"|(?:\w{1,60}_\w{1,60}|[\w.]{0,80}(?:Error|Exception|Warning)|main|build|libc\+\+abi|(?:srv|slot|que) +\w{1,40})\s*: )"
)
"""How a line begins that is no rest of the one before it."""
_GOES_ON = re.compile(r"(?:(?<![\w.])[A-Za-z][a-z']*| |[,(/=-])$")
_RESTS = re.compile(r" ?\(?[a-z\d]")
"""How a line ends whose last word or sentence goes on, and how its rest begins; of two numbers nobody
can tell whether they are one."""
_ARGUMENTS = re.compile(r"\bargs: *(?:$|\{)|server_args=ServerArgs\(|\) with config: *$")
"""Where the arguments begin that a server prints: brackets around them tell where they end."""
MOST_ARGUMENTS = 20_000
"""Characters of arguments that are joined."""
_ALIKE = 6
"""Characters with which lines of one program begin alike."""


def unbroken(
    lines: Iterable[str], cues: Collection[str], messages: Collection[str] = ()
) -> Iterator[str]:
    """Yield the lines of a log, those that were broken in one piece again.

    Lines that fill the width of all others go on in the next one, where several do or where the break
    is inside a word; whatever their length, two lines are one where telling words run over the end of
    the first.

    Args:
        lines: the log.
        cues: characters by which lines of logs are told.
        messages: characters of messages that go on in the next line where that begins in the middle of a
            sentence.
    """
    source, head, length = iter(lines), list[str](), 0
    for line in source:
        head.append(line)
        length += len(line)
        if len(head) > MOST_LINES or length > MOST_LENGTH:
            yield from chain(head, source)
            return
    cues = [cue for cue in cues if len(cue) >= LEAST_CUE]
    if all(line.startswith(">") or not line.strip() for line in head):  # quoted, as in a letter
        head = [line.removeprefix(">").removeprefix(" ") for line in head]
    yield from _folded(
        _broken([line.rstrip("\r\n") for line in head], cues, messages), cues, messages
    )


def _broken(lines: Sequence[str], cues: Collection[str], messages: Collection[str]) -> list[str]:
    """Return the lines with those joined that a terminal broke at its last column."""
    width = max(map(len, lines), default=0)
    if not NARROWEST <= width <= WIDEST:
        return list(lines)
    several = (
        sum(len(one) == width and _may_be_rest(one, other) for one, other in pairwise(lines)) > 1
    )
    known = {word for cue in (*cues, *messages) for word in cue.split() if len(word) > 3}
    joined = list(lines[:1])
    for line, after in pairwise(lines):
        # a copy leaves out the space at the end; a fold between words has none
        space = " " if len(line) == width - 1 or _are_words(line, after, known) else ""
        fills = len(line) == width or (several and len(line) == width - 1)
        spaced = after.startswith(" ") or line.endswith(" ")
        inside = spaced or bool(_RESTS.match(after) and _GOES_ON.search(line))
        inside = inside or any(message in joined[-1] for message in messages)
        goes_on = fills and _may_be_rest(line, after) and (several or inside)
        if goes_on or (len(line) >= width - 1 and _runs_over(line, space, after, cues)):
            joined[-1] += space + after
        else:
            joined.append(after)
    return joined


def _folded(
    lines: Sequence[str], cues: Collection[str], messages: Collection[str]
) -> Iterator[str]:
    """Yield the lines, in one piece those over whose end telling words run, and messages."""
    whole: str | None = None
    for line in lines:
        if whole is None:
            whole = line
        elif line and (
            _runs_over(whole, " ", line.lstrip(), cues)
            or _ends_in(whole, line, messages)
            or _is_open(whole, line)
        ):
            whole = f"{whole.rstrip()} {line.lstrip()}"
        elif line and _runs_over(whole, "", line, cues):
            whole += line
        else:
            yield whole
            whole = line
    if whole is not None:
        yield whole


def _is_open(line: str, after: str) -> bool:
    """Say whether arguments begin in a line, do not end in it, and may go on in the next one."""
    begins = _ARGUMENTS.search(line) if len(line) < MOST_ARGUMENTS else None
    if begins is None or not _may_be_rest(line, after):
        return False
    behind = line[begins.start() :]
    is_empty = behind.rstrip().endswith(":")
    return is_empty or sum(map(behind.count, "{[(")) > sum(map(behind.count, "}])"))


def _ends_in(line: str, after: str, messages: Collection[str]) -> bool:
    """Say whether a message is in a line and goes on in the next one."""
    middle = _RESTS.match(after) is not None and _may_be_rest(line, after)
    return middle and any(message in line for message in messages)


def _are_words(line: str, after: str, known: Collection[str]) -> bool:
    """Say whether a line ends with a whole word and the next begins with one."""
    last, first = line.rpartition(" ")[2], after.partition(" ")[0].rstrip(",.;:")
    return last in known and first in known


def _may_be_rest(line: str, after: str) -> bool:
    """Say whether a line may go on in the next one, which does not begin as it does nor as records do."""
    alike = after[:_ALIKE] == line[:_ALIKE]
    return bool(after.strip()) and not alike and _RECORD.match(after) is None


def _runs_over(line: str, space: str, after: str, cues: Collection[str]) -> bool:
    """Say whether words of which neither line holds the whole run from one into the other."""
    end, start = line[-_SEEN:], after[:_SEEN]
    both = end + space + start
    return any(cue in both and cue not in end and cue not in start for cue in cues)
