"""Candidate against champion on a random sample of requests, from blind reviews of where their answers differ.

    difference   estimate, interval and tests, from reviews of a random prefix of the disagreements
    bounds       what is certain before anybody has reviewed anything
    needed       how many reviews decide
    levels       how much of a level each look at the reviews may use
    youden       how far reviewers' own mistakes shrink a difference

Equal answers are equally right, so only disagreements are looked at. References and judges guess what a review would
say; a guess is a control variate: it narrows the interval and cannot move it. Pure numpy and scipy, each formula with
its source; docs/gate.md says what is assumed. Go on to `disagreements.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil, pi, sqrt

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

from flows.statistics import POWER, Codes, Floats, bounded_p, guard_p

Bools = npt.NDArray[np.bool_]
MOST_LEVERAGE = 3.0
"""HC3's factor is cut here: with a handful of reviews one of them may be nearly all that fixes a regression."""
MANY, PLENTY = 100, 300
"""From MANY users (texts) on one more is thought of who lost everything (`bounded_p`); for better and worse only up to
PLENTY, where the t test errs no more without. Of fewer than MANY nothing is shown at all (`gate.min_units`)."""
LEAST_J = 0.2
"""Reviewers who agree no better than this on a second look tell nothing; the estimate is not blown up beyond it."""
GRID = 501
"""Points that the density between two looks is integrated over: levels are right to four digits."""
ONE_RIGHT = 0.75
"""Share of disagreements in which exactly one side is right, before any was reviewed: .55 to .85 were seen."""


class Evidence(Struct, frozen=True):
    """What is known of a sample of requests; one entry a request in every array."""

    differs: Bools
    """Whether the two models' answers say something different."""
    said: Floats
    """Right(candidate) - right(champion) by a blind reviewer, -1 to 1; NaN where nobody reviewed."""
    guess: Floats
    """The same as references and judges guess it; 0 where they say nothing."""
    groups: tuple[Codes, ...]
    """Codings that items go together by (user; text): the one with the larger standard error counts."""
    missing: Bools
    """Requests that a model gave no answer to, or a reviewer could not judge: tested at their worst case."""

    def of(self, mask: Bools) -> Evidence:
        """The evidence of some of the requests."""
        return Evidence(
            self.differs[mask],
            self.said[mask],
            self.guess[mask],
            tuple(codes[mask] for codes in self.groups),
            self.missing[mask],
        )

    def mirrored(self) -> Evidence:
        """The same with the models exchanged."""
        return Evidence(self.differs, -self.said, -self.guess, self.groups, self.missing)

    def numbered(self) -> Evidence:
        """The same with groups counted from 0, which sorts them: once for all that is asked of them."""
        groups = tuple(np.unique(codes, return_inverse=True)[1] for codes in self.groups)
        return Evidence(self.differs, self.said, self.guess, groups, self.missing)


class Reviewed(Struct, frozen=True):
    """The difference in the chance that a random request is answered rightly, candidate - champion."""

    mean: float | None
    """None before two disagreements were reviewed."""
    low: float
    high: float
    p_superior: float
    """One-sided p of H0: the candidate is right no more often."""
    p_harm: float
    """One-sided p of H0: the candidate is right no less often."""
    p_non_inferior: float
    """One-sided p of H0: the candidate is worse by the margin or more."""
    se: float
    requests: int
    differ: int
    reviewed: int
    wins: int
    losses: int
    one_right: float
    """Mean square of the reviewed differences: how often exactly one side was right."""
    explained: float
    """Share of the variance of reviews that the guesses explain."""
    trust: float
    """How much of the guesses is used (lambda of PPI++): 0 none, 1 all."""


class _Fit(Struct, frozen=True):
    """The regression of what reviewers said on the guesses, over the reviewed disagreements."""

    known: Bools
    trust: float
    rest: Floats
    """What was said beyond the guess, of the reviewed."""
    leverage: Floats
    explained: float

    @property
    def mean(self) -> float:
        return float(self.rest.mean())

    @property
    def same(self) -> bool:
        """Whether nothing varies: no review has met the guess wrong, or, without one, all said the same."""
        return bool(np.ptp(self.rest) <= 1e-9)


def difference(evidence: Evidence, level: float, margin: float, shrink: tuple[float, float] = (1.0, 0.0)) -> Reviewed:
    """Estimate, interval at 1 - 2 level, and tests.

    The reviewed are a simple random sample S, m of the D disagreements among N requests; z is what was said, f the
    guess. With lambda = Cov_S(z, f) / Var_S(f) in [0, 1] (PPI++, Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453)
    and r = mean_S(z - lambda f), as in two-phase sampling (Neyman 1938, JASA 33:101):

        estimate   (lambda sum_D f + |D| r) / N
        influence  1_D (lambda f + r) + 1_S (|D|/m) (z - lambda f - r) h - estimate,   h the HC3 leverage
        se         the largest over codings of sqrt(G/(G-1) sum_g (sum of g's influences)^2) / N; t with G - 1

    Requests that agree have no say in the sign: better and worse are tested with D in place of N, as in McNemar 1947.
    `_guard` must agree: without a guess `guard_p` (McNemar's exact test, where each user has one review), with one that
    no review has met wrong `bounded_p`, which thinks of one that does; from MANY users on `bounded_p`, which thinks of
    a user. Each missing request counts 1 against what is to be shown: a loss for better and not worse, a win for harm;
    the interval is wider by their share. `shrink` is Youden's J of the reviewers and its standard error: it stretches
    estimate and interval, and changes neither better nor worse nor not worse.
    """
    n, many = len(evidence.differs), int(evidence.differs.sum())
    missing = int(evidence.missing.sum())
    reviewed = evidence.differs & np.isfinite(evidence.said)
    m = int(reviewed.sum())
    if m < 2:
        low, high = bounds(evidence, level)
        p = surely_within(evidence, margin)
        return Reviewed(None, low, high, 1.0, 1.0, p, 0.0, n, many, m, 0, 0, 0.0, 0.0, 0.0)
    evidence, fit = evidence.numbered(), _fit(evidence, reviewed, many)
    verdicts = evidence.said[reviewed]
    mean, se, freedom = _estimate(evidence, fit, n)
    within = max(_t_above(mean - missing / n + margin, se, freedom), _guard(evidence, fit, missing - margin * n))
    j, j_se = shrink
    mean, se = mean / j, sqrt(se**2 + (mean / j * j_se) ** 2) / j
    reach = float(stdtrit(freedom, 1 - level)) * se
    below, above = _unseen(evidence, fit, level)
    return Reviewed(
        mean=mean,
        low=mean - reach - below - missing / n,
        high=mean + reach + above + missing / n,
        p_superior=_sign(evidence, fit, missing),
        p_harm=_sign(evidence.mirrored(), _flipped(fit), missing),
        p_non_inferior=within,
        se=se,
        requests=n,
        differ=many,
        reviewed=m,
        wins=int((verdicts > 0).sum()),
        losses=int((verdicts < 0).sum()),
        one_right=float((verdicts**2).mean()),
        explained=fit.explained,
        trust=fit.trust,
    )


def bounds(evidence: Evidence, level: float) -> tuple[float, float]:
    """What the difference lies between whatever the reviews would say (Manski 1990), with one-sided bounds at level.

    Each disagreement counts -1 at the one end and 1 at the other.
    """
    worth = (evidence.differs | evidence.missing).astype(float)
    share = float(worth.mean()) if len(worth) else 0.0
    reach = 0.0
    for codes in evidence.groups:
        sums = np.bincount(np.unique(codes, return_inverse=True)[1], weights=worth - share)
        reach = max(reach, float(-ndtri(level)) * sqrt(float(sums @ sums)) / max(len(worth), 1))
    most = min(1.0, share + reach)
    return -most, most


def surely_within(evidence: Evidence, margin: float) -> float:
    """P of H0: the answers differ in `margin` or more of all requests; the difference is never larger than that share.

    Exact binomial, by groups that differ anywhere: the larger p of the codings.
    """
    differs = evidence.differs | evidence.missing
    worst = 0.0
    for codes in evidence.groups:
        groups = np.unique(codes, return_inverse=True)[1]
        touched = np.bincount(groups, weights=differs.astype(float)) > 0
        worst = max(worst, float(bdtr(int(touched.sum()), len(touched), margin)))
    return worst if len(differs) else 1.0


def needed(
    share: float,
    effect: float,
    level: float,
    one_right: float = ONE_RIGHT,
    explained: float = 0.0,
    power: float = POWER,
) -> int | None:
    """Reviews that find a gain of `effect` where the answers differ in `share` of the requests; None where none do.

    m = (z_level + z_power)^2 [one_right (1 - explained) - mu^2] / mu^2 with mu = effect / share: the variance of the
    mean over m reviewed disagreements, solved for m. `one_right` is the share of them in which one side alone is right.
    """
    if effect <= 0 or share <= 0:
        return None
    mu = min(effect / share, 1.0)
    spread = max(one_right * (1 - explained) - mu**2, 0.02)
    return ceil(((float(ndtri(power)) - float(ndtri(level))) / mu) ** 2 * spread)


def levels(level: float, looks: Sequence[int]) -> list[float]:
    """The one-sided level of each look, after so many reviews: together they err in `level`.

    After m of the last look's reviews (m / last)^2 of the level is spent (Kim & DeMets 1987, Biometrika 74:149).
    """
    return _nominal(level, tuple(looks), tuple((look / looks[-1]) ** 2 for look in looks))


def level_at(level: float, looks: Sequence[int], reviewed: int, differ: int) -> float:
    """The level that may be used now: that of the newest look reached, or, with all reviewed, what looks left over."""
    if differ and reviewed >= differ:
        before = [look for look in looks if look < differ]
        spent = [(look / looks[-1]) ** 2 for look in before]
        return _nominal(level, (*before, differ), (*spent, 1.0))[-1]
    reached = sum(look <= reviewed for look in looks)
    return levels(level, looks)[reached - 1] if reached else 0.0


@cache
def _nominal(level: float, looks: tuple[int, ...], spent: tuple[float, ...]) -> list[float]:
    """The level of a test at each look, where `spent` is what share of `level` all looks so far may err in.

    A mean over more and more reviews is a Brownian motion seen at the looks (Armitage, McPherson & Rowe 1969, JRSS A
    132:235), integrated over a grid; p values are held against its levels, as by Jennison & Turnbull 2000, §3.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 lazy: as in `flows/statistics.py`

    found: list[float] = []
    at, mass, done = np.zeros(1), np.ones(1), 0.0
    for look, step in zip(np.asarray(looks) / looks[-1], np.diff(spent, prepend=0.0) * level, strict=True):
        spread, most = sqrt(look - done), 9 * sqrt(look)
        edge = brentq(lambda edge, *known: _beyond(edge, *known) - step, -most, most, args=(at, mass, spread))  # noqa: B023 used at once
        found.append(float(ndtr(-edge / sqrt(look))))
        grid = np.linspace(-most, edge, GRID)
        weights = np.full(GRID, grid[1] - grid[0])
        weights[[0, -1]] /= 2
        steps = (grid[:, None] - at) / spread
        at, mass, done = grid, np.exp(-(steps**2) / 2) @ mass / (spread * sqrt(2 * pi)) * weights, look
    return found


def _beyond(edge: float, at: Floats, mass: Floats, spread: float) -> float:
    """The chance of being beyond the edge after a step from where one was."""
    return float(mass @ ndtr((at - edge) / spread))


def youden(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[float, float]:
    """Youden's J (1950) of one reviewer and its standard error, from answers that two of them judged.

    Two who err alike and independently agree with q = s^2 + (1 - s)^2, so that J = 2 s - 1 = sqrt(2 q - 1); the
    standard error by the delta method. Reviewers' errors shrink every difference by J. (1, 0) where nothing was judged
    twice: nothing is known of their errors then, and nothing is corrected.
    """
    same = np.asarray(first) == np.asarray(second)
    if not len(same):
        return 1.0, 0.0
    q = (float(same.sum()) + 0.5) / (len(same) + 1)
    j = sqrt(max(2 * q - 1, LEAST_J**2))
    return j, sqrt(q * (1 - q) / len(same)) / j


def _fit(evidence: Evidence, reviewed: Bools, many: int) -> _Fit:
    verdicts, guess = evidence.said[reviewed], evidence.guess[reviewed]
    m = len(verdicts)
    spread = guess - guess.mean()
    squares = float(spread @ spread)
    trust = float(np.clip(spread @ verdicts / squares, 0, 1)) if squares > 0 and m < many else 0.0
    rest = verdicts - trust * guess
    hat = 1 / m + (spread**2 / squares if trust else 0.0)
    leverage = np.clip(1 / np.maximum(1 - hat, 1 / MOST_LEVERAGE), 1, MOST_LEVERAGE)
    variance = float(verdicts.var())
    explained = max(0.0, 1 - float(rest.var()) / variance) if variance > 0 else 0.0
    return _Fit(reviewed, trust, rest, leverage, explained)


def _flipped(fit: _Fit) -> _Fit:
    return _Fit(fit.known, fit.trust, -fit.rest, fit.leverage, fit.explained)


def _estimate(evidence: Evidence, fit: _Fit, total: int, missing: int = 0) -> tuple[float, float, float]:
    """Mean over `total` requests (all, or those that differ), standard error, degrees of freedom.

    Each of `missing` counts as a loss.
    """
    inside = evidence.differs
    many = int(inside.sum())
    guess = np.where(inside, evidence.guess, 0.0)
    mean = (fit.trust * float(guess.sum()) + many * fit.mean - missing) / total
    counted = inside if total == many else np.ones(len(inside), bool)
    influence = np.where(inside, fit.trust * guess + fit.mean, 0.0) - np.where(counted, mean, 0.0)
    influence[fit.known] += many / len(fit.rest) * (fit.rest - fit.mean) * fit.leverage
    worst = (0.0, 1.0)
    for groups in evidence.groups:
        sums = np.bincount(groups, weights=influence)
        voices = int(np.count_nonzero(np.bincount(groups[fit.known])))
        se = sqrt(voices / max(voices - 1, 1) * float(sums @ sums)) / total
        worst = max(worst, (se, float(max(voices - 1, 1))))
    return mean, *worst


def _sign(evidence: Evidence, fit: _Fit, missing: int) -> float:
    """One-sided p of H0: the balance of the disagreements is 0 or less; what is missing was lost."""
    mean, se, freedom = _estimate(evidence, fit, int(evidence.differs.sum()), missing)
    p = _t_above(mean, se, freedom) if se > 0 else 0.0
    return max(p, _guard(evidence, fit, missing))


def _guard(evidence: Evidence, fit: _Fit, lost: float) -> float:
    """One-sided p of H0: disagreements are won by `lost` at most.

    A guess that no review has met wrong yet may be so where nobody has looked, and the t test has no variance to go by:
    one review more is thought of that found the most hopeful one wrong. Where one was found wrong its variance counts.
    """
    n, many, m = len(evidence.differs), int(evidence.differs.sum()), len(fit.rest)
    guessed = evidence.guess[evidence.differs]
    balance = fit.rest + fit.trust * float(guessed.mean())
    least = -1 - fit.trust * float(guessed.max() - guessed.mean())
    worst = 0.0
    for groups in evidence.groups:
        known = groups[fit.known]
        if lost > -many and fit.trust and fit.same:
            voices = np.unique(known, return_inverse=True)[1]
            beyond = np.bincount(voices, weights=balance - lost / many).astype(float)
            worst = max(worst, bounded_p(beyond, np.ones(len(beyond), int), 0.0, least - lost / many))
        elif lost > -many and not fit.trust:
            counted = bool(((balance == 0) | (np.abs(balance) == 1)).all())
            worst = max(worst, guard_p(balance, known, lost / many, counted))
        sizes = np.bincount(groups)
        if len(sizes) >= MANY and (lost < 0 or len(sizes) < PLENTY):
            sums = np.bincount(known, weights=balance, minlength=len(sizes)) * many / m
            worst = max(worst, bounded_p(sums, sizes, lost / n))
    return worst


def _unseen(evidence: Evidence, fit: _Fit, level: float) -> tuple[float, float]:
    """How far the interval reaches where all that was reviewed was the same: what was not seen need not be.

    With G groups reviewed, a share of 1 - level^(1/G) may be otherwise, lost or won.
    """
    if not fit.same:
        return 0.0, 0.0
    groups = min(len(np.unique(codes[fit.known])) for codes in evidence.groups)
    share = float(evidence.differs.mean()) * (1 - level ** (1 / groups))
    guessed = fit.trust * evidence.guess[evidence.differs]
    return share * (1 + fit.mean + float(guessed.max())), share * (1 - fit.mean - float(guessed.min()))


def _t_above(value: float, se: float, freedom: float) -> float:
    return float(stdtr(freedom, -value / se)) if se > 0 else float(value <= 0)
