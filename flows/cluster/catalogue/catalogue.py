"""The list of all clusters as a run leaves it: name, typical example, size, rate, status, trend and closure of each.

Pure: clusters and their events from what `stage.py` has read and placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from flows.cluster.catalogue.abuse import suspicions
from flows.cluster.catalogue.closure import Known, Promotion, reach
from flows.cluster.catalogue.ignoring import Looked, look
from flows.cluster.catalogue.llm_names import Namer
from flows.cluster.catalogue.measured import Look, measured
from flows.cluster.catalogue.modes import modes_of
from flows.cluster.catalogue.naming import Label, name_of, names
from flows.cluster.catalogue.population import FOR_EVER, Population
from flows.cluster.catalogue.terms import terms
from flows.cluster.catalogue.themes import themes
from flows.cluster.catalogue.trends import Change, Traffic, Window, segments, status, windows
from flows.cluster.lineage.by_mode import mode_events
from flows.cluster.lineage.proposals import lineage_events
from flows.cluster.modes.modes import said
from flows.cluster.placement.placing import Placed
from flows.cluster.state import State
from flows.redact.redact import Redactor
from schemas.acts import Ignored
from schemas.records import Cluster, ClusterEvent, EventDetails
from schemas.settings import ClusterSettings
from schemas.trend import Closure, ClusterStatus, Mode, Part, Point


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
    closure: Sequence[Closure]
    modes: tuple[Mode, ...]
    segments: dict[str, dict[str, Part]]
    theme: str | None
    """None where no member is in the sample: the theme that it had stays."""
    ignored: Ignored | None


def catalogue(
    people: Population,
    state: State,
    placed: Placed,
    promotions: Sequence[Promotion],
    as_of: datetime,
    settings: ClusterSettings,
    redactor: Redactor,
    namer: Namer | None = None,
) -> Catalogue:
    """All clusters, old and new, and what happened to them."""
    ids = sorted({*state.clusters, *placed.born})
    spans = windows(as_of, settings.window_hours, promotions[-1].time if promotions else None)
    known = _known(ids, state, as_of, settings.min_size)
    length = timedelta(hours=settings.window_hours)
    counted_in = [(spans[0].start, FOR_EVER), *reach(promotions, known, settings.window_hours)]
    stretches = [(start - length, end) for start, end in counted_in]  # who comes in the first window may not be new
    traffic, failed_so, values = people.traffic(ids, stretches, spans[-1].start)
    first = np.array([_first_window(spans, state.resolved.get(id_)) for id_ in ids], dtype=np.int64)
    looks = _looks(state, as_of, settings.window_hours)
    how = Look(spans=spans, promotions=promotions, as_of=as_of, looks=looks, settings=settings)
    found = measured(traffic, known, first, how)
    modes = modes_of(people.modes, traffic, failed_so, known, first, how, state.clusters)
    ignored = {i: one.ignored for i, id_ in enumerate(ids) if (one := state.clusters.get(id_)) and one.ignored}
    first_seen = {i: group.first if (group := people.groups.get(ids[i])) else None for i in ignored}
    looked = look(ignored, found.counted, first_seen, traffic, found.begun, spans, settings)
    parts = _segments(traffic, values, spans[-1], len(ids))
    sizes = {id_: group.failures if (group := people.groups.get(id_)) else 0 for id_ in ids}
    themed = themes(ids, placed.sample, placed.sample_homes, sizes, _themes_before(state))
    named = names(people, state, placed, redactor, settings.least_people, namer)
    clusters = [
        _cluster(
            id_,
            _Seen(
                label=named[id_],
                change=found.changes[i],
                trend=found.trends[i],
                closure=found.closures[i],
                modes=modes[i],
                segments=parts[i],
                theme=themed.get(id_),
                ignored=looked.closed.get(i),
            ),
            people,
            state,
            placed.born.get(id_),
            settings.min_size,
        )
        for i, id_ in enumerate(ids)
    ]
    by_words = lineage_events(placed.sample, placed.sample_homes, placed.sample_hashes, state)
    events = [
        *_events(clusters, placed.born, state, spans),
        *by_words,
        *mode_events(clusters, state, settings.subject_cap, by_words),
        *_suspected(people, ids, spans),
        *_reopened(ids, looked),
    ]
    return Catalogue(
        clusters=clusters, events=events, themes=_theme_names(clusters, people, redactor, settings.least_people)
    )


def _cluster(id_: str, seen: _Seen, people: Population, state: State, parent: str | None, min_size: int) -> Cluster:
    """One cluster as the run leaves it; `parent` is the cluster that a new one may have grown out of."""
    group, old, change = people.groups.get(id_), state.clusters.get(id_), seen.change
    return Cluster(
        cluster_id=id_,
        name=_with_mode(seen.label.name, old),
        description=seen.label.description,
        terms=seen.label.terms,
        medoid_interaction_id=seen.label.medoid_interaction_id,
        medoid_text=seen.label.medoid_text,
        reasons=group.reasons if group else (),
        size=change.failures,
        size_total=group.failures if group else 0,
        rate=change.rate,
        rate_low=change.low,
        rate_high=change.high,
        status=_status(change, old, min_size),
        theme_id=seen.theme or (old.theme_id if old else None),
        parent_id=parent or (old.parent_id if old else None),
        alias_of=old.alias_of if old else None,
        first_seen=group.first if group else old.first_seen if old else None,
        last_seen=group.last if group else old.last_seen if old else None,
        trend=seen.trend,
        closure=tuple(seen.closure),
        segments=seen.segments,
        named=old.named if old else None,
        ignored=seen.ignored,
        mode=old.mode if old else None,
        modes=seen.modes,
    )


def _with_mode(name: str, old: Cluster | None) -> str:
    """The name of a cluster that was split off by a mode says so, unless a person named it."""
    if old is None or not old.mode or old.named or name.endswith(end := f": {said(old.mode)}"):
        return name
    return name + end


def _first_window(spans: Sequence[Window], resolved: datetime | None) -> int:
    """The first baseline window that counts: of a resolved cluster, none from before it was resolved."""
    if resolved is None:
        return 0
    late = [i for i, span in enumerate(spans[:-1]) if span.start >= resolved]
    return late[0] if late else len(spans) - 2


def _known(ids: Sequence[str], state: State, as_of: datetime, min_size: int) -> Known:
    """What earlier runs know of the clusters; who is not known is born now."""
    said = [state.clusters[id_].closure if id_ in state.clusters else () for id_ in ids]
    born = [state.born.get(id_, as_of) for id_ in ids]
    looked = state.ran[-1] if state.ran else None
    return Known(ids=ids, born=born, min_size=min_size, closures=said, looked=looked)


def _looks(state: State, as_of: datetime, hours: float) -> int:
    """How often a window is looked at while it passes: by the runs of the last one's length, this one among them."""
    return 1 + sum(time > as_of - timedelta(hours=hours) for time in state.ran)


def _segments(
    traffic: Traffic, values: Mapping[str, Sequence[str]], span: Window, clusters: int
) -> list[dict[str, dict[str, Part]]]:
    """For each cluster, column → value → its part of the current window."""
    found: list[dict[str, dict[str, Part]]] = [{} for _ in range(clusters)]
    inside = np.flatnonzero(traffic.time >= span.start.timestamp())
    current = Traffic(traffic.time[inside], traffic.cluster[inside], traffic.unit[inside])
    for column, all_ in values.items():
        served = np.array(all_, dtype=np.str_)
        for i, part in enumerate(segments(current, span, clusters, served)):
            found[i][column] = part
    return found


def _themes_before(state: State) -> dict[str, str]:
    return {id_: cluster.theme_id for id_, cluster in state.clusters.items() if cluster.theme_id}


def _theme_names(clusters: Sequence[Cluster], people: Population, redactor: Redactor, least: int) -> dict[str, str]:
    """Theme → the words that set its clusters apart from those of the other themes."""
    inside: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        if cluster.theme_id:
            inside.setdefault(cluster.theme_id, []).append(cluster)
    ids = sorted(inside)
    texts = [
        [one for cluster in inside[id_] if (said := people.words.get(cluster.cluster_id)) for one in said.first]
        for id_ in ids
    ]
    words = terms(texts, redactor, least) if len(ids) > 1 else [() for _ in ids]
    return {
        id_: name_of(found, "") if found else max(inside[id_], key=lambda cluster: cluster.size_total).name
        for id_, found in zip(ids, words, strict=True)
    }


def _status(change: Change, old: Cluster | None, min_size: int) -> ClusterStatus:
    if old and old.alias_of:
        return "merged"
    return status(change, newborn=old is None, before=old.status if old else "", min_size=min_size)


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


def _reopened(ids: Sequence[str], looked: Looked) -> list[ClusterEvent]:
    """Events for closed clusters that have grown."""
    return [
        ClusterEvent(
            cluster_id=ids[i],
            event="reopened",
            details=EventDetails(window_start=grown.window_start, rate=grown.rate, size=grown.people),
        )
        for i, grown in sorted(looked.grown.items())
    ]


def _suspected(people: Population, ids: Sequence[str], spans: Sequence[Window]) -> list[ClusterEvent]:
    """Events for clusters that strangers complain about."""
    return [
        ClusterEvent(
            cluster_id=ids[found.cluster],
            event="suspected",
            details=EventDetails(voices=found.voices, fresh=found.fresh, usual_share=found.usual),
        )
        for found in suspicions(*people.complainers(ids, spans[0].start, spans[-1].start))
    ]
