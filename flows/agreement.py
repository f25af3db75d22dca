"""How far people, and judges, agree beyond chance: Cohen's kappa of two, Krippendorff's alpha of many, with intervals.

    of_two     two who judged the same items: Cohen (1960)
    of_many    any number of people, each of whom judged some: Krippendorff (2004), nominal; with two raters and nothing
               missing it is Scott's pi but for small numbers

Intervals are percentiles of a bootstrap over items, 95 %: items are drawn anew from the few patterns that occur, so
that a million items cost what a hundred do. Pure; the seed is fixed, so that the same answers give the same page. Go on
to `statistics.py`, whose kappa of two it repeats for many draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from flows.statistics import Floats, kappa

DRAWS = 2_000
"""The bounds then move by less than a hundredth from seed to seed."""
SEED = 1
LEVEL = 0.95


class Agreement(Struct, frozen=True):
    """Agreement beyond chance with its interval; None where chance explains all, or there is nothing to compare."""

    value: float | None
    low: float | None
    high: float | None
    items: int
    """That at least two judged."""
    both_good: int = 0
    only_first: int = 0
    """The first said good, the second bad."""
    only_second: int = 0
    both_bad: int = 0


def of_two(pairs: Iterable[tuple[bool, bool]]) -> Agreement:
    """Agreement of two by what each said of the items that both judged: True is good."""
    counted = Counter(pairs)
    cells = [counted[True, True], counted[True, False], counted[False, True], counted[False, False]]
    told = [pair for pair, number in counted.items() for _ in range(number)]
    value = kappa([first for first, _ in told], [second for _, second in told]) if told else None
    low, high = _interval(_kappas(_draws(cells))) if value is not None else (None, None)
    return Agreement(value, low, high, len(told), *cells)


def of_many(items: Iterable[tuple[int, int]]) -> Agreement:
    """Agreement of all who judged, from (said good, said anything) of each item; items of one judge say nothing."""
    counted = Counter((good, told) for good, told in items if told > 1)
    if not counted:
        return Agreement(None, None, None, 0)
    good, told = (np.array(column, float) for column in zip(*counted, strict=True))
    numbers = list(counted.values())
    value = float(_alphas(np.array([numbers], float), good, told)[0])
    if not np.isfinite(value):
        return Agreement(None, None, None, sum(numbers))
    low, high = _interval(_alphas(_draws(numbers), good, told))
    return Agreement(value, low, high, sum(numbers))


def _draws(counts: Sequence[int]) -> Floats:
    """DRAWS samples of as many items, as counts of each pattern."""
    total = sum(counts)
    found = np.random.default_rng(SEED).multinomial(total, np.array(counts) / total, DRAWS)
    return found.astype(float)


def _kappas(cells: Floats) -> Floats:
    """Kappa of each row of (both good, only first, only second, both bad); NaN where chance explains all."""
    total = cells.sum(axis=1)
    first, second = (cells[:, 0] + cells[:, 1]) / total, (cells[:, 0] + cells[:, 2]) / total
    chance = first * second + (1 - first) * (1 - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = ((cells[:, 0] + cells[:, 3]) / total - chance) / (1 - chance)
    return found


def _alphas(counts: Floats, good: Floats, told: Floats) -> Floats:
    """Alpha of each row of pattern counts: 1 - observed / expected disagreement; NaN where all said the same."""
    everything, praise = counts @ told, counts @ good
    differ = counts @ (good * (told - good) / (told - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = 1 - (everything - 1) * differ / (praise * (everything - praise))
    return found


def _interval(draws: Floats) -> tuple[float | None, float | None]:
    sound = draws[np.isfinite(draws)]
    if not len(sound):
        return None, None
    low, high = np.quantile(sound, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
