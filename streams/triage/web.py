"""What triage's web server is told: its address, its guard, and none of the pages that Faust serves by itself.

Faust's own `/table` shows the keys of every table, names of users among them, and `/router` who else works.
Go on to `report.py`, the page.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from schemas.settings import TriageSettings
from streams import web_guard
from streams.triage.report import STYLE

POLICY = f"default-src 'none'; style-src {web_guard.inline(STYLE)}; frame-ancestors 'none'; base-uri 'none'"
"""The page loads nothing: its style stands in it."""
OWN_PAGES = ("graph", "metrics", "router", "stats", "tables")
"""Faust's, all off."""


def options(settings: TriageSettings) -> dict[str, Any]:
    """Options of a Faust app for its web server."""
    return {
        "web_bind": settings.web_host,
        "web_host": settings.web_host,
        "web_port": settings.web_port,
        "web_application_options": {"middlewares": [_guard(settings)]},
        **{f"web_{page}_enabled": False for page in OWN_PAGES},
    }


def _guard(settings: TriageSettings) -> Any:
    names = frozenset(settings.web_names)
    dress = web_guard.headers(POLICY)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = {name.lower(): value for name, value in request.headers.items()}
        if refused := web_guard.refusal(request.method, asked, names):
            return web.Response(status=int(refused.status), text=refused.reason, headers=dress)
        try:
            answer = await handler(request)
        except web.HTTPException as error:  # a page that is not there is an answer too
            error.headers.update(dress)
            raise
        answer.headers.update(dress)
        return answer

    return guard
