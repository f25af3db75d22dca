"""Client of Prefect's HTTP API: the few questions that are asked of a server.

Prefect's own client would do; importing it takes two seconds, which a command that only starts a run need not pay.
Go on to `serve.py`, whose flows are started here.
"""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from flows.context import prefect_auth, prefect_key, prefect_page, prefect_url
from schemas.secrets import Secret
from schemas.settings import Settings

TIMEOUT_S = 10.0
"""A busy server on SQLite can take seconds to answer."""
TRIES = 6
"""A server that is there and slow is asked again, a minute in all; every call may be repeated (starts carry a key)."""
PAUSE_S = 0.5
"""Between the tries of a server in trouble: it answers 503 at once while its SQLite file is locked."""
HELD_S = 5.0
"""What a server had begun to plan comes even after it was told to stop: it is held once nothing came for so long."""
HOLDING = 120
"""Looks at a server that plans on and on, every PAUSE_S, before it is taken for one that does not hear."""
TURN = "turn"
"""The flow that turns the wheel."""
EVALUATION = "evaluate-and-promote"
"""The flow that judges a candidate."""
TRAINING = "train"
"""The flow that trains on a new dataset, and registers the model."""
PROMOTION = "promote"
"""The flow that decides on an evaluation."""
NOT_IN_NAMES = str.maketrans(dict.fromkeys('/%&><"', "-"))
"""Characters that Prefect lets no name have."""
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
"""State types of a run that is over."""
LOOK_S = 1.0
"""How often a run that somebody waits for is looked at: one small question to a server on the same machine."""
WAIT_S = 24 * 3600.0
"""Nobody waits longer; the run itself goes on."""
CLIENTS_S = 3.0
"""A flow's process keeps its last log lines back for so long at most (PREFECT_LOGGING_TO_API_BATCH_INTERVAL is 2)."""
SETTLE_S = 120.0
"""A server writes events down every five seconds, or as soon as its database lets it."""
BUSY = 500
"""From this HTTP status on, the server is in trouble rather than of another opinion."""
NOTHING = Secret()
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_PROXIED = urllib.request.build_opener()


class State(Struct, frozen=True):
    """What the server says of how a run is."""

    name: str = ""
    """For people: Running, Late, NothingToDo …"""
    message: str | None = None


class FlowRun(Struct, frozen=True):
    """A run as the server knows it."""

    id: str
    name: str = ""
    state_type: str | None = None
    """SCHEDULED, PENDING, RUNNING, PAUSED, CANCELLING, or one of ENDED."""
    state: State | None = None
    parameters: dict[str, Any] = {}
    created: str = ""


class Deployment(Struct, frozen=True):
    """A served flow as the server knows it."""

    id: str
    paused: bool
    """Whether a person, or a program, has switched its schedules off."""


def served(flow: str, application: str) -> str:
    """`flow/deployment`: the deployment of a flow for an application, named after it.

    So many applications, of one team or of several, have their flows on one server.
    """
    return f"{flow}/{application.translate(NOT_IN_NAMES)}"


class Orchestrator:
    """A Prefect server at the URL of its API.

    `auth` is `user:password` of a protected server, `key` an API key of Prefect Cloud; both are empty where it asks for
    nothing. Where both are set `auth` is used, as by Prefect's own client.
    """

    def __init__(self, url: str, auth: Secret = NOTHING, key: Secret = NOTHING) -> None:
        self.url = url.rstrip("/")
        self._auth = auth
        self._key = key

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries, the secret too: for the server alone."""
        headers = {"content-type": "application/json"}
        if self._auth:
            headers["authorization"] = f"Basic {base64.b64encode(self._auth.reveal().encode()).decode()}"
        elif self._key:
            headers["authorization"] = f"Bearer {self._key.reveal()}"
        return headers

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The server that the settings and the environment name."""
        return cls(prefect_url(settings), prefect_auth(settings), prefect_key())

    @property
    def page(self) -> str:
        """Where a person looks at it."""
        return prefect_page(self.url)

    def keeps(self, home: Path) -> bool:
        """Whether a server answers that keeps its books in this folder: on the port may be another installation's."""
        found = self._ask("GET", "/admin/settings")
        return found is not None and Path(msgspec.json.decode(found)["home"]).resolve() == home.resolve()

    def settle(self) -> bool:
        """Wait until the server has written down all that it was told so far; False where it did not in two minutes.

        It keeps events in memory, in the order in which they came: once one of ours is in its books, so are all before.
        """
        time.sleep(CLIENTS_S)
        marker = str(uuid.uuid4())
        said = {"id": marker, "event": "flywheel.settle", "resource": {"prefect.resource.id": "flywheel.settle"}}
        self._ask("POST", "/events", [said | {"occurred": datetime.now(UTC).isoformat()}])
        for _ in range(round(SETTLE_S / LOOK_S)):
            found = self._ask("POST", "/events/filter", {"filter": {"id": {"id": [marker]}}})
            if found and msgspec.json.decode(found)["events"]:
                return True
            time.sleep(LOOK_S)
        return False

    def find(self, run_id: str) -> FlowRun | None:
        """A run as it is now."""
        found = self._ask("GET", f"/flow_runs/{run_id}")
        return None if found is None else msgspec.json.decode(found, type=FlowRun)

    def wait(self, run_id: str, watch: Callable[[FlowRun], object]) -> FlowRun | None:
        """The run, once it has ended; `watch` sees it each second before. None where the server answers no more."""
        for _ in range(round(WAIT_S / LOOK_S)):
            found = self.find(run_id)
            if found is None or found.state_type in ENDED:
                return found
            watch(found)
            time.sleep(LOOK_S)
        return None

    def start(self, deployment: str, parameters: dict[str, Any], key: str) -> FlowRun | None:
        """Start a run of `flow/deployment`, or find the run that was started with the same key before.

        None where no server answers or nothing of that name is served.
        """
        if (found := self._deployment(deployment)) is None:
            return None
        body = {"parameters": parameters, "idempotency_key": key, "state": {"type": "SCHEDULED"}}
        made = self._ask("POST", f"/deployments/{found.id}/create_flow_run", body)
        return None if made is None else msgspec.json.decode(made, type=FlowRun)

    @contextmanager
    def held(self, deployment: str) -> Iterator[None]:
        """Meanwhile `flow/deployment` starts nothing by its schedule; what is asked for runs all the same.

        One that a person has paused stays paused.
        """
        found = self._deployment(deployment)
        if found is None or found.paused:
            yield
            return
        quiet = 0.0
        for _ in range(HOLDING):
            self._ask("POST", f"/deployments/{found.id}/pause_deployment")  # takes away what is planned, each time
            time.sleep(PAUSE_S)
            quiet = 0.0 if self.planned(deployment) else quiet + PAUSE_S
            if quiet >= HELD_S:
                break
        try:
            yield
        finally:
            self._ask("POST", f"/deployments/{found.id}/resume_deployment")

    def planned(self, deployment: str) -> str | None:
        """When `flow/deployment` starts next by its schedule, ISO 8601; None where nothing is planned."""
        if (found := self._deployment(deployment)) is None:
            return None
        wanted = {
            "deployments": {"id": {"any_": [found.id]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        answer = self._ask("POST", "/flow_runs/filter", {**wanted, "sort": "EXPECTED_START_TIME_ASC", "limit": 1})
        runs = msgspec.json.decode(answer) if answer else []
        return str(runs[0]["expected_start_time"]) if runs else None

    def _deployment(self, name: str) -> Deployment | None:
        found = self._ask("GET", f"/deployments/name/{urllib.parse.quote(name)}")
        return None if found is None else msgspec.json.decode(found, type=Deployment)

    def _ask(self, method: str, path: str, body: dict[str, Any] | list[dict[str, Any]] | None = None) -> bytes | None:
        """The answer's bytes; None where there is none."""
        request = urllib.request.Request(  # noqa: S310 the scheme is the setting's http or https
            self.url + path,
            method=method,
            data=None if body is None else msgspec.json.encode(body),
            headers=self.headers,
        )
        opener = _LOCAL if "//127.0.0.1" in self.url or "//localhost" in self.url else _PROXIED
        for _ in range(TRIES):
            try:
                with opener.open(request, timeout=TIMEOUT_S) as answer:
                    return bytes(answer.read())
            except TimeoutError:
                continue
            except (urllib.error.URLError, ConnectionError) as error:
                if not isinstance(getattr(error, "reason", None), TimeoutError) and _status(error) < BUSY:
                    return None
                time.sleep(PAUSE_S)
        return None


def _status(error: Exception) -> int:
    """The HTTP status that an error carries, or 0."""
    return error.code if isinstance(error, urllib.error.HTTPError) else 0


def request_evaluation(
    settings: Settings, candidate_id: str, occasion: str = "registered", as_of: str | None = None
) -> FlowRun | None:
    """Ask the served flows to judge a candidate; asking twice on the same occasion is one run.

    `as_of` is the instant of the decision, for callers whose clock is not the wall's.

    None where no Prefect server answers, or serves no flows: the candidate then waits in the ledger for the next turn,
    which asks for all that wait, or for `flywheel evaluate`.
    """
    return Orchestrator.of(settings).start(
        served(EVALUATION, settings.application),
        {"candidate_id": candidate_id, "application": settings.application} | ({"as_of": as_of} if as_of else {}),
        f"evaluate:{settings.application}:{candidate_id}@{occasion}",
    )


def request_training(settings: Settings, occasion: str) -> FlowRun | None:
    """Ask the served flows to train on the newest dataset; asking twice on the same occasion is one run."""
    return Orchestrator.of(settings).start(
        served(TRAINING, settings.application),
        {"application": settings.application},
        f"train:{settings.application}:{occasion}",
    )


def page_of(settings: Settings, run: FlowRun) -> str:
    """Where a person looks at a run."""
    return f"{Orchestrator.of(settings).page}/runs/flow-run/{run.id}"
