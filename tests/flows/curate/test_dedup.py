"""Which texts are one text."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.curate.bands import firsts, gram_sets
from flows.curate.dedup import similarity, stars
from flows.curate.letters import Letters
from schemas.normalise import normalise

NEAR = 0.85
ROOT = Path(__file__).resolve().parents[3]


ALIKE_ONLY_TO_A_MACHINE = [
    ("what is 8 + 2", "what is 8 - 2", "what is 8 * 2"),
    ("is a < 9 true", "is a > 9 true"),
    ("how do i sort a list in C++", "how do i sort a list in C#", "how do i sort a list in C"),
    ("🙂🙂", "🙁🙁", "🎉"),
    ("मेरा बिल कहाँ है", "मेरा बल कहाँ है"),
    ("ผมอยากไปป่า", "ผมอยากไปป้า"),
    ("我要退款", "我要付款"),
]


@pytest.mark.parametrize("texts", ALIKE_ONLY_TO_A_MACHINE, ids=lambda texts: texts[0])
def test_what_differs_in_a_sign_or_a_vowel_is_two_texts(texts: tuple[str, ...]) -> None:
    """Signs of formulas, emoji, vowel signs, and one character of a script in which it is a word."""
    assert stars([normalise(text) for text in texts], 0.85) == list(range(len(texts)))


def test_case_punctuation_and_width_do_not_make_another_text() -> None:
    """What a person would call the same spelling is the same after normalising."""
    assert normalise("  Where's my CARD?! ") == normalise("where s my card") == "where s my card"
    assert normalise("Ｆｕｌｌ") == "full"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=20))
def test_gram_sets_are_what_they_say(texts: list[str]) -> None:
    """The vectorised sets equal a set comprehension, text by text, none reaching into the next."""
    grams = gram_sets(texts)

    for index, text in enumerate(texts):
        data = f" {text} ".encode().ljust(4)
        expected = {int.from_bytes(data[i : i + 4], "little") for i in range(len(data) - 3)}
        mine = grams.flat[grams.offsets[index] : grams.offsets[index + 1]]
        assert set(mine.tolist()) == expected
        assert np.all(np.diff(mine.astype(np.int64)) > 0)


def test_the_best_is_kept_and_the_rest_points_at_it() -> None:
    """Texts come best first: the first of a star stands for the others."""
    texts = [
        "i lost my card in the park",
        "i lost my card in the parks",
        "what is the exchange rate",
        "i lost my card in the park",
    ]

    assert stars(texts, NEAR) == [0, 0, 2, 0]


def test_stars_do_not_chain() -> None:
    """A duplicate of a duplicate that is unlike the kept text is kept itself."""
    a = "i lost my card in the park yesterday"
    b = a + " so there"
    c = b + " are we"
    assert similarity(a, b, NEAR)
    assert similarity(b, c, NEAR)
    assert not similarity(a, c, NEAR)

    assert stars([a, b, c], NEAR) == [0, 0, 2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="abc ", max_size=12), max_size=30))
def test_what_is_dropped_resembles_what_is_kept(texts: list[str]) -> None:
    """Precision is exact: every dropped text has the similarity that its reason claims."""
    for index, kept in enumerate(stars(texts, NEAR)):
        assert kept <= index
        assert texts[kept] == texts[index] or similarity(texts[kept], texts[index], NEAR) >= NEAR


def test_a_template_with_thousands_of_fillings_stays_fast() -> None:
    """Texts that all share bands are compared with a bounded number of kept ones."""
    rng = random.Random(1)
    fillings = ["".join(rng.choices(string.ascii_lowercase, k=40)) for _ in range(2_000)]
    texts = [f"please tell me the status of {filling}" for filling in fillings]

    assert len(set(stars(texts, NEAR))) > 1_900


def edits(rng: random.Random, text: str, kind: int) -> str:
    """One of: two typos, another case, a suffix, an article more or less."""
    if kind == 0:
        for _ in range(2):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(string.ascii_lowercase) + text[at + rng.randrange(2) :]
        return text
    if kind == 1:
        return text.upper()
    if kind == 2:
        return text + rng.choice([" please", " thanks!", " asap"])
    words = text.split()
    articles = [at for at, word in enumerate(words) if word in {"the", "a", "my"}]
    return " ".join(word for at, word in enumerate(words) if at not in articles[:1])


def test_planted_edits_of_real_texts_are_found(shared_data: Path) -> None:
    """Recall at least .93: typos, case, suffixes, articles; and what else goes has the label of what stays."""
    rng = random.Random(3)
    lines = (shared_data / "banking77.jsonl").read_text().splitlines()
    labels = {row["text"]: row["label"] for row in map(json.loads, lines)}
    texts = list(labels)[:3_000]
    copies = {i: len(texts) + n for n, i in enumerate(range(0, len(texts), 3))}
    rows = [normalise(t) for t in texts + [edits(rng, texts[i], i // 3 % 4) for i in copies]]

    star = stars(rows, NEAR)

    found = sum(star[copy] != copy or star[i] != i for i, copy in copies.items())
    assert found / len(copies) >= 0.93
    gone = [(j, kept) for j, kept in enumerate(stars(rows[: len(texts)], NEAR)) if j != kept]
    same = sum(labels[texts[j]] == labels[texts[kept]] for j, kept in gone)
    assert len(gone) > 100
    assert same / len(gone) >= 0.95


def test_shipped_requests_lose_none_of_another_intent() -> None:
    """Of the demo's utterances, whose labels say what they ask for, at least eight go, each for one with its label."""
    lines = (ROOT / "examples" / "support_bot" / "utterances.jsonl").read_text().splitlines()
    labels = {normalise(row["text"]): row["label"] for row in map(json.loads, lines)}
    texts = list(labels)

    gone = [(texts[row], texts[kept]) for row, kept in enumerate(stars(texts, NEAR)) if row != kept]

    assert len(gone) >= 8
    assert [pair for pair in gone if labels[pair[0]] != labels[pair[1]]] == []


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["a"], ["a", "a", "b"]])
def test_the_smallest_inputs_work(texts: list[str]) -> None:
    """Nothing, empty texts and single letters."""
    assert stars(texts, NEAR) == [texts.index(text) for text in texts]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=12), st.integers(1, 4))
def test_each_text_meets_the_first_that_share_a_key(rows: list[list[int]], most: int) -> None:
    """The vectorised pairs equal a search text by text, key by key, each pair once and in order."""
    keys = np.array(rows, np.uint64).reshape(-1, 2) + np.array([0, 10], np.uint64)

    found = [pair for part in firsts(keys, most) for pair in zip(*(side.tolist() for side in part), strict=True)]

    owners = {key: [at for at, row in enumerate(keys.tolist()) if key in row] for key in keys.ravel().tolist()}
    expected = {
        (at, other) for at, row in enumerate(keys.tolist()) for key in row for other in owners[key][:most] if other < at
    }
    assert found == sorted(expected)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=2, max_size=6))
def test_no_text_that_is_near_is_left_unread(texts: list[str]) -> None:
    """What letters in any order allow is never less than what they give in order."""
    pairs = [(one, other) for one in range(len(texts)) for other in range(len(texts))]
    rows, others = np.array(pairs, np.int64).T

    most = Letters(texts).most(rows, others)

    for (one, other), bound in zip(pairs, most.tolist(), strict=True):
        assert bound >= similarity(texts[one], texts[other], 0)


def test_where_the_nearest_says_something_else_the_next_is_asked() -> None:
    """The nearest by letters names another card; one a little further says the same with other endings."""
    nearest, same = "i want to block my card 3 now", "i wanted to block my cards 2 now"

    assert stars([nearest, same, "i want to block my card 2 now"], NEAR) == [0, 1, 1]
