"""How far each source of feedback is to be trusted, estimated from where sources speak of the same interactions.

Expectation-maximisation for unknown truth and fallible observers: A. P. Dawid and A. M. Skene, "Maximum Likelihood
Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28(1), 1979; here with two classes, a
Beta prior on every rate, and one-sided observers. Its sufficient statistics are the distinct combinations of voices and
how often each was heard: an item is such a combination, and a million interactions are some hundred of them.

Three independent sources that overlap are the least that tells good ones from poor ones (P. F. Lazarsfeld and
N. W. Henry, "Latent Structure Analysis", 1968): until then documented guesses hold. Which sources are independent, and
which overlap: `groups.py`. What the share of failures may say of one interaction: `signs.py`. Go on to `outcomes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flows.cluster.outcomes.groups import grouped
from flows.cluster.outcomes.signals import BAD, SIGNALS, Voices, is_two_sided, kind_of
from flows.cluster.outcomes.signs import Floats, Mask, log_odds, logit, of_signs, sigmoid

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
    """Voices that the estimate rests on; 0: too few independent sources overlap with it, and its documented guess
    holds."""
    bad: float
    """P(says bad | bad), or P(speaks | bad) for a one-sided source."""
    good: float
    """P(says bad | good), or P(speaks | good)."""


@dataclass(frozen=True)
class Reliability:
    """The fitted model: sources, the share of bad among judged interactions, and a probability for each item."""

    sources: tuple[Source, ...]
    prior_bad: float
    probability_bad: Floats
    """By item: never below one half where all its voices say bad, never above where all say ok."""


@dataclass(frozen=True)
class _Heard:
    """The voices, and what of them is used for what."""

    voices: Voices
    times: Floats
    """Of how many interactions each item was heard."""
    one_sided: Mask
    """By source."""
    measured: Mask
    """Voices by which their source is measured."""
    could: Floats
    """Interactions, by item, of which a one-sided source that is measured could have spoken."""


def estimate(voices: Voices, items: int, weights: Mapping[str, float], counts: Floats | None = None) -> Reliability:
    """Fit rates and probabilities to all voices. `weights` scales a kind's or source's say (1 where not named).

    `counts`: of how many interactions each item was heard; of one, where they are not given.
    """
    times = np.ones(items) if counts is None else counts
    one_sided = np.array([not is_two_sided(source) for source in voices.sources], dtype=bool)
    kinds = [SIGNALS[kind_of(source)] for source in voices.sources]
    first = np.array([[kind.bad, kind.good] for kind in kinds], dtype=float).reshape(-1, 2)
    together = grouped(voices, times, first, one_sided)
    scale = np.array([weights.get(s, weights.get(kind_of(s), 1.0)) for s in voices.sources], dtype=float)
    full = scale[voices.source] / together.sharing
    known = np.asarray(together.spoke[:, together.known].any(axis=1), dtype=bool)
    measured = np.where(
        one_sided[voices.source], known[voices.item], together.among[voices.source] & together.twice[voices.item]
    )
    heard = _Heard(voices, times, one_sided, measured, times * known)
    rates, prior, bad = _fit(heard, first, np.where(one_sided[voices.source], 0.0, full), together.once)

    evidence = _evidence(voices, items, rates, one_sided, full)
    both = together.twice
    share = float(((bad * times)[both].sum() + PRIOR_WEIGHT / 2) / (times[both].sum() + PRIOR_WEIGHT))
    anchor = np.asarray(~of_signs(voices) & ~one_sided[voices.source], dtype=bool)
    said = _evidence(voices, items, rates, one_sided, np.where(anchor, full, 0.0))
    anchored = times * (np.bincount(voices.item[anchor], minlength=items) > 0)
    odds = log_odds(voices, evidence, said, anchored, share, PRIOR_WEIGHT)
    return Reliability(_sources(heard, rates), prior, sigmoid(odds))


def _fit(heard: _Heard, first: Floats, scale: Floats, once: Mask) -> tuple[Floats, float, Floats]:
    """Rates by source, the share of bad, and P(bad) by item. Voices of scale 0 are measured, and measure nobody."""
    items = len(heard.times)
    rates, prior = first, 0.5
    bad = sigmoid(_evidence(heard.voices, items, rates, heard.one_sided, scale))
    for _ in range(ITERATIONS):
        rates = _rates(heard, bad, first)
        prior = _share_bad(bad, heard.times * once)
        before = bad
        bad = sigmoid(logit(prior) + _evidence(heard.voices, items, rates, heard.one_sided, scale))
        if len(bad) == 0 or np.abs(bad - before).max() < TOLERANCE:
            break
    return rates, prior, bad


def _sources(heard: _Heard, rates: Floats) -> tuple[Source, ...]:
    weights = heard.times[heard.voices.item]
    counts = np.bincount(heard.voices.source, weights=weights, minlength=len(rates))
    overlap = np.bincount(heard.voices.source, weights=weights * heard.measured, minlength=len(rates))
    return tuple(
        Source(
            source=name,
            voices=round(counts[i]),
            overlap=round(overlap[i]),
            bad=float(rates[i, 0]),
            good=float(rates[i, 1]),
        )
        for i, name in enumerate(heard.voices.sources)
    )


def _evidence(voices: Voices, items: int, rates: Floats, one_sided: Mask, scale: Floats) -> Floats:
    """Log odds of bad by item, from even ones: they add up over its voices, each within its limit."""
    said_bad = voices.says == BAD
    odds = np.log(rates[voices.source])
    silence = np.log1p(-rates[voices.source])
    use = said_bad | one_sided[voices.source]  # a one-sided voice that says ok speaks at its rates as well
    log_ratio = np.where(use, odds[:, 0] - odds[:, 1], silence[:, 0] - silence[:, 1])
    limited = np.clip(log_ratio * scale, -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return np.asarray(np.bincount(voices.item, weights=limited, minlength=items), dtype=np.float64)


def _rates(heard: _Heard, bad: Floats, first: Floats) -> Floats:
    """The M step; a source never beats worse than chance.

    A two-sided source is measured where another, independent one spoke too; a one-sided source by how often it speaks
    where a two-sided one did that is measured itself.
    """
    n, voices = len(first), heard.voices
    item, source = voices.item[heard.measured], voices.source[heard.measured]
    counted = np.where(heard.one_sided[source], True, voices.says[heard.measured] == BAD)
    columns = []
    for truth, prior in ((bad, first[:, 0]), (1 - bad, first[:, 1])):
        weights = (truth * heard.times)[item]
        fired = np.bincount(source, weights=weights * counted, minlength=n)
        spoken = np.bincount(source, weights=weights, minlength=n)
        could = np.where(heard.one_sided, (truth * heard.could).sum(), spoken)
        columns.append((fired + PRIOR_WEIGHT * prior) / (could + PRIOR_WEIGHT))
    rates = np.clip(np.stack(columns, axis=1), EDGE, 1 - EDGE)
    wrong_way = (rates[:, 0] < rates[:, 1]) == (first[:, 0] >= first[:, 1])
    return np.where(wrong_way[:, None], rates.mean(axis=1, keepdims=True), rates)


def _share_bad(bad: Floats, spoken: Floats) -> float:
    """The share of bad among interactions of which a two-sided source spoke; one half where there is none."""
    return float(((bad * spoken).sum() + 2.0) / (spoken.sum() + 4.0))
