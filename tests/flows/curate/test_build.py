"""The whole of it, over any sequence of ingests and builds: nothing of eval is ever taught."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import get_args

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.curate.build import BEST_FIRST, MOST_ITEMS, Build, build
from flows.curate.examples import Dropped, Found
from flows.curate.split import pseudonym
from flows.testing.events import START
from schemas.normalise import normalise
from schemas.records import Example
from schemas.secrets import Secret
from schemas.settings import CurateSettings, Origin, Recipe
from schemas.unit import unit_of
from tests.support.examples import WORDS, brute_jaccard, example

SETTINGS = CurateSettings(eval_share=0.3, salt=Secret("s"))


def made(examples: list[Example], **recipe: object) -> Build:
    return build(Found(tuple(examples), ()), SETTINGS, Recipe(**recipe), START)  # type: ignore[arg-type]


@st.composite
def histories(draw: st.DrawFn) -> list[list[Example]]:
    """Batches of examples: few users who say what others said, as it was, edited or reordered, across the cut."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    batches, number, said = [], 0, list[str]()
    for _ in range(draw(st.integers(1, 4))):
        batch = []
        for _ in range(draw(st.integers(0, 15))):
            number += 1
            text = " ".join(rng.choices(WORDS, k=rng.randrange(3, 7)))
            if said and rng.random() < 0.5:
                text = rng.choice(said)
                text = rng.choice([text, f"{text}s", " ".join(reversed(text.split()))])
            said.append(text)
            unit = pseudonym(unit_of(f"user-{rng.randrange(8)}", ""), SETTINGS.salt.reveal())
            batch.append(example(number, text, unit=unit, origin=rng.choice(["accepted", "correction", "rejected"])))
        batches.append(batch)
    return batches


@settings(max_examples=40, deadline=None)
@given(histories())
def test_no_unit_and_no_near_duplicate_crosses_the_cut(batches: list[list[Example]]) -> None:
    """After every ingest: zero shared units, zero near pairs by brute force, and no row moves from eval to train."""
    known: list[Example] = []
    was_eval: set[str] = set()
    for batch in batches:
        known += batch
        result = made(known)
        train = [*result.taught, *result.rejected]
        assert not {e.unit for e in train} & {e.unit for e in result.eval}
        for a in train:
            for b in result.eval:
                assert brute_jaccard(normalise(a.text), normalise(b.text)) < 0.6
                assert sorted(a.text.split()) != sorted(b.text.split())
        assert not was_eval & {e.interaction_id for e in train}
        was_eval |= {e.interaction_id for e in result.eval}


@settings(max_examples=25, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(batches: list[list[Example]], rng: random.Random) -> None:
    """The same set of examples in any order is the same build."""
    known = [e for batch in batches for e in batch]
    shuffled = rng.sample(known, len(known))

    assert made(known) == made(shuffled)


@settings(max_examples=25, deadline=None)
@given(histories())
def test_every_example_is_in_a_dataset_or_has_a_reason(batches: list[list[Example]]) -> None:
    """Nothing vanishes: kept and dropped together are all there were, each once."""
    known = [e for batch in batches for e in batch]
    result = made(known)
    kept = [e.interaction_id for e in (*result.taught, *result.rejected, *result.guardrail, *result.eval)]

    assert sorted(kept + [d.interaction_id for d in result.dropped]) == sorted(e.interaction_id for e in known)


def test_a_correction_is_kept_before_an_accepted_answer() -> None:
    """Of a star the best rated stays, and counts the others."""
    settings_ = CurateSettings(eval_share=0)
    rows = [example(1, "where is my parcel now"), example(2, "where is my parcel now", origin="correction")]

    result = build(Found(tuple(rows), ()), settings_, Recipe(), START)

    assert [(e.interaction_id, e.copies) for e in result.taught] == [("i-0002", 2)]
    assert result.dropped == (Dropped("i-0001", "duplicate_in_train", "i-0002"),)


def test_a_recipe_takes_what_it_names() -> None:
    """Clusters, origins, models, days, a minimum score, and a cap for each cluster; the rest has its reason."""
    settings_ = CurateSettings(eval_share=0)
    rows = [
        example(1, "aaaa bbbb cccc", cluster_id="refunds", score=0.9),
        example(2, "dddd eeee ffff", cluster_id="refunds", score=0.99),
        example(3, "gggg hhhh iiii", cluster_id="login"),
        example(4, "jjjj kkkk llll", cluster_id="refunds", time=START - timedelta(days=30)),
        example(5, "mmmm nnnn oooo", cluster_id="refunds", score=0.5),
    ]
    recipe = Recipe(clusters=("refunds",), days=14, per_cluster=1, min_score=0.8)

    result = build(Found(tuple(rows), ()), settings_, recipe, START)

    assert [e.interaction_id for e in result.taught] == ["i-0002"]
    assert result.reasons() == {"not_in_recipe": 3, "cluster_full": 1}


def test_a_recipe_may_name_what_there_is() -> None:
    """The words that settings allow as an origin are those that examples have."""
    assert set(get_args(Origin)) == set(BEST_FIRST)


def test_an_eval_set_is_a_sample_where_there_is_too_much_of_it() -> None:
    """What is over is neither asked nor taught; what stays, stays whatever comes later."""
    everything = msgspec.structs.replace(SETTINGS, eval_share=1.0)
    examples = [example(n, f"{n:x} {n * n:x} question") for n in range(MOST_ITEMS + 400)]
    fewer, more = (build(Found(tuple(some), ()), everything, Recipe(), START) for some in (examples[:-200], examples))

    assert len(fewer.eval) == len(more.eval) == MOST_ITEMS
    assert not more.taught
    assert more.reasons() == {"eval_full": 400}
    assert more.threshold < fewer.threshold < 1
    older = {e.interaction_id for e in more.eval} & {e.interaction_id for e in examples[:-200]}
    assert older <= {e.interaction_id for e in fewer.eval}
