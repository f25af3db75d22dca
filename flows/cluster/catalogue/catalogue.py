"""The list of all clusters as a run leaves it: name, typical example, size, rate, status, trend and closure of each.

Pure: clusters and their events from what `stage.py` has read and placed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow.compute as pc

from flows.cluster.catalogue.abuse import suspicions
from flows.cluster.catalogue.closure import Promotion, closures
from flows.cluster.catalogue.llm_names import Namer
from flows.cluster.catalogue.naming import Label, name_of, names, terms
from flows.cluster.catalogue.population import Population
from flows.cluster.catalogue.themes import themes
from flows.cluster.catalogue.trends import Change, Traffic, Window, changes, counts, segments, status, windows
from flows.cluster.lineage.proposals import lineage_events
from flows.cluster.outcomes.coverage import SEGMENTS
from flows.cluster.placement.placing import Placed
from flows.cluster.state import State
from schemas.records import Closure, Cluster, ClusterEvent, ClusterStatus, EventDetails, Part, Point
from schemas.settings import ClusterSettings

REASONS = 5
THEME_TEXTS = 20
"""Texts of each cluster that its theme is named by."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What a run says of its clusters."""

    clusters: list[Cluster]
    events: list[ClusterEvent]
    themes: dict[str, str]
    """Theme → its name."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a run found out about one cluster."""

    label: Label
    change: Change
    trend: tuple[Point, ...]
    closure: list[Closure]
    segments: dict[str, dict[str, Part]]
    theme: str | None
    """None where no member is in the sample: the theme that it had stays."""


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
        _cluster(
            id_,
            _Seen(
                label=named[id_],
                change=called[i],
                trend=tuple((span.start, int(failures[w, i]), int(served[w])) for w, span in enumerate(spans)),
                closure=closed[i],
                segments=parts[i],
                theme=themed.get(id_),
            ),
            people,
            state,
            placed.born.get(id_),
            settings.min_size,
        )
        for i, id_ in enumerate(ids)
    ]
    events = [
        *_events(clusters, placed.born, state, spans),
        *lineage_events(placed.sample, placed.sample_homes, placed.sample_hashes, state),
        *_suspected(people, ids, spans[-1]),
    ]
    return Catalogue(clusters=clusters, events=events, themes=_theme_names(clusters, people))


def _cluster(id_: str, seen: _Seen, people: Population, state: State, parent: str | None, min_size: int) -> Cluster:
    """One cluster as the run leaves it; `parent` is the cluster that a new one may have grown out of."""
    members, old, change = people.members.get(id_, []), state.clusters.get(id_), seen.change
    ends = [people.rows["time"][i].as_py() for i in _ends(people, members)]
    return Cluster(
        cluster_id=id_,
        name=seen.label.name,
        description=seen.label.description,
        terms=seen.label.terms,
        medoid_interaction_id=seen.label.medoid_interaction_id,
        medoid_text=seen.label.medoid_text,
        reasons=_reasons(people, members),
        size=change.failures,
        size_total=len(members),
        rate=change.rate,
        rate_low=change.low,
        rate_high=change.high,
        status=_status(change, old, min_size),
        theme_id=seen.theme or (old.theme_id if old else None),
        parent_id=parent or (old.parent_id if old else None),
        alias_of=old.alias_of if old else None,
        first_seen=ends[0] if ends else old.first_seen if old else None,
        last_seen=ends[-1] if ends else old.last_seen if old else None,
        trend=seen.trend,
        closure=tuple(seen.closure),
        segments=seen.segments,
    )


def _first_window(spans: Sequence[Window], resolved: datetime | None) -> int:
    """The first baseline window that counts: of a resolved cluster, none from before it was resolved."""
    if resolved is None:
        return 0
    late = [i for i, span in enumerate(spans[:-1]) if span.start >= resolved]
    return late[0] if late else len(spans) - 2


def _segments(people: Population, traffic: Traffic, span: Window, clusters: int) -> list[dict[str, dict[str, Part]]]:
    """For each cluster, column → value → its part of the current window."""
    found: list[dict[str, dict[str, Part]]] = [{} for _ in range(clusters)]
    for column in SEGMENTS:
        values = np.array(pc.fill_null(people.rows[column], "").to_pylist(), dtype=str)
        for i, part in enumerate(segments(traffic, span, clusters, values)):
            found[i][column] = part
    return found


def _themes_before(state: State) -> dict[str, str]:
    return {id_: cluster.theme_id for id_, cluster in state.clusters.items() if cluster.theme_id}


def _theme_names(clusters: Sequence[Cluster], people: Population) -> dict[str, str]:
    """Theme → the words that set its clusters apart from those of the other themes."""
    inside: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        if cluster.theme_id:
            inside.setdefault(cluster.theme_id, []).append(cluster)
    ids = sorted(inside)
    texts = [
        [
            people.judged.texts[i]
            for cluster in inside[id_]
            for i in people.members.get(cluster.cluster_id, [])[:THEME_TEXTS]
        ]
        for id_ in ids
    ]
    words = terms(texts) if len(ids) > 1 else [() for _ in ids]
    return {
        id_: name_of(found, "") if found else max(inside[id_], key=lambda cluster: cluster.size_total).name
        for id_, found in zip(ids, words, strict=True)
    }


def _reasons(people: Population, members: list[int]) -> tuple[str, ...]:
    """The most frequent reasons of a cluster's failures."""
    found = Counter(reason for i in members for reason in people.judged.outcomes[i].reasons)
    return tuple(reason for reason, _ in sorted(found.items(), key=lambda r: (-r[1], r[0]))[:REASONS])


def _status(change: Change, old: Cluster | None, min_size: int) -> ClusterStatus:
    if old and old.alias_of:
        return "merged"
    return status(change, newborn=old is None, before=old.status if old else "", min_size=min_size)


def _ends(people: Population, members: list[int]) -> list[int]:
    """The earliest and the latest member."""
    if not members:
        return []
    times = people.seconds[members]
    return [members[int(times.argmin())], members[int(times.argmax())]]


def _events(
    clusters: Sequence[Cluster], born: Mapping[str, str | None], state: State, spans: Sequence[Window]
) -> list[ClusterEvent]:
    """What happened to each cluster since the previous run."""
    events = [
        ClusterEvent(cluster_id=id_, event="born", other_ids=(parent,) if parent else ())
        for id_, parent in sorted(born.items())
    ]
    start = spans[-1].start.isoformat()
    for cluster in clusters:
        old = state.clusters.get(cluster.cluster_id)
        if cluster.status in {"resolved", "regressed"} and (old is None or cluster.status != old.status):
            details = EventDetails(window_start=start, rate=cluster.rate, size=cluster.size)
            events.append(ClusterEvent(cluster_id=cluster.cluster_id, event=cluster.status, details=details))
    return events


def _suspected(people: Population, ids: Sequence[str], span: Window) -> list[ClusterEvent]:
    """Events for clusters that strangers complain about."""
    return [
        ClusterEvent(
            cluster_id=ids[found.cluster],
            event="suspected",
            details=EventDetails(voices=found.voices, fresh=found.fresh, usual_share=found.usual),
        )
        for found in suspicions(*people.complainers(ids, span.start.timestamp()))
    ]
