"""What was wrong, and who was told: the alerts of the application, newest first.

Go on to `../notices/notifier.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from schemas.events import Alert
from ui.forms import form_of
from ui.guard import Needs, Person, Refused
from ui.html import page
from ui.notices.notifier import send
from ui.notices.rules import path_of
from ui.state import State

router = APIRouter()
LISTED = 200


@router.post("/alerts/test")
def send_test(request: Request, person: Annotated[Person, Depends(Needs("operator"))]) -> Response:
    """Send one message to a place, so that whoever set it up sees it come."""
    state: State = request.app.state.flywheel
    name = form_of(request).get("place", "")
    to = state.settings.alerts.webhooks.get(name)
    if to is None:
        raise Refused(404, "there is no such place: the setting alerts.webhooks names them")
    now = datetime.now(UTC)
    said = f"A test by {person.name}: alerts of {state.application} come here."
    alert = Alert(id=str(uuid4()), time=now, application=state.application, rule="test", severity="info", message=said)
    send(name, to, alert, state.settings, now)
    return page(request, "message.html", title="Told", message=f"{name} has taken the message.")


@router.get("/alerts", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def alerts(request: Request) -> HTMLResponse:
    """Show what stands, what is over, and whom it reached."""
    state: State = request.app.state.flywheel
    rows = [(one, path_of(one.alert)) for one in state.alerts.book.newest(LISTED)]
    places = sorted(state.settings.alerts.webhooks)
    return page(request, "alerts.html", rows=rows, places=places, troubles=state.alerts.book.troubles())
