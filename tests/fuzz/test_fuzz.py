"""Whatever is handed over, the answer is an answer or one of the project's own errors."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given

from tests.fuzz.given import DICE, some
from tests.fuzz.targets import TARGETS

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*"))
"""What once broke a reader."""


@pytest.mark.parametrize("name", TARGETS)
@given(dice=DICE)
@some(15)
def test_a_mutated_input_is_read_or_refused(name: str, dice: Random) -> None:
    TARGETS[name].read(TARGETS[name].make(dice))


@pytest.mark.parametrize("name", TARGETS)
def test_a_valid_input_is_accepted_sometimes(name: str) -> None:
    """Dice that change next to nothing: mutants that are all refused would test one line."""
    from tests.fuzz.given import TALLY

    before = TALLY.accepted
    for seed in range(60):
        TARGETS[name].read(TARGETS[name].make(Random(seed)))
    assert TALLY.accepted > before


@pytest.mark.parametrize("kept", CORPUS, ids=lambda kept: f"{kept.parent.name}-{kept.name}")
def test_what_once_broke_a_reader_is_read_or_refused(kept: Path) -> None:
    TARGETS[kept.parent.name].read(kept.read_bytes())
