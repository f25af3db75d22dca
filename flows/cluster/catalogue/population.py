"""All interactions of an application in columns, with the outcome and the cluster of each: what trends and names count.

Go on to `catalogue.py`, the user.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.cluster.catalogue.trends import Traffic
from flows.cluster.outcomes.outcomes import Judged
from flows.cluster.placement.graph import Ints
from schemas.kinds import KINDS, says


@dataclass(frozen=True)
class Population:
    """All interactions in columns, with the home of each failure."""

    rows: pa.Table
    """The interactions: id, time, unit, request_model, …"""
    signals: pa.Table
    """The rows of `signals.sql`."""
    homes: Mapping[str, str]
    """Interaction → cluster, new placements included."""
    judged: Judged
    failing_labels: Sequence[str] = ()

    @functools.cached_property
    def ids(self) -> list[str]:
        """Interaction ids, by row."""
        return list(self.rows["id"].to_pylist())

    @functools.cached_property
    def seconds(self) -> NDArray[np.float64]:
        """Time of each interaction since the epoch."""
        return np.asarray(self.rows["time"].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6)

    @functools.cached_property
    def units(self) -> list[str]:
        """The unit of each interaction."""
        return list(self.rows["unit"].to_pylist())

    @functools.cached_property
    def members(self) -> dict[str, list[int]]:
        """Rows of each cluster's failures."""
        found: dict[str, list[int]] = {}
        for i, outcome in enumerate(self.judged.outcomes):
            if outcome.outcome == "failed" and (home := self.homes.get(outcome.interaction_id)):
                found.setdefault(home, []).append(i)
        return found

    def traffic(self, clusters: Sequence[str]) -> Traffic:
        """The columns that trends count."""
        index = {id_: i for i, id_ in enumerate(clusters)}
        cluster = np.full(len(self.ids), -1, dtype=np.int64)
        for id_, rows in self.members.items():
            cluster[rows] = index[id_]
        _, unit = np.unique(np.array(self.units, dtype=str), return_inverse=True)
        return Traffic(self.seconds, cluster, unit.astype(np.int64))

    def complainers(self, clusters: Sequence[str], since: float) -> tuple[Ints, NDArray[np.bool_]]:
        """(cluster, is the unit fresh) of each pair of cluster and unit that complained about it since then."""
        row_of = {id_: i for i, id_ in enumerate(self.ids)}
        index = {id_: i for i, id_ in enumerate(clusters)}
        first: dict[str, float] = {}
        for unit, time in zip(self.units, self.seconds.tolist(), strict=True):
            first[unit] = min(time, first.get(unit, time))
        pairs = set()
        for signal in self.signals.select(["interaction_id", "unit", "kind", "value", "label"]).to_pylist():
            row = row_of[signal["interaction_id"]]
            time, unit, home = float(self.seconds[row]), signal["unit"], self.homes.get(signal["interaction_id"])
            first[unit] = min(time, first.get(unit, time))
            if time >= since and home in index and self._complains(signal):
                pairs.add((index[home], unit))
        ordered = sorted(pairs)
        fresh = [first[unit] >= since for _, unit in ordered]
        return np.array([cluster for cluster, _ in ordered], dtype=np.int64), np.array(fresh, dtype=bool)

    def _complains(self, signal: Mapping[str, Any]) -> bool:
        """Whether a person said that it was bad."""
        said = says(signal["kind"], signal["value"], signal["label"], self.failing_labels)
        return said is False and KINDS[signal["kind"]].voice == "explicit"
