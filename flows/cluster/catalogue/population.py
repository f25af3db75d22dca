"""What trends and names count: what is known of each cluster's failures, and the traffic of the times looked at.

Failures are counted where they lie; here are the counts, and as many texts of each cluster as are read for its name:
nothing grows with how many failures there ever were. Go on to `catalogue.py`, the user.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.cluster.catalogue.terms import MAX_TEXTS, Said
from flows.cluster.catalogue.trends import Traffic
from flows.cluster.outcomes.coverage import SEGMENTS
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.placing import asked
from flows.cluster.state import Now
from schemas.tables import TIME
from streams.lake.parts import Part, within

_HERE = Path(__file__).parent
REASONS = 5
FIRST = 20
"""Texts of each cluster that its theme is named by."""
FOR_EVER = datetime.max.replace(tzinfo=UTC)
Stretch = tuple[datetime, datetime]
"""From when on, and until before when."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The failures that have their home in a cluster."""

    failures: int
    people: int
    first: datetime
    """When the first of them was."""
    last: datetime
    reasons: tuple[str, ...]
    """The most frequent ones."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """Some of a cluster's failures, in order of their ids."""

    first: tuple[Said, ...]
    spread: tuple[Said, ...]
    """Spread evenly over all of them."""
    middle: tuple[str, Said]
    """The one in the middle, with its id."""


@dataclass(frozen=True)
class Seen:
    """Interactions of the times that a run looks at, as columns in one order."""

    traffic: Traffic
    modes: pa.ChunkedArray
    """How each failed, where it did."""
    values: Mapping[str, Sequence[str]]
    """The segments of those of the current window, in the same order."""
    units: pa.Array
    """The unit that each number of the traffic stands for."""


@dataclass(frozen=True)
class Population:
    """The failures that have a home, by cluster, and where all traffic is asked for."""

    now: Now
    groups: dict[str, Group]
    """Of the clusters that have any."""
    modes: Sequence[tuple[str, str, int]]
    """Cluster, mode, and how many of its failures failed so."""

    @functools.cached_property
    def words(self) -> dict[str, Words]:
        """Of the same clusters, what was asked."""
        with self.now.stream(_HERE / "said.sql", self.now.failures, least=FIRST, most=MAX_TEXTS) as answer:
            by_cluster = groupby(answer.dicts(), key=lambda row: row["cluster_id"])
            return {id_: _words(list(rows), self.groups[id_].failures) for id_, rows in by_cluster}

    def asked(self, interactions: Sequence[str]) -> dict[str, str]:
        """What was asked in some interactions."""
        ids, texts, _ = asked(self.now, pa.array(sorted(set(interactions)), pa.string()))
        return dict(zip(ids, texts, strict=True))

    def traffic(self, clusters: Sequence[str], stretches: Sequence[Stretch], current: datetime) -> Seen:
        """The columns that trends count, of all interactions of some times."""
        return self._seen("traffic.sql", clusters, stretches, current, None)

    def beside(self, seen: Seen, clusters: Sequence[str], stretches: Sequence[Stretch], current: datetime) -> Seen:
        """The same interactions, none of them in a cluster; behind them the failures of pinned ones, once for each."""
        own = self._seen("pinned_traffic.sql", clusters, stretches, current, seen.units)
        all_, more = seen.traffic, own.traffic
        traffic = Traffic(
            np.concatenate([all_.time, more.time]),
            np.concatenate([np.full(len(all_.time), -1, dtype=np.int64), more.cluster]),
            np.concatenate([all_.unit, more.unit]),
            again=np.arange(len(all_.time) + len(more.time)) >= len(all_.time),
        )
        modes = pa.chunked_array([pa.nulls(len(all_.time), pa.string()), *own.modes.chunks], pa.string())
        values = {name: [*told, *own.values[name]] for name, told in seen.values.items()}
        return Seen(traffic, modes, values, seen.units)

    def _seen(
        self,
        sql: str,
        clusters: Sequence[str],
        stretches: Sequence[Stretch],
        current: datetime,
        units: pa.Array | None,
    ) -> Seen:
        """What a query sees; `units`: whose numbers to take, where they have some."""
        homes = pa.array(clusters, pa.string())
        time, cluster, whose = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], [pa.array([], pa.string())]
        modes = [pa.array([], pa.string())]
        values: dict[str, list[str]] = {name: [] for name in SEGMENTS}
        since = min(start for start, _ in stretches)
        part = self._part(stretches)
        with self.now.stream(_HERE / sql, part, since=since) as answer:
            for every in answer.batches(100_000):
                batch = every.filter(pa.array(_during(_seconds(every["time"]), stretches)))  # Spark brings others too
                time.append(_seconds(batch["time"]))
                found = pc.fill_null(pc.index_in(batch["cluster_id"], value_set=homes), -1)
                cluster.append(found.to_numpy(zero_copy_only=False).astype(np.int64))
                whose.append(batch["unit"])
                modes.append(batch["mode"])
                inside = pa.array(time[-1] >= current.timestamp())
                for name in SEGMENTS:
                    values[name] += batch[name].filter(inside).to_pylist()
        owners = pa.chunked_array(whose)
        known = pc.unique(owners) if units is None else units
        codes = pc.index_in(owners, value_set=known).to_numpy().astype(np.int64)
        traffic = Traffic(np.concatenate(time), np.concatenate(cluster), codes)
        return Seen(traffic, pa.chunked_array(modes), values, known)

    def complainers(self, clusters: Sequence[str], first: datetime, since: datetime) -> tuple[Ints, NDArray[np.bool_]]:
        """(cluster, is the unit fresh) of each pair of cluster and unit that was heard of its failures since then."""
        part = self._part([(first, FOR_EVER)])
        rows = self.now.ask(_HERE / "complainers.sql", part, first=first, since=since)
        homes = pc.index_in(rows["cluster_id"], value_set=pa.array(clusters, pa.string()))
        known = pc.is_valid(homes)
        return homes.filter(known).to_numpy().astype(np.int64), rows["fresh"].filter(known).to_numpy()

    def _part(self, stretches: Sequence[Stretch]) -> dict[str, Part]:
        lake, at = self.now.lake, pc.field("time")
        which = ((at >= pa.scalar(start, TIME)) & (at < pa.scalar(end, TIME)) for start, end in stretches)
        return {"outcomes": within(lake, "outcomes", lake.version("outcomes"), functools.reduce(operator.or_, which))}


def population(now: Now) -> Population:
    """The failures that have a home by now, or are in pinned clusters, as `now` looks at them."""
    reasons: dict[str, list[str]] = {}
    for row in _rows(now, "reasons.sql", most=REASONS):
        reasons.setdefault(row["cluster_id"], []).append(row["reason"])
    groups = {
        row["cluster_id"]: Group(
            failures=row["failures"],
            people=row["people"],
            first=row["first_seen"],
            last=row["last_seen"],
            reasons=tuple(reasons.get(row["cluster_id"], ())),
        )
        for row in _rows(now, "sizes.sql")
    }
    modes = [(row["cluster_id"], row["mode"], row["failures"]) for row in _rows(now, "modes.sql")]
    return Population(now, groups, modes)


def _rows(now: Now, sql: str, **given: Any) -> Iterator[dict[str, Any]]:
    with now.stream(_HERE / sql, now.failures, **given) as answer:
        yield from answer.dicts()


def _words(rows: Sequence[dict[str, Any]], failures: int) -> Words:
    said = {row["nth"]: (row["interaction_id"], Said(row["unit"], row["text"] or "")) for row in rows}
    step = max(1, -(-failures // MAX_TEXTS))
    return Words(
        first=tuple(one for nth, (_, one) in said.items() if nth <= FIRST),
        spread=tuple(one for nth, (_, one) in said.items() if (nth - 1) % step == 0),
        middle=said[failures // 2 + 1],
    )


def _during(time: NDArray[np.float64], stretches: Sequence[Stretch]) -> NDArray[np.bool_]:
    """Which moments, in seconds since the epoch, are in one of some stretches."""
    inside = np.zeros(len(time), dtype=bool)
    for start, end in stretches:
        inside |= (time >= start.timestamp()) & (time < end.timestamp())
    return inside


def _seconds(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(np.int64) / 1e6)
