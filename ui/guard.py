"""Who may ask what: hosts, tokens, names, roles, and the headers of every answer.

A plain ASGI layer around the pages, so that no page can forget it:

1. `streams/web_guard.py` refuses names that are not ours and requests of other pages.
2. Who asks is this account (`local`), whom the proxy names (`header`) or whom a session of ours names (`oidc`), never
   what a form says. Without a session nobody sees a page: they are sent to sign in.
3. Whatever is no GET needs a token that only our own pages hold, a small body, a role, and patience.
4. Every answer forbids scripts and styles that are not our files, and being framed, cached or sniffed.

Go on to `app.py`, which puts it around the pages.
"""

from __future__ import annotations

import hmac
import time
from collections import deque
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.serving import Role, UiSettings
from streams import web_guard
from ui.oidc import is_safe
from ui.sessions import SESSION, Sessions

ROLES: tuple[Role, ...] = ("reader", "reviewer", "approver", "operator")
"""Each may what those before it may."""
MAX_BODY = 256 * 1024
"""Bytes: fifty answers with a page of correction each."""
WRITES, WITHIN_S = 240, 60.0
"""Writes of one person, within so many seconds: four a second is faster than anybody reads, and 50 answers are one."""
FORM = "application/x-www-form-urlencoded"
UNKNOWN_NAME = 421
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
POLICY = f"{web_guard.POLICY}; font-src 'self'"
SIGN_OUT = "/sign-out"
"""Writes nothing, and so is open where nobody may write."""
STATIC_CACHE = "public, max-age=31536000, immutable"
"""Files carry their hash in their address."""


class Person(Struct, frozen=True):
    """Who asks."""

    name: str
    role: Role
    token: str
    """What their pages send back with each write."""

    def may(self, role: Role) -> bool:
        """Whether they have this role, or more."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Guard:
    """The layer around the pages."""

    def __init__(
        self, app: ASGIApp, settings: UiSettings, key: str, account: str, sessions: Sessions | None = None
    ) -> None:
        """`key` makes tokens: the same after a restart, so that open pages go on. `account` is who `local` means.

        `sessions` are read where people sign in here.
        """
        self._app, self._settings, self._key, self._account = app, settings, key.encode(), account
        self._sessions = sessions
        self._writes: dict[str, deque[float]] = {}

    @property
    def flywheel(self) -> Any:
        """The state of the app inside."""
        inside: Any = self._app
        return inside.state.flywheel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the person in `scope["state"]` and our headers on the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        person = self._person(scope, headers)
        scope.setdefault("state", {})["person"] = person
        found = web_guard.refusal(scope["method"], headers, self._settings.names)
        unknown = " (names that are known: the setting ui.names)" if found and found.status == UNKNOWN_NAME else ""
        refused = (int(found.status), found.reason + unknown) if found else None
        if not refused and not person.name and not _open(scope["path"]):
            await _sign_in(scope, headers)(scope, receive, _with_headers(send, scope["path"]))
            return
        if not refused and scope["method"] not in {"GET", "HEAD"}:
            body = await _body(receive, headers)
            refused = self._refused_write(scope["path"], headers, person, body)
            scope["state"]["body"] = body or b""
            receive = _again(body or b"")
        answer: ASGIApp = PlainTextResponse(refused[1] + "\n", refused[0]) if refused else self._app
        await answer(scope, receive, _with_headers(send, scope["path"]))

    def token_of(self, name: str) -> str:
        """The token of a person's pages."""
        return hmac.new(self._key, name.encode(), sha256).hexdigest()

    def _person(self, scope: Scope, headers: Headers) -> Person:
        if self._settings.identity == "local":
            return Person(self._account, "operator", self.token_of(self._account))
        if self._sessions is not None:
            session = self._sessions.read(SESSION, Request(scope).cookies)
            return self._known(session.get("name", ""), (session.get("group", ""),))
        client = (scope.get("client") or ("", 0))[0]
        trusted = client in self._settings.trusted_proxies
        name = headers.get("x-forwarded-user", "").strip()[:200] if trusted else ""
        groups = [group.strip() for group in headers.get("x-forwarded-groups", "").split(",")] if trusted else []
        return self._known(name, groups) if name else Person("nobody", "reader", self.token_of("nobody"))

    def _known(self, name: str, groups: Iterable[str]) -> Person:
        """A person with the highest role that they or a group of theirs has; whoever has none reads."""
        roles = [self._settings.roles[each] for each in (name, *groups) if each in self._settings.roles]
        return Person(name, max(roles, key=ROLES.index, default="reader"), self.token_of(name))

    def _refused_write(self, path: str, headers: Headers, person: Person, body: bytes | None) -> tuple[int, str] | None:
        kind = headers.get("content-type", "").partition(";")[0].strip()
        given = headers.get("x-csrf", "")
        if not given and kind == FORM:
            given = parse_qs((body or b"").decode("utf-8", "replace")).get("csrf", [""])[0]
        ours = hmac.compare_digest(given.encode(), person.token.encode())
        checks = (
            (body is None, 413, f"at most {MAX_BODY} bytes at a time"),
            (kind not in {"application/json", FORM}, 415, "send JSON or a form"),
            (not ours, 403, "this page is too old, or not ours: load it again"),
            (self._settings.readonly and path != SIGN_OUT, 403, "nobody may write here: the setting ui.readonly is on"),
        )
        refused = next(((status, why) for wrong, status, why in checks if wrong), None)
        if refused is None and not self._in_time(person.name):
            return 429, f"more than {WRITES} writes a minute: wait a little"
        return refused

    def _in_time(self, name: str) -> bool:
        now = time.monotonic()
        writes = self._writes.setdefault(name, deque())
        while writes and writes[0] < now - WITHIN_S:
            writes.popleft()
        writes.append(now)
        return len(writes) <= WRITES


class Needs:
    """What a route asks of a person; every route names one (held by a test)."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(self, request: Request) -> Person:
        """The person, where they may. Raises Refused."""
        person: Person = request.state.person
        if not person.may(self.role):
            raise Refused(403, f"{person.name} may not do this: it takes the role {self.role} (setting ui.roles)")
        return person


class Refused(Exception):
    """A page that is not shown, with its HTTP status and what to do about it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def unsafe(settings: UiSettings) -> str:
    """Why these settings would let anybody decide; empty where they would not."""
    if settings.identity == "oidc" and not (settings.oidc.issuer and settings.oidc.client_id):
        return 'ui.identity is "oidc": name the provider (ui.oidc.issuer) and what it knows us as (ui.oidc.client_id)'
    if settings.identity == "oidc" and not is_safe(settings.oidc.issuer, settings.oidc.issuer):
        return f"ui.oidc.issuer is {settings.oidc.issuer}: a provider is asked by https, or on this machine"
    if settings.host in LOOPBACK or settings.identity != "local":
        return ""
    return (
        f'ui.host is {settings.host}, which others can reach, and ui.identity is "local", which asks nobody who they '
        'are: put a proxy that signs people in before it and set ui.identity = "header", have them sign in with '
        'ui.identity = "oidc", or listen on 127.0.0.1'
    )


def _open(path: str) -> bool:
    """Whether a page is there for whoever has not signed in: the sign-in itself, files of ours, whether it is up."""
    return path in {"/sign-in", "/sign-in/back", "/healthz"} or path.startswith("/static/")


def _sign_in(scope: Scope, headers: Headers) -> ASGIApp:
    """To the sign-in and back to the page that was asked for; what is no page that a person opens is told so."""
    opened = headers.get("sec-fetch-mode", "navigate") == "navigate" and "hx-request" not in headers
    if scope["method"] not in {"GET", "HEAD"} or not opened:
        return PlainTextResponse("sign in again: load the page\n", 401)
    wanted = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
    return RedirectResponse(f"/sign-in?{urlencode({'then': wanted})}", 303)


async def _body(receive: Receive, headers: Headers) -> bytes | None:
    """All of it; None where it is too long."""
    if not headers.get("content-length", "0").isdigit() or int(headers.get("content-length", "0")) > MAX_BODY:
        return None
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if sum(map(len, parts)) > MAX_BODY:
            return None
        if not message.get("more_body") or message["type"] == "http.disconnect":
            return b"".join(parts)


def _again(body: bytes) -> Receive:
    """The body, for whoever reads it next."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _with_headers(send: Send, path: str) -> Send:
    more = web_guard.headers(POLICY) | ({"cache-control": STATIC_CACHE} if path.startswith("/static/") else {})
    pairs: Sequence[tuple[bytes, bytes]] = [(name.encode(), value.encode()) for name, value in more.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            names = {name for name, _ in pairs}
            message["headers"] = [pair for pair in message["headers"] if pair[0] not in names] + list(pairs)
        await send(message)

    return sending
