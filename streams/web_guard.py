"""Guards a page on loopback against other pages of the same browser: Host and Origin checks, CSP. No library of others.

A page that a person has open may be anybody's, and reaches every port of their machine. Three ways in are shut here:

    a name of somebody else's that now means 127.0.0.1 (DNS rebinding)   421, unless the Host is ours
    a request that another page makes (fetch, form, image, script)       403, unless it is a person's click on a link
    words of strangers that would run, load or be framed                 the headers of every answer

No state may change by GET: a click from anywhere is a GET. `refusal` and `headers` are for any server, `Guarded` wraps
an ASGI application (FastAPI's `add_middleware` takes it), and gives each request an id for the log. Go on to
`streams/triage/web.py`, a user.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple

from streams.logs import about

SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing (RFC 9110 §9.2.1), so that a link from elsewhere may lead here."""
OWN_NAMES = frozenset({"localhost"})
"""The one name that always means this machine. An address as Host is never refused: what rebinds is a name."""
NO_REFERRER = "null"
"""The Origin of a form on a page whose policy is `no-referrer`, as ours is; Sec-Fetch-Site then says whose it is."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""Content-Security-Policy of a page whose styles and scripts are files of its own: nothing inline, nobody else's."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    reason: str
    """For a person; says nothing that the request did not say itself."""


def refusal(
    method: str, request_headers: Mapping[str, str], names: Collection[str] = (), origins: Collection[str] = ()
) -> Refusal | None:
    """Why a request must not be answered; None: it may be.

    `request_headers` has lower-case names. `names` are hosts under which this page is known beside `localhost` and
    addresses, `origins` are foreign ones (`https://app.example`) that may call it all the same. A client that is no
    browser sends neither Origin nor Sec-Fetch-Site, and is let through: who it is, is asked elsewhere.
    """
    host = request_headers.get("host", "")
    if not _is_ours(host, names):
        return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "this page is not known under the name that was asked for")
    origin = request_headers.get("origin")
    if origin is not None and origin in origins:
        return None
    site = request_headers.get("sec-fetch-site", "none")
    ours = origin == NO_REFERRER and site == "same-origin"
    if origin is not None and not ours and origin.partition("://")[2].lower() != host.lower():
        return Refusal(HTTPStatus.FORBIDDEN, "another page may not ask here")
    if site not in {"none", "same-origin"} and not _is_click(method, request_headers):
        return Refusal(HTTPStatus.FORBIDDEN, "another page may not ask here")
    return None


def headers(policy: str = POLICY) -> dict[str, str]:
    """What every answer carries, errors too."""
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }


def inline(text: str) -> str:
    """The source of a policy that allows one `<style>` or `<script>` with exactly this text between its tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]


class Guarded:
    """An ASGI application behind `refusal`, with `headers` on every answer.

    An answer that sets one of these headers itself keeps its own value. WebSockets from elsewhere are closed.
    """

    def __init__(
        self, app: _App, *, names: Collection[str] = (), origins: Collection[str] = (), policy: str = POLICY
    ) -> None:
        self._app, self._names, self._origins = app, frozenset(names), frozenset(origins)
        self._headers = [(name.encode(), value.encode()) for name, value in headers(policy).items()]

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request, or have it answered."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        asked = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = refusal(scope.get("method", "CONNECT"), asked, self._names, self._origins)
        if refused is None:
            with about(request=secrets.token_hex(4)):
                await self._app(scope, receive, self._dressed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused.reason})
        else:
            text = (b"content-type", b"text/plain; charset=utf-8")
            start = {"type": "http.response.start", "status": int(refused.status), "headers": [text, *self._headers]}
            await send(start)
            await send({"type": "http.response.body", "body": refused.reason.encode()})

    def _dressed(self, send: _Send) -> _Send:
        async def dressed(message: _Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                there = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(pair for pair in self._headers if pair[0] not in there)]
            await send(message)

        return dressed


def _is_ours(host: str, names: Collection[str]) -> bool:
    name = _without_port(host).lower()
    if name in OWN_NAMES or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _without_port(host: str) -> str:
    """`[::1]:80` → `::1`, `a.example:80` → `a.example`."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_click(method: str, request_headers: Mapping[str, str]) -> bool:
    """Whether a person follows a link to a page of ours, in a window that shows where it leads."""
    mode, target = request_headers.get("sec-fetch-mode"), request_headers.get("sec-fetch-dest")
    return method in SAFE and mode == "navigate" and target == "document"
