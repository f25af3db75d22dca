"""The commands around the gate, as a person or a pipeline calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from flows import ledger
from flows.cli import app, run
from flows.context import lake_of
from flows.promote.gate import Finding
from flows.promote.report import junit, markdown
from schemas.errors import EndpointError, LedgerError, UsageError
from schemas.loading import load
from schemas.records import Verdict, make_candidate
from streams.broker.broker import free_port

ROOT = Path(__file__).resolve().parents[3]


class Terminal:
    """A person's shell with a data root of its own and no broker."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lake = lake_of(load({}, {"FLYWHEEL_HOME": str(home)}))

    def __call__(self, *words: str) -> Result:
        return CliRunner(env={"COLUMNS": "300"}).invoke(app, ["--home", str(self.home), *words])


@pytest.fixture
def flywheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path / "home")


FIRST = ("champion", "set", "--endpoint", "http://127.0.0.1:1/v1", "--model", "bot-1", "--reason", "what we have")


def test_a_first_champion_is_named_and_shown_with_its_reason(flywheel: Terminal) -> None:
    """`champion set` records a person's word; `champion` says who serves and why."""
    assert flywheel(*FIRST).exit_code == 0
    shown = flywheel("champion")

    assert "bot-1" in shown.output
    assert "set without a comparison: what we have" in shown.output
    assert isinstance(flywheel(*FIRST[:-3], "bot-2", "--reason", "also nice").exception, LedgerError)


def test_before_there_is_a_champion_the_command_says_so(flywheel: Terminal) -> None:
    """An empty lake is a state, not an error."""
    assert "no champion yet" in flywheel("champion").output
    assert flywheel("candidate", "list").exit_code == 0
    assert flywheel("ledger", "verify").exit_code == 0


def test_a_candidate_is_registered_once_and_listed(flywheel: Terminal) -> None:
    """`candidate add` twice is one registration; without a broker it says what is still to be announced."""
    add = (
        "candidate",
        "add",
        "--endpoint",
        "http://127.0.0.1:2/v1",
        "--no-check",
        "--model",
        "bot-2",
        "--parameters",
        '{"k": 1}',
    )
    first, second = flywheel(*add), flywheel(*add)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "not announced yet" in first.output
    rows = json.loads(flywheel("candidate", "list", "--json").output)
    assert [(row["model"], row["parameters"], row["status"]) for row in rows] == [("bot-2", {"k": 1}, "waiting")]
    assert json.loads(flywheel("ledger", "show", "--json").output)[0]["action"] == "registered"


def test_a_candidate_nobody_serves_is_told_at_once(flywheel: Terminal) -> None:
    """An endpoint that takes no connection is refused, unless it is said not to look."""
    words = ("candidate", "add", "--endpoint", f"http://127.0.0.1:{free_port()}/v1", "--model", "bot-2")

    refused = flywheel(*words)

    assert isinstance(refused.exception, EndpointError)
    assert "nobody answers" in str(refused.exception)
    assert "--no-check" in str(refused.exception)
    assert ledger.applications(flywheel.lake) == []
    assert flywheel(*words, "--no-check").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--endpoint", "ftp://x", "--model", "m"), "http"),
        (("--endpoint", "http://x/v1", "--model", ""), "model"),
        (("--endpoint", "http://x/v1", "--model", "m", "--parameters", "{"), "JSON"),
        (("--endpoint", "http://x/v1", "--model", "m", "--parameters", "[1]"), "object"),
    ],
)
def test_a_candidate_that_is_none_is_refused(flywheel: Terminal, words: tuple[str, ...], message: str) -> None:
    """A wrong option is named, and nothing is recorded."""
    result = flywheel("candidate", "add", *words)

    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert ledger.applications(flywheel.lake) == []


def test_a_rollback_by_hand_is_recorded(flywheel: Terminal) -> None:
    """A person may always go back; with nobody before, there is nowhere to go."""
    flywheel(*FIRST)
    result = flywheel("champion", "rollback", "--reason", "complaints")

    assert isinstance(result.exception, LedgerError)
    assert "no earlier champion" in str(result.exception)


def test_the_ledger_is_verified_row_by_row(flywheel: Terminal) -> None:
    """`ledger verify` names each application with its rows and the hash to write down elsewhere."""
    flywheel(*FIRST)
    result = flywheel("ledger", "verify")

    assert result.exit_code == 0
    assert f"support-bot: 1 rows hold, head {ledger.fold(flywheel.lake, 'support-bot').head}" in result.output


@pytest.mark.parametrize("words", [(), ("--no-such-option",), ("--candidate", "unknown"), ("--candidate", "m@ftp://x")])
def test_what_goes_wrong_in_the_gate_is_never_read_as_a_verdict(flywheel: Terminal, words: tuple[str, ...]) -> None:
    """Errors of every kind end with 3: 0, 1 and 2 are verdicts."""
    assert run(["--home", str(flywheel.home), "gate", *words]) == 3


def test_a_wrong_setting_is_no_verdict_either(tmp_path: Path) -> None:
    """Settings are read before the command is: the exit code of the whole program is 3 all the same."""
    env = {**os.environ, "FLYWHEEL_GATE_ALPHA": "9", "FLYWHEEL_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "flows.cli", "gate"], cwd=ROOT, env=env, check=False, timeout=120)

    assert done.returncode == 3


def test_deciding_on_nothing_is_told(flywheel: Terminal) -> None:
    """Without an evaluation there is nothing to promote, and the message says what makes one."""
    assert "flywheel evaluate" in str(flywheel("promote").exception)


FINDINGS = [
    Finding("block", "slice <a>", "slice <a>: worse & \x00 bad"),
    Finding("inconclusive", "overall", "overall: not shown"),
    Finding("promote", "latency", "latency: fine"),
]


def test_junit_is_well_formed_whatever_names_contain() -> None:
    """A finding that does not speak for promotion is a failure whose type is its answer."""
    suite = ElementTree.fromstring(junit(FINDINGS, "all@v1"))

    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert [failure.get("type") for failure in suite.iter("failure")] == ["block", "inconclusive"]
    assert next(case.get("name") for case in suite.iter("testcase")) == "slice <a>"
    assert suite.find("properties/property").get("value") == "all@v1"


def test_markdown_of_a_verdict_escapes_names_made_by_users() -> None:
    """A model called like a picture shows no picture, and no name speaks to the terminal."""
    model = make_candidate("![x](http://evil/x.png)", "http://127.0.0.1:1/v1")
    text = markdown(Verdict("block", ("slice **a**: worse\n\x1b[2J\u202e",), "better"), model, model, "all@v1")

    assert text.startswith("## Verdict: block")
    assert "![x]" not in text
    assert r"\*\*a\*\*" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
