"""Candidates that a command serves: it is started for an evaluation, seen to answer, and stopped afterwards.

The command stands in a file of this home alone, and never in the ledger: who may write to the lake or to Kafka must not
choose what runs here. No shell reads it, and it gets no key of ours. Go on to `stage.py`, which serves.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import psutil
from msgspec import Struct

from flows.addresses import check_url
from flows.command_line import LIMIT, words
from flows.context import foreign_environment
from flows.evaluate.runner import Role
from flows.outbound import CONNECT_S, session
from schemas.errors import AlreadyRunning, ChildDied, EndpointError, SettingsError, UsageError
from schemas.events import Candidate
from schemas.settings import Settings
from streams.processes.orphans import Claim, sweep
from streams.processes.supervise import TICK_S, Child, Keeper, handling

COMMANDS = "commands"
"""Below the home, mode 0700: one file a candidate, mode 0600."""
RUNNING = "run/served"
"""Below the home: one folder a candidate, with the process's number and log."""
NAME = "server"
PROBE_S = 2.0
"""Until a question whether the server is there counts as unanswered."""
STOP_S = 15.0
"""From SIGTERM to SIGKILL."""


class Command(Struct, frozen=True, kw_only=True):
    """What serves a candidate."""

    argv: tuple[str, ...]
    folder: str
    """Where it runs: the working folder of whoever registered it."""


class Served(Struct, frozen=True):
    """A command that serves a model now."""

    model: str
    keeper: Keeper

    def check(self) -> None:
        """Raise EndpointError, with the last lines that it wrote, where it has ended."""
        status = self.keeper.status
        running = status.pid is not None and _lives(status.pid)
        deadline = time.monotonic() + (0 if running else STOP_S)
        try:
            self.keeper.check()
            while not running and time.monotonic() < deadline:  # its keeper has yet to say how it ended
                time.sleep(TICK_S)
                self.keeper.check()
        except ChildDied as error:
            raise EndpointError(f"the command that serves {self.model[:200]!r} is gone: {error}") from error


def keep(home: Path, candidate_id: str, text: str, folder: Path) -> None:
    """Keep the command that serves a candidate; an empty text forgets it.

    Raises UsageError for what no program could be started by.
    """
    path = _path(home, candidate_id)
    if not text.strip():
        path.unlink(missing_ok=True)
        return
    content = msgspec.json.encode(Command(argv=words(text, folder), folder=str(folder)))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def command_of(home: Path, candidate_id: str) -> Command | None:
    """The command that serves a candidate; None where this home knows none.

    Raises SettingsError where somebody else could have written it.
    """
    path = _path(home, candidate_id)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            facts = os.fstat(file.fileno())
            others = facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or others:
                raise SettingsError(f"{path} is not yours alone: see what stands in it, then `chmod 600` it")
            return msgspec.json.decode(file.read(LIMIT), type=Command)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} holds no command: {error}; register the candidate with one again") from error


@contextmanager
def serving(models: Mapping[Role, Candidate], settings: Settings) -> Iterator[Callable[[], None]]:
    """Both models answer while this is open: those with a command are started, and stopped at the end.

    Gives a function that raises EndpointError once a command has ended. Raises EndpointError at once where nobody takes
    a connection and no command is known, where a command does not come to answer within `evaluate.start_timeout_s`, and
    where a stranger has its place; UsageError where another evaluation serves the model. What an evaluation that was
    killed has left is ended first.
    """
    served: list[Served] = []

    def check() -> None:
        for one in served:
            one.check()

    _sweep(settings.home_path)
    with ExitStack() as stack:
        for role, command in _to_start(models, settings).items():
            served.append(stack.enter_context(_started(models[role], command, settings)))
        yield check


def _to_start(models: Mapping[Role, Candidate], settings: Settings) -> dict[Role, Command]:
    """Whose command is to be started; each other model is seen to be there."""
    champion, candidate = models["champion"], models["candidate"]
    commands = {role: command_of(settings.home_path, model.id) for role, model in models.items()}
    wanted = commands["candidate"]
    together = champion.endpoint == candidate.endpoint
    if together and commands["champion"] and wanted and commands["champion"] != wanted:
        raise UsageError(f"champion and candidate have different commands for {candidate.endpoint}: give each a port")
    start: dict[Role, Command] = {}
    if not (together and wanted) and not _takes_connections(champion, settings):
        start["champion"] = commands["champion"] or _nobody(champion)
    if wanted and _takes_connections(candidate, settings):
        raise EndpointError(
            f"somebody answers at {candidate.endpoint[:200]} already: stop it, so that the candidate's own command is "
            'asked, or register the candidate with --command ""'
        )
    if wanted or not (together or _takes_connections(candidate, settings)):
        start["candidate"] = wanted or _nobody(candidate)
    return start


def _nobody(model: Candidate) -> Command:
    raise EndpointError(
        f"nobody answers at {model.endpoint[:200]}, where {model.model[:200]!r} is: start it, or register it with "
        "--command, which starts it for an evaluation"
    )


@contextmanager
def _started(model: Candidate, command: Command, settings: Settings) -> Iterator[Served]:
    folder = _folder(settings.home_path, model.id)
    try:
        claim = Claim(folder)
    except AlreadyRunning as error:
        raise UsageError(f"{model.model[:200]!r} is served for another evaluation: wait for it to end") from error
    answers = partial(_answers, model.endpoint, settings.evaluate.private_endpoints)
    child = Child(
        name=NAME, argv=command.argv, folder=folder, cwd=Path(command.folder), env=foreign_environment(), ready=answers,
        ready_timeout_s=settings.evaluate.start_timeout_s, stop_timeout_s=STOP_S, max_restarts=0,
    )  # fmt: skip
    keeper = Keeper(child)
    try:
        try:
            keeper.start()
        except ChildDied as error:
            raise EndpointError(f"the command that serves {model.model[:200]!r} does not answer: {error}") from error
        yield Served(model.model, keeper)
        child.log.unlink(missing_ok=True)  # servers write down what they are asked, and nobody would look for it there
    finally:
        with handling(signal.SIG_IGN):
            keeper.stop()
        claim.release()


def _sweep(home: Path) -> None:
    """End what evaluations that were killed have left running."""
    for folder in sorted((home / RUNNING).glob("*/")):
        with suppress(AlreadyRunning):
            claim = Claim(folder)
            sweep(folder / f"{NAME}.pid", STOP_S)
            claim.release()


def _takes_connections(model: Candidate, settings: Settings) -> bool:
    return asyncio.run(_status(model.endpoint, settings.evaluate.private_endpoints, CONNECT_S)) is not None


def _answers(endpoint: str, declared: tuple[str, ...]) -> bool:
    """Whether the server is there and has loaded: while they load, servers say 503 or nothing."""
    return 0 < (asyncio.run(_status(endpoint, declared, PROBE_S)) or 0) < 500


async def _status(endpoint: str, declared: tuple[str, ...], timeout_s: float) -> int | None:
    """The HTTP status of its list of models; 0 where it says nothing that is HTTP, None where nobody is there."""
    url = check_url(endpoint.rstrip("/"), declared) / "models"
    try:
        async with session(declared, timeout_s) as opened, opened.get(url, allow_redirects=False) as response:
            return int(response.status)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return None
    except (aiohttp.ClientError, EndpointError, OSError, ValueError):  # each item will say what is wrong with it
        return 0


def _lives(pid: int) -> bool:
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _path(home: Path, candidate_id: str) -> Path:
    return home / COMMANDS / f"{_key(candidate_id)}.json"


def _folder(home: Path, candidate_id: str) -> Path:
    return home / RUNNING / _key(candidate_id)


def _key(candidate_id: str) -> str:
    """An id from the ledger is never part of a path."""
    return hashlib.sha256(candidate_id.encode()).hexdigest()[:32]
