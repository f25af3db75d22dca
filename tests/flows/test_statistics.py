"""The gate's formulas: the same numbers as scipy and statsmodels, and sound where nothing differs."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, stats

from flows.evaluate.compare import p_above
from flows.statistics import (
    Estimate,
    bounded_p,
    cluster_mean,
    day_variance,
    discoveries,
    guard_p,
    holm,
    items_needed,
    log_ratio,
    mcnemar_exact,
    mcnemar_p,
    mean_ratio,
    minimum_detectable,
    rate_ps,
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
            if p_above(values, units, -margin, binary=True) > alpha:
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
        assert (guard_p(same, np.arange(n), -0.05, binary=True) <= 0.05) == passes
    fewest = smallest_passing(0.05, 0.05, single=False)
    for n, passes in ((fewest - 1, False), (fewest, True)):
        assert (guard_p(np.zeros(3 * n), np.arange(3 * n) // 3, -0.05, binary=True) <= 0.05) == passes


def test_ties_within_few_units_count_as_few() -> None:
    """A thousand equal answers for ten users are ten users who saw no difference."""
    same = np.zeros(1000)
    many, few = (guard_p(same, units, -0.05, binary=True) for units in (np.arange(1000), np.arange(1000) % 10))

    assert many < 0.001
    assert few > 0.2


def test_power_is_what_the_formula_says() -> None:
    """At the minimum detectable effect a t test finds four in five; items needed follow from it."""
    se = 0.02
    many, few = (Estimate(0.0, se, units, units, units - 1) for units in (1000, 10))
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


def exactly_below_zero(worth: np.ndarray) -> float:
    """P(sum of worth * exponentials <= 0) by inversion of its characteristic function (Imhof 1961)."""
    scaled = worth / np.abs(worth).max()

    def turn(u: float) -> float:
        size = u * np.exp(np.log1p((scaled * u) ** 2).sum() / 2)
        return float(np.sin(np.arctan(scaled * u).sum()) / size)

    return 0.5 - float(integrate.quad(turn, 0, np.inf, limit=500)[0]) / np.pi


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("bound", [0.0, -0.05])
def test_bounded_p_is_that_of_spacings_with_one_more_unit_that_lost_everything(seed: int, bound: float) -> None:
    """Held against the exact integral, for units of one size and of many."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6 if seed % 2 else 2, 10 + 8 * seed)
    sums = np.array([rng.choice([-1.0, 0.0, 0.4, 1.0], size, p=[0.2, 0.3, 0.2, 0.3]).sum() for size in sizes])
    large = np.repeat(np.sort(sizes), np.sort(sizes))[int(np.ceil(0.75 * sizes.sum())) - 1]
    unseen = -(1 + bound) * large

    exact = exactly_below_zero(np.append(sums - bound * sizes, unseen))

    assert bounded_p(sums, sizes, bound) == pytest.approx(exact, rel=0.04, abs=1e-7)


@pytest.mark.parametrize(("wins", "losses"), [(7, 0), (10, 3), (25, 10), (12, 12), (5, 9), (60, 20)])
def test_of_single_wins_and_losses_bounded_p_is_mcnemars(wins: int, losses: int) -> None:
    """The exact test of counts is its special case."""
    values = np.repeat([1.0, -1.0], [wins, losses])

    assert bounded_p(values, np.ones(len(values), int), 0.0) == pytest.approx(mcnemar_p(wins, losses), rel=0.03)


@pytest.mark.parametrize("units", [10, 60, 100])
def test_of_units_none_of_which_was_lost_bounded_p_is_how_likely_that_is(units: int) -> None:
    """All gain .05: if a share of .05 / 1.05 lost everything there would be no gain; (1 - .05 / 1.05)^n see none."""
    gains = np.full(units, 0.25)

    found = bounded_p(gains, np.full(units, 5), 0.0)

    assert found == pytest.approx((1 - 0.05 / 1.05) ** units, rel=0.03)


def test_what_cannot_be_or_must_be_needs_no_integral() -> None:
    """Only losses are no gain for certain; a loss beyond all that there is cannot be."""
    assert bounded_p(np.full(9, -1.0), np.ones(9, int), 0.0) == 1.0
    assert bounded_p(np.full(9, -1.0), np.ones(9, int), -1.5) == 0.0
    assert bounded_p(np.array([3.0, -2.0]), np.ones(2, int), 0.0) == pytest.approx(0.5, abs=0.05)


def test_scores_between_0_and_1_are_tested_as_units_are() -> None:
    """Means over samples are no counts, though each item is a unit of its own."""
    values = np.tile([0.5, 0.25, -0.25, 0.0], 20)

    assert guard_p(values, np.arange(80), 0.0, binary=False) == bounded_p(values, np.ones(80, int), 0.0)


def test_one_unit_says_nothing() -> None:
    """However many items one user answered: no interval, and nothing is proven."""
    estimate = cluster_mean(np.linspace(0.5, 1, 50), np.zeros(50, int))

    assert estimate.interval(0.05) == (None, None)
    assert estimate.p_above(0.0) == 1.0


def columns(*values: float) -> np.ndarray:
    return np.array([values], float)


def test_without_variance_the_rate_test_is_the_exact_one_of_two_poisson_counts() -> None:
    """Both tails as scipy's binomial test has them; nothing is said where a side has no exposure."""
    fell, rose = rate_ps(
        (columns(12, 3), columns(1000, 0)), (columns(10, 3), columns(3000, 100)), np.zeros(2)
    )  # fmt: skip

    exact = [stats.binomtest(12, 22, 0.25, alternative=side).pvalue for side in ("less", "greater")]
    assert (fell[0], rose[0]) == (pytest.approx(exact[0], rel=1e-3), pytest.approx(exact[1], rel=1e-3))
    assert (fell[1], rose[1]) == (1.0, 1.0)


@pytest.mark.parametrize("variance", [0.0625, 0.25])
def test_with_variance_it_is_exact_for_negative_binomial_windows(variance: float) -> None:
    """Given the sum over eight equal windows, the last one's share of it, summed up from the counts' own chances."""
    shape, mean = 1 / variance, 20.0
    chance = shape / (shape + mean)
    last, total = 9, 150
    rest = stats.nbinom.pmf(total - np.arange(total + 1), 7 * shape, chance)
    joint = stats.nbinom.pmf(np.arange(total + 1), shape, chance) * rest
    old = np.full((7, 1), (total - last) / 7), np.full((7, 1), 500.0)

    fell, rose = rate_ps((columns(last), columns(500)), old, np.array([variance]))

    assert fell[0] == pytest.approx(joint[: last + 1].sum() / joint.sum(), rel=1e-6)
    assert rose[0] == pytest.approx(joint[last:].sum() / joint.sum(), rel=1e-6)


def test_what_was_picked_for_being_high_is_tested_among_such_only() -> None:
    """The truncated tail, as the joint chances of two Poisson counts have it where the first is at least eight."""
    first, second, least = 9, 2, 8
    share = stats.binom.pmf(np.arange(first + second + 1), first + second, 0.5)
    picked = np.arange(first + second + 1) <= first + second - least

    fell, _ = rate_ps(
        (columns(second), columns(1)), (columns(first), columns(1)), np.zeros(1), (np.array([least]), np.zeros(1))
    )
    none, _ = rate_ps(
        (columns(second), columns(1)), (columns(first), columns(1)), np.zeros(1), (np.array([10.0]), np.zeros(1))
    )

    assert fell[0] == pytest.approx(share[: second + 1].sum() / share[picked].sum(), rel=1e-3)
    assert none[0] == 1.0


def test_the_variance_between_days_is_found() -> None:
    """Of forty columns that vary by .3, and of one among quiet ones; none is found where there is none."""
    rng = np.random.default_rng(5)
    means, exposure = np.linspace(20, 60, 40), np.full((7, 40), 2000.0)
    often = rng.gamma(1 / 0.09, 0.09, (7, 40))
    loud = np.where(np.arange(40) == 3, rng.gamma(1 / 0.25, 0.25, (7, 1)), 1.0)

    varied, free = day_variance(rng.poisson(means * often).astype(float), exposure)
    quiet, _ = day_variance(rng.poisson(means * np.ones((7, 1))).astype(float), exposure)
    alone, _ = day_variance(rng.poisson(means * loud).astype(float), exposure)

    assert free == 240
    assert varied.min() == pytest.approx(0.09, rel=0.4)
    assert np.median(quiet) < 0.01
    assert alone[3] > 0.08
    assert np.median(alone) < 0.03


def test_discoveries_are_benjamini_hochberg() -> None:
    """The largest p under its line is called, and all smaller ones with it, as scipy adjusts them."""
    p = np.array([0.04, 0.001, 0.03, 0.9, 0.012])

    assert discoveries(p, 0.05).tolist() == (stats.false_discovery_control(p) <= 0.05).tolist()
    assert discoveries(np.array([]), 0.05).tolist() == []
