"""Typos, endings and small words make no other text; any other word does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from flows.curate.dedup import similarity
from flows.curate.wording import LEFT_OVER, MAX_LEFT, alike, plain, same_wording
from schemas.normalise import normalise

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("receive", "recieve", True),
        ("card", "cards", True),
        ("cancel", "cancelled", True),
        ("authentication", "authenticaton", True),
        ("authentication", "authetnicaton", False),
        ("internationalise", "internatoinalize", True),
        ("card", "email", False),
        ("increase", "decrease", False),
        ("with", "without", False),
        ("4711", "4712", False),
        ("v2", "v3", False),
        ("4711", "4711", True),
        ("on", "in", False),
    ],
)
def test_words_are_alike_by_their_letters(one: str, other: str, expected: bool) -> None:
    """One letter in eight may be wrong, an ending of up to half a word may follow; numbers must be equal."""
    assert alike(one, other, {}) == alike(other, one, {}) == expected


def test_a_word_that_nobody_else_uses_may_be_mistyped_worse() -> None:
    """Two wrong letters of a word that stands in one text alone, where the other is known; not at its beginning."""
    known = {"address": 9, "adrees": 1, "block": 9, "unblock": 1}

    assert alike("address", "adrees", known)
    assert not alike("address", "adrees", {**known, "adrees": 2})
    assert not alike("address", "adrees", {**known, "address": 1})
    assert not alike("block", "unblock", known)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("where is my order", "please where is the order", True),
        ("i don t know the code", "i do not know the code", True),
        ("login fails", "log in fails", True),
        ("login fails again and agian", "log in fails again and again", True),
        ("change the email on my account", "change the card on my account", False),
        ("i can log in", "i can t log in", False),
        ("i can log in", "i can not log in", False),
        ("there is no fee", "there is a fee", False),
        ("from rome", "to rome", False),
        ("turn it on", "turn it off", False),
    ],
)
def test_what_is_left_over_decides(one: str, other: str, expected: bool) -> None:
    """Small words come, go and part as they like; negations, directions and things do not."""
    assert same_wording(one, other, {}) == same_wording(other, one, {}) == expected


def test_one_word_makes_another_request_and_no_other_page() -> None:
    """Of twenty words one other makes two texts, of twenty-one none; too many to compare make two."""
    words = [f"w{chr(97 + n)}{chr(97 + n)}{chr(97 + n)}{chr(97 + n)}" for n in range(21)]
    for count, expected in ((20, False), (21, True)):
        assert same_wording(" ".join(words[:count]), " ".join(["other", *words[1:count]]), {}) == expected
    assert LEFT_OVER * 20 == 1
    page = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}{chr(97 + n % 26)}{chr(97 + n // 26)}" * 2 for n in range(600)]
    typos = ["x" + word[1:] for word in page[: MAX_LEFT + 1]]
    assert same_wording(" ".join(page), " ".join([*typos[:MAX_LEFT], *page[MAX_LEFT:]]), {})
    assert not same_wording(" ".join(page), " ".join([*typos, *page[MAX_LEFT + 1 :]]), {})


def test_courtesies_are_nothing_that_is_asked_for() -> None:
    """Greetings, pleas and thanks go, wherever they stand, but for a text that is nothing else."""
    assert plain("hi please where is my order thank you") == "where is my order"
    assert plain("which planks do you have") == "which planks do you have"
    assert plain("thanks") == "thanks"


def test_pairs_that_people_would_tell_apart_are_told_apart() -> None:
    """Of a hundred labelled pairs that ask for the same at least nine in ten are one, in the company of other requests.

    Of those that only look alike at most one in eight: those whose words differ by one letter (`bill`, `pill`).
    """
    pairs = [json.loads(line) for line in (ROOT / "benchmarks" / "pairs.jsonl").read_text().splitlines()]
    lines = (ROOT / "examples" / "support_bot" / "utterances.jsonl").read_text().splitlines()
    company = {normalise(json.loads(line)["text"]) for line in lines}
    company |= {normalise(pair[side]) for pair in pairs for side in "ab"}
    found = Counter(word for text in company for word in set(text.split()))
    said = []
    for pair in pairs:
        a, b = normalise(pair["a"]), normalise(pair["b"])
        said.append(similarity(plain(a), plain(b), 0.85) > 0 and same_wording(plain(a), plain(b), found))

    right = sum(one and pair["same"] for one, pair in zip(said, pairs, strict=True))
    assert (len(pairs), sum(pair["same"] for pair in pairs)) == (200, 100)
    assert right >= 90
    assert sum(said) - right <= 12
