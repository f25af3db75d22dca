"""Who trained on what: `flywheel.json` in a trained model's folder, written after a training, read at a registration.

The trainer's own environment need not know this program: the file is small, and any JSON of these fields will do.
Go on to `versions.py`, which knows the dataset that it names.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from flows.versions import Version
from schemas.errors import InputFileError, UsageError
from schemas.events import Name

FILE = "flywheel.json"
LIMIT = 32 * 2**10
"""Bytes: it becomes evidence in a row of the ledger, which is announced on Kafka, whose messages hold a MiB."""
PYTHON_S = 60.0
"""An interpreter that takes longer to say what is installed is stuck."""
LIBRARIES = (
    "accelerate", "axolotl", "bitsandbytes", "datasets", "llamafactory", "peft", "torch", "transformers", "trl",
    "unsloth",
)  # fmt: skip
"""What trainers stand on; of others `--settings` may tell."""
ASK = (
    "import json, sys; from importlib.metadata import PackageNotFoundError as No, version\n"
    "def of(name):\n try: return version(name)\n except No: return None\n"
    "found = {name: of(name) for name in sys.argv[1:]}\n"
    "found['python'] = sys.version.split()[0]\n"
    "print(json.dumps({name: it for name, it in found.items() if it}))"
)


class Training(Struct, frozen=True, kw_only=True):
    """What made a model of which data; the content of `flywheel.json`."""

    format: Literal[1] = 1
    """Of the file; another number is another shape."""
    dataset: Name
    """Its name, as `flywheel dataset list` or its `manifest.json` says."""
    version: Name
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    config: Annotated[str, Meta(max_length=64)] = ""
    """Which rows of it: `sft`, `preference`, …; empty: all."""
    base_model: Annotated[str, Meta(max_length=500)] = ""
    """What was trained further."""
    seed: int | None = None
    settings: dict[str, Any] = {}
    """The trainer's: learning rate, epochs, …"""
    libraries: dict[str, str] = {}
    """Name → version, of the environment that trained."""


def training_of(version: Version, config: str, **more: Any) -> Training:
    """What a training on a dataset version is described by. Raises UsageError where nobody can train on it so."""
    if version.kind != "training":
        raise UsageError(f"{version.dataset}@{version.version} is of kind {version.kind}: no model may train on it")
    if config and config not in (configs := sorted({part.split("/")[0] for part in version.rows})):
        raise UsageError(
            f"{version.dataset}@{version.version} has no config {config[:64]!r}; it has {', '.join(configs)}"
        )
    what = {"dataset": version.dataset, "version": version.version, "sha256": version.sha256, "config": config, **more}
    try:
        return msgspec.convert(what, Training)
    except msgspec.ValidationError as error:
        raise UsageError(f"that does not describe a training: {error}") from error


def write(folder: Path, training: Training) -> Path:
    """Put `flywheel.json` into a model's folder, whole or not at all; where it lies. Raises UsageError."""
    text = msgspec.json.format(msgspec.json.encode(training, order="sorted"), indent=2) + b"\n"
    if len(text) > LIMIT:
        raise UsageError(f"{FILE} would have {len(text)} bytes, and may have {LIMIT}: say less in the settings")
    path = folder / FILE
    part = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        part.write_bytes(text)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path


def read(folder: Path) -> Training:
    """What stands in a model's folder. Raises InputFileError, in a sentence, for a file that is missing or none."""
    path = folder / FILE
    try:
        if not path.is_file():
            raise InputFileError(f"{folder} has no {FILE}: `flywheel candidate describe` writes it after a training")
        with path.open("rb") as file:
            raw = file.read(LIMIT + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputFileError(f"{path} cannot be read: {error}") from error
    if len(raw) > LIMIT:
        raise InputFileError(f"{path} has more than {LIMIT} bytes: that is no {FILE} of ours")
    try:
        return msgspec.json.decode(raw, type=Training)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputFileError(f"{path} does not describe a training: {error}") from error


def version_of(training: Training, known: Sequence[Version]) -> Version:
    """The dataset version that a training names. Raises UsageError where it is not known, or is another by its hash."""
    name = f"{training.dataset}@{training.version}"
    for version in known:
        named = training.dataset in {version.dataset, version.manifest.get("name")}
        if named and (version.kind, version.version) == ("training", training.version):
            if version.sha256 != training.sha256:
                raise UsageError(f"{FILE} says {name} with SHA-256 {training.sha256}, but that has {version.sha256}")
            return version
    raise UsageError(f"{FILE} says {name}, and there is no such training dataset: `flywheel dataset list` shows them")


def libraries_of(python: str, environment: dict[str, str]) -> dict[str, str]:
    """The versions of LIBRARIES that an interpreter has installed, and its own. Raises UsageError."""
    command = [python, "-I", "-c", ASK, *LIBRARIES]
    try:
        said = subprocess.run(command, capture_output=True, timeout=PYTHON_S, env=environment, check=True).stdout  # noqa: S603 the person names it, no shell
        return msgspec.json.decode(said, type=dict[str, str])
    except (OSError, ValueError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise UsageError(f"--python {python[:200]!r} does not say what it has installed: {error}") from error
