"""`flywheel up`: every process of the flywheel, started in order, kept running, stopped in reverse.

    broker ▶ topics ▶ archiver ▶ triage ▶ door ▶ web app ▶ Prefect server ▶ served flows

What is there already is used: KAFKA_BOOTSTRAP_SERVERS names a broker, PREFECT_API_URL a Prefect server. The processes
are kept by `streams/processes/supervise.py`; the same ones stand in docker-compose.yml.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Self

import msgspec
from msgspec.structs import replace

from flows import signin
from flows.context import (
    ADDRESSES,
    SERVED_MARK,
    Addresses,
    child_environment,
    lake_of,
    prefect_auth,
    prefect_environment,
    prefect_url,
    without_keys,
)
from flows.prefect_api import Orchestrator
from schemas.errors import PortTaken
from schemas.settings import Settings
from streams.admin import Admin
from streams.broker.broker import LOOPBACK, Broker, free_port, is_free
from streams.lake import spilled
from streams.processes import supervise
from streams.processes.orphans import Claim
from streams.processes.supervise import TICK_S, Child, Status, Supervisor

PREFECT_TIMEOUT_S = 180.0
"""A first start makes the database: ten seconds on an idle machine, a minute on a busy one."""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - to know it, not to bind to it
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stack:
    """The running processes over one home, as a context manager.

    `say` is told what happens, a line at a time. After the start `settings` name the broker and the ports that are
    really used: hand these to whatever talks to the stack.
    """

    def __init__(
        self, settings: Settings, *, prefect: bool = True, say: Callable[[str], object] = lambda _line: None
    ) -> None:
        self.settings = settings
        self.lake = lake_of(settings)
        self._prefect = prefect
        self._say = say
        self._supervisor: Supervisor | None = None
        self._broker: Broker | None = None
        self._open = contextlib.ExitStack()

    @property
    def addresses(self) -> Addresses:
        """Where the processes are found."""
        return Addresses(
            self.settings.kafka.bootstrap_servers,
            f"http://{LOOPBACK}:{self.settings.triage.web_port}",
            prefect_url(self.settings) if self._prefect else "",
            f"http://{self._door_host}:{self.settings.door.port}",
            f"http://{LOOPBACK}:{self.settings.ui.port}",
        )

    @property
    def prefect_page(self) -> str:
        """Where a person looks at runs: for a server of our own, the link that signs them in."""
        page = self.orchestrator.page
        return signin.link(page, prefect_auth(self.settings).reveal()) if self._starts_prefect else page

    @property
    def _starts_prefect(self) -> bool:
        return self._prefect and "PREFECT_API_URL" not in os.environ

    @property
    def _door_host(self) -> str:
        """Where this machine finds the door."""
        return LOOPBACK if self.settings.door.host in EVERYWHERE else self.settings.door.host

    @property
    def orchestrator(self) -> Orchestrator:
        """The Prefect server."""
        return Orchestrator.of(self.settings)

    @property
    def archiver_pid(self) -> int | None:
        """The archiver's process, if it runs now: for those who want to kill it."""
        return next((status.pid for status in self.status() if status.name == "archiver"), None)

    def start(self) -> None:
        """Start everything, or nothing. Raises the error of whatever cannot start, with its last words.

        AlreadyRunning where another stack has this home; PortTaken where a port is in use.
        """
        try:
            with self._open:
                self._start()
                self._open = self._open.pop_all()
        except BaseException:
            self._supervisor = self._broker = None
            raise

    def stop(self) -> None:
        """Stop everything, last first. Twice does no harm."""
        self._open.close()
        self._supervisor = self._broker = None

    def status(self) -> tuple[Status, ...]:
        """How each kept process is; the broker is not among them."""
        return self._supervisor.status() if self._supervisor else ()

    def check(self) -> None:
        """Raise the error of a process that was given up, if any was."""
        if self._broker:
            self._broker.check()
        if self._supervisor:
            self._supervisor.check()

    def wait(self) -> None:
        """Return never: a signal, or the error of a process that was given up, ends it."""
        while True:
            self.check()
            time.sleep(TICK_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        home = self.settings.home_path
        claim = Claim(home)
        home.chmod(0o700)  # what lies below was said by people who trusted the application, not this machine's accounts
        (home / "run" / "tmp").mkdir(parents=True, exist_ok=True)
        spilled.sweep(home / "run" / "tmp")
        self._open.callback(claim.release)
        self._open.enter_context(_told(self._say))
        self._take_ports()
        self._find_broker(home / "kafka")
        Admin(self.settings.kafka).ensure_topics()
        self._supervisor = self._open.enter_context(Supervisor(self._children(home / "run")))
        self._keep_addresses(home / "run" / ADDRESSES)
        if self._starts_prefect:
            signin.lay_out(home)

    def _take_ports(self) -> None:
        """Settle the ports of what is to be started; 0 becomes a free one."""
        triage = self.settings.triage.web_port or free_port()
        door = self.settings.door.port or free_port(0, triage)
        ui = self.settings.ui.port or free_port(0, triage, door)
        prefect = self.settings.prefect_port or free_port(0, triage, door, ui)
        started = {"FLYWHEEL_TRIAGE_WEB_PORT": triage, "FLYWHEEL_DOOR_PORT": door, "FLYWHEEL_UI_PORT": ui}
        if self._starts_prefect:
            started["FLYWHEEL_PREFECT_PORT"] = prefect
        for variable, port in started.items():
            if not is_free(port):
                raise PortTaken(f"port {port} is in use by another program: stop that, or set {variable} (0: any free)")
        self.settings = replace(
            self.settings, prefect_port=prefect, triage=replace(self.settings.triage, web_port=triage),
            door=replace(self.settings.door, port=door), ui=replace(self.settings.ui, port=ui),
        )  # fmt: skip

    def _find_broker(self, home: Path) -> None:
        kafka = self.settings.kafka
        if not kafka.bootstrap_servers:
            self._broker = self._open.enter_context(Broker(home, kafka.port or None, kafka.heap))
            kafka = replace(kafka, bootstrap_servers=self._broker.bootstrap_servers)
            self._say("broker is ready")
        self.settings = replace(self.settings, kafka=kafka)

    def _children(self, folder: Path) -> list[Child]:
        """What is kept running, in the order of its start."""
        environment = child_environment(without_keys(self.settings), PYTHONUNBUFFERED="1")
        addresses = self.addresses
        triage, door, ui = f"{addresses.triage}/ready", f"{addresses.door}/ready", f"{addresses.ui}/healthz"
        children = [
            Child(name="archiver", argv=_python("streams", "archive"), folder=folder, env=environment),
            Child(
                name="triage", argv=_python("flows.rollback_watch"), folder=folder, env=environment,
                ready=lambda: _answers(triage), stop_timeout_s=5,
            ),
            Child(
                name="door", argv=_python("streams", "door"), folder=folder, env=environment,
                ready=lambda: _answers(door), stop_timeout_s=10,
            ),
            Child(
                name="ui", argv=_python("ui"), folder=folder, ready=lambda: _answers(ui), stop_timeout_s=5,
                env=environment,
            ),
        ]  # fmt: skip
        if self.settings.door.collector_topic:
            children.append(Child(name="bridge", argv=_python("streams", "bridge"), folder=folder, env=environment))
        if not self._prefect:
            return children
        prefect = prefect_environment(self.settings)
        environment |= prefect
        place = ("--host", LOOPBACK, "--port", str(self.settings.prefect_port))
        if self._starts_prefect:
            children.append(
                Child(
                    name="prefect", folder=folder, env=environment, stop_timeout_s=5,
                    argv=_python("prefect", "server", "start", *place),
                    ready=partial(self.orchestrator.keeps, Path(environment["PREFECT_HOME"])),
                    ready_timeout_s=PREFECT_TIMEOUT_S,
                )
            )  # fmt: skip
        served = self.settings.home_path / SERVED_MARK
        served.unlink(missing_ok=True)
        flows = Child(
            name="flows", argv=_python("flows.serve"), folder=folder, stop_timeout_s=5,
            env=child_environment(self.settings, PYTHONUNBUFFERED="1", **prefect),
            ready=served.exists, ready_timeout_s=PREFECT_TIMEOUT_S,
        )  # fmt: skip
        return [*children, flows]

    def _keep_addresses(self, path: Path) -> None:
        path.write_bytes(msgspec.json.encode(self.addresses))
        self._open.callback(path.unlink, missing_ok=True)


class _Teller(logging.Handler):
    """Passes on what the supervisor logs: who is ready, who crashed and starts again."""

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextlib.contextmanager
def _told(say: Callable[[str], object]) -> Iterator[None]:
    logger, teller = logging.getLogger(supervise.__name__), _Teller(say)
    before = logger.level, logger.propagate
    logger.addHandler(teller)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # or whoever configures logging, as Prefect does on import, says it all a second time
    try:
        yield
    finally:
        logger.removeHandler(teller)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False
