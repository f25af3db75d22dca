"""Lasting ids: nothing new on a null day, something new when there is, and the same for any order of arrival."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from threadpoolctl import threadpool_limits

from flows.cluster.catalogue.themes import themes
from flows.cluster.lineage.proposals import proposals
from flows.cluster.placement.graph import FLOOR, VOTE_POWER, Ints, neighbours, neighbours_among
from flows.cluster.placement.identity import REFERENCE_CAP, _is_rare, _settled, place, vote
from flows.cluster.placement.sample import find
from flows.cluster.placement.texts import distinct, normalise
from flows.embed import Vectors, load, on_grid


def cloud(rng: np.random.Generator, centres: np.ndarray, each: int, spread: float = 0.55) -> tuple[Vectors, np.ndarray]:
    """Rows around centres, in random order, with the number of their centre."""
    label = np.repeat(np.arange(len(centres)), each)
    rows = centres[label] + spread * rng.normal(size=(len(label), centres.shape[1])) / np.sqrt(centres.shape[1])
    order = rng.permutation(len(label))
    return on_grid(rows[order]), label[order]


@pytest.fixture(scope="module")
def centres() -> np.ndarray:
    """Twelve directions."""
    rows = np.random.default_rng(7).normal(size=(12, 64))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_a_null_day_announces_nothing(centres: np.ndarray, seed: int) -> None:
    """The same sources on both days: no row is called new, and each goes to its own cluster."""
    rng = np.random.default_rng(seed)
    old, owners = cloud(rng, centres, 60)
    day, truth = cloud(rng, centres, 60)

    placed = place(day, np.ones(len(day), np.int64), old, owners, 5)

    assert placed.parents == ()
    assert (placed.known == truth)[placed.known >= 0].all()
    assert (placed.known < 0).mean() < 0.01


def test_growth_is_hardly_news(centres: np.ndarray) -> None:
    """Of clusters that are ten times as frequent as before, at least two rows in three go to their old id."""
    kept = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        old, owners = cloud(rng, centres, 40)
        day, truth = cloud(rng, centres[:3], 400)
        placed = place(day, np.ones(len(day), np.int64), old, owners, 5)
        assert (placed.known == truth)[placed.known >= 0].all()
        kept.append((placed.born < 0).mean())

    assert np.mean(kept) >= 0.67


@pytest.mark.parametrize("seed", range(5))
def test_new_sources_are_born_and_old_ones_kept(centres: np.ndarray, seed: int) -> None:
    """Three sources nobody knew get ids that hold them and nothing else."""
    rng = np.random.default_rng(seed)
    old, owners = cloud(rng, centres[:9], 60)
    day, truth = cloud(rng, centres, 60)

    placed = place(day, np.ones(len(day), np.int64), old, owners, 5)

    is_new = truth >= 9
    assert (placed.born[is_new] >= 0).mean() > 0.95
    assert not (placed.born[~is_new] >= 0).any()
    for born in range(len(placed.parents)):
        assert len(set(truth[placed.born == born])) == 1


@pytest.mark.parametrize(
    ("rows", "min_size", "home"), [(4, 5, "near"), (8, 9, "none"), (8, 1, "none"), (9, 1, "new"), (40, 1, "new")]
)
def test_few_of_a_kind_are_not_announced(centres: np.ndarray, rows: int, min_size: int, home: str) -> None:
    """[four, eight, nine, forty] rows of a new kind among 540 others: the nearest old id, none, a new one, a new one.

    Four are fewer than the neighbours that are looked at, so that known rows are always among them. Eight may be
    chance, even where eight would be a cluster; they wait, rather than go to a wrong one. Nine are few too, but all of
    them farther from everything known than usual.
    """
    rng = np.random.default_rng(0)
    old, owners = cloud(rng, centres[:9], 60)
    usual, _ = cloud(rng, centres[:9], 60)
    new, _ = cloud(rng, centres[9:10], rows, spread=0.2 if rows < 10 else 0.55)
    day = np.concatenate([usual, new])

    placed = place(day, np.ones(len(day), np.int64), old, owners, min_size)

    known, born = placed.known[len(usual) :] >= 0, placed.born[len(usual) :] >= 0
    near = neighbours(new, old, 1)[1][:, 0] >= FLOOR
    assert known.tolist() == (near.tolist() if home == "near" else [False] * rows)
    assert born.any() == (home == "new")


def test_a_birth_has_one_home_and_a_parent(centres: np.ndarray) -> None:
    """No row has an old and a new id; a new cluster's parent is where most of its rows would have gone."""
    rng = np.random.default_rng(2)
    old, owners = cloud(rng, centres[:9], 60)
    day, _ = cloud(rng, centres, 60)

    placed = place(day, np.ones(len(day), np.int64), old, owners, 5)

    assert not ((placed.known >= 0) & (placed.born >= 0)).any()
    wanted, _ = vote(day, old, owners)
    assert len(placed.parents) == 3
    for born, parent in enumerate(placed.parents):
        assert parent == Counter(wanted[placed.born == born].tolist()).most_common(1)[0][0]


def at(*degrees: float) -> Vectors:
    """Rows in a plane, at angles."""
    turns = np.radians(degrees)
    return on_grid(np.stack([np.cos(turns), np.sin(turns)], axis=1))


def settled(batch: Vectors, born: list[int], min_size: int = 3) -> tuple[Ints, np.ndarray]:
    """`_settled` beside four known rows at 0°, each row one failure."""
    _, near = neighbours(batch, at(*[0.0] * 4), 8)
    return _settled(batch, np.ones(len(batch), np.int64), near, np.array(born), min_size)


def test_a_new_cluster_takes_what_lies_in_it() -> None:
    """Once born it has a vote: two thirds of it take a row in, three fifths do not."""
    born, sure = settled(at(*[90.0] * 5, 50.0, 48.0, 85.0), [0] * 5 + [-1] * 3)

    assert born.tolist() == [0, 0, 0, 0, 0, 0, -1, 0]
    assert sure[[0, 5, 7]] == pytest.approx([1.0, 0.668, 1.0], abs=0.002)


def test_a_row_has_no_vote_for_itself() -> None:
    """One that a cluster was born of, and that lies nearer to what is known, is none of its rows."""
    born, _ = settled(at(*[90.0] * 4, 44.0), [0] * 5)

    assert born.tolist() == [0, 0, 0, 0, -1]


def test_of_two_new_clusters_a_row_is_in_the_one_with_most() -> None:
    """Of .81 for new clusters one has .55: neither has enough by itself, and still the row is new."""
    known, one, other = np.eye(3, dtype=np.float32)
    batch = np.stack([one, one, one, other, other, other, on_grid(np.array([[0.5, 0.6, 0.65]]))[0]])
    _, near = neighbours(batch, np.stack([known] * 3), 8)

    born, sure = _settled(batch, np.ones(7, np.int64), near, np.array([0, 0, 0, 1, 1, 1, -1]), 3)

    assert born.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert sure[-1] == pytest.approx(0.809, abs=0.002)


@pytest.mark.parametrize(("min_size", "left"), [(5, 5), (6, 0)])
def test_a_new_cluster_that_keeps_too_few_is_none(min_size: int, left: int) -> None:
    """Of six rows that it was born of one goes, so that [five are enough, six are wanted]."""
    born, _ = settled(at(*[90.0] * 5, 44.0), [0] * 6, min_size)

    assert (born >= 0).sum() == left


@pytest.mark.parametrize(("far", "news"), [(25, False), (26, True)])
def test_few_known_rows_around_are_no_news_without_distance(far: int, news: bool) -> None:
    """Of 38 rows [25, 26] lie far, by chance once in [27, 60] times; that a tenth around is known, once in millions."""
    share, chance, group = np.full(38, 0.1), np.full(38, 0.5), np.arange(38)

    assert _is_rare(6_000, group, share, chance, np.arange(38) < far) == news


@pytest.mark.parametrize(("before", "joins"), [(REFERENCE_CAP - 4, True), (REFERENCE_CAP, False)])
def test_a_new_cluster_votes_with_no_more_rows_than_a_known_one(before: int, joins: bool) -> None:
    """[396, 400] rows at 90°, then four at 40°, of one new cluster: a row at 34° joins by the four, or does not."""
    born, _ = settled(at(*[90.0] * before, *[40.0] * 4, 34.0), [0] * (before + 4) + [-1])

    assert (born[-1] == 0) == joins


def test_on_the_first_day_all_is_new_that_is_frequent_enough(centres: np.ndarray) -> None:
    """Without anything known each source gets an id; what counts are the failures behind the rows, not the rows."""
    rows, truth = cloud(np.random.default_rng(1), centres, 60)
    nothing, nobody = rows[:0], truth[:0]

    placed = place(rows, np.ones(len(rows), np.int64), nothing, nobody, 5)

    assert (placed.known == -1).all()
    assert adjusted_rand_score(truth, placed.born) == 1.0
    assert set(placed.parents) == {-1}
    for weights, born in (([3, 2], True), ([2, 2], False)):
        few = place(rows[:2], np.array(weights), nothing, nobody, 5)
        assert (few.born >= 0).tolist() == [born, born]


def test_a_vote_is_the_weight_of_all_neighbours_of_a_cluster() -> None:
    """Five at a cosine of .8 outweigh three at .9, for 2.05 of 4.02; of equal weights the lower cluster wins."""
    reference = np.array([[0.8, 0.6]] * 5 + [[0.9, np.sqrt(0.19)]] * 3, np.float32)
    row = np.array([[1.0, 0.0]], np.float32)
    weight = {0: 5 * 0.8**VOTE_POWER, 1: 3 * 0.9**VOTE_POWER}

    found, confidence = vote(row, reference, np.array([0] * 5 + [1] * 3))

    assert (found[0], weight[0] > weight[1]) == (0, True)
    assert confidence[0] == pytest.approx(weight[0] / sum(weight.values()), rel=1e-5)
    owners = np.array([2, 1, 1, 2, 3, 3, 4, 4])
    assert [value.tolist() for value in vote(row, np.tile(row, (8, 1)), owners)] == [[1], [0.25]]


def test_threads_change_no_bit(centres: np.ndarray) -> None:
    """One worker or several: the same labels, since similarities are exact."""
    rows, _ = cloud(np.random.default_rng(0), centres, 300)
    labels = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            labels.append(find(rows))

    assert (labels[0] == labels[1]).all()


def test_what_ran_before_in_the_process_changes_nothing() -> None:
    """A flow server clusters day after day in one process: blurred rows, too, get the labels that they got before."""
    rows = on_grid(np.random.default_rng(0).normal(size=(600, 16)))

    labels = [find(rows).tolist() for _ in range(3)]

    assert labels[0] == labels[1] == labels[2]


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_shuffled_arrival_gives_the_same_ids(tmp_path_factory: pytest.TempPathFactory, make: Any, seed: int) -> None:
    """Events in any order and number of commits end in the same clusters with the same ids."""
    rows = [make.asked(i, make.phrase(topic, i)) for topic in ("card", "parcel") for i in range(40)]
    rows = [make.asked(n, row.input_messages[0].content) for n, row in enumerate(rows)]
    events = [*rows, *(make.said(row) for row in rows)]
    homes = []
    for shuffled in (False, True):
        world = make.World(tmp_path_factory.mktemp("world"))
        if shuffled:
            random.Random(seed).shuffle(events)
        for start in range(0, len(events), 60 if shuffled else len(events)):
            world.happened(*events[start : start + 60] if shuffled else events)
        world.run()
        homes.append(world.homes())

    assert homes[0] == homes[1]


def test_a_split_and_a_merge_are_proposed_by_members(centres: np.ndarray) -> None:
    """Two sources under one id are proposed as a split, one source under two ids as a merge; nothing else is."""
    rows, truth = cloud(np.random.default_rng(1), centres, 80)
    homes = truth.copy()
    homes[truth == 1] = 0
    homes[(truth == 2) & (np.arange(len(truth)) % 2 == 0)] = 12

    found = {(proposal.kind, proposal.clusters) for proposal in proposals(rows, find(rows), homes)}

    assert found == {("split", (0,)), ("merged", (2, 12))}


def test_themes_hold_what_is_near_and_keep_their_id(centres: np.ndarray) -> None:
    """Clusters around two distant points form two themes, which keep their ids when a cluster joins."""
    rng = np.random.default_rng(3)
    two = np.stack([on_grid(centres[:1] * 3 + 0.9 * rng.normal(size=(6, 64)) / 4)[i] for i in range(6)])
    other = np.stack([on_grid(centres[1:2] * 3 + 0.9 * rng.normal(size=(6, 64)) / 4)[i] for i in range(6)])
    ids = [f"a{i}" for i in range(6)] + [f"b{i}" for i in range(6)]
    vectors = np.concatenate([two, other])
    sizes = dict.fromkeys(ids, 10)

    before = themes(ids[:-1], vectors, ids, sizes, {})
    after = themes(ids, vectors, ids, sizes, before)

    assert len({before[id_] for id_ in ids[:6]} & {before[id_] for id_ in ids[6:-1]}) == 0
    assert {id_: after[id_] for id_ in before} == before


def test_a_small_cluster_survives_sampling(centres: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many rows only a sample is clustered; one row in seventy still gets a cluster of its own."""
    monkeypatch.setattr("flows.cluster.placement.sample.WHOLE", 1500)
    rng = np.random.default_rng(0)
    many, _ = cloud(rng, centres[:11], 600)
    few, _ = cloud(rng, centres[11:], 90, spread=0.3)
    order = rng.permutation(len(many) + 90)

    labels = find(np.concatenate([many, few])[order])

    is_few = order >= len(many)
    home = set(labels[is_few])
    assert len(home) == 1
    assert np.isin(labels, list(home)).sum() == 90


def test_equal_texts_are_one_row() -> None:
    """Case and white space aside, a thousand equal texts are one row of weight a thousand."""
    found = distinct(["Hello  there"] * 999 + ["hello there\n", "other"])

    assert sorted(zip(found.texts, found.weights.tolist(), strict=True)) == [("hello there", 1000), ("other", 1)]


def test_quality_on_real_requests(shared_data: Path) -> None:
    """A third of 13,083 banking requests of 77 kinds, no number given: AMI at least .70 (.76 on all of them)."""
    rows = [json.loads(line) for line in (shared_data / "banking77.jsonl").read_text().splitlines()][::3]
    found = distinct([row["text"] for row in rows])
    labels = {normalise(row["text"]): row["label"] for row in rows}

    clusters = find(load("wordllama").embed(found.texts))

    assert adjusted_mutual_info_score([labels[text] for text in found.texts], clusters) >= 0.7


def test_of_a_large_batch_a_sample_shows_what_is_news(centres: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than are held against one another: new sources are born all the same, and old ones keep their rows."""
    monkeypatch.setattr("flows.cluster.placement.identity.AROUND", 1_500)
    rng = np.random.default_rng(3)
    old, owners = cloud(rng, centres[:9], 200)
    day, truth = cloud(rng, centres, 250)

    placed = place(day, np.ones(len(day), np.int64), old, owners, 5)

    is_new = truth >= 9
    assert (placed.born[is_new] >= 0).mean() > 0.95
    assert (placed.born[~is_new] >= 0).mean() < 0.02
    assert (placed.known[~is_new] == truth[~is_new]).mean() > 0.97


def test_a_row_is_compared_with_the_chosen_ones_and_not_with_itself() -> None:
    """Neighbours among a sample are those of the sample, by their places in the whole."""
    rows = on_grid(np.random.default_rng(1).normal(size=(60, 8)))
    chosen = np.arange(0, 60, 4)

    found, cosines = neighbours_among(rows, chosen, 3)

    similar = rows @ rows[chosen].T
    for row in range(len(rows)):
        others = [(-similar[row, at], other) for at, other in enumerate(chosen.tolist()) if other != row]
        assert found[row].tolist() == [other for _, other in sorted(others)[:3]]
        assert cosines[row].tolist() == [-value for value, _ in sorted(others)[:3]]
