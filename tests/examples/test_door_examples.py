"""Twenty lines send feedback through the real door: from Node, and from a page in a real browser."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from llm_flywheel import interaction_id
from schemas.settings import DoorSettings, Settings
from streams.doors.tokens import Grant, Tokens
from tests.support.browser import CHROMIUM, dom
from tests.support.kafka import Ingest
from tests.support.open_door import open_door

pytestmark = pytest.mark.integration
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "door"
RESPONSE = "chatcmpl-CzT4kQmR8wLx2VbN6yPd1HsJ9aEua"
THANKS = ">Thank you.</output>"


def token(ingest: Ingest) -> str:
    """One that may be shown to everybody: it sends feedback alone."""
    grant = Grant(name="page", application="shop", may=("feedback",))
    return Tokens(ingest.settings.home_path).make(grant).reveal()


def said(ingest: Ingest) -> list[tuple[Any, ...]]:
    """What the lake holds of it."""
    ingest.archive()
    rows = ingest.ask("SELECT application, interaction_id, kind, value, text FROM feedback ORDER BY kind")
    return [tuple(row.values()) for row in rows]


@contextmanager
def website(folder: Path) -> Iterator[str]:
    """A web server of somebody's shop, at another address than the door's."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_node_sends_feedback(ingest: Ingest) -> None:
    """A thumb and a comment, about a response that the application holds the id of."""
    with open_door(ingest.settings) as door:
        surroundings = {**os.environ, "FLYWHEEL_URL": door, "FLYWHEEL_TOKEN": token(ingest)}
        command = ["node", str(EXAMPLES / "feedback.mjs"), RESPONSE, "0", "wrong day"]
        ran = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=60, check=True)

    assert ran.stdout.startswith("200 ")
    about = interaction_id("shop", RESPONSE)
    assert said(ingest) == [("shop", about, "comment", None, "wrong day"), ("shop", about, "thumb", 0.0, None)]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_page_sends_a_thumb(ingest: Ingest, tmp_path: Path) -> None:
    """A click in a page of the shop's own address, which `door.origins` names; from another page nothing comes."""
    page = (EXAMPLES / "feedback.html").read_text()
    clicks = page + "<script>onload = () => document.querySelector('#down').click()</script>"
    (tmp_path / "page.html").write_text(clicks)
    with website(tmp_path) as shop, website(tmp_path) as stranger:
        settings = Settings(home=ingest.settings.home, kafka=ingest.settings.kafka, door=DoorSettings(origins=(shop,)))
        bearer = token(ingest)
        with open_door(settings) as door:
            asked = urlencode({"door": door, "token": bearer, "response": RESPONSE})
            shown = dom(f"{shop}/page.html?{asked}", tmp_path / "profile", budget_ms=5000)
            foreign = dom(f"{stranger}/page.html?{asked}", tmp_path / "other", budget_ms=5000)

    assert THANKS in shown
    assert THANKS not in foreign
    assert said(ingest) == [("shop", interaction_id("shop", RESPONSE), "thumb", 0.0, None)]
