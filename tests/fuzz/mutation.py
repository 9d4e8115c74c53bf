"""Valid things changed by dice: documents, bytes and texts.

`dice` is a `random.Random`: hypothesis hands in one whose throws it chooses and shrinks, the long
runs of `make fuzz` hand in a plain one, which is a hundred times as fast.
"""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

_NUMBERS = (0, 1, -1, 2, 3, 7, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, -(2**70))
_TEXTS = (
    "",
    "auto",
    "x",
    "re:.*",
    "(.|.)*!",
    "\x1b[31m",
    "\ud800",
    "9" * 5000,
    "../..",
    "*",
    "bf16",
    "Größe 模型",
    "\u202e",
)
_ACTIONS = ("replace", "remove", "scale", "add", "copy")
_LENGTHS = (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def odd(dice: Random) -> Any:
    """Return a value that no document holds at most places."""
    kind = dice.randrange(8)
    if kind == 0:
        return dice.choice((None, True, False))
    if kind in (1, 2):
        return dice.choice(_NUMBERS)
    if kind == 3:
        return dice.randrange(-300, 300_000)
    if kind in (4, 5):
        return dice.choice(_TEXTS)
    if kind == 6:
        return [dice.randrange(5) for _ in range(dice.randrange(5))]
    return dice.choice(([], {}, [[]], {"a": 1}, [None], 0.25))


def mutated(dice: Random, document: Any) -> Any:
    """Return `document` with some of its values, at any depth, replaced, removed, added or moved."""
    changed = copy.deepcopy(document)
    for _ in range(dice.randrange(5)):
        place = changed
        for _ in range(6):
            if not isinstance(place, dict | list) or not place:
                break
            key: Any = (
                dice.choice(sorted(place, key=str))
                if isinstance(place, dict)
                else dice.randrange(len(place))
            )
            inner = place[key]
            if isinstance(inner, dict | list) and inner and dice.randrange(4):
                place = inner
                continue
            _change(dice, place, key)
            break
    return changed


def _change(dice: Random, place: Any, key: Any) -> None:
    inner = place[key]
    action = dice.choice(_ACTIONS)
    if action == "remove":
        del place[key]
    elif action == "scale" and type(inner) is int:
        place[key] = inner * dice.choice((0, -1, 2, 3, 1000, 2**40))
    elif action == "add" and isinstance(place, dict):
        place[dice.choice(_TEXTS)] = odd(dice)
    elif action == "copy" and isinstance(place, list):
        place.insert(key, inner)
    else:
        place[key] = odd(dice)


def mutated_bytes(dice: Random, content: bytes) -> bytes:
    """Return `content` with some bytes changed, cut out, repeated or cut off."""
    changed = bytearray(content)
    for _ in range(dice.randrange(5)):
        at = dice.randrange(len(changed) + 1)
        action = dice.randrange(6)
        if action == 0:
            changed[at : at + 1] = dice.randbytes(1 + dice.randrange(3))
        elif action == 1:
            del changed[at : at + 1 + dice.randrange(16)]
        elif action == 2:
            changed[at:at] = changed[at : at + 8] * (1 + dice.randrange(8))
        elif action == 3 and dice.randrange(4) == 0:
            del changed[at:]
        elif action == 4:
            changed[at : at + 8] = dice.choice(_LENGTHS).to_bytes(8, "little")
        elif at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
    return bytes(changed)


def mutated_text(dice: Random, text: str) -> str:
    """Return `text` with words and characters changed."""
    kind = dice.randrange(4)
    if kind == 0:
        return mutated_bytes(dice, text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    words = text.split(" ")
    for _ in range(dice.randrange(5)):
        at = dice.randrange(len(words) + 1)
        action = dice.randrange(4)
        if action == 0:
            words[at:at] = [str(odd(dice))]
        elif action == 1:
            words[at:at] = words[at - 1 : at]
        elif action == 2:
            del words[at : at + 1]
        elif at < len(words):
            words[at] = mutated_bytes(dice, words[at].encode("utf-8", "surrogatepass")).decode(
                "utf-8", "replace"
            )
    return " ".join(words)


def mutated_json(dice: Random, document: Any) -> bytes:
    """Return `document`, changed, as a file holds it; one of four has its bytes changed, too."""
    content = json.dumps(mutated(dice, document)).encode()
    return content if dice.randrange(4) else mutated_bytes(dice, content)
