"""The models: converted, trained and served by programs of `trainer/`, in an environment of their own.

Nothing of torch is imported here. A training that is killed goes on from its last checkpoint; one that ends with an
error says its last lines. Go on to `wheel.py`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from os import getpid
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from msgspec import Struct

from schemas.errors import FlywheelError
from schemas.events import Candidate
from schemas.records import make_candidate
from streams.broker.broker import free_port
from streams.processes import launch
from streams.processes.supervise import Child, Supervisor

from .book import Book

TRAINER = Path(__file__).parent / "trainer"
KEEPS_MEMORY = ("MALLOC_MMAP_THRESHOLD_=4294967296", "MALLOC_TRIM_THRESHOLD_=4294967296")
"""Freed tensors stay with the process, where the kernel would clear their pages anew at each step: 16 s of 48 in a
training of 18 steps."""
SERVES = ("OMP_WAIT_POLICY=PASSIVE", "MALLOC_ARENA_MAX=1", *KEEPS_MEMORY)
"""A server's threads that wait leave the cores to the flywheel and to another server, and keep what is freed in one
place: 285 MB less with batches of 32. A training is alone, and its threads meet so often that it is a fifth faster
where they do not sleep."""
SHOTS_BATCH = 16
"""Requests behind examples that are answered together: they are four times as long."""
STARTS = 3
"""Of one training: it is killed at most twice by others, and goes on from its checkpoint."""
LOAD_TIMEOUT_S = 600.0
"""Importing torch and loading the weights takes ten seconds, and minutes where the machine is busy."""
LAST = 12
"""Lines of a program that are shown when it fails."""
_STEP = re.compile(r"step (\d+)/(\d+)")
_DIRECT = build_opener(ProxyHandler({}))


class Served(Struct, frozen=True, kw_only=True):
    """A candidate, and what serves it."""

    candidate: Candidate
    folder: str
    """Of the weights."""
    shots: str = ""
    """Dataset version whose rows are shown as examples; empty: none."""


class Models:
    """The folder of the weights, and the interpreter that has torch."""

    def __init__(self, python: Path, home: Path, book: Book) -> None:
        self.python = python
        self.home = home
        self.folder = home / "models"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._book = book
        self._supervisor: Supervisor | None = None
        self._deployed: tuple[Served, ...] = ()

    def convert(self) -> None:
        """The base model out of its package."""
        self._run("convert.py", str(self.folder / "base"))

    def train(
        self, name: str, method: str, base: str, arguments: Sequence[str], tell: Callable[[int, int], None]
    ) -> None:
        """Train a model further; `tell` hears of each step."""
        self.stop()
        told = (method, "--base", str(self.folder / base), "--out", str(self.folder / name), *arguments)
        self._run("train.py", *told, tell=tell)

    def candidate(
        self, name: str, folder: str, *, dataset: str | None = None, shots: str = "", prompt_version: str | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> Served:  # fmt: skip
        """A model that is to be served at a port of its own, under its name."""
        port = self._book.once(f"port of {name} {prompt_version or ''}".strip(), int, free_port)
        candidate = make_candidate(
            name, f"http://127.0.0.1:{port}/v1", prompt_version=prompt_version, dataset=dataset,
            parameters={"temperature": 0, "max_tokens": 40, **(parameters or {})},
        )  # fmt: skip
        served = Served(candidate=candidate, folder=str(self.folder / folder), shots=shots)
        self._book.write(f"served {candidate.id}", served)
        return served

    def served(self, candidate: Candidate) -> Served:
        """What serves a candidate that was made here."""
        return self._book.once(f"served {candidate.id}", Served, lambda: _unknown(candidate))

    def command(self, served: Served) -> str:
        """The command line that serves a candidate, as `flywheel candidate add --command` takes it."""
        port = served.candidate.endpoint.rpartition(":")[2].removesuffix("/v1")
        words = ["env", *SERVES, str(self.python), str(TRAINER / "server.py"), "--model", served.folder]
        words += ["--name", served.candidate.model, "--port", port]
        more = ("--shots", served.shots, "--batch", str(SHOTS_BATCH)) if served.shots else ()
        return shlex.join([*words, *more])

    def deploy(self, *several: Served) -> None:
        """Have these answer, and nobody else: what runs already goes on."""
        if several == self._deployed:
            return
        self.stop()
        supervisor = Supervisor([self._child(served) for served in several])
        supervisor.start()
        self._supervisor, self._deployed = supervisor, several

    def stop(self) -> None:
        """Nobody answers any more: a training needs the memory."""
        if self._supervisor:
            self._supervisor.stop()
        self._supervisor, self._deployed = None, ()

    def _child(self, served: Served) -> Child:
        answers = partial(_answers, f"{served.candidate.endpoint}/models")
        return Child(
            name=f"serve-{served.candidate.id}", argv=tuple(shlex.split(self.command(served))),
            folder=self.home / "run" / "models", ready=answers, ready_timeout_s=LOAD_TIMEOUT_S,
        )  # fmt: skip

    def _run(self, program: str, *arguments: str, tell: Callable[[int, int], None] = lambda *_: None) -> None:
        """Run a program of the trainer to its end. Raises FlywheelError with its last lines where it fails."""
        command = [str(self.python), str(TRAINER / program), *arguments]
        with (self.home / "run" / f"{program}.log").open("a", encoding="utf-8") as log:
            for _ in range(STARTS):
                last: deque[str] = deque(maxlen=LAST)
                mark = str(self.home / "run" / f"{program}.pid")
                dies_with_us = (sys.executable, "-I", "-S", launch.__file__, str(getpid()), mark, "env", *KEEPS_MEMORY)
                with subprocess.Popen(  # noqa: S603 programs of this folder
                    [*dies_with_us, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                ) as process:
                    for line in process.stdout or ():
                        log.write(line)
                        log.flush()
                        last.append(line)
                        if step := _STEP.match(line):
                            tell(int(step[1]), int(step[2]))
                if process.returncode == 0:
                    return
                if process.returncode > 0:
                    break
        raise FlywheelError(f"{program} ended with status {process.returncode}:\n{''.join(last)}")


def _unknown(candidate: Candidate) -> Served:
    raise FlywheelError(f"{candidate.model} was not made by this demo: its home holds another run")


def _answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
