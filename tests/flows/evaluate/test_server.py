"""Candidates that a command serves: real processes, started for an evaluation and gone after it, however it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from typer.testing import CliRunner

from flows import ledger
from flows.cli import app
from flows.evaluate.server import COMMANDS, command_of, keep, serving
from flows.evaluate.stage import evaluate
from flows.seal import seal_of
from flows.testing.bench import Bench
from schemas.errors import EndpointError, SettingsError, UsageError
from schemas.events import Candidate, to_json
from schemas.records import make_candidate
from streams.lake.query import rows
from streams.processes.orphans import Claim

SCRIPT = Path(__file__).parents[2] / "support" / "served.py"


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def lives(pid: int) -> bool:
    """Whether a process runs: one that ended and was not buried yet does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def is_taken(port: int) -> bool:
    with socket.socket() as opened:
        return opened.connect_ex(("127.0.0.1", port)) == 0


class Stall:
    """A bench whose candidate is served by a command, and the champion by the endpoint of the test."""

    def __init__(self, bench: Bench, folder: Path, items: int) -> None:
        self.bench, self.folder, self.port = bench, folder, free_port()
        self.tells = folder / "told.json"
        self.new = make_candidate("new", f"http://127.0.0.1:{self.port}/v1")
        bench.freeze(items)
        old, seal = bench.endpoint.candidate("old"), seal_of(bench.settings)
        ledger.bootstrap(bench.lake, bench.application, old, "the first", time=bench.as_of, seal=seal)
        ledger.register(bench.lake, bench.application, self.new, time=bench.as_of, seal=seal)

    def command(self, *more: str) -> str:
        return shlex.join([sys.executable, str(SCRIPT), str(self.port), "--tells", str(self.tells), *more])

    def keep(self, *more: str) -> None:
        keep(self.bench.settings.home_path, self.new.id, self.command(*more), self.folder)

    def evaluate(self, **how: Any) -> Any:
        settings = self.bench.settings
        settings = msgspec.structs.replace(settings, evaluate=msgspec.structs.replace(settings.evaluate, **how))
        return evaluate(self.bench.lake, settings, self.bench.as_of)

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.tells.read_text()))

    @property
    def lives(self) -> bool:
        """Whether the process that told of itself is still there."""
        return lives(self.told["pid"])


@pytest.fixture
def stall(bench: Bench, tmp_path: Path) -> Stall:
    return Stall(bench, tmp_path, 12)


def test_the_command_is_started_for_the_evaluation_and_stopped_after_it(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for while it loads, gets no key of ours, and what it wrote down does not stay."""
    monkeypatch.setenv("FLYWHEEL_CURATE_SALT", "a secret")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "a secret")
    stall.keep("--loads", "0.5")

    summary = stall.evaluate()

    assert summary.scores == {"candidate": 1.0, "champion": 0.5}
    assert summary.unscored == {"candidate": {}, "champion": {}}
    assert not stall.lives
    assert [name for name in stall.told["env"] if name.startswith(("FLYWHEEL_", "KAFKA_", "PREFECT_"))] == []
    assert list(stall.bench.settings.home_path.rglob("server.log")) == []


def test_a_finished_evaluation_starts_nothing(stall: Stall) -> None:
    """Nor does one whose answers are all in the journal."""
    stall.keep()
    first = stall.evaluate()
    stall.tells.unlink()

    assert stall.evaluate() == first
    assert stall.evaluate(scorer="exact").items == first.items
    assert not stall.tells.exists()


def test_a_server_that_dies_half_way_is_said_with_its_last_words(stall: Stall) -> None:
    """Nothing is published; what it answered is kept, and with a better command only the rest is asked."""
    stall.keep("--dies-after", "5")
    stall.bench.endpoint.delay_s = 0.4
    with pytest.raises(EndpointError, match=r"(?s)'new' is gone.*code 7.*out of memory, said the server"):
        stall.evaluate(connections=1)
    assert rows(stall.bench.lake, "evaluations") == []
    asked = len(stall.bench.endpoint.seen)

    stall.keep("--dies-after", "7")
    stall.bench.endpoint.delay_s = 0.0
    summary = stall.evaluate()

    assert summary.scores == {"candidate": 1.0, "champion": 0.5}
    assert 0 < asked < 12
    assert len(stall.bench.endpoint.seen) == 12


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sh -c 'echo no such weights >&2; exit 3'", "(?s)does not answer.*code 3.*no such weights"),
        ("sleep 60", "(?s)does not answer.*within 1 s"),
    ],
)
def test_a_command_that_never_answers_is_said(stall: Stall, command: str, says: str) -> None:
    """It ended, or it took too long: with the last lines that it wrote, and nothing was asked."""
    keep(stall.bench.settings.home_path, stall.new.id, command, stall.folder)

    with pytest.raises(EndpointError, match=says):
        stall.evaluate(start_timeout_s=1.0)

    assert stall.bench.endpoint.seen == []


def test_a_dead_endpoint_is_said_at_once(stall: Stall) -> None:
    """Before anything is asked, with the way out; nothing is published."""
    with pytest.raises(EndpointError, match=f"nobody answers at {stall.new.endpoint}, where 'new' is"):
        stall.evaluate()

    assert stall.bench.endpoint.seen == []
    assert rows(stall.bench.lake, "evaluations") == []


def test_a_stranger_in_its_place_is_not_measured(stall: Stall) -> None:
    """Whoever holds the port would be taken for the candidate."""
    stall.keep()
    with subprocess.Popen(shlex.split(stall.command())) as stranger:
        try:
            while not stall.tells.exists() or not is_taken(stall.port):
                time.sleep(0.05)
            with pytest.raises(EndpointError, match=r"answers at .* already"):
                stall.evaluate()
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize("more", [(), ("--stubborn",)], ids=["gentle", "stubborn"])
def test_a_killed_evaluation_leaves_no_server_to_the_next(stall: Stall, more: tuple[str, ...]) -> None:
    """[evaluate, KILL -9, evaluate]: a server that takes SIGTERM goes with it, one that does not is swept."""
    stall.keep(*more)
    stall.bench.endpoint.delay_s = 0.3
    environment = {**os.environ, "FLYWHEEL_LAKE": stall.bench.lake.root, "FLYWHEEL_EVALUATE_EVAL_SET": "all"}
    environment |= {"FLYWHEEL_EVALUATE_CONNECTIONS": "1"}
    words = ["--home", stall.bench.settings.home, "evaluate", "--as-of", "2026-01-06"]
    child = subprocess.Popen([sys.executable, "-m", "flows.cli", *words], env=environment)
    while len(stall.bench.endpoint.seen) < 3:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    first = stall.told["pid"]
    if not more:
        while stall.lives:
            time.sleep(0.02)
    stall.bench.endpoint.delay_s = 0.0

    summary = stall.evaluate()

    assert summary.scores == {"candidate": 1.0, "champion": 0.5}
    assert stall.told["pid"] != first
    assert not lives(first)
    assert not stall.lives


def test_a_model_that_another_evaluation_serves_is_waited_for(stall: Stall) -> None:
    """Two servers of one model would fight for its port."""
    stall.keep()
    home = stall.bench.settings.home_path
    models: Any = {"champion": stall.bench.endpoint.candidate("old"), "candidate": stall.new}
    with serving(models, stall.bench.settings), pytest.raises(EndpointError, match="already"):
        stall.evaluate()
    (folder,) = (home / "run" / "served").iterdir()
    claim = Claim(folder)
    with pytest.raises(UsageError, match="another evaluation"):
        stall.evaluate()
    claim.release()


def test_one_command_may_serve_both(bench: Bench, tmp_path: Path) -> None:
    """At one endpoint the candidate's command is enough; two different ones for it are refused."""
    port, home = free_port(), bench.settings.home_path
    url = f"http://127.0.0.1:{port}/v1"
    models: Any = {"champion": make_candidate("a", url), "candidate": make_candidate("b", url)}
    command = shlex.join([sys.executable, str(SCRIPT), str(port)])
    keep(home, models["candidate"].id, command, tmp_path)
    with serving(models, bench.settings) as check:
        check()
    keep(home, models["champion"].id, "sleep 9", tmp_path)
    with pytest.raises(UsageError, match="different commands"), serving(models, bench.settings):
        pass


def registered(stall: Stall, *words: str) -> Any:
    environment = {"FLYWHEEL_LAKE": stall.bench.lake.root, "FLYWHEEL_PREFECT_PORT": "0"}
    where = ["--home", stall.bench.settings.home, "candidate", "add", "--model", "x", "--endpoint", stall.new.endpoint]
    return CliRunner(env=environment).invoke(app, [*where, *words])


def test_a_command_is_kept_in_the_home_and_nowhere_else(stall: Stall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner's alone, and no row of the ledger says it: the lake cannot choose what runs here."""
    monkeypatch.chdir(stall.folder)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    done = registered(stall, "--command", "sleep 4711", "--json")
    candidate = msgspec.json.decode(done.stdout, type=Candidate)
    home = stall.bench.settings.home_path

    (file,) = (home / COMMANDS).iterdir()
    kept = command_of(home, candidate.id)
    assert kept is not None
    assert (kept.argv, kept.folder) == (("sleep", "4711"), str(stall.folder))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "4711" not in to_json(rows(stall.bench.lake, "ledger"))

    registered(stall, "--no-check")
    assert command_of(home, candidate.id) == kept
    registered(stall, "--no-check", "--command", "")
    assert command_of(home, candidate.id) is None


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("no-such-program --port 1", "no program 'no-such-program'"),
        ("PORT=1 sleep 1", "env NAME=VALUE"),
        ("sleep 1 | cat", "read by no shell"),
        ("sleep 'open", "no command line"),
        ("sleep " + "1" * 40_000, "no command line"),
        ("./missing.sh", "no program"),
    ],
)
def test_what_is_no_command_registers_nothing(
    stall: Stall, command: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence at the keyboard, and not minutes later in a log."""
    monkeypatch.chdir(stall.folder)
    before = len(ledger.fold(stall.bench.lake, "support-bot").decisions)

    done = registered(stall, "--command", command)

    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)
    assert len(ledger.fold(stall.bench.lake, "support-bot").decisions) == before
    assert not (stall.bench.settings.home_path / COMMANDS).exists()


def test_a_command_that_others_could_have_written_is_not_run(stall: Stall) -> None:
    """Nor one that is a link to somewhere else, or damaged."""
    stall.keep()
    (file,) = (stall.bench.settings.home_path / COMMANDS).iterdir()
    content = file.read_bytes()
    file.chmod(0o620)
    with pytest.raises(SettingsError, match="not yours alone"):
        stall.evaluate()
    file.chmod(0o600)
    file.write_bytes(b"[" * 50_000)
    with pytest.raises(SettingsError, match="holds no command"):
        stall.evaluate()
    other = stall.folder / "elsewhere"
    other.write_bytes(content)
    other.chmod(0o600)
    file.unlink()
    file.symlink_to(other)
    with pytest.raises(SettingsError, match="holds no command"):
        stall.evaluate()
    assert not stall.tells.exists()
