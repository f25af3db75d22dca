"""Proposed splits of a topic by how its failures fail: where one mode goes its own way, and the others do not follow.

Modes are facets: a topic that fails in two ways is one cluster, whose modes are counted for themselves. Only where a
mode of some size moves otherwise than all the rest of its cluster, beyond chance, are they two things to follow: then a
run proposes that this mode becomes a cluster of its own. Tested is whether the mode's share of the cluster's failures
in the last window is that of the windows before (R. A. Fisher's exact test, 1934), with at most 5 % of the proposals by
chance (Benjamini and Hochberg); `accepted.py` carries it out. Go on to `proposals.py`, for splits by what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows.cluster.lineage.certainty import round_down
from flows.cluster.lineage.proposals import MIN_ROWS, PART
from flows.cluster.modes.modes import OTHER
from flows.cluster.state import State
from flows.statistics import false_rates
from schemas.records import Cluster, ClusterEvent, EventDetails
from schemas.trend import Mode

FALSE_PROPOSALS = 0.05


def mode_events(
    clusters: Sequence[Cluster], before: State, cap: int, by_words: Sequence[ClusterEvent] = ()
) -> list[ClusterEvent]:
    """Splits by mode that are not proposed already, as events; at most one of a cluster, the surest.

    `by_words`: what this run proposes by what is asked. A cluster has one open split: who accepts it names no other.
    `cap`: how often one person may count in a window. Failures are divided by it, so that no few people make a change.
    """
    open_ = {known.clusters[0] for known in before.proposals if known.event == "split"}
    open_ |= {event.cluster_id for event in by_words if event.event == "split"}
    open_ |= {clusters[0] for kind, *clusters in before.refused if kind == "split"}
    fit = [one for one in clusters if one.size_total >= MIN_ROWS and not (one.alias_of or one.mode or one.ignored)]
    tests = [(one, mode, _p(one, mode, cap)) for one in fit if one.cluster_id not in open_ for mode in _large(one)]
    rates = false_rates(np.array([p for _, _, p in tests], dtype=float))
    best: dict[str, tuple[float, float, Mode, Cluster]] = {}
    for (one, mode, p), rate in zip(tests, rates.tolist(), strict=True):
        if rate <= FALSE_PROPOSALS and (one.cluster_id not in best or p < best[one.cluster_id][0]):
            best[one.cluster_id] = (p, rate, mode, one)
    return [
        ClusterEvent(
            cluster_id=id_,
            event="split",
            details=EventDetails(
                proposed=True, shares=_shares(one, mode), mode=mode.mode, certainty=round_down(1 - rate)
            ),
        )
        for id_, (_, rate, mode, one) in sorted(best.items())
    ]


def _large(cluster: Cluster) -> list[Mode]:
    """The modes that are a part of their cluster, and not nearly all of it; a shape alone is no way of failing."""
    return [
        mode
        for mode in cluster.modes
        if mode.mode != OTHER
        and not mode.mode.startswith("answer:")
        and PART <= mode.size_total / cluster.size_total <= 1 - PART
    ]


def _p(cluster: Cluster, mode: Mode, cap: int) -> float:
    """That the mode's share of the cluster's failures is the same in the last window as before."""
    from scipy.stats import fisher_exact  # noqa: PLC0415 lazy: 1 s of import

    own = [failures for _, failures, _ in mode.trend]
    all_ = [failures for _, failures, _ in cluster.trend]
    now, then = (own[-1], max(all_[-1] - own[-1], 0)), (sum(own[:-1]), max(sum(all_[:-1]) - sum(own[:-1]), 0))
    return float(fisher_exact([[count // cap for count in side] for side in (now, then)]).pvalue)


def _shares(cluster: Cluster, mode: Mode) -> tuple[float, float]:
    share = round(mode.size_total / cluster.size_total, 3)
    return round(1 - share, 3), share
