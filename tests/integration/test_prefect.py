"""Flows under a real Prefect server: runs with artifacts, schedules that stay edited, crashes that are cleaned up."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import ledger
from flows.cli import app
from flows.context import SERVED_MARK
from flows.prefect_api import EVALUATION, PROMOTION, TURN, FlowRun, request_evaluation, served
from flows.seal import seal_of
from flows.stack import Stack
from flows.testing.events import START, feedback, happened, interaction
from schemas.events import Event
from schemas.records import make_candidate
from schemas.serving import DoorSettings, UiSettings
from schemas.settings import EvaluateSettings, GateSettings, KafkaSettings, Settings, TriageSettings
from streams.lake.lease import host_name
from tests.support.browser import CHROMIUM, asked_by_a_stranger, dom, words_of
from tests.support.prefect import call, ended
from tests.support.promotion import APP, BETTER, NEW, NOW, OLD, eval_set, evaluated
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
OWN_TURN = served(TURN, APP)
COMPLAINTS = ("my card was swallowed by the machine", "the transfer never arrived at my friend")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All processes, on free ports, over a lake with forty failures. No turn but those that a test asks for."""
    settings = Settings(
        home=str(tmp_path_factory.mktemp("prefect")),
        prefect_port=0, triage=TriageSettings(web_port=0), door=DoorSettings(port=0), ui=UiSettings(port=0),
        kafka=KafkaSettings(partitions=2),
        gate=GateSettings(approval=True),
        evaluate=EvaluateSettings(eval_set="all"),
    )  # fmt: skip
    with Stack(settings) as found, found.orchestrator.held(OWN_TURN):
        fill(found)
        yield found


def fill(stack: Stack) -> None:
    """Raw rows as the archiver would land them."""
    events: list[Event] = []
    for n in range(40):
        what = f"{COMPLAINTS[n % 2]}, case {n}"
        messages = {
            "input_messages": [{"role": "user", "content": what}],
            "output_messages": [{"role": "assistant", "content": "no idea"}],
        }
        event = interaction(n, training_consent=True, **messages)
        events += [event, feedback(n, event, kind="correction", text=f"ask the branch about {what}")]
    happened(stack.lake, *events)


def deployment(stack: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = call(stack, "GET", f"/deployments/name/{name}")
    return found


def turn(stack: Stack, as_of: str, key: str) -> FlowRun:
    return ended(stack, stack.orchestrator.start(OWN_TURN, {"as_of": as_of}, key))


def artifacts(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in call(stack, "POST", "/artifacts/filter", {}):
        found.setdefault(each["key"], []).append(each)
    return found


def test_the_ui_is_served_without_calling_out(stack: Stack) -> None:
    """The page loads from this machine, is the one that calls no analytics host, and telemetry is off."""
    assert stack.orchestrator.keeps(stack.settings.home_path / "prefect")
    assert not stack.orchestrator.keeps(stack.settings.home_path / "another")
    with urllib.request.urlopen(stack.orchestrator.page, timeout=30) as answer:
        page = answer.read().decode()

    assert "Prefect" in page
    assert "/v2/" not in page
    settings = call(stack, "GET", "/admin/settings")
    assert settings["server"]["analytics_enabled"] is False
    assert settings["results"]["default_serializer"] == "json"


def refused(stack: Stack, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of a request that does not sign in."""
    body = b'{"entrypoint": "stranger.py:run"}' if method in {"PATCH", "POST"} else None
    request = urllib.request.Request(stack.orchestrator.url + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}


FOREIGN = {"Origin": "http://evil.example", "Host": "evil.example"}


@pytest.mark.parametrize("headers", [{}, FOREIGN, {"Authorization": "Basic Zmx5d2hlZWw6Z3Vlc3M="}], ids=str)
def test_nobody_starts_a_program_through_prefect(stack: Stack, headers: dict[str, str]) -> None:
    """Whoever may change a deployment runs any program: without this home's secret each call is refused."""
    place = deployment(stack, OWN_TURN)["id"]
    before = deployment(stack, OWN_TURN)["entrypoint"], len(planned(stack))

    answers = {
        refused(stack, "PATCH", f"/deployments/{place}", **headers)[0],
        refused(stack, "POST", f"/deployments/{place}/create_flow_run", **headers)[0],
        refused(stack, "POST", "/flow_runs/filter", **headers)[0],
        refused(stack, "GET", "/admin/settings", **headers)[0],
    }

    assert answers == {HTTPStatus.UNAUTHORIZED}
    assert (deployment(stack, OWN_TURN)["entrypoint"], len(planned(stack))) == before


def test_a_foreign_page_may_not_even_ask(stack: Stack) -> None:
    """The browser asks first whether a page of another origin may call; only Prefect's own page may."""
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    foreign, its_headers = refused(stack, "OPTIONS", "/deployments/filter", Origin="http://evil.example", **asked)
    own, own_headers = refused(stack, "OPTIONS", "/deployments/filter", Origin=stack.orchestrator.page, **asked)

    assert (foreign, own) == (HTTPStatus.BAD_REQUEST, HTTPStatus.OK)
    assert "access-control-allow-origin" not in its_headers
    assert own_headers["access-control-allow-origin"] == stack.orchestrator.page


def test_the_secret_is_the_owners_alone(stack: Stack) -> None:
    """Another account of the machine can read neither the secret nor the command lines that would name it."""
    home = stack.settings.home_path
    secret = (home / "secrets" / "prefect").read_text()
    lines = b"".join(
        Path(f"/proc/{status.pid}/cmdline").read_bytes() for status in stack.status() if status.pid is not None
    )

    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "secrets" / "prefect").stat().st_mode) == 0o600
    assert secret.encode() not in lines


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian package `chromium`)")
def test_the_printed_link_signs_a_person_in(stack: Stack, tmp_path: Path) -> None:
    """In a real browser: the link opens the dashboard; without it Prefect asks for the password."""
    stranger = words_of(dom(stack.orchestrator.page, tmp_path / "stranger"))
    person = words_of(dom(stack.prefect_page, tmp_path / "person"))

    assert "Dashboard" not in stranger
    assert "Dashboard" in person


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser (Debian package `chromium`)")
def test_a_foreign_page_gets_nothing_from_prefect(stack: Stack, tmp_path: Path) -> None:
    """In the browser of a person who is signed in, a page of another origin reads nothing and changes nothing."""
    place = deployment(stack, OWN_TURN)["id"]
    profile = tmp_path / "signed-in"
    assert "Dashboard" in words_of(dom(stack.prefect_page, profile))

    before = deployment(stack, OWN_TURN)["updated"], len(planned(stack))
    paths = ("/admin/settings", f"/deployments/{place}", f"/deployments/{place}/create_flow_run")
    found = asked_by_a_stranger([stack.orchestrator.url + path for path in paths], profile)

    read = {how: what for how, what in found.items() if what not in {"refused", "opaque"}}
    assert read == {}
    assert (deployment(stack, OWN_TURN)["updated"], len(planned(stack))) == before


def test_no_page_of_prefects_calls_out(stack: Stack) -> None:
    """Words of strangers are rendered as Markdown there: the page's policy lets no image of theirs call anybody."""
    for path in ("/", "/artifacts", "/signin.html"):
        asked = urllib.request.Request(stack.orchestrator.page + path, headers={"Accept": "text/html"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            page = answer.read().decode()
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
        assert policy, path
        assert "http" not in policy[1]
        assert "default-src 'none'" in policy[1]


def planned(stack: Stack) -> list[dict[str, Any]]:
    """The turns that the server will start by itself."""
    place = deployment(stack, OWN_TURN)["id"]
    wanted = {"deployments": {"id": {"any_": [place]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    found: list[dict[str, Any]] = call(stack, "POST", "/flow_runs/filter", wanted)
    return found


def test_the_schedule_makes_runs_unless_it_is_held(stack: Stack) -> None:
    """The server plans the coming hourly turns; none while somebody else decides when the wheel turns."""
    assert planned(stack) == []
    place = deployment(stack, OWN_TURN)["id"]
    call(stack, "POST", f"/deployments/{place}/resume_deployment")

    runs = eventually(lambda: planned(stack), 120)
    with stack.orchestrator.held(OWN_TURN):
        left = planned(stack)

    call(stack, "POST", f"/deployments/{place}/pause_deployment")
    with stack.orchestrator.held(OWN_TURN):
        pass
    assert deployment(stack, OWN_TURN)["paused"], "a person had paused it"
    assert all(run["expected_start_time"][14:19] == "00:00" for run in runs)
    assert left == []


def test_a_turn_leaves_its_artifacts_and_a_second_start_does_nothing(stack: Stack) -> None:
    """A run shows its clusters and dataset cards; the same turn started again writes no table and no artifact twice."""
    first = turn(stack, "2026-01-06T00:00:00+00:00", "first")
    tables = ("outcomes", "clusters", "cluster_members", "dataset_versions", "runs")
    written, shown = stack.lake.versions(tables), artifacts(stack)

    second = turn(stack, "2026-01-06T00:00:00+00:00", "second")
    later = turn(stack, "2026-01-06T01:00:00+00:00", "an hour later, and nothing has come")

    assert (first.state_type, second.state_type, later.state_type) == ("COMPLETED",) * 3
    assert {"clusters", "dataset-training", "dataset-eval"} <= shown.keys()
    assert json.loads(shown["clusters"][0]["data"])
    assert stack.lake.versions(tables) == written
    assert {key: len(each) for key, each in artifacts(stack).items()} == {key: len(each) for key, each in shown.items()}


def test_prefects_books_quote_nobody(stack: Stack) -> None:
    """Flows ran over forty failures; no file and no row of Prefect's has a sentence or a conversation of theirs.

    So an erasure has nothing to look for there.
    """
    turn(stack, "2026-01-06T00:00:00+00:00", "for the books")
    books = stack.settings.home_path / "prefect"
    files = b"\n".join(path.read_bytes() for path in books.rglob("*") if path.is_file()).decode("latin-1")
    with closing(sqlite3.connect(f"file:{books / 'prefect.db'}?mode=ro", uri=True)) as database:
        rows = "\n".join(database.iterdump())

    assert "dataset-training" in rows
    said = (*COMPLAINTS, "ask the branch about", "no idea", "conversation-")
    assert [words for words in said if words in files or words in rows] == []


def test_registering_a_candidate_starts_its_evaluation_once(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """`flywheel candidate add` starts a run; asking again is the same run, and another occasion is another."""
    monkeypatch.setenv("FLYWHEEL_HOME", str(stack.settings.home_path))
    command = ["candidate", "add", "--endpoint", "http://127.0.0.1:9/v1", "--no-check", "--model", "bot-2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    (candidate_id,) = ledger.fold(stack.lake, "support-bot").candidates

    run = request_evaluation(stack.settings, candidate_id)
    again = request_evaluation(stack.settings, candidate_id)
    other = request_evaluation(stack.settings, candidate_id, "another occasion")

    assert run
    assert again
    assert other
    assert run.id == again.id != other.id
    assert run.id in result.output
    assert ended(stack, run).state_type == "COMPLETED"  # with no champion to compare with, there is nothing to do


def test_a_turn_asks_for_candidates_that_were_missed(stack: Stack) -> None:
    """A candidate that was registered while no server listened is evaluated because the next turn asks for it."""
    missed = make_candidate("bot-3", "http://127.0.0.1:9/v1")
    ledger.register(stack.lake, "support-bot", missed, time=START, seal=seal_of(stack.settings))

    turn(stack, "2026-01-07T00:00:00+00:00", "reconcile")

    runs = call(stack, "POST", "/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 50})
    assert missed.id in {run["parameters"].get("candidate_id") for run in runs}


def restart_flows(stack: Stack) -> None:
    """Kill the serving process; return when its supervisor has brought it back."""
    mark = stack.settings.home_path / SERVED_MARK
    before = mark.stat().st_mtime_ns
    (flows,) = [status.pid for status in stack.status() if status.name == "flows"]
    os.kill(flows or 0, signal.SIGKILL)
    eventually(lambda: mark.exists() and mark.stat().st_mtime_ns > before, 120)


def test_edits_survive_and_cut_off_runs_are_called_crashed(stack: Stack) -> None:
    """After kill -9 of the serving process: schedules as a person left them, and no run that is RUNNING for ever."""
    hourly_turn = deployment(stack, OWN_TURN)
    (hourly,) = hourly_turn["schedules"]
    changed = {"schedule": {"cron": "30 4 * * 1", "timezone": "Europe/Paris"}, "active": False}
    call(stack, "PATCH", f"/deployments/{hourly_turn['id']}/schedules/{hourly['id']}", changed)
    added = [{"schedule": {"interval": 7200}, "active": True}]
    call(stack, "POST", f"/deployments/{hourly_turn['id']}/schedules", added)
    call(stack, "POST", f"/deployments/{hourly_turn['id']}/pause_deployment")
    place = deployment(stack, served(EVALUATION, APP))["id"]
    cut_off = call(stack, "POST", f"/deployments/{place}/create_flow_run", {"parameters": {"candidate_id": "x"}})
    running = {"state": {"type": "RUNNING", "name": "Running"}, "force": True}
    call(stack, "POST", f"/flow_runs/{cut_off['id']}/set_state", running)
    call(stack, "PATCH", f"/flow_runs/{cut_off['id']}", {"infrastructure_pid": f"{host_name()} {2**22 + 1}"})
    elsewhere = call(stack, "POST", f"/deployments/{place}/create_flow_run", {"parameters": {"candidate_id": "y"}})
    call(stack, "POST", f"/flow_runs/{elsewhere['id']}/set_state", running)
    call(stack, "PATCH", f"/flow_runs/{elsewhere['id']}", {"infrastructure_pid": "another-machine 1"})
    edited = deployment(stack, OWN_TURN)

    restart_flows(stack)

    found = deployment(stack, OWN_TURN)
    assert found["paused"] is True
    assert by_id(found) == by_id(edited)
    assert len(by_id(found)) == 2
    state = stack.orchestrator.find(cut_off["id"])
    assert state
    assert state.state_type == "CRASHED"
    other = stack.orchestrator.find(elsewhere["id"])
    assert other
    assert other.state_type == "RUNNING"
    call(stack, "POST", f"/flow_runs/{elsewhere['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


def by_id(found: dict[str, Any]) -> dict[str, Any]:
    """A deployment's schedules, without what only says when they were touched."""
    return {each["id"]: (each["schedule"], each["active"]) for each in found["schedules"]}


def test_a_promotion_waits_for_a_person_and_records_who_it_was(stack: Stack) -> None:
    """Nothing is recorded while the run is suspended; once somebody has answered its form, the ledger says who."""
    ledger.bootstrap(stack.lake, APP, OLD, "what we have", time=NOW, seal=seal_of(stack.settings))
    ledger.register(stack.lake, APP, NEW, time=NOW, seal=seal_of(stack.settings))
    eval_set(stack.lake, "set-1", created=datetime(2030, 1, 1, tzinfo=UTC))
    evaluation_id = evaluated(stack.lake, "e1", BETTER)
    run = stack.orchestrator.start(served(PROMOTION, APP), {"evaluation_id": evaluation_id}, evaluation_id)
    assert run
    eventually(lambda: state_type(stack, run) == "PAUSED", 180)
    before = len(ledger.fold(stack.lake, APP).decisions)
    answers = {"decision": "promote", "reviewer": "alice", "comment": "tried it myself"}

    def answered() -> bool:
        """Whether it is done; a run that is just being suspended can miss an answer, and is then answered again."""
        now = state_type(stack, run)
        if now == "PAUSED":
            call(stack, "POST", f"/flow_runs/{run.id}/resume", {"run_input": answers})
        return now == "COMPLETED"

    eventually(answered, 180)
    rows = ledger.fold(stack.lake, APP).decisions
    assert len(rows) == before + 1 == ledger.verify(stack.lake, APP)
    assert (rows[-1].action, rows[-1].decided_by, rows[-1].champion) == ("promoted", "alice", NEW)
    assert rows[-1].reasons[0] == "approved by alice: tried it myself"


def state_type(stack: Stack, run: FlowRun) -> str | None:
    """What the server says of a run."""
    found = stack.orchestrator.find(run.id)
    return found.state_type if found else None
