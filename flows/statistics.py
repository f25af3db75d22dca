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
    design_effect: float
    """Variance of the mean over what it were if items were independent; at least 1."""

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


def cluster_mean(values: Floats, units: Codes) -> Estimate:
    """Mean and standard error where items of one unit go together (Miller 2024, arXiv:2411.00640, eq. 4).

    With s_g the sum over unit g of (d - mean), and h_g the unit's share of the n items:
    SE = sqrt(sum s_g^2 / (1 - h_g)) / n, the bias-reduced estimate of Bell & McCaffrey 2002 (Survey Methodology 28:169;
    "CR2"). For units of one size this is the factor G/(G-1) that statsmodels uses.
    """
    n = len(values)
    mean = float(values.mean())
    _, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    sums = np.bincount(codes, weights=values - mean)
    variance = float((sums**2 / (1 - sizes / n)).sum()) / n**2 if len(sizes) > 1 else 0.0
    independent = float(((values - mean) ** 2).sum()) / (n * max(n - 1, 1))
    effect = max(1.0, variance / independent) if independent > 0 else n / len(sizes)
    return Estimate(mean, float(np.sqrt(variance)), n, len(sizes), freedom(sizes), effect)


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


def bonett_price_p(values: Floats, items: float, bound: float) -> float:
    """One-sided p of H0: mean <= bound for paired differences in [-1, 1] that are not binary.

    Adds one win and one loss (Bonett & Price 2012, J. Educ. Behav. Stat. 37:479), which keeps a standard error where
    nothing differs, as Tango's test does for binary scores.
    """
    total = items + 2
    mean = float(values.mean()) * items / total
    second = (float((values**2).mean()) * items + 2) / total
    return float(ndtr((bound - mean) / np.sqrt((second - mean**2) / total)))


def guard_p(values: Floats, estimate: Estimate, bound: float, binary: bool) -> float:
    """The second opinion beside the t test of H0: mean <= bound, at the effective number of items.

    Tango's score test (McNemar's exact one at 0) for binary scores, Bonett-Price for others. The gate believes the
    larger p of the two.
    """
    items = estimate.items / estimate.design_effect
    if not binary:
        return bonett_price_p(values, items, bound)
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    if bound == 0:
        return mcnemar_p(wins, losses)
    return tango_p(wins / estimate.design_effect, losses / estimate.design_effect, items, -bound)


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


def smallest_passing(margin: float, alpha: float) -> int:
    """Items below which not even a candidate that answers exactly as the champion is shown to be within the margin.

    Tango's z without a discordant item is (n m - 1) / sqrt(n m (1 - m)); solved for n.
    """
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
