"""The app on a free port, and a Chromium that tests drive (`browser.py` has one that only looks)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from schemas.settings import Settings
from streams.lake import Lake
from tests.support.browser import CHROMIUM
from ui.app import make_app
from ui.state import State

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian package `chromium`)")


@contextlib.contextmanager
def served(lake: Lake, settings: Settings, *, keep: bool = False) -> Iterator[tuple[str, State]]:
    """The app, answering on loopback; its address and its state."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    app: Any = make_app(lake, settings, keep=keep)
    state: State = app.flywheel
    state.refresh()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}", state
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser of this machine."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
