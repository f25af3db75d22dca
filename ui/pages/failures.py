"""The inbox of failures: what needs a decision first, and one of them beside it with its trend, causes and examples.

Go on to `overview.py`, whose marks and ticks it shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from msgspec import Struct

from flows.cluster.catalogue.report import examples_of, map_of
from flows.cluster.lineage.by_itself import history_of
from flows.cluster.modes.modes import said
from flows.cluster.state import PINNED
from flows.svg import Bin
from schemas.acts import ClusterDecision
from schemas.records import Cluster
from ui.guard import Needs, Refused
from ui.html import page
from ui.index.lists import (
    Dim,
    Group,
    Hour,
    Rate,
    Span,
    Voice,
    cluster_hours,
    dims,
    grouped,
    hours,
    newest_of,
    rate,
    reasons_of,
    span_of,
    summed,
)
from ui.pages.acts import ACTS
from ui.pages.overview import marks, ticks
from ui.state import Clusters, State

router = APIRouter()
URGENT, GONE = ("regressed", "new", "growing"), ("resolved",)
"""States in the order of the inbox; what is in neither is watched."""
VIEWS = ("open", "ignored", "resolved", "all", "map")
EXAMPLES = 12
COLUMNS = {"model": "request_model", "prompt": "prompt_version", "variant": "variant"}
OF_PINNED = ("rename", "ignore", "reopen", "pin", "unpin")
"""Acts on a pinned cluster: nothing is moved into it or out of it."""
TOO_FEW = 30
"""Interactions below which a part's rate says nothing yet."""


class Row(Struct, frozen=True):
    """A cluster in the list."""

    cluster: Cluster
    rate: Rate
    share: float
    bars: tuple[tuple[int, int], ...]
    """(failures, interactions) of each piece of traffic."""


class Traffic(Struct, frozen=True):
    """All that the page counts, after the filters of its address."""

    hours: list[Hour]
    by_cluster: dict[str, dict[int, int]]
    known: dict[int, Dim]
    span: Span
    narrowed: bool
    """Whether a filter leaves something out."""

    @property
    def served(self) -> dict[int, int]:
        """Interactions by hour."""
        return summed(self.hours, "served")


@router.get("/failures", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def inbox(request: Request) -> HTMLResponse:
    """Show the list, and the first of it."""
    return _page(request, "")


@router.get("/failures/{cluster_id}", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def one(request: Request, cluster_id: str) -> HTMLResponse:
    """Show the list, and this one."""
    return _page(request, cluster_id)


def _page(request: Request, wanted: str) -> HTMLResponse:
    state: State = request.app.state.flywheel
    asked = request.query_params
    view = asked.get("view", "open" if not wanted else "all")
    found = state.clusters
    if found is None:
        return page(request, "failures.html", found=None, view=view, chosen=None)
    with state.reading() as sql:
        traffic = _traffic(sql, asked.get("model", ""), asked.get("prompt", ""))
        rows = [row for row in _rows(found, traffic) if _wanted(row.cluster, asked.get("q", ""))]
        groups = _grouped(rows, view)
        chosen = _chosen(found, wanted, groups)
        values = _detail(sql, state, found, traffic, chosen) if chosen and view != "map" else {}
    return page(
        request,
        "failures.html",
        found=found,
        total=rate(sum(hour.failed for hour in traffic.hours), sum(hour.served for hour in traffic.hours)),
        judged=sum(hour.judged for hour in traffic.hours),
        views=[(name, _counted(rows, name)) for name in VIEWS],
        view=view if view in VIEWS else "open",
        groups=groups,
        models=sorted({dim.model for dim in traffic.known.values()}),
        prompts=sorted({dim.prompt for dim in traffic.known.values() if dim.prompt}),
        chosen=chosen,
        now=_since_champion(state, traffic.span),
        map=state.once("map", lambda: map_of(state.lake, state.application, found.living, "/failures/"))
        if view == "map"
        else (),
        **values,
    )


def _traffic(sql: Connection, model: str, prompt: str) -> Traffic:
    known = dims(sql)
    mine = {n for n, dim in known.items() if model in {"", dim.model} and prompt in {"", dim.prompt}}
    all_hours = [hour for hour in hours(sql) if hour.dim in mine]
    by_cluster: dict[str, dict[int, int]] = {}
    for cluster, hour, dim, failed in cluster_hours(sql):
        if dim in mine:
            each = by_cluster.setdefault(cluster, {})
            each[hour] = each.get(hour, 0) + failed
    return Traffic(all_hours, by_cluster, known, span_of(summed(all_hours, "served")), len(mine) < len(known))


def _rows(found: Clusters, traffic: Traffic) -> list[Row]:
    """Every living cluster with its figures: the run's own window, or what the filters leave."""
    total_served = sum(traffic.served.values())
    window = sum(one.size for one in found.living) or 1
    total = sum(sum(each.values()) for each in traffic.by_cluster.values()) or 1
    rows = []
    for each in found.living:
        parts = traffic.by_cluster.get(each.cluster_id, {})
        bars = tuple((one.part, one.whole) for one in traffic.span.bins(parts))
        if traffic.narrowed:
            mine = rate(sum(parts.values()), total_served)
            rows.append(Row(each, mine, sum(parts.values()) / total, bars))
        else:
            rows.append(Row(each, _of_run(each), each.size / window, bars))
    for each in found.watched:
        if each.pinned and not traffic.narrowed:  # its failures are counted by window alone
            bars = tuple((part, whole) for _, part, whole in each.trend)
            rows.append(Row(each, _of_run(each), each.size / window, bars))
    return sorted(rows, key=lambda row: (-(row.rate.value or 0), row.cluster.cluster_id))


def _of_run(one: Cluster) -> Rate:
    return Rate(one.size, 0, one.rate, one.rate_low, one.rate_high)


def _wanted(cluster: Cluster, words: str) -> bool:
    text = " ".join((cluster.name, cluster.medoid_text or "", *cluster.terms, cluster.cluster_id)).lower()
    return all(word in text for word in words.lower().split())


def _grouped(rows: Sequence[Row], view: str) -> list[tuple[str, list[Row]]]:
    """The list in its parts: what came back first, then the new, then what grows."""
    closed = [row for row in rows if row.cluster.ignored]
    opened = [row for row in rows if not row.cluster.ignored]
    urgent = [row for status in URGENT for row in opened if row.cluster.status == status]
    gone = [row for row in opened if row.cluster.status in GONE]
    quiet = [row for row in opened if row not in urgent and row not in gone]
    rest, pinned = ([row for row in quiet if bool(row.cluster.pinned) == yes] for yes in (False, True))
    parts = {
        "Needs a decision": urgent, "Pinned": pinned, "Watching": rest, "Ignored until it grows": closed,
        "Resolved": gone,
    }  # fmt: skip
    only = {
        "open": ("Needs a decision", "Pinned", "Watching"),
        "ignored": ("Ignored until it grows",),
        "resolved": ("Resolved",),
    }
    wanted = only.get(view, tuple(parts))
    return [(name, parts[name]) for name in wanted if parts[name]]


def _counted(rows: Sequence[Row], view: str) -> int:
    return 0 if view == "map" else sum(len(part) for _, part in _grouped(rows, view))


def _chosen(found: Clusters, wanted: str, groups: Sequence[tuple[str, list[Row]]]) -> Cluster | None:
    if not wanted:
        return groups[0][1][0].cluster if groups else None
    known = {each.cluster_id: each for each in found.every}
    if wanted not in known:
        raise Refused(404, f"no cluster has the id {wanted[:40]!r}: the list of failures shows which there are")
    return known[known[wanted].alias_of or wanted]


def _since_champion(state: State, span: Span) -> int:
    """The first piece of traffic after the newest change of champion that has traffic after it."""
    changes = [place.at for place in marks(state, span)]
    middles = [span.place((first + end) / 2 * 3_600_000) for first, end in span.edges]
    late = [change for change in changes if middles and change < middles[-1]]
    return sum(middle < max(late) for middle in middles) if late else 0


def _detail(sql: Connection, state: State, found: Clusters, traffic: Traffic, chosen: Cluster) -> dict[str, Any]:
    """What the right side shows of one cluster."""
    mine = [Hour(hour, dim, 0, 0, failed) for _, hour, dim, failed in cluster_hours(sql, chosen.cluster_id)]
    if chosen.pinned:
        parts = {by: _part_of_pinned(chosen, column) for by, column in COLUMNS.items()}
        bins = [_bin(place, chosen) for place in range(len(chosen.trend))]
    else:
        parts = {by: _parts(mine, traffic, by) for by in COLUMNS}
        bins = traffic.span.bins(traffic.by_cluster.get(chosen.cluster_id, {}))
    voices: list[Voice] = reasons_of(sql, chosen.cluster_id)
    return {
        "bins": bins,
        "marks": [] if chosen.pinned else marks(state, traffic.span),
        "ticks": [] if chosen.pinned else ticks(traffic.span),
        "parts": {by: rows for by, rows in parts.items() if len(rows) > 1},
        "top": max([row.rate.high or 0 for rows in parts.values() for row in rows if row.served >= TOO_FEW] or [0.01]),
        "modes": [(said(one.mode), one, [(part, whole) for _, part, whole in one.trend]) for one in chosen.modes],
        "modes_top": max([one.rate_high or 0 for one in chosen.modes] or [0.01]),
        "voices": voices,
        "most": max([voice.count for voice in voices] or [1]),
        "examples": newest_of(sql, chosen.cluster_id, EXAMPLES),
        "texts": _texts(state, found).get(chosen.cluster_id, []) if chosen.pinned else [],
        "proposals": [one for one in found.proposals if chosen.cluster_id in one.clusters],
        "certain": found.certain,
        "events": [one for one in found.events if chosen.cluster_id in {one.cluster_id, *one.other_ids}],
        "children": [one for one in found.every if one.alias_of == chosen.cluster_id],
        "acts": [
            one
            for one in history_of(state.lake, state.application)
            if chosen.cluster_id in {one.cluster_id, *one.other_ids} or _waits(one, found)
        ],
        "can": [(name, said) for name, (said, _) in ACTS.items() if _can(name, chosen)],
        "total_failed": sum(one.size for one in found.living) or 1,
    }


def _waits(act: ClusterDecision, found: Clusters) -> bool:
    """Whether a person has pinned or unpinned something since the run: until the next it has no page of its own."""
    return act.event in {"pinned", "unpinned"} and act.time > found.run.as_of


def _can(act: str, chosen: Cluster) -> bool:
    return act in OF_PINNED if chosen.pinned else act != "unpin"


def _texts(state: State, found: Clusters) -> dict[str, list[str]]:
    """The newest texts of each pinned cluster, read once a run."""
    least = state.settings.cluster.least_people
    return state.once("pinned texts", lambda: examples_of(state.lake, found.run, EXAMPLES, least, (PINNED,)))


def _bin(place: int, chosen: Cluster) -> Bin:
    """A window of a pinned cluster's trend."""
    _, part, whole = chosen.trend[place]
    seen = rate(part, whole)
    return Bin((place + 0.5) / len(chosen.trend), part, whole, seen.low or 0.0, seen.high or 0.0)


def _part_of_pinned(chosen: Cluster, column: str) -> list[Group]:
    """What the run counted in its window."""
    return [Group(name, part[1], part[1], part[0]) for name, part in chosen.segments.get(column, {}).items()]


def _parts(mine: Sequence[Hour], traffic: Traffic, by: str) -> list[Group]:
    """How often each model, prompt version or variant fails this way."""
    failed = {group.name: group.failed for group in grouped(mine, traffic.known, by)}
    return [
        Group(group.name, group.served, group.judged, failed.get(group.name, 0))
        for group in grouped(traffic.hours, traffic.known, by)
    ]
