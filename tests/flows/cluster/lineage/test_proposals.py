"""What a fresh clustering proposes for the living clusters."""

from __future__ import annotations

import numpy as np
import pytest

from flows.cluster.lineage import proposals as lineage
from flows.cluster.lineage.proposals import proposals
from flows.cluster.placement.graph import Ints
from flows.embed import Vectors


def on_circle(*degrees: float) -> Vectors:
    """Ten rows in each direction."""
    angles = np.repeat(np.radians(degrees), 10)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def pieces(count: int) -> Ints:
    return np.repeat(np.arange(count), 10)


@pytest.mark.parametrize(
    ("degrees", "split"),
    [
        ((0, 25, 50, 120, 145, 170), True),  # two halves, each in three pieces that are less alike than clusters are
        ((0, 8, 16, 24, 32, 40), False),  # one, whose pieces hang together
        ((0, 5, 10, 15, 20, 120), False),  # a piece of a sixth is no half
    ],
)
def test_halves_that_a_fresh_clustering_crumbles_are_a_split(degrees: tuple[float, ...], split: bool) -> None:
    """None of the pieces is a quarter of the cluster; together with those that they are most like they are a half."""
    others = on_circle(*np.repeat([200, 220, 300, 320], 3))
    rows = np.concatenate([on_circle(*degrees), others])
    homes = np.concatenate([np.zeros(60, np.int64), np.repeat([1, 2, 3, 4], 30)])
    fresh = np.concatenate([pieces(6), np.repeat([6, 7, 8, 9], 30)])

    found = [proposal for proposal in proposals(rows, fresh, homes) if proposal.clusters == (0,)]

    assert bool(found) == split
    for proposal in found:
        assert proposal.shares == (0.5, 0.5)
        assert {tuple(sorted(part)) for part in proposal.parts} == {tuple(range(30)), tuple(range(30, 60))}


def test_of_many_clusters_fewer_members_each_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of each, as many as keep all of them in bounds, and never too few to say anything."""
    monkeypatch.setattr(lineage, "ROWS", 400)
    for clusters, each in ((3, 100), (8, 50), (50, 30)):
        numbers = np.tile(np.arange(clusters), 120)
        rows = lineage._capped(numbers)
        assert (np.bincount(numbers[rows]) == each).all()
        assert (rows == np.arange(clusters * each)).all()
