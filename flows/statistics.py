"""The formulas of the gate: paired differences with clustered units, exact and score tests, power, correction.

Pure numpy and scipy, each formula with its source; tests hold them against statsmodels and scipy. Shared by the stages
evaluate (comparison) and promote (verdict, live A/B). Go on to `flows/evaluate/compare.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from scipy.special import bdtr, bdtrc, ndtr, ndtri, stdtr, stdtrit

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

LARGE = 0.75
"""Share of the items whose units are no larger than the unit thought of by `bounded_p`: with the mean size false proofs
of not worse were .061 at .05 where a few of 1,000 users gave most items, with this .037."""
NEAR_ZERO = 1e-4
"""Where a saddlepoint lies so near to 0 its formula is 0 / 0; the limit is taken."""
POWER = 0.8
"""The usual chance of finding what is there; minimum detectable effects and items needed are stated at it."""


class Estimate(Struct, frozen=True):
    """A mean with its cluster-robust standard error."""

    mean: float
    se: float
    """0 where nothing varies: no t test may be believed then, see `guard_p`."""
    items: int
    units: int
    freedom: float
    """Degrees of freedom of its t test: units - 1, fewer where some units are much larger than others."""

    def mirrored(self) -> Estimate:
        """The same for the values with the other sign."""
        return msgspec.structs.replace(self, mean=-self.mean)

    def p_above(self, bound: float) -> float:
        """One-sided p of the t test of H0: mean <= bound."""
        if self.units < 2:
            return 1.0
        if self.se == 0.0:
            return 0.0 if self.mean > bound else 1.0
        return float(stdtr(self.freedom, (bound - self.mean) / self.se))

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """Two-sided interval at 1 - 2 alpha: each end is a one-sided bound at alpha."""
        if self.units < 2:
            return None, None
        reach = float(stdtrit(self.freedom, 1 - alpha)) * self.se
        return self.mean - reach, self.mean + reach


class Grouped(Struct, frozen=True):
    """Items by the unit that each belongs to."""

    codes: Codes
    """Of each item its unit, counted from 0."""
    sizes: npt.NDArray[np.intp]
    """Items of each unit."""


def grouped(units: Codes | Grouped) -> Grouped:
    """Items grouped by unit, which sorts them: whoever asks several questions of the same items does it once."""
    return (
        units if isinstance(units, Grouped) else Grouped(*np.unique(units, return_inverse=True, return_counts=True)[1:])
    )


def cluster_mean(values: Floats, units: Codes | Grouped) -> Estimate:
    """Mean and standard error where items of one unit go together (Miller 2024, arXiv:2411.00640, eq. 4).

    With s_g the sum over unit g of (d - mean), and h_g the unit's share of the n items:
    SE = sqrt(sum s_g^2 / (1 - h_g)) / n, the bias-reduced estimate of Bell & McCaffrey 2002 (Survey Methodology 28:169;
    "CR2"). For units of one size this is the factor G/(G-1) that statsmodels uses.
    """
    n = len(values)
    mean = float(values.mean())
    group = grouped(units)
    sums = np.bincount(group.codes, weights=values - mean)
    variance = float((sums**2 / (1 - group.sizes / n)).sum()) / n**2 if len(group.sizes) > 1 else 0.0
    return Estimate(mean, float(np.sqrt(variance)), n, len(group.sizes), freedom(group.sizes))


def freedom(sizes: npt.ArrayLike) -> float:
    """Degrees of freedom of a mean over units of these sizes: Satterthwaite's, as in Bell & McCaffrey 2002.

    Units - 1 where all are of one size. The items of a unit count as one voice, the case where large units weigh most:
    with units - 1, nominal 5 % were 6 to 9 % among users of uneven diligence, with this at most 5 % (docs/gate.md).

    Closed form of tr(V)^2 / tr(V V) for V = D (I - 1 h')(I - h 1') D, d_g = n_g / sqrt(1 - h_g).
    """
    counts = np.asarray(sizes, float)
    if len(counts) < 2:
        return 1.0
    share = counts / counts.sum()
    weight = share**2 / (1 - share)
    s = float((share**2).sum())
    p0, p1, p2 = (float(weight @ share**power) for power in range(3))
    trace = float((weight * (1 - 2 * share + s)).sum())
    diagonal = float((weight**2 * (1 + 2 * (s - 2 * share))).sum())
    squared = s**2 * p0**2 + 2 * p2 * p0 + 2 * p1**2 - 4 * s * p1 * p0 + diagonal
    return trace**2 / squared


def tango_p(wins: float, losses: float, items: float, margin: float, correction: float = 1.0) -> float:
    """One-sided p of H0: P(win) - P(loss) <= -margin for paired binary scores.

    Score test of Tango 1998, Statistics in Medicine 17:891, sound where nothing or almost nothing differs: there the
    t test has no standard error and "proves" anything (false passes .14-.35 measured for slices of 10-200 items). One
    item is taken off the balance, Edwards' continuity correction of 1948 (Psychometrika 13:185): without it the exact
    size is up to .060 instead of .05, with it at most .05 whatever the share of items that differ (docs/gate.md).
    """
    shift = -margin
    b = -wins - losses + (2 * items - wins + losses) * shift
    c = -losses * shift * (1 - shift)
    q = (np.sqrt(b * b - 8 * items * c) - b) / (4 * items)
    variance = items * (2 * q + shift * (1 - shift))
    excess = wins - losses - items * shift - correction
    if variance <= 0:
        return 0.0 if excess > 0 else 1.0
    return float(ndtr(-excess / np.sqrt(variance)))


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact p of H0: wins and losses are equally likely (McNemar 1947): for reports."""
    fewer, total = min(wins, losses), wins + losses
    return min(1.0, 2 * float(bdtr(fewer, total, 0.5))) if total else 1.0


def mcnemar_p(wins: int, losses: int) -> float:
    """One-sided exact p of H0: wins are not more likely than losses (McNemar 1947).

    Its mid-p errs in up to 5.6 % instead of 5 where nearly all of thirty items differ; half an item of the stated
    minimum detectable effect is what exactness costs.
    """
    return float(bdtrc(wins - 1, wins + losses, 0.5)) if wins else 1.0


def bounded_p(sums: Floats, sizes: npt.NDArray[np.int_], bound: float, least: float = -1.0) -> float:
    """One-sided p of H0: mean <= bound, of items of `least` or more summed by unit, with no more than were seen.

    A t test believes what it saw: where one unit in twenty loses everything and none of those came, it proves a gain
    from 30 units in 21 % of samples instead of 2.5. Here one unit more is thought of, a large one (three items in four
    come from none that is larger), that lost all its items; p is the chance that units in random proportions (spacings
    of uniforms) have a mean within H0 (Gaffke 2005, Math. Methods Statist. 14:451; Learned-Miller & Thomas 2020,
    arXiv:1905.06208). For single wins and losses it is McNemar's exact p; for units of which none was lost, exactly how
    likely that is.
    """
    ordered = np.sort(sizes)
    large = ordered[np.searchsorted(np.cumsum(ordered), LARGE * ordered.sum())]
    lost = (least - bound) * float(large)
    worth, times = np.unique(np.round(np.append(sums - bound * sizes, lost), 9), return_counts=True)
    if worth[0] >= 0 or worth[-1] <= 0:
        return float(worth[0] < 0 or worth[-1] <= 0)
    return _weighted_below_zero(worth / np.abs(worth).max(), times)


def _weighted_below_zero(worth: Floats, times: Codes) -> float:
    """P(sum of worth * E <= 0), E independent exponentials, by the saddlepoint of Lugannani & Rice 1980.

    Within 4 % of the exact value.
    """

    def slope(t: float) -> float:
        return float(times @ (worth / (1 - t * worth)))

    from scipy.optimize import brentq  # noqa: PLC0415 lazy: half a second of import, in every process that serves flows

    t = float(brentq(slope, (1 - 1e-12) / worth[0], (1 - 1e-12) / worth[-1], xtol=1e-14))
    bent = float(times @ (worth / (1 - t * worth)) ** 2)
    root = float(np.sign(t) * np.sqrt(max(2 * float(times @ np.log1p(-t * worth)), 0.0)))
    if abs(root) < NEAR_ZERO:
        third = 2 * float(times @ (worth / (1 - t * worth)) ** 3)
        return float(0.5 + third / (6 * np.sqrt(2 * np.pi) * bent**1.5))
    density = np.exp(-(root**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.clip(ndtr(root) - density * (1 / (t * np.sqrt(bent)) - 1 / root), 0.0, 1.0))


def guard_p(values: Floats, units: Codes | Grouped, bound: float, binary: bool) -> float:
    """The second opinion beside the t test of H0: mean <= bound; the gate believes the larger p of the two.

    Where each unit has one item and every score is 0 or 1, exact tests of counts: McNemar's at 0, else Tango's. Else
    `bounded_p`, which knows that a unit may be lost as a whole.
    """
    group = grouped(units)
    if binary and len(group.sizes) == len(values):
        wins, losses = int((values > 0).sum()), int((values < 0).sum())
        return mcnemar_p(wins, losses) if bound == 0 else tango_p(wins, losses, len(values), -bound)
    return bounded_p(np.bincount(group.codes, weights=values).astype(float), group.sizes, bound)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of each: rejecting those at or below alpha keeps the family's error at alpha (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, floor = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted


def minimum_detectable(estimate: Estimate, alpha: float) -> float:
    """The smallest true difference that a one-sided test at alpha, on such data, finds with POWER.

    One unit is added: differences come in whole ones, and the exact test of counts stops short of the t test by that.
    """
    return (float(stdtrit(estimate.freedom, 1 - alpha)) + float(ndtri(POWER))) * estimate.se + 1 / estimate.units


def minimum_detectable_z(se: float, alpha: float) -> float:
    """The smallest true difference that a one-sided test at alpha with this standard error finds with POWER."""
    return (float(ndtri(1 - alpha)) + float(ndtri(POWER))) * se


def kappa(first: Sequence[bool], second: Sequence[bool]) -> float | None:
    """Agreement beyond chance (Cohen 1960) of two who judged the same; None where either always says the same."""
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if not len(a):
        return None
    chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return None if chance == 1 else float(((a == b).mean() - chance) / (1 - chance))


def items_needed(items: int, se: float, difference: float, alpha: float) -> int | None:
    """How many items like these find a difference of this size with POWER; None where it is not positive."""
    if difference <= 0:
        return None
    return int(np.ceil(items * ((float(ndtri(1 - alpha)) + float(ndtri(POWER))) * se / difference) ** 2))


def smallest_passing(margin: float, alpha: float, single: bool = True) -> int:
    """Units below which not even a candidate that answers exactly as the champion is shown to be within the margin.

    Of single items Tango's z without a discordant one is (n m - 1) / sqrt(n m (1 - m)), solved for n; of larger units
    `bounded_p` is (1 - m)^n.
    """
    if not single:
        return int(np.ceil(np.log(alpha) / np.log1p(-margin)))
    reach = float(ndtri(1 - alpha)) * np.sqrt(margin * (1 - margin))
    return int(np.ceil(((reach + np.sqrt(reach**2 + 4 * margin)) / (2 * margin)) ** 2))


def log_ratio(numerator: Floats, denominator: Floats, units: Codes, alpha: float) -> tuple[float, float, float]:
    """Typical paired ratio (geometric mean) with its bounds at 1 - 2 alpha: for latencies, whose tails are long."""
    estimate = cluster_mean(np.log(numerator / denominator), units)
    low, high = estimate.interval(alpha)
    mean = float(np.exp(estimate.mean))
    return mean, mean if low is None else float(np.exp(low)), mean if high is None else float(np.exp(high))


def mean_ratio(numerator: Floats, denominator: Floats, units: Codes, alpha: float) -> tuple[float, float, float]:
    """Ratio of totals with its bounds at 1 - 2 alpha by the delta method: for costs, where the sum is what is paid."""
    ratio = float(numerator.sum() / denominator.sum())
    estimate = cluster_mean((numerator - ratio * denominator) / float(denominator.mean()), units)
    low, high = estimate.interval(alpha)
    return ratio, ratio if low is None else ratio + low, ratio if high is None else ratio + high


def day_variance(counts: Floats, exposure: Floats) -> tuple[Floats, int]:
    """How much each column's rate goes up and down between windows beyond chance: tau^2 of a factor of mean 1.

    `counts` and `exposure` by (window, column); a window without exposure says nothing. The factor makes the variance
    of a count m + tau^2 m^2 (McCullagh and Nelder 1989, 6.2); solved for tau^2 by moments, over all columns together
    and, where it says more, for one by itself: a column that goes up and down more than the others stays its own. The
    pooled one is taken one standard error up (chi-square). Second: the degrees of freedom of the pooled one.
    """
    total = exposure.sum(axis=0)
    share = np.divide(exposure, total, out=np.zeros_like(exposure), where=total > 0)
    events = counts.sum(axis=0)
    expected = share * events
    surplus = ((counts - expected) ** 2 - expected * (1 - share)).sum(axis=0)
    spread = (share**2 - 2 * share**3 + share**2 * (share**2).sum(axis=0)).sum(axis=0)
    reach = np.maximum(events * events - events, 0.0) * spread
    free = int(np.maximum((exposure > 0).sum(axis=0) - 1, 0)[events > 0].sum())
    pooled = max(0.0, float(surplus.sum()) / float(reach.sum())) if reach.sum() > 0 else 0.0
    pooled *= 1 + np.sqrt(2 / max(free, 1))
    own = np.divide(surplus, reach, out=np.zeros_like(reach), where=reach > 0)
    return np.maximum(pooled, own), free


def rate_ps(
    now: tuple[Floats, Floats],
    before: tuple[Floats, Floats],
    variance: Floats,
    least: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """One-sided p of each column's "the rate did not fall" and "it did not rise", of counts and exposures by window.

    Rates vary by window with `variance` (`day_variance`). Of negative binomial counts the share of one side, given
    their sum, is beta-binomial (Johnson, Kemp and Kotz, Univariate Discrete Distributions, 2005, 6.8.2): exactly where
    windows are equally long, else by its first two moments. Without variance it is binomial (Przyborowski and Wilenski
    1940). `least` (before, now): a column is looked at because there were so many on that side, so the tail is taken
    among such only; else what was picked for being high would fall by itself. 1 where either side has no exposure.
    """
    from scipy.stats import betabinom  # noqa: PLC0415 lazy: 1 s of import

    (new, exposed), (old, exposed_old) = now, before
    e_new, e_old = exposed.sum(axis=0), exposed_old.sum(axis=0)
    usable = (e_new > 0) & (e_old > 0)
    e_new, e_old = np.where(usable, e_new, 1.0), np.where(usable, e_old, 1.0)
    count, total = new.sum(axis=0), new.sum(axis=0) + old.sum(axis=0)
    share = e_new / (e_new + e_old)
    uneven = (exposed**2).sum(axis=0) / e_new**2 + (exposed_old**2).sum(axis=0) / e_old**2
    size = np.minimum(1 / (share * (1 - share) * np.maximum(variance * uneven, 1e-9)), 1e7)
    a, b = size * share, size * (1 - share)
    low, high = betabinom.cdf(count, total, a, b), betabinom.sf(count - 1, total, a, b)
    if least is not None:
        low_all = betabinom.cdf(total - least[0], total, a, b)
        high_all = betabinom.sf(least[1] - 1, total, a, b)
        low = np.where(total - least[0] >= count, low / np.maximum(low_all, 1e-300), 1.0)
        high = np.where(count >= least[1], high / np.maximum(high_all, 1e-300), 1.0)
    fell, rose = (np.where(usable, np.clip(p, 0.0, 1.0), 1.0) for p in (low, high))
    return fell, rose


def false_rates(p: Floats) -> Floats:
    """The lowest rate of false calls at which each p-value is called (Benjamini, Hochberg 1995)."""
    if not len(p):
        return p
    from scipy.stats import false_discovery_control  # noqa: PLC0415 lazy: 1 s of import

    rates: Floats = false_discovery_control(p)
    return rates


def discoveries(p: Floats, rate: float) -> npt.NDArray[np.bool_]:
    """Which of the p-values are called when at most `rate` of the calls may be false (Benjamini, Hochberg 1995)."""
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    called = np.zeros(len(p), dtype=bool)
    called[order[: passed[-1] + 1 if len(passed) else 0]] = True
    return called
