"""Settings: every knob with its value, where that is not the default, and its reason. Read only; secrets are masked.

Go on to `../html.py`.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from flows.commands.settings import knobs
from schemas.secrets import shown
from ui.guard import Needs
from ui.html import page
from ui.state import State

router = APIRouter()


@router.get("/settings", response_class=HTMLResponse, dependencies=[Depends(Needs("reader"))])
def settings(request: Request) -> HTMLResponse:
    """Show every setting."""
    state: State = request.app.state.flywheel
    words = request.query_params.get("q", "").lower().split()
    values = shown(state.settings)
    sections: dict[str, list[tuple[str, str, str, bool]]] = {}
    for knob in knobs():
        if all(word in f"{knob.name} {knob.reason}".lower() for word in words):
            value = _at(values, knob.name)
            section = knob.name.partition(".")[0] if "." in knob.name else "general"
            sections.setdefault(section, []).append((knob.name, json.dumps(value), knob.reason, value != knob.default))
    return page(request, "settings.html", sections=sections, changed=_count(sections))


def _at(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


def _count(sections: dict[str, list[tuple[str, str, str, bool]]]) -> int:
    return sum(changed for rows in sections.values() for *_, changed in rows)
