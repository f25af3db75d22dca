"""What a training has left in its output folder, looked at before anybody believes it.

A command is somebody else's program, and what it writes may be anything: links to other folders, devices, a description
of another training, nothing at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from flows import training
from flows.trained import Place
from flows.versions import Version
from flows.visible import one_line
from schemas.errors import InputFileError, UsageError

Fault = Literal["exit", "timeout", "cost", "too_large", "no_output", "unusable_output"]
MOST_FILES = 10_000
"""No model has so many."""


class Unusable(Exception):
    """What it is that cannot be used: `status` and a sentence."""

    def __init__(self, status: Fault, reason: str) -> None:
        super().__init__(reason)
        self.status: Fault = status


def size_of(*folders: Path) -> int:
    """Bytes of all that lies below some folders. Raises Unusable for more than MOST_FILES entries."""
    size = count = 0
    for folder in folders:
        for facts, _ in _entries(folder):
            size += facts.st_size
            count += 1
            if count > MOST_FILES:
                raise Unusable("unusable_output", f"it has written more than {MOST_FILES} files")
    return size


def finished(place: Place, version: Version, config: str, **told: Any) -> training.Training:
    """Check the output and make it the model, which then says what made it. Raises Unusable.

    A `flywheel.json` of the command's own must name this very dataset version; where there is none it is written.
    """
    files = 0
    if place.output.is_symlink() or not place.output.is_dir():
        raise Unusable("unusable_output", "it has put something else in place of its output folder ($TRAIN_OUTPUT)")
    for facts, path in _entries(place.output):
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            name = one_line(os.fsdecode(path.name))[:100]
            raise Unusable("unusable_output", f"{name} in its output is neither a file nor a folder")
        files += stat.S_ISREG(facts.st_mode)
    if not files:
        raise Unusable("no_output", "it ended well, and put nothing into its output folder ($TRAIN_OUTPUT)")
    made = _described(place.output, version, config, **told)
    place.output.replace(place.model)
    return made


def _described(folder: Path, version: Version, config: str, **told: Any) -> training.Training:
    try:
        if (folder / training.FILE).exists():
            made = training.read(folder)
            training.version_of(made, [version])
            return made
        made = training.training_of(version, config, **told)
        training.write(folder, made)
    except (InputFileError, UsageError) as error:
        raise Unusable("unusable_output", one_line(str(error))[:500]) from error
    return made


def _entries(folder: Path) -> Iterator[tuple[os.stat_result, Path]]:
    """Everything below a folder, no link followed; what goes meanwhile is not there."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            try:
                yield path.lstat(), path
            except OSError:
                continue
