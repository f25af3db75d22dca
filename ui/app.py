"""The web app: pages, their files and threads as one application. `python -m ui` serves it.

    make_app(lake, settings) ─▶ Guard(FastAPI(pages, static files))

Go on to `html.py`.
"""

from __future__ import annotations

import getpass
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from flows.commands.ui import HEALTHY
from schemas.errors import FlywheelError, SettingsError
from schemas.settings import Settings
from streams.keyring import own_secret
from streams.lake import Lake
from ui.guard import Guard, Refused, unsafe
from ui.html import STATIC, page, static
from ui.notices.notifier import link_of
from ui.oidc import Provider, SignIn, is_safe
from ui.pages import ROUTERS
from ui.sessions import Sessions
from ui.state import State

SECRET, SESSIONS = "ui", "sessions"
"""Names of files."""
GZIP_LEAST = 1000
"""Bytes from which an answer is worth compressing."""
_log = logging.getLogger(__name__)


def make_app(lake: Lake, settings: Settings, *, keep: bool = True) -> ASGIApp:
    """The application behind its guard. Raises SettingsError where these settings would let anybody decide.

    `keep`: start the threads that take in what comes; without them `State.refresh` does it when called.
    """
    if why := unsafe(settings.ui):
        raise SettingsError(why)
    state = State(lake, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if keep:
            with state:
                yield
        else:
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.flywheel = state
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_LEAST)
    app.middleware("http")(_timed)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/static/{version}/{name}", _file, dependencies=[])
    app.add_api_route("/healthz", _healthy)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(FlywheelError, _trouble)
    app.add_exception_handler(HTTPException, _missing)
    sign_in = app.state.sign_in = _sign_in(settings) if settings.ui.identity == "oidc" else None
    sessions = sign_in.sessions if sign_in else None
    return Guard(app, settings.ui, own_secret(settings.home_path, SECRET), account(), sessions)


def _sign_in(settings: Settings) -> SignIn:
    """What signing in takes. Raises SettingsError where a session would cross a network in the clear."""
    link = link_of(settings)
    if not is_safe(link, link):
        raise SettingsError(f"alerts.link is {link}: where people sign in (ui.identity), they reach the app by https")
    provider = Provider(settings.ui.oidc, f"{link}/sign-in/back", settings.evaluate.private_endpoints)
    return SignIn(provider, Sessions(own_secret(settings.home_path, SESSIONS), secure=link.startswith("https://")))


def account() -> str:
    """The name that this machine's account decides under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


async def _timed(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    began = time.perf_counter()
    answer = await call(request)
    answer.headers["server-timing"] = f"page;dur={(time.perf_counter() - began) * 1000:.1f}"
    return answer


async def _file(version: str, name: str) -> Response:
    """A file of ours, under the address that carries its hash."""
    known = {path.name for path in STATIC.iterdir()}
    if name not in known or static(name) != f"/static/{version}/{name}":
        return PlainTextResponse("no such file\n", 404)
    return FileResponse(STATIC / name)


async def _healthy(request: Request) -> Response:
    """200 once the index has been made."""
    state: State = request.app.state.flywheel
    ready = state.folded is not None
    return PlainTextResponse(HEALTHY.decode() + (" is ready\n" if ready else " makes its index\n"), 200)


def _refused(request: Request, error: Any) -> Response:
    return page(request, "message.html", error.status, title="Not shown", message=str(error))


def _missing(request: Request, error: Any) -> Response:
    said = error.detail if error.status_code != 404 or error.detail != "Not Found" else "There is no such page."
    return page(request, "message.html", error.status_code, title="Not found", message=str(said))


def _trouble(request: Request, error: Any) -> Response:
    """What a flow refuses, in its own words."""
    _log.info("%s: %s", type(error).__name__, error)
    return page(request, "message.html", 422, title="That did not work", message=str(error))
