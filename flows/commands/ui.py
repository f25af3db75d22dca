"""`flywheel ui`: the web app for people, as a process of its own."""

from __future__ import annotations

import os
import sys
import urllib.request
import webbrowser
from typing import Annotated

import typer

from flows.commands.shared import settings_of
from flows.context import child_environment
from flows.terminal import Terminal
from schemas.errors import PortTaken
from streams.broker.broker import LOOPBACK, free_port, is_free

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
HEALTHY = b"flywheel ui"
"""How the answer of `/healthz` begins."""


def ui(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(help="Its port; 0 takes a free one. Default: the setting ui.port.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser too.")] = False,
) -> None:
    """Open the web app: is the wheel turning, what fails, what waits, who serves and why."""
    settings = settings_of(context)
    chosen = (settings.ui.port if port is None else port) or free_port()
    address = f"http://{LOOPBACK}:{chosen}"
    running = port is None and _answers(f"{address}/healthz")
    if not running and not is_free(chosen):
        raise PortTaken(f"port {chosen} is in use by another program: `flywheel ui --port 0` takes any that is free")
    Terminal().say(f"The web app answers at {address}{'' if running else ' until Ctrl-C.'}")
    if show:
        webbrowser.open(address)
    if not running:
        environment = child_environment(settings, FLYWHEEL_UI_PORT=str(chosen))
        os.execve(sys.executable, [sys.executable, "-m", "ui"], environment)  # noqa: S606 our own module


def _answers(url: str) -> bool:
    """Whether a web app of ours is there already, as `flywheel up` starts it."""
    try:
        with _DIRECT.open(url, timeout=2) as answer:
            return bool(answer.read(len(HEALTHY)) == HEALTHY)
    except OSError:
        return False
