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
import pyarrow.compute as pc

from flows.cluster.catalogue.abuse import suspicions
from flows.cluster.catalogue.closure import Promotion, closures
from flows.cluster.catalogue.llm_names import Namer
from flows.cluster.catalogue.naming import name_of, names, terms
from flows.cluster.catalogue.population import Population
from flows.cluster.catalogue.themes import themes
from flows.cluster.catalogue.trends import Change, Traffic, Window, changes, counts, segments, status, windows
from flows.cluster.lineage.proposals import lineage_events
from flows.cluster.outcomes.coverage import SEGMENTS
from flows.cluster.placement.graph import Ints
from flows.cluster.placement.placing import Placed
from flows.cluster.state import State
from schemas.events import to_json
from schemas.settings import ClusterSettings

Row = dict[str, Any]
REASONS = 5
THEME_TEXTS = 20
"""Texts of each cluster that its theme is named by."""


@dataclass(frozen=True)
class Catalogue:
    """What a run says of its clusters."""

    clusters: list[Row]
    events: list[Row]
    spans: list[Window]
    themes: dict[str, str]
    """Theme → its name."""


def catalogue(
    people: Population,
    state: State,
    placed: Placed,
    promotions: Sequence[Promotion],
    as_of: datetime,
    settings: ClusterSettings,
    namer: Namer | None = None,
) -> Catalogue:
    """All clusters, old and new, and what happened to them."""
    ids = sorted({*state.clusters, *placed.born})
    traffic = people.traffic(ids)
    spans = windows(as_of, settings.window_hours, promotions[-1].time if promotions else None)
    failures, served = counts(traffic, spans, len(ids), settings.subject_cap)
    first = np.array([_first_window(spans, state.resolved.get(id_)) for id_ in ids], dtype=np.int64)
    called = changes(failures, served, first)
    closed = closures(traffic, promotions, len(ids), as_of, settings.subject_cap)
    parts = _segments(people, traffic, spans[-1], len(ids))
    sizes = {id_: len(people.members.get(id_, ())) for id_ in ids}
    themed = themes(ids, placed.sample, placed.sample_homes, sizes, _themes_before(state))
    named = names(people, state, placed, namer)
    clusters = [
        {
            "cluster_id": id_,
            **named[id_],
            **_seen(people, people.members.get(id_, []), state.clusters.get(id_, {})),
            **_trend(id_, called[i], failures[:, i], served, spans, state, settings),
            "theme_id": themed.get(id_) or state.clusters.get(id_, {}).get("theme_id"),
            "parent_id": placed.born.get(id_) or state.clusters.get(id_, {}).get("parent_id"),
            "alias_of": state.clusters.get(id_, {}).get("alias_of"),
            "closure": to_json(closed[i]),
            "segments": to_json(parts[i]),
        }
        for i, id_ in enumerate(ids)
    ]
    events = [
        *_events(clusters, placed.born, state, spans),
        *lineage_events(placed.sample, placed.sample_homes, placed.sample_hashes, state),
        *_suspected(people, ids, spans[-1]),
    ]
    return Catalogue(clusters, events, spans, _theme_names(clusters, people))


def _first_window(spans: Sequence[Window], resolved: datetime | None) -> int:
    """The first baseline window that counts: of a resolved cluster, none from before it was resolved."""
    if resolved is None:
        return 0
    late = [i for i, span in enumerate(spans[:-1]) if span.start >= resolved]
    return late[0] if late else len(spans) - 2


def _segments(people: Population, traffic: Traffic, span: Window, clusters: int) -> list[dict[str, Any]]:
    """For each cluster, column → value → [failures, interactions, low, high] in the current window."""
    found: list[dict[str, Any]] = [{} for _ in range(clusters)]
    for column in SEGMENTS:
        values = np.array(pc.fill_null(people.rows[column], "").to_pylist(), dtype=str)
        for i, part in enumerate(segments(traffic, span, clusters, values)):
            found[i][column] = part
    return found


def _themes_before(state: State) -> dict[str, str]:
    return {id_: row["theme_id"] for id_, row in state.clusters.items() if row["theme_id"]}


def _theme_names(clusters: Sequence[Row], people: Population) -> dict[str, str]:
    """Theme → the words that set its clusters apart from those of the other themes."""
    ids = sorted({row["theme_id"] for row in clusters if row["theme_id"]})
    inside = [[row for row in clusters if row["theme_id"] == id_] for id_ in ids]
    texts = [
        [people.judged.texts[i] for row in rows for i in people.members.get(row["cluster_id"], [])[:20]]
        for rows in inside
    ]
    words = terms(texts) if len(ids) > 1 else [() for _ in ids]
    return {
        id_: name_of(found, "") if found else max(rows, key=lambda row: row["size_total"])["name"]
        for id_, found, rows in zip(ids, words, inside, strict=True)
    }


def _seen(people: Population, members: list[int], old: Row) -> Row:
    """Reasons, number, first and last of a cluster's failures."""
    ends = [people.rows["time"][i].as_py() for i in _ends(people, members)] or [
        old.get("first_seen"),
        old.get("last_seen"),
    ]
    reasons = Counter(reason for i in members for reason in people.judged.outcomes[i].reasons)
    return {
        "reasons": [reason for reason, _ in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))[:REASONS]],
        "size_total": len(members),
        "first_seen": ends[0],
        "last_seen": ends[-1],
    }


def _trend(
    id_: str,
    change: Change,
    failures: Ints,
    served: Ints,
    spans: Sequence[Window],
    state: State,
    settings: ClusterSettings,
) -> Row:
    """Size, rate and status in the current window, and the windows before."""
    old = state.clusters.get(id_)
    before = old["status"] if old else ""
    return {
        "size": change.failures,
        "rate": change.rate,
        "rate_low": change.low,
        "rate_high": change.high,
        "status": "merged"
        if old and old["alias_of"]
        else status(change, newborn=old is None, before=before, min_size=settings.min_size),
        "trend": to_json([[span.start, int(failures[w]), int(served[w])] for w, span in enumerate(spans)]),
    }


def _ends(people: Population, members: list[int]) -> list[int]:
    """The earliest and the latest member."""
    if not members:
        return []
    times = people.seconds[members]
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


def _suspected(people: Population, ids: Sequence[str], span: Window) -> list[Row]:
    """Events for clusters that strangers complain about."""
    return [
        {
            "cluster_id": ids[found.cluster],
            "event": "suspected",
            "other_ids": [],
            "details": to_json({"voices": found.voices, "fresh": found.fresh, "usual_share": found.usual}),
        }
        for found in suspicions(*people.complainers(ids, span.start.timestamp()))
    ]
