"""Folders of trainings below the home: where one works, what it leaves, and what may go.

    <home>/training/<key>/      one dataset version under one command and seed, whoever starts it and how often
        state.json              how long it has worked so far, its port, its model's name
        trainer.log             what the command says, two files of 10 MiB at most
        checkpoints/            the command's own: they survive a kill, and go once there is a model
        output/                 where the command puts the model
        model/                  the model, whole: `output` is renamed to it last of all, with `flywheel.json` in it

Go on to `flows/trainer/stage.py`, which fills them, and to `flows/maintain/stage.py`, which cleans them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from schemas.errors import AlreadyRunning
from streams.processes.orphans import Claim, sweep

FOLDER = "training"
NAME = "trainer"
STOP_S = 60.0
"""From SIGTERM to SIGKILL: time to write a checkpoint."""


class State(Struct, frozen=True, kw_only=True):
    """What must be known again after a kill."""

    model: str
    """Name of the candidate."""
    port: int
    dataset: str = ""
    """The version that it is on."""
    spent_s: float = 0.0
    """Seconds that the command has worked, over all starts."""
    starts: int = 0


class Place(Struct, frozen=True):
    """The folder of one training."""

    folder: Path

    @property
    def output(self) -> Path:
        """Where the command puts the model."""
        return self.folder / "output"

    @property
    def checkpoints(self) -> Path:
        """The command's own."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """The finished model."""
        return self.folder / "model"

    @property
    def state(self) -> State | None:
        """What is known of it; None before its first start."""
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((self.folder / "state.json").read_bytes(), type=State)
        return None

    def note(self, state: State) -> None:
        """Write down how it is, in one step."""
        fresh = self.folder / f".state.{os.getpid()}"
        fresh.write_bytes(msgspec.json.encode(state))
        fresh.replace(self.folder / "state.json")


def place_of(home: Path, key: str) -> Place:
    """The folder of a training; it need not be there yet."""
    return Place(home / FOLDER / key)


def places(home: Path) -> list[Place]:
    """Every training that has a folder, the newest last."""
    found = [path for path in (home / FOLDER).glob("*/") if not path.is_symlink()]
    return [Place(path) for path in sorted(found, key=lambda path: (path.stat().st_mtime, path.name))]


def free_port(home: Path, first: int) -> int:
    """The first port from `first` on that no other training has."""
    taken = {state.port for place in places(home) if (state := place.state) is not None}
    return next(port for port in range(first, first + len(taken) + 1) if port not in taken)


def end_orphans(home: Path) -> None:
    """End what trainings that were killed have left running."""
    for place, claim in _unused(home):
        sweep(place.folder / f"{NAME}.pid", STOP_S)
        claim.release()


def forget(home: Path, withdrawn: Collection[str]) -> None:
    """Remove the checkpoints of what was trained on these versions: nobody goes on from them, and they know its rows.

    What is at work takes its own away when it ends.
    """
    for place, claim in _unused(home):
        if (state := place.state) and state.dataset in withdrawn:
            shutil.rmtree(place.checkpoints, ignore_errors=True)
        claim.release()


def clean(home: Path, needed: Collection[str], keep: int) -> int:
    """Remove all but the `keep` newest trainings, those whose model is needed by its name, and what is at work.

    How many went.
    """
    newest = {place.folder for place in places(home)[-keep:]}
    gone = 0
    for place, claim in _unused(home):
        state = place.state
        if place.folder not in newest and not (state and state.model in needed):
            shutil.rmtree(place.folder, ignore_errors=True)
            gone += 1
        claim.release()
    return gone


def _unused(home: Path) -> Iterator[tuple[Place, Claim]]:
    """Each training that nobody works at, claimed."""
    for place in places(home):
        with suppress(AlreadyRunning):
            yield place, Claim(place.folder)
