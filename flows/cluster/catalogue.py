"""The list of all clusters as a run leaves it: name, typical example, size, rate, status, trend and closure of each.

Pure: rows of the tables `clusters` and `cluster_events` from what `flow.py` has read and placed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from flows.cluster.closure import Promotion, closures
from flows.cluster.graph import Ints
from flows.cluster.names import medoid, name_of, terms
from flows.cluster.outcomes import Judged
from flows.cluster.state import State
from flows.cluster.trends import Change, Traffic, Window, changes, counts, status, windows
from flows.embed import Vectors
from schemas.events import to_json
from schemas.settings import ClusterSettings

Row = dict[str, Any]
REASONS = 5
MEDOID_CHARS = 500
"""Characters of the typical example that a cluster's row keeps."""


@dataclass(frozen=True)
class Population:
    """All interactions in columns, with the home of each failure."""

    ids: Sequence[str]
    time: pa.ChunkedArray
    subjects: Sequence[str]
    homes: Mapping[str, str]
    """Interaction → cluster, new placements included."""
    judged: Judged

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
        for id_, rows in self.members().items():
            cluster[rows] = index[id_]
        seconds = self.time.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
        _, subject = np.unique(np.array(self.subjects, dtype=object).astype(str), return_inverse=True)
        return Traffic(seconds, cluster, subject.astype(np.int64))


@dataclass(frozen=True)
class Catalogue:
    """What a run says of its clusters."""

    clusters: list[Row]
    events: list[Row]
    spans: list[Window]


def catalogue(
    people: Population,
    state: State,
    born: Mapping[str, str | None],
    vectors: Mapping[str, Vectors],
    promotions: Sequence[Promotion],
    as_of: datetime,
    settings: ClusterSettings,
) -> Catalogue:
    """All clusters, old and new.

    `born`: id → the cluster it may have grown out of. `vectors`: of each born cluster, its members' in order of id.
    """
    ids = sorted({*state.clusters, *born})
    traffic = people.traffic(ids)
    spans = windows(as_of, settings.window_hours, promotions[-1].time if promotions else None)
    failures, served = counts(traffic, spans, len(ids), settings.subject_cap)
    first = np.array([_first_window(spans, state.resolved.get(id_)) for id_ in ids], dtype=np.int64)
    called = changes(failures, served, first)
    closed = closures(traffic, promotions, len(ids), as_of, settings.subject_cap)
    members = people.members()
    named = _names(people, members, born, vectors)
    clusters = [
        _row(
            id_, called[i], failures[:, i], served, spans, named.get(id_), people, members.get(id_, []), state, settings
        )
        | {"closure": to_json(closed[i]), "parent_id": born.get(id_) or state.clusters.get(id_, {}).get("parent_id")}
        for i, id_ in enumerate(ids)
    ]
    return Catalogue(clusters, _events(clusters, born, state, spans), spans)


def _first_window(spans: Sequence[Window], resolved: datetime | None) -> int:
    """The first baseline window that counts: of a resolved cluster, none from before it was resolved."""
    if resolved is None:
        return 0
    late = [i for i, span in enumerate(spans[:-1]) if span.start >= resolved]
    return late[0] if late else len(spans) - 2


def _names(
    people: Population,
    members: Mapping[str, list[int]],
    born: Mapping[str, str | None],
    vectors: Mapping[str, Vectors],
) -> dict[str, Row]:
    """Name, terms and typical example of each new cluster, against the words of all clusters."""
    ids = sorted(members)
    if not born:
        return {}
    found = dict(zip(ids, terms([[people.judged.texts[i] for i in members[id_]] for id_ in ids]), strict=True))
    named: dict[str, Row] = {}
    for id_ in sorted(born):
        middle = members[id_][medoid(vectors[id_])]
        text = people.judged.texts[middle][:MEDOID_CHARS]
        named[id_] = {
            "name": name_of(found[id_], text),
            "terms": list(found[id_]),
            "medoid_interaction_id": people.ids[middle],
            "medoid_text": text,
        }
    return named


def _row(
    id_: str,
    change: Change,
    failures: Ints,
    served: Ints,
    spans: Sequence[Window],
    named: Row | None,
    people: Population,
    members: list[int],
    state: State,
    settings: ClusterSettings,
) -> Row:
    old = state.clusters.get(id_, {})
    kept = {key: old.get(key) for key in ("name", "description", "terms", "medoid_interaction_id", "medoid_text")}
    seen = [people.time[i].as_py() for i in _ends(people, members)] or [old.get("first_seen"), old.get("last_seen")]
    reasons = Counter(reason for i in members for reason in people.judged.outcomes[i].reasons)
    return {
        "cluster_id": id_,
        **(named or kept),
        "theme_id": old.get("theme_id"),
        "alias_of": old.get("alias_of"),
        "reasons": [reason for reason, _ in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))[:REASONS]],
        "size": change.failures,
        "size_total": len(members),
        "rate": change.rate,
        "rate_low": change.low,
        "rate_high": change.high,
        "status": status(change, newborn=not old, before=old.get("status", ""), min_size=settings.min_size),
        "first_seen": seen[0],
        "last_seen": seen[-1],
        "trend": to_json([[span.start, int(failures[w]), int(served[w])] for w, span in enumerate(spans)]),
    }


def _ends(people: Population, members: list[int]) -> list[int]:
    """The earliest and the latest member."""
    if not members:
        return []
    times = people.time.to_numpy()[members]
    return [members[int(times.argmin())], members[int(times.argmax())]]


def _events(
    clusters: Sequence[Row], born: Mapping[str, str | None], state: State, spans: Sequence[Window]
) -> list[Row]:
    """What happened to each cluster since the previous run."""
    events = [
        {"cluster_id": id_, "event": "born", "other_ids": [parent] if parent else [], "details": "{}"}
        for id_, parent in sorted(born.items())
    ]
    for row in clusters:
        before = state.clusters.get(row["cluster_id"], {}).get("status")
        if row["status"] in {"resolved", "regressed"} and row["status"] != before:
            details = {"window_start": spans[-1].start.isoformat(), "rate": row["rate"], "size": row["size"]}
            events.append({
                "cluster_id": row["cluster_id"],
                "event": row["status"],
                "other_ids": [],
                "details": to_json(details),
            })  # fmt: skip
    return events
