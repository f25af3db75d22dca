"""Which sources are independent of each other: judges of one family are one source, however many names it has.

Two sources of one kind that agree more than two independent ones credibly could are taken for copies: they share one
voice, and nothing is learnt of one from the other. Go on to `reliability.py`, the user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.cluster.outcomes.signals import BAD, Voices, kind_of
from flows.cluster.outcomes.signs import Floats, Mask

Ints = NDArray[np.int64]
ENOUGH = 20
"""Interactions of which two sources spoke, before their overlap, or how far they agree, means anything."""
EXCESS = 0.2
"""How far a correlation may lie above what an anchor lets expect: two standard errors of some hundred interactions."""
MOST = 400
"""Sources that are held against each other: those that were heard most. Others are taken for one of their kind."""


@dataclass(frozen=True)
class Groups:
    """The two-sided sources in groups of which no two copy each other."""

    of: Ints
    """Group of each source; -1 of a one-sided one."""
    spoke: Mask
    """By item and group: whether one of the group spoke."""
    known: Mask
    """By group: whether it overlaps with two others that overlap with each other, so that its rates can be told."""
    sharing: Floats
    """By voice: how many sources of its group spoke of the item, which share one say."""

    @property
    def among(self) -> Mask:
        """By source: whether its group is `known`."""
        return np.asarray(np.append(self.known, False)[self.of], dtype=bool)

    @property
    def once(self) -> Mask:
        """By item: whether a two-sided source spoke."""
        return np.asarray(self.spoke.sum(axis=1) >= 1)

    @property
    def twice(self) -> Mask:
        """By item: whether two groups did."""
        return np.asarray(self.spoke.sum(axis=1) >= 2)


def grouped(voices: Voices, times: Floats, guesses: Floats, one_sided: Mask) -> Groups:
    """Groups of the two-sided sources. `times`: interactions by item; `guesses`: documented rates by source."""
    items, sources = len(times), len(voices.sources)
    heard = np.bincount(voices.source, weights=times[voices.item], minlength=sources)
    two_sided = np.flatnonzero(~one_sided)
    looked_at = two_sided[np.lexsort((two_sided, -heard[two_sided]))][:MOST]
    spoke, said_bad = (np.zeros((items, len(looked_at)), dtype=bool) for _ in range(2))
    column = np.full(sources, -1, dtype=np.int64)
    column[looked_at] = np.arange(len(looked_at))
    inside = column[voices.source] >= 0
    spoke[voices.item[inside], column[voices.source[inside]]] = True
    bad = inside & (voices.says == BAD)
    said_bad[voices.item[bad], column[voices.source[bad]]] = True

    label = _joined(_alike(spoke, said_bad, times, guesses[looked_at], [voices.sources[i] for i in looked_at]))
    of = np.full(sources, -1, dtype=np.int64)
    of[looked_at] = label
    count = int(label.max(initial=-1)) + 1
    for source in two_sided[np.isin(two_sided, looked_at, invert=True)]:  # rarely heard: one group a kind
        rest = sorted({kind_of(voices.sources[i]) for i in two_sided})
        of[source] = count + rest.index(kind_of(voices.sources[source]))
    by_group = np.zeros((items, int(of.max(initial=-1)) + 1), dtype=bool)
    grouped_voices = of[voices.source] >= 0
    by_group[voices.item[grouped_voices], of[voices.source[grouped_voices]]] = True
    return Groups(of, by_group, _triangles(by_group, times), _sharing(voices, of))


def _alike(spoke: Mask, said_bad: Mask, times: Floats, guesses: Floats, names: list[str]) -> Mask:
    """Pairs of sources of one kind that are more alike than two independent ones could be.

    Given the truth, the correlation of two independent sources is the product of their own correlations with it. These
    are at most half-way from the documented guess to perfect; and where a source of another kind spoke of the same, it
    shows how large they are, as far as its own guess holds.
    """
    said, weigh = said_bad.astype(float), times[:, None]
    both = (spoke * weigh).T.astype(float) @ spoke
    one, bad = (said * weigh).T @ spoke, (said * weigh).T @ said
    other = one.T
    spread = np.sqrt(np.maximum(one * (both - one) * other * (both - other), 1e-9))
    correlation = (bad * both - one * other) / spread
    best = (1 + guesses[:, 0] - guesses[:, 1]) / 2
    limit = best[:, None] * best[None, :]
    kinds = np.array([kind_of(name) for name in names], dtype=str)
    same = kinds[:, None] == kinds[None, :]
    heard = np.diag(both) if len(names) else np.zeros(0)
    truth = _with_truth(np.diag(one) / np.maximum(heard, 1) if len(names) else heard, guesses)
    for anchor in np.lexsort((np.arange(len(names)), heard)):  # the last one that fits is the one that was heard most
        usable = (kinds != kinds[anchor]) & (both[anchor] >= ENOUGH)
        seen = np.clip(correlation[anchor] / truth[anchor], 0, 1)
        expected = seen[:, None] * seen[None, :] + EXCESS
        limit = np.where(usable[:, None] & usable[None, :], np.minimum(expected, best[:, None] * best[None, :]), limit)
    return np.asarray(same & (both >= ENOUGH) & (correlation > limit))


def _with_truth(says_bad: Floats, guesses: Floats) -> Floats:
    """Each source's correlation with the truth, by its guess and how often it says bad."""
    gap = np.maximum(guesses[:, 0] - guesses[:, 1], 0.01)
    share = np.clip((says_bad - guesses[:, 1]) / gap, 0.02, 0.98)
    m = share * guesses[:, 0] + (1 - share) * guesses[:, 1]
    return np.asarray(gap * np.sqrt(share * (1 - share) / np.maximum(m * (1 - m), 1e-6)))


def _joined(alike: Mask) -> Ints:
    """Connected sources get one number, counted in order of the sources."""
    label = np.arange(len(alike))
    for _ in range(len(alike)):
        reached = alike | np.eye(len(alike), dtype=bool)
        lowest = np.where(reached, label[None, :], len(alike)).min(axis=1, initial=len(alike))
        if not len(alike) or (lowest == label).all():
            break
        label = lowest
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


def _triangles(spoke: Mask, times: Floats) -> Mask:
    """Groups that overlap enough with two others that overlap with each other."""
    overlap = (spoke * times[:, None]).T.astype(float) @ spoke >= ENOUGH
    np.fill_diagonal(overlap, False)
    meet = overlap.astype(float)
    return np.asarray((meet * (meet @ meet)).sum(axis=1) > 0)


def _sharing(voices: Voices, of: Ints) -> Floats:
    """By voice: sources of its group that spoke of its item."""
    group = of[voices.source]
    pairs = np.unique(np.stack([voices.item, group, voices.source]), axis=1)
    keys, index = np.unique(pairs[:2], axis=1, return_inverse=True)
    sizes = np.bincount(index.ravel(), minlength=keys.shape[1])
    place = {(int(item), int(g)): int(size) for (item, g), size in zip(keys.T, sizes, strict=True)}
    return np.array(
        [place[int(i), int(g)] if g >= 0 else 1 for i, g in zip(voices.item, group, strict=True)], dtype=np.float64
    )
