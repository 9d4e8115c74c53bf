"""Patterns that strangers wrote: the same answers as `re`, in a bounded number of steps."""

import re
from contextlib import suppress
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_db.regex import is_like
from planner.patterns import LONGEST, MOST_STEPS, PatternError, read_glob, read_pattern

NAME = "model.language_model.layers.17.mlp.experts.103.gate_up_proj"

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\.", r"\d", r"\w", "^", "$", r"\b", "1", "(?:)"]
)


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Sequences, choices, groups, repeats and looks over `parts`."""
    return st.one_of(
        st.lists(parts, min_size=1, max_size=3).map("".join),
        st.lists(parts, min_size=1, max_size=3).map(lambda p: f"({'|'.join(p)})"),
        st.tuples(
            parts, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "*?"])
        ).map(lambda p: f"(?:{p[0]}){p[1]}"),
        parts.map(lambda p: f"(?={p})"),
        parts.map(lambda p: f"(?!{p})"),
    )


PATTERNS = st.recursive(ATOMS, joined, max_leaves=6)


@given(PATTERNS, st.text(alphabet="ab1.\n", max_size=7))
def test_the_answers_are_those_of_re(pattern: str, text: str) -> None:
    own = read_pattern(pattern)
    assert own.match(text)[0] is (re.match(pattern, text) is not None)
    assert own.search(text)[0] is (re.search(pattern, text) is not None)


@given(st.text(alphabet="ab*?[]!-1.", max_size=7), st.text(alphabet="ab1.-!]", max_size=6))
def test_globs_are_those_of_the_shell(pattern: str, text: str) -> None:
    assert read_glob(pattern).match(text)[0] is fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r".*mlp.gate$", False),
        (r".*layers\.(1[0-9]|2[0-9])\.mlp.*", True),
        (r"^(?!.*experts).*", False),
        (r"(?<=layers\.)17\.", True),
        (r"(?P<where>layers)\.\d{1,3}\.", True),
        (r"blk\.[0-9]+\.ffn_(up|down)_exps", False),
        (r"gate_up_proj$", True),
    ],
)
def test_forms_that_people_write(pattern: str, found: bool) -> None:
    assert read_pattern(pattern).search(NAME)[0] is found
    assert (re.search(pattern, NAME) is not None) is found


@pytest.mark.parametrize(
    "pattern",
    [
        ".*.*.*.*.*.*.*.*!",
        "(.|.)*!",
        "((.+))+!",
        "(.*)*!",
        "((((.+)+)+)+)+!",
        "(a|a)*!",
        "(.|..)*!",
        "(.?){60}!",
        "(x*.)*!",
    ],
)
def test_no_pattern_makes_the_work_explode(pattern: str) -> None:
    found, steps = read_pattern(pattern.replace("!", "[!]")).match(NAME * 2)
    assert not found
    assert 1 < steps <= MOST_STEPS
    assert read_pattern(pattern).match(NAME) == (False, 1)  # no "!" in it: nothing is tried


def test_a_pattern_that_needs_too_many_steps_is_refused() -> None:
    with pytest.raises(PatternError, match="too complicated to apply"):
        read_pattern("(((.{1,9}){1,9}(?=.*(?=.*(?=.*x))))*y?)*[!]").search("a.b" * 300)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not closed"),
        (")", "none opened"),
        ("[a", "not closed"),
        ("*", "nothing to repeat"),
        ("a**", "repeat of a repeat"),
        ("a{3,2}", "least repeats above most"),
        (r"(a)\1", "not understood"),
        ("(?i)a", "not understood"),
        ("(?>a)", "not understood"),
        ("a*+", "possessive"),
        ("[z-a]", "no regular expression"),
        ("[[:alpha:]]", "not understood"),
        ("\\", "not understood"),
        ("(" * 40, "nests more"),
        ("a" * (LONGEST + 1), "longer than"),
    ],
)
def test_what_is_not_understood_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        read_pattern(pattern)


@given(st.text(alphabet="ab.*+?{}()[]|\\^$,1d<=!:P-", max_size=30))
def test_any_text_is_a_pattern_or_an_own_error(text: str) -> None:
    with suppress(PatternError):
        read_pattern(text).search(NAME)


@pytest.mark.parametrize(
    "glob", ["a", "*", "a*", "*b", "a*b", "*a*", "a*b*", "[ab]*", "a?", "a]", ""]
)
def test_globs_mean_what_they_mean_in_a_shell(glob: str) -> None:
    for text in ("", "a", "b", "ab", "aab", "A", "a]", "xby", "a\nb"):
        assert is_like(text, glob) == fnmatchcase(text, glob)
