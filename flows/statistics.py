"""The formulas of the gate: paired differences with clustered units, exact and score tests, power, correction.

Pure numpy and scipy, each formula with its source; tests hold them against statsmodels and scipy. Shared by the stages
evaluate (comparison) and promote (verdict, live A/B). Go on to `flows/evaluate/compare.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    design_effect: float
    """Variance of the mean over what it were if items were independent; at least 1."""

    def p_above(self, bound: float) -> float:
        """One-sided p of the t test (units - 1 degrees of freedom) of H0: mean <= bound."""
        if self.units < 2:
            return 1.0
        if self.se == 0.0:
            return 0.0 if self.mean > bound else 1.0
        return float(stdtr(self.units - 1, (bound - self.mean) / self.se))

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """Two-sided interval at 1 - 2 alpha: each end is a one-sided bound at alpha."""
        if self.units < 2:
            return None, None
        reach = float(stdtrit(self.units - 1, 1 - alpha)) * self.se
        return self.mean - reach, self.mean + reach


def cluster_mean(values: Floats, units: Codes) -> Estimate:
    """Mean and standard error where items of one unit go together.

    Miller 2024, "Adding Error Bars to Evals" (arXiv:2411.00640), eq. 4, with the small-sample factor G/(G-1) that
    statsmodels uses: s_g = sum over unit g of (d - mean); SE = sqrt(G/(G-1) * sum s_g^2) / n.
    """
    n = len(values)
    mean = float(values.mean())
    _, codes = np.unique(units, return_inverse=True)
    sums = np.bincount(codes, weights=values - mean)
    groups = len(sums)
    factor = groups / (groups - 1) if groups > 1 else 0.0
    variance = factor * float(sums @ sums) / n**2
    independent = float(((values - mean) ** 2).sum()) / (n * max(n - 1, 1))
    effect = max(1.0, variance / independent) if independent > 0 else n / groups
    return Estimate(mean, float(np.sqrt(variance)), n, groups, effect)


def tango_p(wins: float, losses: float, items: float, margin: float) -> float:
    """One-sided p of H0: P(win) - P(loss) <= -margin for paired binary scores.

    Score test of Tango 1998, Statistics in Medicine 17:891, sound where nothing or almost nothing differs: there the
    t test has no standard error and "proves" anything (false passes .14-.35 measured for slices of 10-200 items).
    """
    shift = -margin
    b = -wins - losses + (2 * items - wins + losses) * shift
    c = -losses * shift * (1 - shift)
    q = (np.sqrt(b * b - 8 * items * c) - b) / (4 * items)
    variance = items * (2 * q + shift * (1 - shift))
    if variance <= 0:
        return 0.0 if wins - losses > items * shift else 1.0
    return float(ndtr(-(wins - losses - items * shift) / np.sqrt(variance)))


def mcnemar_exact(wins: int, losses: int) -> float:
    """Two-sided exact p of H0: wins and losses are equally likely (McNemar 1947): for reports."""
    fewer, total = min(wins, losses), wins + losses
    return min(1.0, 2 * float(bdtr(fewer, total, 0.5))) if total else 1.0


def mcnemar_mid_p(wins: int, losses: int) -> float:
    """One-sided mid-p of H0: wins are not more likely than losses.

    The exact test gives away power (.76 instead of .80 at its own stated effect, measured); half of the probability of
    what was seen is left out, which stayed below the nominal level in every case of Fagerland, Lydersen & Laake 2013
    (BMC Med. Res. Methodol. 13:91).
    """
    total = wins + losses
    at_least = float(bdtrc(wins - 1, total, 0.5)) if wins else 1.0
    return (at_least + float(bdtrc(wins, total, 0.5))) / 2 if total else 1.0


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

    Tango's score test (McNemar's mid-p at 0) for binary scores, Bonett-Price for others. The gate believes the
    larger p of the two.
    """
    items = estimate.items / estimate.design_effect
    if not binary:
        return bonett_price_p(values, items, bound)
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    if bound == 0:
        return mcnemar_mid_p(wins, losses)
    return tango_p(wins / estimate.design_effect, losses / estimate.design_effect, items, -bound)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of each: rejecting those at or below alpha keeps the family's error at alpha (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, floor = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = floor
    return adjusted


def minimum_detectable(se: float, alpha: float, units: int) -> float:
    """The smallest true difference that a one-sided t test at alpha over so many units finds with POWER.

    Half a unit is added: differences come in whole ones, and the test of counts stops short of the t test by that.
    """
    return (float(stdtrit(units - 1, 1 - alpha)) + float(ndtri(POWER))) * se + 0.5 / units


def items_needed(items: int, se: float, difference: float, alpha: float) -> int | None:
    """How many items like these find a difference of this size with POWER; None where it is not positive."""
    if difference <= 0:
        return None
    return int(np.ceil(items * ((float(ndtri(1 - alpha)) + float(ndtri(POWER))) * se / difference) ** 2))


def smallest_passing(margin: float, alpha: float) -> int:
    """Items below which not even a candidate that answers exactly as the champion is shown to be within the margin.

    Tango's z without a discordant item is sqrt(n m / (1 - m)); solved for n.
    """
    return int(np.ceil(float(ndtri(1 - alpha)) ** 2 * (1 - margin) / margin))


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
