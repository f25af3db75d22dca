"""The graph of shared neighbours: what its weights are, and what it costs where everything is alike."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from flows.cluster.placement.graph import FLOOR, elected, neighbours, shared_neighbour_graph


@pytest.mark.parametrize(("rows", "k"), [(2, 1), (40, 5), (40, 39)])
def test_weights_are_the_root_of_the_overlap_of_neighbourhoods_times_the_cosine(rows: int, k: int) -> None:
    """As written down by hand for each pair of which one is a neighbour of the other."""
    vectors = np.random.default_rng(1).normal(size=(rows, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found, cosines = neighbours(vectors, vectors, k, skip_self=True)
    near = [{row, *map(int, found[row][cosines[row] >= FLOOR])} for row in range(rows)]

    weights = shared_neighbour_graph(found, cosines).toarray()

    for a in range(rows):
        for b in range(rows):
            linked = a != b and (a in near[b] or b in near[a])
            jaccard = len(near[a] & near[b]) / len(near[a] | near[b])
            assert weights[a, b] == pytest.approx(jaccard**0.5 * (vectors[a] @ vectors[b]) if linked else 0, rel=1e-5)


def test_a_text_that_comes_again_and_again_does_not_fill_the_memory() -> None:
    """All of 20,000 equal rows have the same neighbours: their product with one another would take 3 GB."""
    rows, k = 20_000, 25
    found, cosines = np.tile(np.arange(k), (rows, 1)), np.ones((rows, k), np.float32)
    tracemalloc.start()

    graph = shared_neighbour_graph(found, cosines)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400 * 2**20
    assert graph.nnz == 2 * (k * (rows - k) + k * (k - 1) // 2)


def test_what_is_like_nothing_has_no_say_beside_what_is_near() -> None:
    """One near neighbour outvotes nine that are below the floor; where all are below it, they have the say."""
    rivals = np.array([[0, *[1] * 9]])
    near = np.array([[FLOOR + 0.1, *[FLOOR - 0.01] * 9]], np.float32)
    far = np.array([[FLOOR - 0.005, *[FLOOR - 0.01] * 9]], np.float32)

    assert elected(rivals, near)[0].tolist() == [0]
    assert elected(rivals, near)[1].tolist() == [1.0]
    assert elected(rivals, far)[0].tolist() == [1]


@pytest.mark.parametrize("width", [5, 19, 300, 577, 2_000])
@pytest.mark.parametrize("levels", [3, 40, 10_000])
def test_neighbours_are_those_of_a_sort_whatever_ties_there_are(width: int, levels: int) -> None:
    """Wide and narrow references, many equal similarities and few: most similar first, ties by the lower row."""
    rng = np.random.default_rng(width + levels)
    rows = (rng.integers(0, levels, size=(30, 2)) / 16).astype(np.float32)
    reference = (rng.integers(0, levels, size=(width, 2)) / 16).astype(np.float32)

    found, cosines = neighbours(rows, reference, 10)

    expected = np.argsort(-(rows @ reference.T), axis=1, kind="stable")[:, :10]
    assert (found == expected).all()
    assert (cosines == np.take_along_axis(rows @ reference.T, expected, axis=1)).all()
