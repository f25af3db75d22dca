"""Evaluations: who was compared with whom, slice by slice, by reference, item by item; and a person's decision.

Go on to `../compared.py`, which reads one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from flows.announce import Announcer, announce_pending
from flows.commands.announcing import tell_later
from flows.promote.stage import Approval, promote
from flows.seal import seal_of
from schemas.errors import FlywheelError
from schemas.events import Decision
from schemas.records import Evaluation
from ui.compared import KINDS, compared, items_of, verdict_of
from ui.forms import form_of, number_of
from ui.guard import Needs, Person, Refused
from ui.html import page
from ui.state import State

router = APIRouter()
READER = [Depends(Needs("reader"))]
PAGE = 12


@router.get("/evaluations", response_class=HTMLResponse, dependencies=READER)
def listed(request: Request) -> HTMLResponse:
    """List evaluations, the newest first, and candidates that wait for one."""
    state: State = request.app.state.flywheel
    rows = [(one, decision_of(state, one)) for one in reversed(state.evaluations)]
    measured = {one.candidate.id for one in state.evaluations}
    waiting = [one for one in state.registry.waiting if one.id not in measured]
    return page(request, "evaluations.html", rows=rows, unmeasured=waiting)


@router.get("/evaluations/{evaluation_id}", response_class=HTMLResponse, dependencies=READER)
def one(request: Request, evaluation_id: str) -> HTMLResponse:
    """Show an evaluation whole."""
    state: State = request.app.state.flywheel
    found, given = _one(state, evaluation_id), request.query_params
    decision = decision_of(state, found)
    kind = given.get("items") if given.get("items") in KINDS else "regressed"
    after = number_of(given.get("after"))
    ids = getattr(found.comparison, str(kind))
    return page(
        request,
        "evaluation.html",
        one=found,
        decision=decision,
        verdict=verdict_of(state, found, decision),
        table=compared(found.comparison, state.settings.gate, state.names),
        gate=state.settings.gate,
        kinds=[(name, len(getattr(found.comparison, name))) for name in KINDS],
        kind=kind,
        pairs=items_of(state, found, ids[after : after + PAGE]),
        after=after,
        more=after + PAGE if after + PAGE < len(ids) else 0,
    )


@router.post("/evaluations/{evaluation_id}/decision")
def decide(request: Request, evaluation_id: str, person: Annotated[Person, Depends(Needs("approver"))]) -> Response:
    """Approve or hold, as `flywheel promote` does; without the verdict there is nothing to approve."""
    state: State = request.app.state.flywheel
    form = form_of(request)
    word, why = form.get("decision", ""), form.get("reason", "").strip()
    found = _one(state, evaluation_id)
    if word not in {"promote", "reject"} or not why:
        raise Refused(422, "approve or hold, and say why: the ledger keeps it")
    if decision_of(state, found) is not None:
        raise Refused(409, "this evaluation is decided already: the ledger has the row")
    verdict = verdict_of(state, found, None)
    if word == "promote" and verdict.verdict != "promote":
        raise Refused(409, f"no evidence, no promotion: the verdict is {verdict.verdict}")
    if not state.settings.gate.approval:
        raise Refused(409, "nobody's word is asked for: the setting gate.approval is off, so the gate alone decides")
    said: Literal["promote", "reject"] = "promote" if word == "promote" else "reject"
    promote(state.lake, state.settings, datetime.now(UTC), evaluation_id, tell_later, Approval(said, person.name, why))
    _announce(state)
    state.refresh()
    return RedirectResponse(f"/evaluations/{evaluation_id}", 303)


def decision_of(state: State, found: Evaluation) -> Decision | None:
    """What the ledger says of an evaluation; None while nothing was decided on it."""
    mine = [row for row in state.registry.decisions if row.evidence.get("evaluation_id") == found.evaluation_id]
    return mine[-1] if mine else None


def _announce(state: State) -> None:
    """Tell Kafka; where it is away the next decision does."""
    try:
        with Announcer(state.settings) as announce:
            announce_pending(state.lake, state.application, announce, seal_of(state.settings))
    except FlywheelError as error:
        state.outbox.trouble = f"recorded, but not announced yet: {error}"


def _one(state: State, evaluation_id: str) -> Evaluation:
    for each in state.evaluations:
        if each.evaluation_id == evaluation_id:
            return each
    raise Refused(404, f"no finished evaluation has the id {evaluation_id[:60]!r}: the list shows which there are")
