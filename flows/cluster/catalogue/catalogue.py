"""The list of all clusters as a run leaves it: name, typical example, size, rate, status, trend and closure of each.

Pure: clusters and their events from what `stage.py` has read and placed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from flows.cluster.catalogue.abuse import suspicions
from flows.cluster.catalogue.closure import Known, Promotion, reach
from flows.cluster.catalogue.ignoring import Looked, look
from flows.cluster.catalogue.llm_names import Namer
from flows.cluster.catalogue.measured import Look, measured
from flows.cluster.catalogue.modes import modes_of
from flows.cluster.catalogue.naming import Label, labels_of, name_of, names
from flows.cluster.catalogue.population import FOR_EVER, Population, Seen, Stretch
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
    followed: Population | None = None,
) -> Catalogue:
    """All clusters, old and new, and what happened to them. `followed`: who is in pinned ones, where there are any."""
    ids = sorted({*state.clusters, *placed.born})
    spans = windows(as_of, settings.window_hours, promotions[-1].time if promotions else None)
    looks = _looks(state, as_of, settings.window_hours)
    how = Look(spans=spans, promotions=promotions, as_of=as_of, looks=looks, settings=settings)
    known, pinned = _known(ids, state, as_of, settings.min_size), _known_pinned(state, settings.min_size)
    stretches = _stretches(how, known, pinned)
    seen = people.traffic(ids, stretches, spans[-1].start)
    sizes = {id_: group.failures if (group := people.groups.get(id_)) else 0 for id_ in ids}
    themed = themes(ids, placed.sample, placed.sample_homes, sizes, _themes_before(state))
    labels = names(people, state, placed, redactor, settings.least_people, namer)
    found = _described(_Described(people, state, seen, known, labels, placed.born, themed), how)
    follows = _Told([], [], [])
    if followed is not None and state.pinned:
        of_pinned = replace(state, clusters=state.pinned)
        seen = followed.beside(seen, pinned.ids, stretches, spans[-1].start)
        labels = labels_of(followed, state.pinned, redactor, settings.least_people)
        follows = _described(_Described(followed, of_pinned, seen, pinned, labels, {}, {}), how)
    by_words = lineage_events(placed.sample, placed.sample_homes, placed.sample_hashes, state)
    events = [
        *found.events,
        *by_words,
        *mode_events(found.clusters, state, settings.subject_cap, by_words),
        *_suspected(people, ids, spans),
        *found.reopened,
        *follows.events,
        *follows.reopened,
    ]
    return Catalogue(
        clusters=[*found.clusters, *follows.clusters],
        events=events,
        themes=_theme_names(found.clusters, people, redactor, settings.least_people),
    )


@dataclass(frozen=True)
class _Described:
    """Clusters that are to be described, found or pinned ones, and what is known of them."""

    people: Population
    state: State
    seen: Seen
    known: Known
    labels: Mapping[str, Label]
    born: Mapping[str, str | None]
    themed: Mapping[str, str]


@dataclass(frozen=True)
class _Told:
    """What is said of such clusters."""

    clusters: list[Cluster]
    events: list[ClusterEvent]
    reopened: list[ClusterEvent]


def _described(these: _Described, how: Look) -> _Told:
    """Each cluster with its trend, closure and modes, by tests over all of these; and what happened to them."""
    state, traffic, known, settings = these.state, these.seen.traffic, these.known, how.settings
    first = np.array([_first_window(how.spans, state.resolved.get(id_)) for id_ in known.ids], dtype=np.int64)
    found = measured(traffic, known, first, how)
    modes = modes_of(these.people.modes, traffic, these.seen.modes, known, first, how, state.clusters)
    ignored = {i: one.ignored for i, id_ in enumerate(known.ids) if (one := state.clusters.get(id_)) and one.ignored}
    first_seen = {i: group.first if (group := these.people.groups.get(known.ids[i])) else None for i in ignored}
    looked = look(ignored, found.counted, first_seen, traffic, found.begun, how.spans, settings)
    parts = _segments(traffic, these.seen.values, how.spans[-1], len(known.ids))
    clusters = [
        _cluster(
            id_,
            _Seen(
                label=these.labels[id_],
                change=found.changes[i],
                trend=found.trends[i],
                closure=found.closures[i],
                modes=modes[i],
                segments=parts[i],
                theme=these.themed.get(id_),
                ignored=looked.closed.get(i),
            ),
            these.people,
            state,
            these.born.get(id_),
            settings.min_size,
        )
        for i, id_ in enumerate(known.ids)
    ]
    return _Told(clusters, _events(clusters, these.born, state, how.spans), _reopened(known.ids, looked))


def _stretches(how: Look, *known: Known) -> list[Stretch]:
    """The times that are counted, each with the window before it: who comes in the first one may not be new."""
    length = timedelta(hours=how.settings.window_hours)
    looked_at = [one for each in known for one in reach(how.promotions, each, how.settings.window_hours)]
    return [(start - length, end) for start, end in [(how.spans[0].start, FOR_EVER), *looked_at]]


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
        pinned=old.pinned if old else None,
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


def _known_pinned(state: State, min_size: int) -> Known:
    """The same of pinned clusters, which no number of failures has brought about."""
    ids = sorted(state.pinned)
    looked = state.ran[-1] if state.ran else None
    ever = [datetime.min.replace(tzinfo=UTC)] * len(ids)
    closures = [state.pinned[id_].closure for id_ in ids]
    return Known(ids=ids, born=ever, min_size=min_size, closures=closures, looked=looked)


def _looks(state: State, as_of: datetime, hours: float) -> int:
    """How often a window is looked at while it passes: by the runs of the last one's length, this one among them."""
    return 1 + sum(time > as_of - timedelta(hours=hours) for time in state.ran)


def _segments(
    traffic: Traffic, values: Mapping[str, Sequence[str]], span: Window, clusters: int
) -> list[dict[str, dict[str, Part]]]:
    """For each cluster, column → value → its part of the current window."""
    found: list[dict[str, dict[str, Part]]] = [{} for _ in range(clusters)]
    inside = np.flatnonzero(traffic.time >= span.start.timestamp())
    again = ~traffic.once[inside]
    current = Traffic(traffic.time[inside], traffic.cluster[inside], traffic.unit[inside], again)
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
