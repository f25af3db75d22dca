"""Small populations: the nearest of few may be about something else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from flows.cluster.placement.communities import communities
from flows.cluster.placement.identity import place
from flows.cluster.placement.texts import distinct, wordless_apart
from flows.embed import Vectors, load

REFUND = [
    f"please refund the {what} that i bought" for what in ("lamp", "shirt", "radio", "chair", "book", "phone", "bag")
]
WORDLESS = ["😀", "😡😡", "👍", "🙏🙏", "🎉", "💔💔", "🤷"]
SINGLE = ["the app crashes at start", "my parcel is late", "change my e-mail", "no sound in calls"]


def vectors_of(texts: list[str]) -> tuple[list[str], Vectors]:
    """Distinct texts with their vectors."""
    rows = distinct(texts)
    return list(rows.texts), wordless_apart(load("wordllama").embed(rows.texts))


def groups(texts: list[str]) -> list[set[str]]:
    """The communities of texts."""
    rows, vectors = vectors_of(texts)
    labels = communities(vectors)
    return [{rows[i] for i in np.flatnonzero(labels == label)} for label in range(int(labels.max()) + 1)]


def test_what_says_no_word_is_nobodys_neighbour() -> None:
    """Seven texts of emoji among forty others are together, and with no words."""
    found = groups([*REFUND, *WORDLESS, *SINGLE])

    (mine,) = [group for group in found if group & set(WORDLESS)]
    assert mine == set(WORDLESS)
    assert set(REFUND) in found


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:12]


@pytest.mark.parametrize("each", [6, 15, 40])
def test_two_templates_with_random_ids_are_two_clusters(each: int) -> None:
    """What is the same in each text counts, not the id that is another in each."""
    first = [f"order {key(n)} has not arrived" for n in range(each)]
    second = [f"reset the password of account {key(-1 - n)}" for n in range(each)]

    for group in groups([*first, *second]):
        assert group <= set(first) or group <= set(second)


@pytest.mark.parametrize("rows", [12, 20, 40, 100])
def test_few_of_one_kind_do_not_crumble(rows: int) -> None:
    """Nearly all of them lie in groups that are large enough for a cluster, of five."""
    sizes = [len(group) for group in groups([f"refund {key(n)} order {n * 7919}" for n in range(rows)])]

    assert sum(size for size in sizes if size >= 5) >= 0.9 * rows


def test_rows_that_are_near_nothing_stay_alone() -> None:
    """Rows at right angles are no neighbours: each is a community, however many there are."""
    for rows in (1, 2, 3, 8, 40):
        labels = communities(np.eye(rows, 64, dtype=np.float32))

        assert sorted(labels.tolist()) == (list(range(rows)) if rows > 2 else [0] * rows)


def test_what_is_near_nothing_that_is_known_waits() -> None:
    """A few wordless texts are not placed in the only cluster that there is."""
    _, known = vectors_of(REFUND)
    rows, batch = vectors_of(WORDLESS[:3])

    placement = place(batch, np.ones(len(rows), np.int64), known, np.zeros(len(known), np.int64), 5)

    assert placement.known.tolist() == placement.born.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("known", [1, 2, 3, 7])
@pytest.mark.parametrize("new", [0, 1, 2, 3, 7])
def test_few_rows_beside_few_known_ones_go_to_their_cluster(known: int, new: int) -> None:
    """Fewer of both than the neighbours that are looked at, as on the second day of a small application."""
    _, reference = vectors_of(REFUND[:known])
    rows, batch = vectors_of([text + " again" for text in REFUND[:new]])

    placement = place(batch, np.ones(len(rows), np.int64), reference, np.zeros(known, np.int64), 5)

    assert placement.known.tolist() == [0] * len(rows)
    assert placement.born.tolist() == [-1] * len(rows)
