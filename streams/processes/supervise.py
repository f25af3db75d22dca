"""Supervisor: child processes that are started in order, restarted when they crash, and never left behind.

A `Child` says what to run, a `Keeper` keeps one running, a `Supervisor` keeps several. From here:
`streams/broker/broker.py` for a child with a readiness answer, `streams/processes/launch.py` for how a child dies with
its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from schemas.errors import ChildDied, FlywheelError
from streams.processes import launch
from streams.processes.orphans import Claim, note, sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import FrameType

_log = logging.getLogger(__name__)

LOG_LIMIT = 10 * 2**20
"""Bytes of a child's log before it moves to NAME.log.1: two files a child, 20 MiB at most (and what a burst adds)."""
STABLE_S = 60.0
"""A child that ran this long has recovered: its earlier crashes are forgotten."""
TICK_S = 0.1
"""How soon a crash or an answer is noticed."""


def backoff(crashes: int) -> float:
    """Seconds to wait after the n-th crash in a row: 0.5, 1, 2, 4 … at most 30."""
    return min(30.0, 0.5 * 2.0 ** (crashes - 1))


@dataclass(frozen=True, kw_only=True)
class Child:
    """What to run, and how to treat it."""

    name: str
    """Unique in its folder."""
    argv: tuple[str, ...]
    folder: Path
    """Holds NAME.pid and NAME.log."""
    env: Mapping[str, str] | None = None
    """The whole environment; None passes on the parent's."""
    cwd: Path | None = None
    """Where it runs; None: where the parent does."""
    ready: Callable[[], bool] | None = None
    """Asked every 0.1 s after the first start until it says yes; must be quick and must not raise.
    A child that ends before that is not restarted: what cannot start once will not start twice."""
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0
    """From SIGTERM to SIGKILL."""
    max_restarts: int = 5
    """Crashes in a row that are borne."""
    error: type[FlywheelError] = ChildDied
    """What is raised when it cannot start or crashes too often."""

    @property
    def pid_file(self) -> Path:
        """Who runs now, for whoever has to clean up."""
        return self.folder / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """Its standard output and error."""
        return self.folder / f"{self.name}.log"


State = Literal["starting", "running", "waiting", "stopped", "given up"]
"""`waiting`: it crashed, and its next start is due after the back-off."""


@dataclass(frozen=True)
class Status:
    """How a child is."""

    name: str
    state: State
    pid: int | None
    restarts: int
    log: Path


def tail(log: Path, start: int = 0, lines: int = 20) -> str:
    """The last lines of a log, none of them from before byte `start`; empty if there is no log."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start if start <= size else 0, size - 64 * 1024))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    return ""


def bound(log: Path, limit: int = LOG_LIMIT) -> None:
    """Copy a log that is over the limit to NAME.log.1 and empty it in place: the child keeps its file open."""
    if not log.exists() or log.stat().st_size <= limit:
        return
    with contextlib.suppress(OSError):  # a full disk must not stop the log from being emptied
        shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)


class Keeper:
    """Keeps one child running, in a thread of its own.

    The thread is also what starts the child, and lives as long as the child should: the kernel ties the child to it.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self._thread = threading.Thread(target=self._keep, name=f"keeper-{child.name}", daemon=True)
        self._stopping = threading.Event()
        self._was_ready = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._crashes = 0
        self._restarts = 0
        self._failure = ""

    @property
    def status(self) -> Status:
        """How the child is now."""
        process = self._process
        pid = process.pid if process else None
        return Status(self.child.name, self._state(pid), pid, self._restarts, self.child.log)

    def _state(self, pid: int | None) -> State:
        if self._failure:
            return "given up"
        if self._stopping.is_set() or not self._thread.is_alive():
            return "stopped"
        if pid is None:
            return "waiting"
        return "running" if self._was_ready.is_set() else "starting"

    def start(self) -> None:
        """Sweep up, start the child, and wait until it is ready.

        Raises the child's error, with the last lines of its log, if it ends or does not answer in time.
        """
        self.child.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        atexit.register(self.stop)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        self._was_ready.set()

    def stop(self) -> None:
        """End the child; returns when nothing of it is left. Twice does no harm."""
        atexit.unregister(self.stop)
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def sweep(self) -> None:
        """End whatever an earlier start of this child left behind."""
        if left := sweep(self.child.pid_file, self.child.stop_timeout_s):
            _log.warning("%s: ended what was left of an earlier start: %s", self.child.name, left)

    def check(self) -> None:
        """Raise the child's error if it was given up."""
        if self._failure:
            raise self.child.error(self._failure)

    def _wait_ready(self) -> None:
        ready = self.child.ready
        deadline = time.monotonic() + self.child.ready_timeout_s
        while ready is not None and not (self._process and ready()):
            if not self._thread.is_alive():
                raise self.child.error(self._failure or f"{self.child.name} was stopped before it was ready")
            if time.monotonic() > deadline:
                self._failure = self._story(f"did not answer within {self.child.ready_timeout_s:g} s")
                raise self.child.error(self._failure)
            time.sleep(TICK_S)

    def _keep(self) -> None:
        """The thread: start, watch, start again."""
        try:
            while not self._stopping.is_set() and not self._failure:
                code = self._run_once()
                if code is not None:
                    self._after_crash(code)
        except Exception as error:  # the thread must not end in silence: whoever waits for it learns why
            _log.exception("%s cannot be kept running", self.child.name)
            self._failure = f"{self.child.name} cannot be kept running: {error}"
        finally:
            self._process = None

    def _run_once(self) -> int | None:
        """Run the child until it ends, and return its exit code; None if it was stopped."""
        self.sweep()
        started = time.monotonic()
        process = self._spawn()
        try:
            while process.poll() is None and not self._stopping.wait(TICK_S):
                bound(self.child.log)
        finally:
            code = process.poll()
            self._terminate(process)
            self._process = None
        if time.monotonic() - started >= STABLE_S:
            self._crashes = 0
        return None if self._stopping.is_set() else code

    def _spawn(self) -> subprocess.Popen[bytes]:
        log = self.child.log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._process = _spawn(self.child)
        return self._process

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        """End the child and reap it, then whatever it started and did not end."""
        _terminate(self.child, process)
        self.sweep()

    def _after_crash(self, code: int) -> None:
        """Wait before the next start, or give up."""
        self._crashes += 1
        never_ready = self.child.ready is not None and not self._was_ready.is_set()
        if never_ready or self._crashes > self.child.max_restarts:
            self._failure = self._story(f"ended with code {code}")
            _log.error("%s", self._failure)
            return
        pause = backoff(self._crashes)
        _log.warning("%s ended with code %s; starting it again in %g s", self.child.name, code, pause)
        if not self._stopping.wait(pause):
            self._restarts += 1

    def _story(self, what: str) -> str:
        again = f", {self._crashes} times in a row" if self._crashes > 1 else ""
        last = tail(self.child.log, self._log_start) or "(it wrote nothing)"
        return f"{self.child.name} {what}{again}. The end of {self.child.log}:\n{last}"


def run_once(child: Child, watch: Callable[[], object]) -> int:
    """Run a child to its end, once, in this thread; its exit code, or minus the signal that ended it.

    `watch` is called every 0.1 s; whatever it raises ends the child, and is raised. What an earlier start has left
    behind is ended first, and what this one has started and not ended, afterwards.
    """
    child.folder.mkdir(parents=True, exist_ok=True)
    sweep(child.pid_file, child.stop_timeout_s)
    process = _spawn(child)
    try:
        while (code := process.poll()) is None:
            watch()
            bound(child.log)
            time.sleep(TICK_S)
        return code
    finally:
        with handling(signal.SIG_IGN):
            _terminate(child, process)
            sweep(child.pid_file, child.stop_timeout_s)


def _spawn(child: Child) -> subprocess.Popen[bytes]:
    guard = (sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(child.pid_file))
    with child.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - argv comes from our own callers, no shell
            (*guard, *child.argv),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=child.env, cwd=child.cwd,
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor, which stops in order
        )  # fmt: skip
    try:
        note(child.pid_file, process.pid, child.argv)
    except OSError:  # a full disk: better no child than one that nobody could find again
        process.kill()
        process.wait()
        raise
    return process


def _terminate(child: Child, process: subprocess.Popen[bytes]) -> None:
    """End the child and reap it."""
    process.terminate()
    try:
        process.wait(child.stop_timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Supervisor:
    """Keeps several children running: started in order, each when the one before is ready; stopped in reverse."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._keepers = [Keeper(child) for child in children]
        self._started: list[Keeper] = []
        self._claims: list[Claim] = []

    def start(self) -> None:
        """Start all children, or none: if one cannot start, those before it are stopped and its error is raised.

        Raises AlreadyRunning if another supervisor holds one of the children's folders.
        """
        try:
            for folder in dict.fromkeys(keeper.child.folder for keeper in self._keepers):
                self._claims.append(Claim(folder))
            for keeper in reversed(self._keepers):
                keeper.sweep()
            for keeper in self._keepers:
                self._started.append(keeper)
                keeper.start()
                _log.info("%s is ready", keeper.child.name)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all children, last first, in at most twice the sum of their `stop_timeout_s`. Signals are ignored."""
        with handling(signal.SIG_IGN):
            while self._started:
                self._started.pop().stop()
            while self._claims:
                self._claims.pop().release()

    def check(self) -> None:
        """Raise the error of the first child that was given up, if any was."""
        for keeper in self._keepers:
            keeper.check()

    def status(self) -> tuple[Status, ...]:
        """How each child is, in the order of their start."""
        return tuple(keeper.status for keeper in self._keepers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does: `with` blocks are left in order. Main thread only.

    Only the first signal counts: an impatient second Ctrl-C must not leave children behind.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    with handling(interrupt):
        yield


@contextlib.contextmanager
def handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """Handle SIGINT and SIGTERM in this way for a while; only the main thread can, and elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, handler)) for number in STOP_SIGNALS]
    try:
        yield
    finally:
        for number, previous in before:
            signal.signal(number, previous)
