"""How far people and judges agree, and the answers on which they do not, for somebody to decide.

Go on to `../agreeing.py`, which counts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from flows.opinions import all_opinions
from ui.agreeing import Agreeing, agreeing
from ui.forms import form_of
from ui.guard import Needs, Person, Refused
from ui.html import page
from ui.questions import fresh_id
from ui.saving import adjudicate
from ui.state import State

router = APIRouter()
LONGEST = 2_000
"""Characters of a reason."""


@router.get("/review/agreement", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def agreement(request: Request) -> HTMLResponse:
    """Show kappa of each two, alpha of all, judges against people, and where they differ."""
    state: State = request.app.state.flywheel
    found = state.once("agreeing", lambda: _agreeing(state), also=("feedback", "interactions", "erasures"))
    decided = {event.interaction_id for event in state.outbox.feedback() if event.label == "adjudicated"}
    differing = [(one, fresh_id()) for one in found.differing if one.item not in decided]
    return page(request, "agreement.html", found=found, differing=differing)


def _agreeing(state: State) -> Agreeing:
    pairs = state.once("opinions", lambda: all_opinions(state.lake, state.settings))
    with state.reading() as sql:
        return agreeing(sql, pairs)


@router.post("/review/adjudications")
def decide(request: Request, person: Annotated[Person, Depends(Needs("reviewer"))]) -> Response:
    """Keep a person's word on an answer that others judged differently, with what they had said."""
    state: State = request.app.state.flywheel
    form = form_of(request)
    reason = form.get("reason", "").strip()
    if form.get("verdict") not in {"good", "bad"} or not 0 < len(reason) <= LONGEST:
        raise Refused(422, f"say good or bad, and why, in at most {LONGEST:,} characters: it is kept with the event")
    given = form.get("item", ""), form.get("id", ""), form["verdict"], reason
    try:
        adjudicate(state, *given, person.name, datetime.now(UTC))
    except msgspec.ValidationError as error:
        raise Refused(422, str(error)) from error
    return RedirectResponse("/review/agreement", 303)
