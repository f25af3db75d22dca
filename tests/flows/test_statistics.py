"""The gate's formulas: the same numbers as scipy and statsmodels, and sound where nothing differs."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from flows.evaluate.compare import p_above
from flows.statistics import (
    Estimate,
    bonett_price_p,
    cluster_mean,
    guard_p,
    holm,
    items_needed,
    log_ratio,
    mcnemar_exact,
    mcnemar_p,
    mean_ratio,
    minimum_detectable,
    smallest_passing,
    tango_p,
)


def clustered(seed: int, n: int = 300, even: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Paired differences of items in units of one size, or of very uneven sizes."""
    rng = np.random.default_rng(seed)
    units = np.arange(n) // 4 if even else (rng.random(n) ** 3 * n / 4).astype(int)
    return rng.choice([-1.0, 0.0, 0.0, 1.0], n) + rng.normal(0, 0.3, n // 4)[units], units


@pytest.mark.parametrize("seed", range(5))
def test_units_of_one_size_give_the_error_of_statsmodels(seed: int) -> None:
    """Mean, standard error, p and interval agree with OLS on a constant, clustered by unit."""
    api = pytest.importorskip("statsmodels.api")
    values, units = clustered(seed, even=True)
    fit = api.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": units}, use_t=True)
    estimate = cluster_mean(values, units)

    assert estimate.mean == pytest.approx(fit.params[0], rel=1e-9)
    assert estimate.se == pytest.approx(fit.bse[0], rel=1e-9)
    assert 2 * min(estimate.p_above(0), 1 - estimate.p_above(0)) == pytest.approx(fit.pvalues[0], rel=1e-9)
    assert estimate.interval(0.025) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_units_of_uneven_size_give_bell_and_mccaffreys_error(seed: int) -> None:
    """The closed forms agree with the matrices of the paper, for a regression on a constant."""
    values, units = clustered(seed, n=80)
    n, names = len(values), np.unique(units)
    rest = np.eye(n) - np.full((n, n), 1 / n)
    alike = (units[:, None] == units[None, :]).astype(float)
    columns = []
    for name in names:
        own = units == name
        root = np.linalg.inv(linalg.sqrtm(rest[np.ix_(own, own)]).real)
        columns.append(rest[:, own] @ root @ np.ones(own.sum()) / n)
    weights = np.array(columns)
    products = weights @ alike @ weights.T
    estimate = cluster_mean(values, units)

    assert estimate.se**2 == pytest.approx(float(((weights @ values) ** 2).sum()))
    assert estimate.freedom == pytest.approx(np.trace(products) ** 2 / np.trace(products @ products))
    assert estimate.freedom < len(names) - 1


def test_a_few_diligent_users_prove_no_more_than_they_are() -> None:
    """[60 users, some with a hundred times the items of others, items of one alike]: errors stay at alpha.

    With units - 1 degrees of freedom and the usual factor G/(G-1) it would be 8 %.
    """
    rng = np.random.default_rng(5)
    false = 0
    for _ in range(1500):
        units = rng.choice(60, 400, p=rng.dirichlet(np.full(60, 0.4)))
        tilt = 0.2 * rng.choice([-1.0, 1.0], 60)[units]
        values = np.where(rng.random(400) < 0.7, 0.0, np.where(rng.random(400) < 0.5 + tilt / 0.6, 1.0, -1.0))
        false += cluster_mean(values, units).p_above(0.0) <= 0.05

    assert false / 1500 <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 1500)


def test_single_items_give_the_ordinary_t_test() -> None:
    """Units of one item are no clusters: the t test of scipy."""
    values, _ = clustered(9)
    estimate = cluster_mean(values, np.arange(len(values)))

    assert estimate.p_above(0.1) == pytest.approx(stats.ttest_1samp(values, 0.1, alternative="greater").pvalue)
    assert estimate.design_effect == pytest.approx(1)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_the_tests_of_counts_are_mcnemars(wins: int, losses: int) -> None:
    """The exact p of scipy's binomial test, on both sides and on one."""
    total = wins + losses

    assert mcnemar_exact(wins, losses) == pytest.approx(stats.binomtest(wins, total).pvalue if total else 1.0)
    assert mcnemar_p(wins, losses) == pytest.approx(
        stats.binomtest(wins, total, alternative="greater").pvalue if total else 1.0
    )


def test_the_exact_test_agrees_with_statsmodels() -> None:
    """The two-sided p of statsmodels' mcnemar."""
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")

    assert mcnemar_exact(19, 7) == pytest.approx(tables.mcnemar([[0, 7], [19, 0]], exact=True).pvalue)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    """The adjusted p values agree with multipletests."""
    multitest = pytest.importorskip("statsmodels.stats.multitest")

    assert holm(p_values) == pytest.approx(list(multitest.multipletests(p_values, method="holm")[1]))


def test_tango_is_the_published_score_test() -> None:
    """Turned into an interval it is the one that Fagerland, Lydersen & Laake 2014 (Stat. Med. 33:2850) print.

    Airway responsiveness of 21 children: 7 wins, 1 loss; Tango's 95 % interval is .026 to .517.
    """
    published = functools.partial(tango_p, items=21, correction=0)

    assert published(7, 1, margin=-0.0255) < 0.025 < published(7, 1, margin=-0.0265)
    assert published(1, 7, margin=0.5165) > 0.025 > published(1, 7, margin=0.5178)
    assert tango_p(19, 7, 100, 0, correction=0) == pytest.approx(stats.norm.sf(12 / np.sqrt(26)))


@pytest.mark.parametrize("n", [30, 50, 100])
@pytest.mark.parametrize("margin", [0.0, 0.03, 0.05, 0.1, 0.2])
def test_the_exact_size_for_single_binary_items_is_at_most_alpha(n: int, margin: float) -> None:
    """Every outcome of n items is enumerated: no Monte Carlo error, whatever the share of items that differ."""
    region = rejected(n, margin, 0.05)
    shares = np.linspace(max(margin, 0.01), 0.99, 60)

    assert max(size(region, n, margin, share) for share in shares) <= 0.05


def rejected(n: int, margin: float, alpha: float) -> list[tuple[int, int]]:
    """The wins and losses on n items at which H0: mean <= -margin is rejected."""
    units = np.arange(n)
    found = []
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            if (wins - losses) / n <= -margin:
                break
            values = np.repeat([1.0, -1.0, 0.0], [wins, losses, n - wins - losses])
            if p_above(values, cluster_mean(values, units), -margin, binary=True) > alpha:
                break
            found.append((wins, losses))
    return found


def size(region: list[tuple[int, int]], n: int, margin: float, discordant: float) -> float:
    """The probability of such an outcome where the mean is -margin."""
    wins, losses = np.array(region).T
    chances = np.array([(discordant - margin) / 2, (discordant + margin) / 2, 1 - discordant])
    counts = np.column_stack([wins, losses, n - wins - losses])
    return float(np.exp(stats.multinomial.logpmf(counts, n, chances)).sum())


def test_where_nothing_differs_enough_items_are_needed() -> None:
    """Without one discordant item the t test proves anything; the guards ask for `smallest_passing` items."""
    least = smallest_passing(0.05, 0.05)

    assert least == 87
    for n, passes in ((least - 1, False), (least, True)):
        same = np.zeros(n)
        assert (guard_p(same, cluster_mean(same, np.arange(n)), -0.05, binary=True) <= 0.05) == passes
    assert bonett_price_p(np.zeros(20), 20, -0.05) > 0.05


def test_ties_within_few_units_count_as_few() -> None:
    """A thousand equal answers for ten users are ten users who saw no difference."""
    same = np.zeros(1000)
    many, few = (
        guard_p(same, cluster_mean(same, units), -0.05, binary=True)
        for units in (np.arange(1000), np.arange(1000) % 10)
    )

    assert many < 0.001
    assert few > 0.2


def test_power_is_what_the_formula_says() -> None:
    """At the minimum detectable effect a t test finds four in five; items needed follow from it."""
    se = 0.02
    many, few = (Estimate(0.0, se, units, units, units - 1, 1.0) for units in (1000, 10))
    effect = minimum_detectable(many, 0.05)

    assert stats.norm.sf(stats.t.isf(0.05, 999) - (effect - 1 / 1000) / se) == pytest.approx(0.8)
    assert minimum_detectable(few, 0.05) > effect
    assert items_needed(1000, se, effect - 1 / 1000, 0.05) == pytest.approx(1000, rel=0.01)
    assert items_needed(1000, se, (effect - 1 / 1000) / 2, 0.05) == pytest.approx(4000, rel=0.01)
    assert items_needed(1000, se, 0.0, 0.05) is None


@pytest.mark.parametrize(("margin", "discordant", "items"), [(0.01, 0.1, 6183), (0.03, 0.2, 1374), (0.1, 0.2, 124)])
def test_items_needed_are_those_of_the_published_table(margin: float, discordant: float, items: int) -> None:
    """N = (z + z)^2 * discordance / margin^2 for binary scores without a true difference."""
    n = 100_000
    assert items_needed(n, float(np.sqrt(discordant / n)), margin, 0.05) == pytest.approx(items, abs=1)


@pytest.mark.parametrize("ratio", [log_ratio, mean_ratio])
def test_ratios_cover_the_truth(ratio: object) -> None:
    """Nine in ten 90 % intervals of a ratio hold it, with items in units."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        units = np.arange(200) // 4
        base = rng.lognormal(0, 0.5, 200)
        noise = rng.lognormal(0, 0.2, 200) * rng.lognormal(0, 0.1, 50)[units]
        scale = 1.5 / (np.exp(0.5 * (0.2**2 + 0.1**2)) if ratio is mean_ratio else 1)
        _, low, high = ratio(base * noise * scale, base, units, 0.05)  # type: ignore[operator]
        hits += low <= 1.5 <= high

    assert hits / 400 == pytest.approx(0.9, abs=0.05)


def test_bonett_price_is_the_published_test() -> None:
    """One win and one loss are added: (f12 - f21) / (n + 2), with the variance of such a difference.

    Bonett & Price 2012 for paired proportions; for other differences the sum of squares takes the place of the
    discordant share.
    """
    for wins, losses, n, bound in ((7, 1, 21, 0.0), (7, 1, 21, -0.05), (30, 40, 200, -0.1), (0, 0, 50, -0.05)):
        won, lost = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
        error = np.sqrt((won + lost - (won - lost) ** 2) / (n + 2))
        values = np.repeat([1.0, -1.0, 0.0], [wins, losses, n - wins - losses])
        assert bonett_price_p(values, n, bound) == pytest.approx(stats.norm.sf((won - lost - bound) / error))

    values, _ = clustered(4)
    values = np.clip(values / 3, -1, 1)
    padded = np.append(values, [1.0, -1.0])
    error = padded.std() / np.sqrt(len(padded))
    assert bonett_price_p(values, len(values), 0.02) == pytest.approx(stats.norm.sf((padded.mean() - 0.02) / error))


@pytest.mark.parametrize("binary", [True, False])
def test_the_second_opinion_counts_users_not_their_items(binary: bool) -> None:
    """A hundred users who answer alike in all of their items are worth a hundred items, for counts and for scores."""
    once = np.repeat([1.0, -1.0, 0.0], [10, 6, 84])
    often, units = np.repeat(once, 8), np.repeat(np.arange(100), 8)
    expected = tango_p(10, 6, 100, 0.05) if binary else bonett_price_p(once, 100, -0.05)

    found = guard_p(often, cluster_mean(often, units), -0.05, binary)

    assert found == pytest.approx(expected, rel=0.05)
    assert guard_p(often, cluster_mean(often, np.arange(800)), -0.05, binary) < found / 10


@pytest.mark.parametrize("seed", range(5))
def test_users_who_contradict_themselves_are_not_more_than_their_items(seed: int) -> None:
    """Units whose items differ more than chance lower the variance; the design effect stays at 1."""
    rng = np.random.default_rng(seed)
    first = rng.choice([-1.0, 1.0], 40)
    values = np.column_stack([first, -first * rng.choice([1.0, 0.0], 40, p=[0.8, 0.2])]).ravel()
    estimate = cluster_mean(values, np.arange(80) // 2)

    assert estimate.se < cluster_mean(values, np.arange(80)).se
    assert estimate.design_effect == 1.0
    assert cluster_mean(*clustered(seed)).design_effect > 1.0


def test_one_unit_says_nothing() -> None:
    """However many items one user answered: no interval, and nothing is proven."""
    estimate = cluster_mean(np.linspace(0.5, 1, 50), np.zeros(50, int))

    assert estimate.interval(0.05) == (None, None)
    assert estimate.p_above(0.0) == 1.0
