"""Golden examples: the eval items that people wrote, a form to add one, and one with its versions.

Go on to `flows/curate/golden.py`, which records what is done here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from flows.curate.golden import Book, Written, acts, newest, written
from schemas.acts import GoldenAct
from ui.forms import form_of
from ui.guard import Needs, Person, Refused
from ui.html import page
from ui.state import State

router = APIRouter()
READER = [Depends(Needs("reader"))]
Reviewer = Annotated[Person, Depends(Needs("reviewer"))]


@router.get("/golden", response_class=HTMLResponse, dependencies=READER)
def listed(request: Request) -> HTMLResponse:
    """List the items; those that are retired come last."""
    items = newest(_acts(request))
    found = [(one, written(one)) for one in sorted(items, key=lambda one: (one.event == "retired", one.item_id))]
    return page(request, "golden.html", items=found, standing=sum(one.event != "retired" for one in items), item=None)


@router.get("/golden/{item_id}", response_class=HTMLResponse, dependencies=READER)
def shown(request: Request, item_id: str) -> HTMLResponse:
    """Show an item, who did what to it and why, and how to change it."""
    history = [one for one in _acts(request) if one.item_id == item_id]
    if not history:
        raise Refused(404, f"there is no golden item {item_id[:40]!r}")
    (item,) = newest(history)
    return page(request, "golden.html", item=item, said=written(item), history=history)


@router.post("/golden")
def add(request: Request, person: Reviewer) -> Response:
    """Add an item."""
    form = form_of(request)
    return _done(_book(request, person).add(_typed(form), form.get("reason", ""), form.get("interaction_id", "")))


@router.post("/golden/{item_id}/edit")
def edit(request: Request, item_id: str, person: Reviewer) -> Response:
    """Make a new version of an item, unless somebody else has since the page was read."""
    form = form_of(request)
    seen = form.get("version", "")
    if not seen.isdecimal() or len(seen) > 9:
        raise Refused(422, "the form does not say which version it is about: load the page again")
    return _done(_book(request, person).edit(item_id, _typed(form), form.get("reason", ""), int(seen)))


@router.post("/golden/{item_id}/retire")
def retire(request: Request, item_id: str, person: Reviewer) -> Response:
    """Leave an item out of every later eval set."""
    return _done(_book(request, person).retire(item_id, form_of(request).get("reason", "")))


def _acts(request: Request) -> list[GoldenAct]:
    state: State = request.app.state.flywheel
    return acts(state.lake, state.application)


def _book(request: Request, person: Person) -> Book:
    state: State = request.app.state.flywheel
    return Book(state.lake, state.settings, person.name, datetime.now(UTC))


def _typed(form: dict[str, str]) -> Written:
    return Written(*(form.get(name, "") for name in ("asked", "reference", "rubric", "slice")))


def _done(act: GoldenAct) -> Response:
    return RedirectResponse(f"/golden/{act.item_id}", 303)
