"""How far each source of feedback is to be trusted, estimated from where sources speak of the same interactions.

Expectation-maximisation for unknown truth and fallible observers: A. P. Dawid and A. M. Skene, "Maximum Likelihood
Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28(1), 1979; here with two classes, a
Beta prior on every rate (so that a source that overlaps with nobody keeps its documented guess), and one-sided
observers. The share of bad that it finds measures the sources; what it may say of an interaction is in `_start`.
Go on to `outcomes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.outcomes.signals import BAD, INFERRED, SIGNALS, Voices, is_two_sided, kind_of

Floats = NDArray[np.float64]
PRIOR_WEIGHT = 20.0
"""Voices that a prior counts as: after some 200 overlapping ones nine tenths of an estimate are data."""
MAX_LOG_ODDS = float(np.log(50.0))
"""The most that one voice may move one interaction, whatever its record: no source decides alone against three."""
ITERATIONS = 100
TOLERANCE = 1e-6
EDGE = 1e-4
"""Rates stay this far from 0 and 1: nobody is infallible."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of one source."""

    source: str
    voices: int
    overlap: int
    """Voices on interactions of which another, two-sided source spoke too: what the estimate rests on."""
    bad: float
    """P(says bad | bad), or P(speaks | bad) for a one-sided source."""
    good: float
    """P(says bad | good), or P(speaks | good)."""


@dataclass(frozen=True)
class Reliability:
    """The fitted model: sources, the share of bad among judged interactions, and a probability for each of them."""

    sources: tuple[Source, ...]
    prior_bad: float
    probability_bad: Floats
    """By interaction: never below one half where all its voices say bad, never above where all say ok."""


def estimate(voices: Voices, items: int, weights: Mapping[str, float]) -> Reliability:
    """Fit rates and probabilities to all voices. `weights` scales a kind's or source's say (1 where not named)."""
    kinds = [SIGNALS[kind_of(source)] for source in voices.sources]
    one_sided = np.array([not is_two_sided(source) for source in voices.sources], dtype=bool)
    first = np.array([[kind.bad, kind.good] for kind in kinds], dtype=float).reshape(-1, 2)
    scale = np.array([weights.get(s, weights.get(kind_of(s), 1.0)) for s in voices.sources], dtype=float)
    once, twice = (_spoken_of(voices, items, one_sided, times) for times in (1, 2))
    fair = np.where(one_sided, 0.0, scale)  # what speaks only of failures would make ever more of them
    rates, prior = first, 0.5
    bad = _sigmoid(_evidence(voices, items, rates, one_sided, fair))
    for _ in range(ITERATIONS):
        rates = _rates(voices, bad, once, twice, first, one_sided)
        prior = _share_bad(bad, once)
        before, bad = bad, _sigmoid(_log_odds(prior) + _evidence(voices, items, rates, one_sided, fair))
        if len(bad) == 0 or np.abs(bad - before).max() < TOLERANCE:
            break
    counts = np.bincount(voices.source, minlength=len(kinds))
    measured = np.where(one_sided[voices.source], once[voices.item], twice[voices.item])
    overlap = np.bincount(voices.source[measured], minlength=len(kinds))
    sources = tuple(
        Source(
            source=name,
            voices=int(counts[i]),
            overlap=int(overlap[i]),
            bad=float(rates[i, 0]),
            good=float(rates[i, 1]),
        )
        for i, name in enumerate(voices.sources)
    )
    evidence = _evidence(voices, items, rates, one_sided, scale)
    return Reliability(sources, prior, _sigmoid(evidence + _start(voices, evidence, bad, twice)))


def _spoken_of(voices: Voices, items: int, one_sided: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """Interactions of which at least so many two-sided sources spoke.

    Overlap with a one-sided source is no fair sample: that one speaks only where it has found something.
    """
    two_sided = ~one_sided[voices.source]
    pairs = np.unique(np.stack([voices.item[two_sided], voices.source[two_sided]]), axis=1)
    return np.bincount(pairs[0], minlength=items) >= times


def _start(voices: Voices, evidence: Floats, bad: Floats, twice: NDArray[np.bool_]) -> Floats:
    """Log odds of bad before anybody spoke, by interaction.

    What was said of others is no evidence about this one where somebody stated how it was, so that it starts from even
    odds. Where there are but signs (`INFERRED`), the share of bad counts, as far as sources overlap: without overlap it
    follows from the guessed rates alone. It may make a weak sign unknown, but never outweighs all that there is.
    """
    signs = np.array([kind_of(source) in INFERRED for source in voices.sources], dtype=bool)
    stated = np.bincount(voices.item[~signs[voices.source]], minlength=len(evidence)) > 0
    share = (bad[twice].sum() + PRIOR_WEIGHT / 2) / (twice.sum() + PRIOR_WEIGHT)
    return np.where(stated, 0.0, np.clip(_log_odds(float(share)), -np.abs(evidence), np.abs(evidence)))


def _evidence(voices: Voices, items: int, rates: Floats, one_sided: NDArray[np.bool_], scale: Floats) -> Floats:
    """Log odds of bad by interaction, from even ones: they add up over its voices, each within its limit."""
    said_bad = voices.says == BAD
    odds = np.log(rates[voices.source])
    silence = np.log1p(-rates[voices.source])
    use = said_bad | one_sided[voices.source]  # a one-sided voice that says ok speaks at its rates as well
    log_ratio = np.where(use, odds[:, 0] - odds[:, 1], silence[:, 0] - silence[:, 1])
    limited = np.clip(log_ratio * scale[voices.source], -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return np.asarray(np.bincount(voices.item, weights=limited, minlength=items), dtype=np.float64)


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _sigmoid(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -500, 500))))


def _rates(
    voices: Voices,
    bad: Floats,
    once: NDArray[np.bool_],
    twice: NDArray[np.bool_],
    first: Floats,
    one_sided: NDArray[np.bool_],
) -> Floats:
    """The M step; a source never beats worse than chance.

    A two-sided source is measured where another one spoke too (`twice`); a one-sided source by how often it speaks
    where any two-sided source spoke (`once`).
    """
    n = len(first)
    use = np.where(one_sided[voices.source], once[voices.item], twice[voices.item])
    item, source, says = voices.item[use], voices.source[use], voices.says[use]
    counted = np.where(one_sided[source], True, says == BAD)
    columns = []
    for truth, prior in ((bad, first[:, 0]), (1 - bad, first[:, 1])):
        fired = np.bincount(source, weights=truth[item] * counted, minlength=n)
        spoken = np.bincount(source, weights=truth[item], minlength=n)
        could = np.where(one_sided, truth[once].sum(), spoken)
        columns.append((fired + PRIOR_WEIGHT * prior) / (could + PRIOR_WEIGHT))
    rates = np.clip(np.stack(columns, axis=1), EDGE, 1 - EDGE)
    wrong_way = (rates[:, 0] < rates[:, 1]) == (first[:, 0] >= first[:, 1])
    return np.where(wrong_way[:, None], rates.mean(axis=1, keepdims=True), rates)


def _share_bad(bad: Floats, once: NDArray[np.bool_]) -> float:
    """The share of bad among interactions of which a two-sided source spoke; one half where there is none."""
    return float((bad[once].sum() + 2.0) / (once.sum() + 4.0))
