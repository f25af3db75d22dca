"""Conversations: found by words, by meaning, by filters; and one of them whole, with tools and all that was said of it.

Go on to `../talk.py`, which reads one from the lake.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from flows.cluster.placement.texts import normalise
from flows.visible import visible
from ui.forms import number_of
from ui.guard import Needs, Refused
from ui.html import page
from ui.index.lists import dims
from ui.index.scope import Asked
from ui.index.search import PAGE, Found, ask_of, find, like, near
from ui.state import State
from ui.talk import talk_of

router = APIRouter()
READER = [Depends(Needs("reader"))]


@router.get("/conversations", response_class=HTMLResponse, dependencies=READER)
def search(request: Request) -> HTMLResponse:
    """List what matches, newest arrival first, or nearest in meaning first."""
    state: State = request.app.state.flywheel
    given = request.query_params
    asked = Asked(
        q=given.get("q", "")[:500],
        outcome=given.get("outcome", ""),
        cluster=given.get("cluster", "")[:500],
        model=given.get("model", "")[:500],
        prompt=given.get("prompt", "")[:500],
        user=given.get("user", "")[:500],
        conversation=given.get("conversation", "")[:500],
        before=number_of(given.get("before")),
    )
    meant = given.get("like", "")[:500].strip()
    with state.reading() as sql:
        known = dims(sql)
        text = (ask_of(sql, meant) or meant) if meant else ""
        found = _like(state, sql, text) if text else find(sql, asked)
    return page(
        request,
        "conversations.html",
        asked=asked,
        like=meant,
        text=text,
        found=found,
        page_size=PAGE,
        models=sorted({dim.model for dim in known.values()}),
        prompts=sorted({dim.prompt for dim in known.values() if dim.prompt}),
        clusters=state.clusters.living if state.clusters else [],
    )


def _like(state: State, sql: Any, text: str) -> Found:
    embedder = state.embedder
    rows = like(sql, near(sql, embedder.embed([normalise(text)])[0], embedder.id))
    return Found(rows, 0, len(rows))


@router.get("/conversations/{interaction_id}", response_class=HTMLResponse, dependencies=READER)
def one(request: Request, interaction_id: str) -> HTMLResponse:
    """Show the conversation that an interaction is in."""
    state: State = request.app.state.flywheel
    talk = talk_of(state, interaction_id)
    if talk is None:
        raise Refused(404, f"no interaction has the id {interaction_id[:40]!r}, or who had it asked to be forgotten")
    return page(request, "conversation.html", talk=talk, chosen=interaction_id)


@router.get("/conversations/{interaction_id}/text", dependencies=READER)
def whole(request: Request, interaction_id: str) -> Response:
    """Save an answer and its question whole, as text: pages cut what is very long."""
    state: State = request.app.state.flywheel
    talk = talk_of(state, interaction_id)
    mine = next((turn for turn in talk.turns if turn.id == interaction_id), None) if talk else None
    if mine is None:
        raise Refused(404, "no such interaction")
    text = "\n\n".join(f"{message.role}:\n{message.text}" for message in (*mine.before, *mine.asked, *mine.answered))
    name = f"attachment; filename=interaction-{mine.id}.txt"
    return PlainTextResponse(visible(text), headers={"content-disposition": name})
