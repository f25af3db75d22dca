"""Review: the queues, one question at a time, and what people answer.

A page is whole without JavaScript: a form answers, and the next page is the next question. With it one key answers, the
next question is there already, and what was said is sent behind. Go on to `../queue.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from msgspec import Struct

from schemas.errors import NotEnoughData, UsageError
from schemas.records import Evaluation
from ui.answers import LABELS
from ui.forms import form_of
from ui.guard import Needs, Person, Refused
from ui.html import ENVIRONMENT, page
from ui.index.lists import DAY_MS, dims, people
from ui.index.rows import milliseconds
from ui.questions import Asked, asked_of, pairs_of
from ui.queue import Filters, deal, filters_of
from ui.saving import MOST, act_of, heard_of, save
from ui.state import State

router = APIRouter()
AHEAD = 32
"""Questions that a page is given at a time beyond the one on it; at ten of them its script asks for more."""
WEEK = 7
PAIR_KEYS = (
    ("1", "Only the first is right"), ("2", "Only the second is right"), ("b", "Both are right"),
    ("n", "Neither is right"), ("s", "Cannot tell"),
)  # fmt: skip
VERDICT_KEYS = (("good", "Good", "1"), ("bad", "Bad", "2"), ("cannot_tell", "Cannot tell", "3"))
Reviewer = Annotated[Person, Depends(Needs("reviewer"))]


class Gate(Struct, frozen=True):
    """What the gate asks of people about one evaluation."""

    evaluation: Evaluation
    missing: int
    reviewed: int
    needed: int


@router.get("/review", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def queues(request: Request) -> HTMLResponse:
    """List what waits: what the gate asks, what fails, a random sample of everything."""
    state: State = request.app.state.flywheel
    now = milliseconds(datetime.now(UTC))
    with state.reading() as sql:
        counted = people(sql, now - WEEK * DAY_MS)
    urgent = [one for one in (state.clusters.living if state.clusters else []) if one.status != "resolved"]
    audit = state.clusters.summary.audit if state.clusters else None
    return page(
        request, "review.html", gates=gates(state), clusters=urgent[:12], people=counted, week=WEEK, audit=audit
    )


@router.get("/review/queue", response_class=HTMLResponse)
def queue(request: Request, person: Reviewer) -> HTMLResponse:
    """Show the next question of a queue, blind."""
    state: State = request.app.state.flywheel
    filters = filters_of(request.query_params)
    asked, left, done = _next(state, filters, person.name, 1)
    with state.reading() as sql:
        known = dims(sql)
    last = state.reservations.last.get(person.name)
    return page(
        request,
        "queue.html",
        asked=asked[0] if asked else None,
        filters=filters,
        left=left,
        done=done,
        last=last,
        heard=heard_of(state, last["item"], person.name) if last and last["kind"] != "pairs" else "",
        words=_words(),
        models=sorted({dim.model for dim in known.values()}),
        prompts=sorted({dim.prompt for dim in known.values() if dim.prompt}),
        clusters=state.clusters.living if state.clusters else [],
        gates=gates(state),
        ahead=AHEAD,
        **_choices(),
    )


@router.get("/review/ahead", response_class=HTMLResponse)
def ahead(request: Request, person: Reviewer) -> HTMLResponse:
    """Give the questions after those that a page holds, for its script."""
    state: State = request.app.state.flywheel
    filters = filters_of(request.query_params)
    besides = request.query_params.get("besides", "")[:4000].split(",")
    asked, left, done = _next(state, filters, person.name, AHEAD, besides)
    text = ENVIRONMENT.get_template("questions.html").render(
        questions=asked, filters=filters, person=person, left=left, done=done, **_choices()
    )
    return HTMLResponse(text)


@router.get("/review/waiting")
def waiting(request: Request, _person: Reviewer) -> JSONResponse:
    """Say how many answers Kafka has not taken yet."""
    state: State = request.app.state.flywheel
    return JSONResponse({"waiting": state.outbox.waiting()})


@router.post("/review/acts")
def acts(request: Request, person: Reviewer) -> Response:
    """Keep answers: of a form, and then show the next question; or of a script, many at a time."""
    state: State = request.app.state.flywheel
    now = datetime.now(UTC)
    if not request.headers.get("content-type", "").startswith("application/json"):
        form = form_of(request)
        done = save(state, [act_of(form)], person.name, now)[0]
        if done.error:
            raise Refused(422, done.error)
        query = filters_of(dict(parse_qsl(form.get("queue", "")[:4000]))).query
        return RedirectResponse(f"/review/queue{'?' if query else ''}{query}", 303)
    try:
        sent = msgspec.json.decode(request.state.body, type=list[dict[str, str]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(422, f"not a list of answers: {error}") from error
    if len(sent) > MOST:
        raise Refused(413, f"at most {MOST} answers at a time")
    found = save(state, [act_of(each) for each in sent], person.name, now)
    told = [
        {"id": one.id, "error": one.error, "heard": heard_of(state, one.item, person.name) if answer else ""}
        for one, each in zip(found, sent, strict=True)
        for answer in [not one.error and not each.get("act") and each.get("kind") != "pairs"]
    ]
    return JSONResponse({"acts": told, "waiting": state.outbox.waiting()})


def gates(state: State) -> list[Gate]:
    """What the gate asks people about candidates, as of each one's newest evaluation."""
    return [
        Gate(one, max(needed - sampled.reviewed, 0), sampled.reviewed, needed)
        for one in state.reviews
        if (sampled := one.comparison.sampled) and (needed := sampled.next_look)
    ]


def _next(
    state: State, filters: Filters, person: str, count: int, besides: list[str] | None = None
) -> tuple[list[Asked], int, int]:
    """(questions, how many wait, how many of the queue this person answered)."""
    if filters.kind == "pairs":
        if not filters.evaluation:
            raise UsageError("say which evaluation: the list of queues has those that the gate asks about")
        try:
            asked, left = pairs_of(state, filters, person, count, besides or [])
        except NotEnoughData:
            return [], 0, 0
        return asked, left, 0
    drawn = state.clusters.summary.audit.waiting if state.clusters else ()
    with state.reading() as sql:
        dealt = deal(
            sql, state.outbox.feedback(), state.reservations, filters, person, state.lots, count, besides or [], drawn
        )
    return asked_of(state, dealt.items, person if filters.random else ""), dealt.left, dealt.done


def _choices() -> dict[str, Any]:
    return {"labels": LABELS, "pair_keys": PAIR_KEYS, "verdict_keys": VERDICT_KEYS}


def _words() -> dict[str, str]:
    return {name: word for name, word, _ in VERDICT_KEYS} | dict(PAIR_KEYS)
