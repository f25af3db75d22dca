"""The SDK against a door that refuses, is slow, freezes, or is not there: nothing is lost, nothing waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import llm_flywheel as fly
from llm_flywheel import client
from llm_flywheel.record import Record
from llm_flywheel.transports import Address, Unavailable, http, open_transport
from tests.support.door import Door, serving
from tests.support.sdk import end, turn
from tests.support.waiting import eventually


def journal(state: Path) -> list[Path]:
    """The segments that hold something."""
    return [path for path in (state / "state").rglob("*.seg") if path.stat().st_size > 4]


@pytest.mark.usefixtures("sdk")
def test_a_batch_is_one_call(door: Door) -> None:
    """What comes together is sent together."""
    made = [turn() for _ in range(150)]

    assert fly.flush()
    assert door.ids() == made
    assert door.calls < 15


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize("status", [503, 500, 401, 403, 404, 429, 302])
def test_events_wait_in_the_journal_until_the_door_takes_them(door: Door, status: int, tmp_path: Path) -> None:
    """Whatever the answer, unless about the events themselves: they come later, each once, and the journal is empty."""
    door.status = status
    made = [turn() for _ in range(20)]
    eventually(lambda: fly.stats().get("spilled", 30) == 20)
    assert journal(tmp_path)

    door.status = 200
    assert fly.flush()

    assert sorted(door.ids()) == sorted(made)
    assert fly.stats()["replayed"] + fly.stats().get("sent", 0) == 20
    assert not journal(tmp_path)


@pytest.mark.usefixtures("sdk")
def test_the_door_says_when_to_come_again(door: Door) -> None:
    """`Retry-After` is heeded where it is longer than our own pause."""
    door.status, door.retry_after = 503, "30"
    turn()
    eventually(lambda: fly.stats().get("spilled"))
    calls = door.calls
    turn()
    time.sleep(0.5)

    assert door.calls == calls


@pytest.mark.usefixtures("sdk")
def test_a_bad_event_costs_nobody_but_itself(door: Door) -> None:
    """What the door refuses for good is counted with its reason; its neighbours arrive."""
    door.max_batch = 3
    good = [turn() for _ in range(5)]
    client.emit("llm.interaction.v1", {"id": "no-id", "input_messages": []})
    client.emit("llm.erasure.v1", {"id": fly.new_id(), "subject": "u"})

    assert fly.flush()
    assert door.ids() == good
    assert fly.stats()["dropped_invalid"] == 1
    assert fly.stats()["dropped_unknown_type"] == 1


def test_what_the_door_rejects_is_counted(door: Door) -> None:
    """The transport hands back what was rejected, and only that."""
    transport = open_transport(door.url)
    good = Record("llm.feedback.v1", "1", "c", "2026-01-05T09:00:00Z", GOOD)
    bad = Record("llm.feedback.v1", "2", "c", "2026-01-05T09:00:00Z", b'{"id": "2"}')

    [(rejected, reason)] = transport.deliver([good, bad, good])

    assert rejected is bad
    assert "time" in reason or "id" in reason
    assert len(door.events) == 2


GOOD = (
    b'{"id":"01890a5d-ac96-774b-bcce-b302099a8057","time":"2026-01-05T09:00:00Z","application":"a","conversation_id":"c",'
    b'"interaction_id":"01890a5d-ac96-774b-bcce-b302099a8058","kind":"copy"}'
)


def test_the_token_is_sent_and_a_wrong_one_loses_nothing(tmp_path: Path, begin: Callable[..., None]) -> None:
    """401 is somebody's mistake in a setting: after it is mended the events arrive."""
    with serving(token="right") as door:
        begin(url=door.url, token="wrong")
        made = turn()
        eventually(lambda: fly.stats().get("spilled") == 1)
        assert not door.events

        begin(url=door.url, token="right")
        assert fly.flush()

        assert door.ids() == [made]


@pytest.mark.usefixtures("sdk")
def test_a_frozen_door_makes_nobody_wait(door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Calls that are never answered hold up the sender alone; the application and the end of the process go on."""
    monkeypatch.setattr(http, "TIMEOUT_S", 0.5)
    door.open.clear()
    began = time.monotonic()
    made = [turn() for _ in range(500)]
    assert time.monotonic() - began < 5
    eventually(lambda: journal(tmp_path))
    eventually(lambda: fly.stats().get("unavailable", 30) >= 2)

    door.open.set()
    assert fly.flush(30)

    assert set(door.ids()) == set(made)


@pytest.mark.usefixtures("sdk")
def test_a_slow_door_loses_nothing(door: Door) -> None:
    """Every answer after a third of a second: the queue empties into the journal meanwhile."""
    door.delay_s = 0.3
    made = []
    for _ in range(20):
        made += [turn() for _ in range(50)]
        time.sleep(0.02)

    assert fly.flush(30)
    assert set(door.ids()) == set(made)


def test_an_absent_door_costs_nothing_and_loses_nothing(begin: Callable[..., None], tmp_path: Path) -> None:
    """A day without a door: what was said then arrives when there is one, once, and in the next process."""
    with serving() as door:
        url = door.url
    begin(url=url)
    made = [turn() for _ in range(30)]
    assert not fly.flush(0.5)
    end()
    assert journal(tmp_path)

    with serving(port=int(url.rpartition(":")[2])) as door:
        begin(url=url)
        assert fly.flush()
        assert sorted(door.ids()) == sorted(made)
        end()
    assert not journal(tmp_path)


def test_a_proxys_page_is_no_acknowledgement() -> None:
    """200 with something else than the door's answer is not taken for delivered."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """A login page."""
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Please log in</html>")

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.handle_request, daemon=True).start()
    transport = open_transport(f"http://127.0.0.1:{server.server_address[1]}")

    with pytest.raises(Unavailable, match="not the door's"):
        transport.deliver([Record("llm.feedback.v1", "1", "c", "2026-01-05T09:00:00Z", GOOD)])
    server.server_close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("kafka://a:1,b:2", ("kafka", "a:1,b:2", "", "", "", {})),
        ("kafka://u:p%40ss@a:1?x.y=SSL", ("kafka", "a:1", "u", "p@ss", "", {"x.y": "SSL"})),
        ("https://door.example/base/", ("https", "door.example", "", "", "/base/", {})),
        ("file:///var/a%20b?max_bytes=5", ("file", "", "", "", "/var/a b", {"max_bytes": "5"})),
    ],
)  # fmt: skip
def test_addresses_are_read(url: str, expected: tuple[Any, ...]) -> None:
    """Several hosts, credentials, paths and options."""
    at = Address(url)

    assert (at.scheme, at.hosts, at.user, at.password, at.path, at.options) == expected
