"""What signs alone say of an interaction: an LLM's verdict, a retry, a copied answer, where nobody stated how it was.

Where somebody stated it, what was said of others is no evidence about this one, so that it starts from even odds. A
sign is worth what those who stated it said where both spoke: judges whose "bad" people do not share make nothing a
failure, whatever their documented rates. It may make a weak sign unknown, but never outweighs all that there is. Go on
to `reliability.py`, the user.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flows.cluster.outcomes.signals import INFERRED, Voices, kind_of

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
ROUNDS = 50
"""Of a fixed point in one dimension, which contracts: it stands to four digits after some ten."""


def logit(share: float) -> float:
    """The log odds of a probability."""
    return float(np.log(share / (1 - share)))


def sigmoid(log_odds: Floats) -> Floats:
    """The probabilities of log odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -500, 500))))


def of_signs(voices: Voices) -> Mask:
    """By voice: whether it is a sign rather than a statement."""
    signs = np.array([kind_of(source) in INFERRED for source in voices.sources], dtype=bool)
    return np.asarray(signs[voices.source], dtype=bool)


def log_odds(
    voices: Voices, evidence: Floats, said: Floats, anchored: Floats, share: float, prior_weight: float
) -> Floats:
    """Log odds of bad by item.

    `evidence` adds up all voices of an item from even odds, `said` those of two-sided statements; `anchored` are the
    interactions of items that have such; `share` is the share of bad as far as sources overlap.
    """
    signs = of_signs(voices)
    stated = np.bincount(voices.item[~signs], minlength=len(evidence)) > 0
    usual = np.clip(logit(share), -np.abs(evidence), np.abs(evidence)) + evidence
    combination = _combinations(voices, signs, len(evidence))
    total = usual.copy()
    for number in np.unique(combination[~stated]):
        alone = np.flatnonzero((combination == number) & ~stated)
        beside = np.flatnonzero((combination == number) & (anchored > 0))
        if number >= 0 and len(beside):
            found = _share_beside(said[beside], anchored[beside], sigmoid(usual[alone[:1]])[0], prior_weight)
            low, high = np.minimum(0, 2 * evidence[alone]), np.maximum(0, 2 * evidence[alone])
            total[alone] = np.clip(logit(found), low, high)
    return np.where(stated, evidence, total)


def _share_beside(said: Floats, times: Floats, guess: float, prior_weight: float) -> float:
    """The share of bad among interactions with given statements: the most likely one, with the guess as its prior."""
    share = guess
    for _ in range(ROUNDS):
        bad = sigmoid(logit(share) + said)
        share = float(((bad * times).sum() + prior_weight * guess) / (times.sum() + prior_weight))
        share = min(max(share, 1e-6), 1 - 1e-6)
    return share


def _combinations(voices: Voices, signs: Mask, items: int) -> NDArray[np.int64]:
    """By item the number of its combination of signs; -1 where it has none."""
    heard: list[list[tuple[int, int]]] = [[] for _ in range(items)]
    for item, source, says in zip(voices.item[signs], voices.source[signs], voices.says[signs], strict=True):
        heard[item].append((int(source), int(says)))
    keys = [tuple(sorted(one)) for one in heard]
    number = {key: i for i, key in enumerate(sorted({key for key in keys if key}))}
    return np.array([number.get(key, -1) for key in keys], dtype=np.int64)
