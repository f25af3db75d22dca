"""The guard of pages: whose name, whose page, what is on every answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams import web_guard
from streams.triage.report import STYLE, page
from streams.triage.web import POLICY
from streams.web_guard import Guarded, refusal

US = "127.0.0.1:6066"
CLICK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.mark.parametrize("host", [US, "localhost:6066", "LOCALHOST", "[::1]:6066", "10.1.2.3", "door.example:443"])
def test_our_own_names_are_answered(host: str) -> None:
    """An address cannot be rebound, `localhost` is this machine, and a name that is declared is ours."""
    assert refusal("GET", {"host": host}, names=("door.example",)) is None


HOSTILE = ["evil.example", "evil.example:6066", "127.0.0.1.evil.example", "localhost.evil.example", "", "2130706433",
           "localhost@evil.example", "evil.example/127.0.0.1", "door.example.", "0x7f.1"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE)
def test_a_name_that_may_be_rebound_is_misdirected(host: str) -> None:
    """A stranger's name that resolves to this machine gets nothing, whatever it looks like."""
    assert refusal("GET", {"host": host}, names=("door.example",)) == (421, web_guard.refusal("GET", {}).reason)  # type: ignore[union-attr]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:6067", "http://localhost:6066"])
def test_another_origin_may_do_nothing(method: str, origin: str) -> None:
    """Another port and another name of this machine are other pages too; `null` is what a sandbox sends."""
    found = refusal(method, {"host": US, "origin": origin})

    assert found is not None
    assert found.status == 403


@pytest.mark.parametrize(("site", "passes"), [("same-origin", True), ("same-site", False), ("cross-site", False)])
def test_a_form_of_our_own_page_may_ask(site: str, passes: bool) -> None:
    """A page that tells no referrer sends `null`; whose it is says the browser, and no page can say it instead."""
    asked = {"host": US, "origin": "null", "sec-fetch-site": site, "sec-fetch-mode": "navigate"}

    assert (refusal("POST", asked) is None) == passes


def test_an_origin_that_is_declared_may_ask() -> None:
    """Beside the page itself, and nobody whose name only begins alike."""
    mine, other = {"host": US, "origin": "https://app.example"}, {"host": US, "origin": "https://app.example.evil"}

    assert refusal("POST", {"host": US, "origin": f"http://{US}"}) is None
    assert refusal("POST", mine, origins=("https://app.example",)) is None
    assert refusal("POST", other, origins=("https://app.example",)) is not None


@pytest.mark.parametrize(
    ("method", "sent", "answered"),
    [
        ("GET", CLICK, True),
        ("POST", CLICK, False),
        ("GET", {**CLICK, "sec-fetch-dest": "iframe"}, False),
        ("GET", {**CLICK, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, False),
        ("GET", {**CLICK, "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, False),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ("POST", {"sec-fetch-site": "same-site", "origin": "null"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "null"}, False),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "http://evil.example"}, False),
        ("GET", {"sec-fetch-site": "none"}, True),
        ("POST", {}, True),
    ],
    ids=str,
)
def test_a_click_leads_here_and_nothing_else_does(method: str, sent: dict[str, str], answered: bool) -> None:
    """A link may be followed; a frame, a script, an image and a form of another page may not; programs send nothing.

    A form of ours hides its origin, as our pages ask for: then the browser's own word counts, which no page can write.
    """
    assert (refusal(method, {"host": US, **sent}) is None) is answered


async def _app(scope: Any, receive: Any, send: Any) -> None:
    own = [(b"Cache-Control", b"max-age=60")]
    await send({"type": "http.response.start", "status": 200, "headers": own})
    await send({"type": "http.response.body", "body": b"secret"})


def answer(scope: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guarded(_app)(scope, None, send))  # type: ignore[arg-type]
    return sent


def test_an_application_behind_it_is_asked_or_not() -> None:
    """Refused: it is not called at all. Asked: its own headers stand, and the others are added."""
    asked = answer({"type": "http", "method": "GET", "headers": [(b"Host", US.encode())]})
    rebound = answer({"type": "http", "method": "GET", "headers": [(b"host", b"evil.example")]})
    socket = answer({"type": "websocket", "headers": [(b"host", US.encode()), (b"origin", b"http://evil.example")]})

    assert asked[1]["body"] == b"secret"
    assert [value for name, value in asked[0]["headers"] if name.lower() == b"cache-control"] == [b"max-age=60"]
    assert b"frame-ancestors 'none'" in dict(asked[0]["headers"])[b"content-security-policy"]
    assert rebound[0]["status"] == 421
    assert b"secret" not in rebound[1]["body"]
    assert dict(rebound[0]["headers"])[b"x-frame-options"] == b"DENY"
    assert socket[0]["type"] == "websocket.close"


def test_the_policy_of_triage_knows_its_page() -> None:
    """Whoever changes the page's style changes its policy with it; there is no script to allow."""
    shown = page({"groups": [], "windows": [], "champions": [], "events": {}, "window_s": 300})

    assert f"<style>{STYLE}</style>" in shown
    assert web_guard.inline(STYLE) in POLICY
    assert "<script" not in shown
