"""The first page: is the wheel turning, what happened last, what waits for a person.

Go on to `../wheel.py`, whose sentence it begins with.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from msgspec import Struct

from flows.svg import Mark
from schemas.events import Candidate
from schemas.records import Evaluation
from ui.guard import Needs
from ui.html import page
from ui.index.lists import DAY_MS, Dim, Hour, Rate, Span, dims, hours, newest, rate, span_of, summed
from ui.index.rows import milliseconds
from ui.state import Clusters, State
from ui.wheel import Facts, sentence
from ui.words import at, instant, many, points

router = APIRouter()


class Stage(Struct, frozen=True):
    """One line of the last turn."""

    name: str
    state: str
    result: str
    as_of: str
    href: str
    where: str


class Wish(Struct, frozen=True):
    """Something that waits for a person."""

    what: str
    why: str
    href: str
    state: str = "waiting"


@router.get("/", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def overview(request: Request) -> HTMLResponse:
    """Say whether the wheel turns."""
    state: State = request.app.state.flywheel
    now = datetime.now(UTC)
    with state.reading() as sql:
        found, known, last = hours(sql), dims(sql), newest(sql, milliseconds(now))
    registry = state.registry
    span = span_of(summed(found, "served"))
    facts = Facts(
        now=now,
        interactions=sum(hour.served for hour in found),
        newest=at(last) if last else None,
        turned=state.turned,
        decisions=registry.decisions,
        waiting=len(registry.waiting),
        approvals=len(registry.waiting) - len(state.reviews) if state.settings.gate.approval else 0,
        reviews=len(state.reviews),
    )
    former = registry.former[-1] if registry.former else None
    return page(
        request,
        "overview.html",
        answer=sentence(facts, state.health.seen),
        facts=facts,
        total=rate(sum(hour.failed for hour in found), facts.interactions),
        judged=rate(sum(hour.judged for hour in found), facts.interactions),
        champion=registry.champion,
        now=_under(found, known, registry.champion),
        former=former,
        then=_under(found, known, former),
        coverage=state.clusters.summary.coverage if state.clusters else None,
        audit=state.clusters.summary.audit if state.clusters else None,
        health=state.health.seen,
        bins=span.bins(summed(found, "failed")),
        marks=marks(state, span),
        ticks=ticks(span),
        span=span,
        stages=_stages(state),
        wishes=_wishes(state),
    )


def marks(state: State, span: Span) -> list[Mark]:
    """Changes of champion inside a span, by name."""
    changes = [one for one in state.registry.decisions if one.action in {"promoted", "rolled_back"} and one.champion]
    placed = [(span.place(one.time.timestamp() * 1000), one.champion.model) for one in changes if one.champion]
    return [Mark(place, f"{model} serves") for place, model in placed if 0.0 <= place <= 1.0]


def ticks(span: Span) -> list[Mark]:
    """Dates below a drawing: its ends, and its middle."""
    if not span.edges:
        return []
    form = "%-d %b" if span.last - span.first > 3 * DAY_MS else "%-d %b %H:%M"
    return [Mark(f, at(round(span.first + f * (span.last - span.first))).strftime(form)) for f in (0.0, 0.5, 1.0)]


def _under(found: Sequence[Hour], known: dict[int, Dim], candidate: Candidate | None) -> Rate:
    """How often what a candidate served failed."""
    if candidate is None:
        return rate(0, 0)
    wanted = (candidate.model, candidate.prompt_version or "")
    mine = [hour for hour in found if (known[hour.dim].model, known[hour.dim].prompt) == wanted]
    return rate(sum(hour.failed for hour in mine), sum(hour.served for hour in mine))


def _stages(state: State) -> list[Stage]:
    """What the last turn made, stage by stage, and what was decided last."""
    stages = []
    if clusters := state.clusters:
        stages.append(
            Stage("Cluster", "done", _clustered(clusters), instant(clusters.run.as_of), "/failures", "failures")
        )
    training = [one for one in state.datasets if one.kind == "training" and one.status != "withdrawn"]
    if training:
        made = training[-1]
        rows = sum(made.rows.values())
        said = f"{many(rows, 'row')} in {made.dataset}, version {made.version[:8]}"
        stages.append(Stage("Curate", made.status, said, instant(made.made), "/datasets", "datasets"))
    if last := _evaluated(state):
        place = f"/evaluations/{last.evaluation_id}"
        stages.append(Stage("Evaluate", "done", _compared(last), instant(last.created), place, "comparison"))
    decided = [one for one in state.registry.decisions if one.action != "registered"]
    if decided:
        one = decided[-1]
        why = f"the gate said {one.verdict}" if one.verdict else "a person said so"
        said = f"{one.candidate.model} {one.action.replace('_', ' ')}: {why}"
        stages.append(Stage("Promote", one.action, said, f"row {one.sequence}", f"/ledger/{one.sequence}", "ledger"))
    return stages


def _compared(last: Evaluation) -> str:
    """How a candidate did, as far as it is known."""
    overall, items = last.comparison.overall, f"{last.comparison.overall.items:,} items"
    said = f"{last.candidate.model} against {last.champion.model}: "
    if overall.difference is None:
        return f"{said}of {items} nothing is known before people have reviewed some"
    if overall.low is None or overall.high is None:
        return f"{said}{points(overall.difference)} points"
    return f"{said}{points(overall.difference)} points ({points(overall.low)} to {points(overall.high)}) on {items}"


def _evaluated(state: State) -> Evaluation | None:
    """The evaluation that was decided last, else the newest."""
    known = {one.evaluation_id: one for one in state.evaluations}
    decided = [one.evidence.get("evaluation_id", "") for one in state.registry.decisions]
    mine = [known[each] for each in decided if each in known]
    return mine[-1] if mine else state.evaluations[-1] if state.evaluations else None


def _clustered(found: Clusters) -> str:
    urgent = sum(one.status in {"regressed", "new", "growing"} for one in found.living)
    resolved = sum(one.status == "resolved" for one in found.living)
    return f"{many(len(found.living), 'cluster')}: {urgent} need a decision, {resolved} resolved"


def _wishes(state: State) -> list[Wish]:
    """What waits for a person, the worst first."""
    wishes = []
    clusters: Any = state.clusters.watched if state.clusters else []
    for status, said in (("regressed", "came back"), ("new", "is new"), ("growing", "grows")):
        found = [one for one in clusters if one.status == status]
        if found:
            href = f"/failures/{found[0].cluster_id}"
            wishes.append(Wish(f"{many(len(found), 'cluster')} {status}", f"“{found[0].name}” {said}", href, status))
    proposals = state.clusters.proposals if state.clusters else ()
    certain = state.clusters.certain if state.clusters else ()
    if waiting := [one for one in proposals if not one.accepted_by and one.key not in certain]:
        said = "runs propose to split or merge, and wait for a person's word"
        wishes.append(Wish(many(len(waiting), "proposal"), said, f"/failures/{waiting[0].clusters[0]}"))
    for one in state.reviews:
        if sampled := one.comparison.sampled:
            said = f"{sampled.reviewed} of {sampled.next_look} pairs are reviewed, and nothing is decided without"
            href = f"/review/queue?kind=pairs&evaluation={one.evaluation_id}"
            wishes.append(Wish(f"Reviews for {one.candidate.model}", said, href))
    for candidate in state.registry.waiting:
        mine = [one for one in state.evaluations if one.candidate.id == candidate.id]
        href = f"/evaluations/{mine[-1].evaluation_id}" if mine else "/evaluations"
        said = "evaluated, not decided" if mine else "registered, not evaluated yet"
        wishes.append(Wish(f"Candidate {candidate.model}", said, href))
    if stale := [one for one in state.datasets if one.status == "stale"]:
        said = f"{stale[-1].dataset}: {stale[-1].status_reason or 'built on what has changed since'}"
        wishes.append(Wish(f"{many(len(stale), 'dataset')} stale", said, "/datasets"))
    return wishes
