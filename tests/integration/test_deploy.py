"""A shared, protected Prefect server and a work pool of a team: `flywheel deploy`, and a real worker at work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.context import lake_of, prefect_auth, prefect_environment, prefect_url
from flows.prefect_api import TURN, Orchestrator, served
from flows.run import latest
from flows.testing.events import feedback, happened, interaction
from schemas.errors import UsageError
from schemas.secrets import Secret
from schemas.settings import Settings
from streams.broker.broker import free_port
from streams.lake import Lake
from streams.processes.supervise import Child, Supervisor

pytestmark = pytest.mark.integration
SHOP = "shop / de"
CODE = "not-to-be-seen"
POOL = "team"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orchestrator]:
    """A server that somebody else keeps, and that asks for a password."""
    home = tmp_path_factory.mktemp("server")
    settings = Settings(home=str(home), prefect_port=free_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        environment = {**os.environ, **prefect_environment(settings)}
        url, auth = prefect_url(settings), prefect_auth(settings)
    (home / "run" / "tmp").mkdir(parents=True)
    found = Orchestrator(url, auth)
    argv = (sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", url.split(":")[2][:-4])
    child = Child(
        name="prefect", argv=argv, folder=home / "run", env=environment, ready_timeout_s=180, stop_timeout_s=5,
        ready=lambda: found.keeps(Path(environment["PREFECT_HOME"])),
    )  # fmt: skip
    with Supervisor([child]):
        yield found


@pytest.fixture
def team(server: Orchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The surroundings of a team whose application has forty failures; its lake."""
    for name, value in {
        "PREFECT_API_URL": server.url,
        "PREFECT_API_AUTH_STRING": server._auth.reveal(),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "FLYWHEEL_HOME": str(tmp_path / "home"),
        "FLYWHEEL_LAKE": str(tmp_path / "lake"),
        "FLYWHEEL_APPLICATION": SHOP,
        "FLYWHEEL_CLUSTER_NAMER_KEY": CODE,
    }.items():
        monkeypatch.setenv(name, value)
    lake = lake_of(Settings(lake=str(tmp_path / "lake")))
    for n in range(40):
        event = msgspec.structs.replace(interaction(n), application=SHOP)
        told = feedback(n, event, kind="correction", text=f"ask the branch about case {n}")
        happened(lake, event, msgspec.structs.replace(told, application=SHOP))
    return lake


def asked(server: Orchestrator, method: str, path: str, body: Any = None) -> httpx.Response:
    """As Prefect's own client asks: again for half a minute, while another writer has its SQLite file locked (503)."""
    for _ in range(60):
        answer = httpx.request(method, server.url + path, json=body, headers=server.headers, timeout=60)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(0.5)
    return answer


def ask(server: Orchestrator, method: str, path: str, body: Any = None) -> Any:
    answer = asked(server, method, path, body)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def deployment(server: Orchestrator, flow: str) -> dict[str, Any]:
    found: dict[str, Any] = ask(server, "GET", f"/deployments/name/{served(flow, SHOP)}")
    return found


def prefect(*arguments: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """Prefect's own command line, as a team calls it."""
    return subprocess.run(
        [sys.executable, "-m", "prefect", *arguments], capture_output=True, text=True, timeout=seconds, check=True
    )


def flywheel(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_worker_of_the_pool_runs_a_stage(server: Orchestrator, team: Lake) -> None:
    """Deployed, ordered, taken by a real worker, done in the team's lake; the worker's own word of where stands."""
    prefect("work-pool", "create", POOL, "--type", "process")
    told = flywheel("deploy", "--pool", POOL)
    run = server.start(served("cluster", SHOP), {"as_of": "2026-01-06T00:00:00+00:00"}, "once")
    assert told.exit_code == 0, told.output
    assert run

    worker = prefect("worker", "start", "--pool", POOL, "--run-once")

    found = server.find(run.id)
    assert found
    assert found.state_type == "COMPLETED", worker.stdout + worker.stderr
    made = latest(team, "cluster", SHOP)
    assert made is not None
    assert made.told(dict[str, Any])["failed"] == 40
    place = ask(server, "GET", f"/flow_runs/{run.id}")
    assert place["work_pool_name"] == POOL
    assert " " not in (place["infrastructure_pid"] or "")


def test_deployments_are_the_applications_own_and_hold_no_secret(server: Orchestrator, team: Lake) -> None:
    """Named after it, with its public settings; again they move what was asked for and keep what a person edited."""
    prefect("work-pool", "create", "second", "--type", "process")
    assert flywheel("deploy", "--pool", "second").exit_code == 0
    turn = deployment(server, TURN)
    (hourly,) = turn["schedules"]
    changed = {"schedule": {"cron": "30 4 * * 1", "timezone": "Europe/Paris"}, "active": False}
    ask(server, "PATCH", f"/deployments/{turn['id']}/schedules/{hourly['id']}", changed)
    ask(server, "POST", f"/deployments/{turn['id']}/pause_deployment")

    told = flywheel("deploy", "--pool", "second")

    again = deployment(server, TURN)
    assert told.exit_code == 0, told.output
    assert again["name"] == "shop - de"
    assert again["work_pool_name"] == "second"
    assert again["parameters"] == {"application": SHOP}
    assert (again["paused"], again["schedules"][0]["active"]) == (True, False)
    assert again["schedules"][0]["schedule"]["cron"] == "30 4 * * 1"
    environment = again["job_variables"]["env"]
    assert (environment["FLYWHEEL_APPLICATION"], environment["FLYWHEEL_LAKE"]) == (SHOP, team.root)
    assert "FLYWHEEL_HOME" not in environment
    assert CODE not in msgspec.json.encode(again).decode()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pool", "nobody-made-it"), "prefect work-pool create nobody-made-it"),
        (("--pool", "third", "--image", "flywheel:1"), "run the flywheel that is installed"),
        (("--pool", "third", "--memory", "turns=8"), "no flow is called 'turns'"),
        (("--pool", "third", "--memory", "turn=much"), "is not FLOW=GIB"),
    ],
)
@pytest.mark.usefixtures("team")
def test_what_cannot_work_is_refused_by_name(server: Orchestrator, arguments: tuple[str, ...], said: str) -> None:
    """And nothing is registered."""
    template = {"name": "third", "type": "process", "base_job_template": {}}
    asked(server, "POST", "/work_pools/", template)

    told = flywheel("deploy", *arguments)

    assert isinstance(told.exception, UsageError)
    assert said in str(told.exception)


def test_a_stranger_is_refused_by_the_server(server: Orchestrator) -> None:
    """Without the password, or with another, the same calls find nothing and start nothing."""
    for auth in (Secret(), Secret("flywheel:guessed")):
        stranger = Orchestrator(server.url, auth)
        assert stranger.start(served(TURN, SHOP), {}, "key") is None
    assert server.start("nobody/nothing", {}, "key") is None
