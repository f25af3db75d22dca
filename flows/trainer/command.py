"""The command at work: told in variables what to do, watched for time, cost and size, its lines in our log.

It gets no key of ours, and is a child that ends when we do; what a kill has left of it is ended at the next start. Go
on to `output.py`.
"""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec

from flows.command_line import words
from flows.context import foreign_environment
from flows.trained import NAME, STOP_S, Place, State
from flows.trainer.output import Unusable, size_of
from flows.visible import one_line
from schemas.settings import Settings
from schemas.trainer import TrainSettings
from streams.processes.supervise import Child, run_once, tail

_log = logging.getLogger(__name__)
NOTE_S = 5.0
"""How often time and size are noted: what a kill can lose of either."""
LINES, LINE = 1_000, 300
"""Lines of the command that our log repeats, and characters of each; the whole stands in its own."""
AT_ONCE = 256 * 2**10
"""Bytes of its log that are read at a time."""


def limit_s(how: TrainSettings) -> tuple[float, Literal["timeout", "cost"]]:
    """The seconds that a training may take, and the name of what says so: `timeout` or `cost`."""
    by_hours = how.hours * 3600
    by_cost = how.max_cost_usd / how.usd_per_hour * 3600 if how.max_cost_usd else by_hours
    return (by_cost, "cost") if by_cost < by_hours else (by_hours, "timeout")


def remove(output: Path) -> None:
    """Take away what a command has made its output, which may be a link by now."""
    if output.is_symlink() or output.is_file():
        output.unlink()
    elif output.exists():
        shutil.rmtree(output)


def work(place: Place, dataset: Path, settings: Settings) -> None:
    """Run the command to its end, or until a limit. Raises Unusable where it does not end well, UsageError for none.

    Called again it goes on, with the time that is left and the checkpoints that are there.
    """
    how = settings.train
    argv = words(how.command, place.folder, "train.command")
    remove(place.output)  # what a kill has left there is half of something
    place.output.mkdir()
    place.checkpoints.mkdir(exist_ok=True)
    told = {
        "TRAIN_DATASET": str(dataset),
        "TRAIN_CONFIG": how.config,
        "TRAIN_OUTPUT": str(place.output),
        "TRAIN_CHECKPOINTS": str(place.checkpoints),
        "TRAIN_SEED": str(how.seed),
    }
    child = Child(
        name=NAME, argv=argv, folder=place.folder, cwd=place.folder, env={**foreign_environment(), **told},
        stop_timeout_s=STOP_S,
    )  # fmt: skip
    watch = _Watch(place, child.log, how)
    begun = child.log.stat().st_size if child.log.exists() else 0
    try:
        code = run_once(child, watch)
    finally:
        watch.note()
        watch.repeat()
    if code != 0:
        last = " ".join(tail(child.log, begun, lines=3).split())
        how_ended = f"code {code}" if code > 0 else f"signal {-code}"
        raise Unusable("exit", f"it ended with {how_ended}: {one_line(last)[-LINE:] or '(it wrote nothing)'}")
    watch.measure()


class _Watch:
    """Looks after one start of the command; called ten times a second."""

    def __init__(self, place: Place, log: Path, how: TrainSettings) -> None:
        state = place.state or State(model="", port=0)
        self._place, self._log, self._how = place, log, how
        self._state = msgspec.structs.replace(state, starts=state.starts + 1)
        self._began = self._noted = time.monotonic()
        self._read = log.stat().st_size if log.exists() else 0
        self._lines = 0
        place.note(self._state)

    def __call__(self) -> None:
        limit, name = limit_s(self._how)
        if self._spent() > limit:
            raise Unusable(name, f"it was ended after {limit / 3600:.3g} hours of work, its limit by train.*")
        if time.monotonic() - self._noted >= NOTE_S:
            self.note()
            self.measure()
            self.repeat()

    def measure(self) -> None:
        """Raise Unusable where there is more on the disk than may be."""
        if (size := size_of(self._place.output, self._place.checkpoints)) > self._how.max_bytes:
            raise Unusable("too_large", f"model and checkpoints have {size} bytes, over train.max_bytes")

    def note(self) -> None:
        """Write down how long it has worked."""
        self._noted = time.monotonic()
        self._place.note(msgspec.structs.replace(self._state, spent_s=round(self._spent(), 1)))

    def repeat(self) -> None:
        """Say in our log what it has said since, while that is little."""
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            size = self._log.stat().st_size
            file.seek(self._read if self._read <= size else 0)  # it was emptied
            said = file.read(AT_ONCE)
            self._read = file.tell()
        for line in said.decode(errors="replace").splitlines():
            if self._lines < LINES and line.strip():
                _log.info("%s", one_line(line)[:LINE])
                self._lines += 1

    def _spent(self) -> float:
        return self._state.spent_s + time.monotonic() - self._began
