"""Which patterns a text is asked for: never one fewer than may find something."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.redact.matching import matching
from flows.redact.patterns import Pattern, Patterns, caseless
from flows.redact.recognisers import table
from flows.redact.redact import Redactor
from schemas.settings import CurateSettings

REGIONS = CurateSettings().regions
TABLE = table(REGIONS, {"badge": r"B-\d{4}"})


@pytest.mark.parametrize("place", range(len(TABLE)), ids=lambda place: f"{place}-{TABLE[place].kind}")
@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_a_pattern_matches_is_asked_for_it(place: int, data: st.DataObject) -> None:
    """Texts are drawn from the pattern itself, letters of either case among them."""
    pattern = TABLE[place]
    text = data.draw(st.from_regex(pattern.pattern))

    for form in matching(text):
        nameless = pattern.kind == "ip" and not re.search(r"\d", form.text)  # `dead::beef` is a name in code
        asked = Patterns([pattern]).that_may_match(form.text)
        assert asked or nameless or not pattern.pattern.search(form.text)


def test_no_letter_that_a_pattern_takes_for_another_is_missed() -> None:
    """Python's patterns take the Turkish `ı`, the long `ſ` and the sign of Kelvin for `i`, `s` and `k`."""
    letters = {letter for pattern in TABLE for word in pattern.words for letter in word.lower() if letter.isalpha()}
    every = "".join(map(chr, range(sys.maxunicode + 1)))

    taken = {(letter, found) for letter in letters for found in re.findall(f"(?i){letter}", every)}

    assert {("i", "ı"), ("s", "ſ"), ("k", "\u212a")} <= taken
    assert [pair for pair in taken if caseless(pair[0]) not in caseless(f"é{pair[1]}")] == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("the card is here", []),
        ("the CARD is here", []),
        ("the card is Here", ["card"]),
        ("the card is 4", ["card", "number"]),
        ("the token", ["token"]),
        ("the TOKEN", ["token"]),
        ("the tok\u0131n", []),
    ],
)
def test_a_pattern_is_asked_for_by_its_words_and_digits(text: str, asked: list[str]) -> None:
    """Words with a capital as they stand, others in whatever case."""
    card = Pattern("card", re.compile("x"), None, ("Here", "4"))
    number, token = Pattern("number", re.compile("x"), digit=True), Pattern("token", re.compile("x"), None, ("token",))

    found = Patterns([card, number, token]).that_may_match(text)

    assert [pattern.kind for _, pattern in found] == asked


@pytest.mark.parametrize("letter", ["İ", "\u212a"])
def test_a_letter_that_only_case_makes_one_of_ascii_stops_nothing(letter: str) -> None:
    """Beside two digits it looked like a part of an account number, whose check digits nobody could count."""
    text = f"it stands under TR12 {letter}STA NBUL KART MEHR there"

    assert Redactor(REGIONS, {}).texts([text]) == [text]
