"""The modes of each cluster: how its failures failed, each with its own rate, trend, status and closure.

A mode is tested as a cluster is, in a family of its own: at most 5 % of the changes that are announced of modes may be
chance. Go on to `catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.cluster.catalogue.closure import Known
from flows.cluster.catalogue.measured import Look, measured
from flows.cluster.catalogue.trends import Traffic, status
from flows.cluster.modes.modes import OTHER
from flows.cluster.placement.graph import Ints
from schemas.records import Cluster
from schemas.trend import Mode

SHOWN = 8
"""Modes of a cluster that stand for themselves, the most frequent: the rest is `other`."""
Groups = Sequence[tuple[int, str, int]]
"""Cluster (by index), mode, failures ever."""


def modes_of(
    counted: Sequence[tuple[str, str, int]],
    traffic: Traffic,
    modes: pa.ChunkedArray,
    known: Known,
    first: Ints,
    look: Look,
    before: Mapping[str, Cluster],
) -> list[tuple[Mode, ...]]:
    """The modes of each cluster of `known`, the most frequent first; `modes` are those of the traffic's failures.

    `counted`: cluster, mode, and how many of its failures ever failed so. A mode of fewer failures than make a cluster
    is part of `other`.
    """
    groups = _groups(counted, known.ids, known.min_size)
    if not groups:
        return [() for _ in known.ids]
    of = {(cluster, mode): at for at, (cluster, mode, _) in enumerate(groups)}
    told = [_known_mode(before.get(known.ids[cluster]), mode) for cluster, mode, _ in groups]
    own = Known(
        ids=[f"{known.ids[cluster]}/{mode}" for cluster, mode, _ in groups],
        born=[known.born[cluster] for cluster, _, _ in groups],
        min_size=known.min_size,
        closures=[mode.closure if mode else () for mode in told],
        looked=known.looked,
    )
    baseline = np.array([first[cluster] for cluster, _, _ in groups], dtype=np.int64)
    found = measured(replace(traffic, cluster=_grouped(traffic.cluster, modes, of)), own, baseline, look)
    rows: list[list[Mode]] = [[] for _ in known.ids]
    for at, (cluster, mode, ever) in enumerate(groups):
        change, old = found.changes[at], told[at]
        newborn = old is None and bool(_modes_before(before.get(known.ids[cluster])))
        rows[cluster].append(
            Mode(
                mode=mode,
                size=change.failures,
                size_total=ever,
                rate=change.rate,
                rate_low=change.low,
                rate_high=change.high,
                status=status(change, newborn=newborn, before=old.status if old else "", min_size=known.min_size),
                trend=found.trends[at],
                closure=tuple(found.closures[at]),
            )
        )
    return [tuple(each) for each in rows]


def _groups(counted: Sequence[tuple[str, str, int]], ids: Sequence[str], min_size: int) -> Groups:
    """What is counted for itself, by cluster, the most frequent first and `other` last."""
    index = {id_: at for at, id_ in enumerate(ids)}
    by_cluster: dict[int, list[tuple[int, str]]] = {}
    for id_, mode, failures in counted:
        if id_ in index:
            by_cluster.setdefault(index[id_], []).append((failures, mode))
    groups: list[tuple[int, str, int]] = []
    for cluster, every in sorted(by_cluster.items()):
        ordered = sorted(every, key=lambda each: (-each[0], each[1]))
        own = [(count, mode) for count, mode in ordered if mode and mode != OTHER and count >= min_size][:SHOWN]
        rest = sum(count for count, _ in every) - sum(count for count, _ in own)
        groups += [(cluster, mode, count) for count, mode in own] + ([(cluster, OTHER, rest)] if rest else [])
    return groups


def _grouped(cluster: Ints, modes: pa.ChunkedArray, of: Mapping[tuple[int, str], int]) -> Ints:
    """The group of each interaction; -1 where it did not fail or has no home."""
    names = pc.unique(modes).to_pylist()
    code = pc.index_in(modes, value_set=pa.array(names, pa.string())).to_numpy().astype(np.int64)
    found = np.full(len(cluster), -1, dtype=np.int64)
    at = np.flatnonzero(cluster >= 0)
    pairs, where = np.unique(np.stack([cluster[at], code[at]]), axis=1, return_inverse=True)
    groups = [of.get((int(c), names[m] or ""), of.get((int(c), OTHER), -1)) for c, m in pairs.T]
    found[at] = np.array(groups, dtype=np.int64)[where.reshape(-1)] if groups else -1
    return found


def _modes_before(cluster: Cluster | None) -> tuple[Mode, ...]:
    return cluster.modes if cluster else ()


def _known_mode(cluster: Cluster | None, mode: str) -> Mode | None:
    return next((known for known in _modes_before(cluster) if known.mode == mode), None)
