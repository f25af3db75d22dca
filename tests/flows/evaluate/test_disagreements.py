"""Where answers differ, who reviews what next, and what counts of what was said."""

from __future__ import annotations

import numpy as np
import pytest

from flows.evaluate.disagreements import Asked, asked_of, in_order, is_golden, opinion_of, standing
from flows.opinions import Opinions
from schemas.records import GOLDEN, Item, Score

LOOKS = (2, 4, 8)


def item(name: str, source: str = "none") -> Item:
    return Item(name, ({"role": "user", "content": name},), None, unit=f"u-{name}", source=source)


def asked(count: int) -> list[Asked]:
    """As many disagreements, by id."""
    return [Asked(item(f"i{n:03}"), "this", "that", 0.0) for n in range(count)]


def said(requests: list[Asked], count: int, candidate: float | None = 1.0) -> Opinions:
    """Ann judged the first in order: the champion is wrong, the candidate as given."""
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for one in in_order(requests)[:count]:
        found[one.item.item_id, "this"] = {"ann": 0.0}
        found[one.item.item_id, "that"] = {"ann": candidate}
    return found


@pytest.mark.parametrize(
    ("champion", "candidate", "missing", "differs"),
    [
        ("yes", "no", False, True),
        ("Yes.", " yes", False, False),
        ("yes", None, True, False),
        (None, "no", True, False),
        (None, None, True, False),
        ("", "no", False, True),
    ],
)
def test_only_two_answers_that_say_something_else_are_a_disagreement(
    champion: str | None, candidate: str | None, missing: bool, differs: bool
) -> None:
    """An answer that did not come is missing, whichever side it is; an empty one is an answer."""
    one = Asked(item("i"), champion, candidate, 0.0)

    assert (one.missing, one.differs) == (missing, differs)


def test_answers_are_the_first_samples_and_guesses_the_mean_of_all() -> None:
    """A side without a score leaves no guess, nor does a score that is no share, nor an answer that did not come."""
    scores = [
        Score("a", "champion", "s", 0.0, output="c0"),
        Score("a", "champion", "s", 1.0, sample=1, output="c1"),
        Score("a", "candidate", "s", 1.0, output="d0"),
        Score("b", "candidate", "s", 1.0, output="d"),
        Score("b", "champion", "s", None, unscored="timeout", answered=False),
        Score("c", "candidate", "s", 7.0, output="d"),
        Score("c", "champion", "s", 0.0, output="c"),
    ]
    found = asked_of([item("c"), item("b"), item("a")], scores)

    assert [one.item.item_id for one in found] == ["a", "b", "c"]
    assert [(one.champion, one.candidate, one.guess) for one in found] == [
        ("c0", "d0", 0.5),
        (None, "d", 0.0),
        ("c", "d", 0.0),
    ]


def test_the_order_is_of_hashes_and_of_disagreements_alone() -> None:
    """Whoever makes ids cannot choose what is reviewed, and what is the same on both sides is not shown."""
    requests = [*asked(50), Asked(item("same"), "this", "This!", 0.0), Asked(item("gone"), None, "that", 0.0)]
    order = [one.item.item_id for one in in_order(requests)]

    assert sorted(order) == [f"i{n:03}" for n in range(50)]
    assert order != sorted(order)
    assert order == [one.item.item_id for one in in_order(requests[::-1])]


@pytest.mark.parametrize(
    ("differ", "reviews", "look", "next_look"),
    [
        (20, 0, 0, 2),
        (20, 1, 0, 2),
        (20, 2, 2, 4),
        (20, 3, 2, 4),
        (20, 7, 4, 8),
        (20, 8, 8, None),
        (20, 20, 8, None),
        (3, 2, 2, 3),
        (3, 3, 3, None),
        (8, 8, 8, None),
        (10, 9, 8, None),
        (10, 10, 8, None),
        (0, 0, 0, None),
    ],
)
def test_reviews_count_as_far_as_a_look_was_reached(
    differ: int, reviews: int, look: int, next_look: int | None
) -> None:
    """[2, 4, 8] of `differ`: between two looks reviews wait, all there are is a look, after the last comes none."""
    requests = asked(differ)
    found = standing(requests, said(requests, reviews), LOOKS)

    assert (found.reviewed, found.look, found.next_look) == (reviews, look, next_look)
    assert int(np.isfinite(found.said).sum()) == look
    counted = {one.item.item_id for one in in_order(requests)[:look]}
    assert counted == {one.item.item_id for one, value in zip(found.asked, found.said, strict=True) if value == 1.0}


def test_what_a_reviewer_could_not_tell_is_no_tie() -> None:
    """It counts as reviewed, is marked, and is taken for what the test at hand asks."""
    requests = asked(4)
    found = standing(requests, said(requests, 4, candidate=None), LOOKS)

    assert found.skipped.tolist() == [1, 1, 1, 1]
    assert found.said.tolist() == [0.0, 0.0, 0.0, 0.0]
    assert found.evidence(-1.0).said.tolist() == [-1.0, -1.0, -1.0, -1.0]
    tie = {key: {"ann": 1.0} for key in said(requests, 4)}
    assert standing(requests, tie, LOOKS).skipped.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("candidate", "champion", "told"),
    [
        ({"ann": 1.0}, {"ann": 0.0}, 1.0),
        ({"ann": 0.0}, {"ann": 1.0}, -1.0),
        ({"ann": 1.0, "bob": 0.0}, {"ann": 0.0, "bob": 0.0}, 0.5),
        ({"ann": 1.0}, {"bob": 0.0}, None),
        ({"ann": 1.0, "bob": 1.0}, {"bob": 1.0}, 0.0),
        ({"ann": None, "bob": 1.0}, {"ann": 0.0, "bob": 0.0}, 1.0),
        ({}, {}, None),
    ],
)
def test_an_opinion_is_of_who_judged_both(
    candidate: dict[str, float | None], champion: dict[str, float | None], told: float | None
) -> None:
    """The mean over people; who judged one answer alone, or could not tell, does not decide who was better."""
    one = Asked(item("i"), "this", "that", 0.0)

    assert opinion_of(one, {("i", "that"): candidate, ("i", "this"): champion}) == told
    assert np.isnan(opinion_of(one, {("i", "that"): {"ann": None}, ("i", "this"): {"ann": 1.0}}) or 0.0)


def test_two_people_say_how_far_reviewers_err() -> None:
    """Who agree in all leave little to err; who contradict each other in half are at the least that is believed."""
    requests = asked(8)

    def agreement(second: list[float]) -> float:
        both = {
            (one.item.item_id, text): {"ann": 1.0, "bob": second[n % len(second)]}
            for n, one in enumerate(in_order(requests))
            for text in ("this", "that")
        }
        return standing(requests, both, LOOKS).youden[0]

    assert agreement([1.0]) > 0.95
    assert agreement([1.0, 1.0, 1.0, 0.0]) == pytest.approx(0.68, abs=0.05)
    assert agreement([1.0, 0.0]) == pytest.approx(0.2, abs=0.05)
    assert standing(requests, said(requests, 8), LOOKS).youden == (1.0, 0.0)


def test_a_set_is_golden_where_every_reference_came_with_it() -> None:
    """One reference from feedback, and scores are no longer believed by themselves."""
    assert is_golden([item("a", GOLDEN), item("b", GOLDEN)])
    assert not is_golden([item("a", GOLDEN), item("b", "accepted")])
