"""`flywheel turn` under Prefect waits for its run, says how it goes, and ends as the run ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows import prefect_api
from flows.cli import run
from flows.context import ADDRESSES, Addresses
from flows.run import begin, finish, title
from flows.testing.events import START
from streams.lake import Lake

RUN = "00000000-0000-7000-8000-000000000001"


class Prefect(HTTPServer):
    """Speaks as much of Prefect's API as starting and watching one run takes; its states are given."""

    def __init__(self, states: list[dict[str, Any] | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Api)
        self.states = states
        self.started: list[dict[str, Any]] = []


class _Api(BaseHTTPRequestHandler):
    server: Prefect

    def do_GET(self) -> None:
        if self.path == "/api/deployments/name/turn/support-bot":
            self._answer({"id": "d", "paused": False})
            return
        state = self.server.states.pop(0) if len(self.server.states) > 1 else self.server.states[0]
        if state is None:
            self.send_error(404)
        else:
            self._answer({"id": RUN, "state_type": state["type"], "state": state})

    def do_POST(self) -> None:
        self.server.started.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._answer({"id": RUN, "state_type": "SCHEDULED"})

    def _answer(self, body: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def state(type_: str, name: str = "", message: str | None = None) -> dict[str, Any]:
    return {"type": type_, "name": name or type_.title(), "message": message}


RUNNING = [state("SCHEDULED", "Late"), state("RUNNING")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data root whose lake holds a finished turn."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prefect_api, "LOOK_S", 0.01)
    lake = Lake(tmp_path / "home" / "lake")
    finish(lake, begin(lake, "turn", "support-bot", START, (), None), {"cluster": {"failed": 3}, "curate": {"rows": 2}})
    return tmp_path / "home"


def turn(home: Path, states: list[dict[str, Any] | None], *words: str) -> tuple[int, Prefect]:
    """The command, on a home whose Prefect server gives these states one after the other."""
    server = Prefect(states)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (home / "run").mkdir(exist_ok=True)
    found = Addresses("127.0.0.1:1", "http://127.0.0.1:2", f"http://127.0.0.1:{server.server_port}/api")
    (home / "run" / ADDRESSES).write_bytes(msgspec.json.encode(found))
    try:
        return run(["--home", str(home), "turn", *words]), server
    finally:
        server.shutdown()
        server.server_close()


def test_a_turn_is_waited_for_and_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next command is not too early: what the turn made is there when the prompt comes back."""
    code, server = turn(home, [*RUNNING, state("COMPLETED")])

    assert code == 0
    assert len(server.started) == 1
    told = capsys.readouterr()
    assert "cluster: failed 3" in told.out
    assert f"/runs/flow-run/{RUN}" in told.err


def test_a_turn_may_be_started_only(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--no-wait` the page of the run is all that is said."""
    code, _ = turn(home, [state("RUNNING")], "--no-wait", "--json")

    assert code == 0
    assert json.loads(capsys.readouterr().out)["run"].endswith(RUN)


@pytest.mark.parametrize(
    ("states", "code", "says"),
    [
        ([*RUNNING, state("FAILED", message="the lake burned")], 3, "ended failed: the lake burned"),
        ([*RUNNING, state("CRASHED")], 3, "ended crashed: its log says why"),
        ([state("COMPLETED", "NothingToDo", "no interactions yet")], 6, "no interactions yet"),
        ([*RUNNING, None], 3, "answers no more"),
    ],
)
def test_a_turn_that_did_not_come_off_says_so(
    home: Path, capsys: pytest.CaptureFixture[str], states: list[Any], code: int, says: str
) -> None:
    """An exit code that is not 0, the reason, and the page to look at."""
    assert turn(home, states)[0] == code
    assert says in capsys.readouterr().err


def test_whoever_stops_waiting_stops_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the command, and it says that the turn goes on."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prefect_api.time, "sleep", interrupted)

    assert turn(home, [state("RUNNING")])[0] == 3
    assert "goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"application": "shop", "as_of": "2026-01-05T09:00:00+00:00"}, "turn shop 2026-01-05 09:00"),
        ({"application": None, "as_of": None}, "turn 2026-01-05 09:00"),
        ({"candidate_id": "4f2a", "application": "shop"}, "turn shop 4f2a 2026-01-05 09:00"),
    ],
)
def test_a_run_is_called_by_what_it_does(parameters: dict[str, Any], name: str) -> None:
    """In Prefect's list of runs: stage, application, what it is about, and the instant."""
    assert title("turn", parameters, START) == name
    assert title("maintain", {}, None) == "maintain"
