"""Agreement beyond chance: the numbers of statsmodels and of the textbook, with intervals that cover."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from flows.agreement import of_many, of_two


@pytest.mark.parametrize("seed", range(8))
def test_kappa_is_that_of_statsmodels(seed: int) -> None:
    """To 1e-9, and its table has every item once."""
    raters = pytest.importorskip("statsmodels.stats.inter_rater")
    table = np.random.default_rng(seed).integers(0, 40, (2, 2))
    names = ((True, True), (True, False), (False, True), (False, False))
    pairs = [name for name, number in zip(names, table.ravel(), strict=True) for _ in range(number)]

    found = of_two(pairs)

    assert found.value == pytest.approx(raters.cohens_kappa(table).kappa, abs=1e-9)
    assert [found.both_good, found.only_first, found.only_second, found.both_bad] == table.ravel().tolist()
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


def alpha_by_pairs(items: list[list[bool]]) -> float:
    """Krippendorff's alpha as he defines it: disagreeing pairs within items against those of all values."""
    items = [words for words in items if len(words) > 1]
    values = [word for words in items for word in words]
    observed = sum(sum(a != b for a, b in permutations(words, 2)) / (len(words) - 1) for words in items) / len(values)
    expected = sum(a != b for a, b in permutations(values, 2)) / (len(values) * (len(values) - 1))
    return 1 - observed / expected


@pytest.mark.parametrize("seed", range(8))
def test_alpha_is_that_of_its_definition(seed: int) -> None:
    """With any number of people an item; items of one person change nothing."""
    random = np.random.default_rng(seed)
    items = [list(random.random(random.integers(1, 5)) < random.random()) for _ in range(40)]

    found = of_many((sum(words), len(words)) for words in items)

    assert found.value == pytest.approx(alpha_by_pairs(items), abs=1e-9)
    assert found.items == sum(len(words) > 1 for words in items)


def test_with_two_people_alpha_is_near_kappa() -> None:
    """They answer the same question, but for small numbers."""
    random = np.random.default_rng(3)
    truth = random.random(4_000) < 0.6
    both = [truth ^ (random.random(4_000) < 0.1) for _ in range(2)]
    pairs = [(bool(a), bool(b)) for a, b in zip(*both, strict=True)]

    assert of_two(pairs).value == pytest.approx(of_many((a + b, 2) for a, b in pairs).value, abs=0.01)


@pytest.mark.parametrize(
    "pairs", [[], [(True, True)] * 9, [(True, True)], [(True, False)] * 5], ids=["none", "all good", "one", "apart"]
)
def test_where_chance_explains_all_there_is_no_number(pairs: list[tuple[bool, bool]]) -> None:
    """Never a division by zero, and never a made-up agreement."""
    found = of_two(pairs)

    assert found.value in {None, 0.0}
    assert found.items == len(pairs)
    assert of_many((a + b, 2) for a, b in pairs if a == b).value is None


def test_the_interval_covers() -> None:
    """In 200 worlds of 120 items the true kappa lies within, nearly as often as it says."""
    random = np.random.default_rng(5)
    flips, share = 0.12, 0.5
    chance = share * share + (1 - share) * (1 - share)
    agree = (1 - flips) ** 2 + flips**2
    truth = (agree - chance) / (1 - chance)
    inside = 0
    for _ in range(200):
        right = random.random(120) < share
        first, second = (right ^ (random.random(120) < flips) for _ in range(2))
        found = of_two((bool(a), bool(b)) for a, b in zip(first, second, strict=True))
        inside += found.low is not None and found.high is not None and found.low <= truth <= found.high

    assert inside >= 180


def test_the_same_answers_give_the_same_interval() -> None:
    """In whatever order they come."""
    pairs = [(n % 3 > 0, n % 4 > 0) for n in range(60)]

    assert of_two(pairs) == of_two(reversed(pairs))
