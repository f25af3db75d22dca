"""Signing in and out, where a provider of OpenID Connect says who people are.

Go on to `../oidc.py`, which asks it.
"""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from ui.guard import ROLES, SIGN_OUT, Needs, Person, Refused
from ui.oidc import WITHIN_S, SignIn, SignInError, page_of
from ui.sessions import SESSION, SIGNING_IN
from ui.state import State

router = APIRouter()
_log = logging.getLogger(__name__)


@router.get("/sign-in")
def begin(request: Request) -> Response:
    """Send a browser to the provider."""
    how = _how(request)
    try:
        place, fields = how.provider.begin(request.query_params.get("then", "/"))
    except SignInError as error:
        return _failed(str(error), 502)
    return _with(RedirectResponse(place, 303), how.sessions.made(SIGNING_IN, fields, WITHIN_S))


@router.get("/sign-in/back")
def back(request: Request) -> Response:
    """Take in whom the provider names, and show the page that they wanted."""
    how = _how(request)
    state: State = request.app.state.flywheel
    fields = how.sessions.read(SIGNING_IN, request.cookies)
    try:
        signed = how.provider.finish(request.query_params, fields)
    except SignInError as error:
        return _with(_failed(str(error), 403), how.sessions.gone(SIGNING_IN))
    ui = state.settings.ui
    known = [group for group in signed.groups if group in ui.roles]
    group = max(known, key=lambda each: ROLES.index(ui.roles[each]), default="")  # a cookie has no room for all
    session = {"name": signed.name, "group": group}
    answer = _with(RedirectResponse(page_of(fields["then"]), 303), how.sessions.gone(SIGNING_IN))
    _log.info("signed in: %s", signed.name)
    return _with(answer, how.sessions.made(SESSION, session, ui.oidc.hours * 3600))


@router.post(SIGN_OUT)
def out(request: Request, _person: Annotated[Person, Depends(Needs("reader"))]) -> Response:
    """End the session of this browser."""
    answer = PlainTextResponse("You are signed out here. The provider may sign you in again without asking.\n")
    return _with(answer, _how(request).sessions.gone(SESSION))


def _how(request: Request) -> SignIn:
    how: SignIn | None = request.app.state.sign_in
    if how is None:
        raise Refused(404, 'nobody signs in here: the setting ui.identity is not "oidc"')
    return how


def _with(answer: Response, cookie: str) -> Response:
    answer.headers.append("set-cookie", cookie)
    return answer


def _failed(why: str, status: int) -> Response:
    """Plain words, without the frame of pages: who is not signed in sees none of it."""
    _log.info("a sign-in failed: %s", why)
    return PlainTextResponse(f"Not signed in: {why}.\n", status)
