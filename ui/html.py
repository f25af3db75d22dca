"""Templates, and what they may say: every value is escaped, every number goes through `words.py`.

`page` answers a request with a whole page; htmx takes the part that it asked for out of it, so that a link works the
same with and without JavaScript. Go on to `pages/overview.py`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from flows import svg
from flows.cluster.modes.modes import said
from ui import words
from ui.guard import Person
from ui.state import State

HERE = Path(__file__).parent
STATIC = HERE / "static"
PARTS = (
    ("Overview", "/", "o"),
    ("Failures", "/failures", "f"),
    ("Conversations", "/conversations", "c"),
    ("Review", "/review", "r"),
    ("Datasets", "/datasets", "d"),
    ("Evaluations", "/evaluations", "e"),
    ("Ledger", "/ledger", "l"),
    ("Usage", "/usage", "u"),
    ("Alerts", "/alerts", "a"),
    ("Settings", "/settings", "s"),
)
"""The rail: name, address, and the key that goes there after `g`."""


@cache
def static(name: str) -> str:
    """The address of a file of ours, with the hash of all of them: it may be kept for ever."""
    every = b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))
    return f"/static/{hashlib.sha256(every).hexdigest()[:12]}/{name}"


def with_query(request: Request, **changed: Any) -> str:
    """The address of this page with some of its filters changed; None or nothing takes one away."""
    kept = {name: value for name, value in request.query_params.items() if name not in changed}
    asked = {**kept, **{name: value for name, value in changed.items() if value not in {None, ""}}}
    return request.url.path + (f"?{urlencode(asked)}" if asked else "")


def drawing(text: str) -> Markup:
    """A drawing of `flows/svg.py`, which escapes what it writes."""
    return Markup(text)  # noqa: S704


def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    for name in (
        "percent", "points", "count", "capped", "instant", "at", "span", "duration", "money", "many", "line", "plain",
        "rich",
    ):  # fmt: skip
        found.filters[name] = getattr(words, name)
    found.filters["said"] = said
    for drawn in ("bars", "interval", "trend", "forest", "forest_axis", "evidence", "dots", "share"):
        found.globals[drawn] = _drawer(drawn)
    found.globals.update(glyph=words.glyph, static=static, rail=PARTS)
    return found


def _drawer(name: str) -> Any:
    draw = getattr(svg, name)
    return lambda *args, **kwargs: drawing(draw(*args, **kwargs))


ENVIRONMENT = _environment()


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page. What the frame around it shows is added here."""
    state: State = request.app.state.flywheel
    person: Person = request.state.person
    text = ENVIRONMENT.get_template(template).render(
        **values,
        request=request,
        state=state,
        person=person,
        counts=state.once("rail", lambda: _rail(state)),
        query=lambda **changed: with_query(request, **changed),
        waiting=state.outbox.waiting(),
    )
    return HTMLResponse(text, status)


def _rail(state: State) -> dict[str, tuple[int, bool]]:
    """What the rail counts: address → number, and whether it is trouble."""
    found = state.clusters
    regressed = sum(one.status == "regressed" for one in found.watched) if found else 0
    urgent = sum(one.status in {"regressed", "new", "growing"} for one in found.watched) if found else 0
    stale = sum(one.status == "stale" for one in state.datasets)
    return {
        "/failures": (urgent, regressed > 0),
        "/review": (len(state.reviews), False),
        "/evaluations": (len(state.registry.waiting), False),
        "/datasets": (stale, False),
        "/alerts": (len(state.alerts.book.open()), True),
    }
