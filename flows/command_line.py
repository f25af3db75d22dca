"""Command lines that a person gives for a program that is not ours: words, and never a shell.

`flows/evaluate/server.py` keeps one for each candidate, the settings have those of a training.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from schemas.errors import UsageError

LIMIT = 64 * 2**10
"""Bytes of a command: no command line is longer."""
SHELL = frozenset({"|", "||", "&", "&&", ";", "<", ">", ">>", "2>&1"})
"""Words that only a shell understands."""


def words(text: str, folder: Path, option: str = "--command") -> tuple[str, ...]:
    """The words of a command line that runs in a folder. Raises UsageError, naming the option, for what is none."""
    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{option} is no command line: {error}") from error
    if not found or len(text.encode(errors="replace")) > LIMIT // 2 or "\0" in text:
        raise UsageError(f"{option} is no command line: it is empty, has a NUL, or more than {LIMIT // 2} bytes")
    if wrong := sorted(SHELL & set(found)):
        raise UsageError(f"{option} is read by no shell, so {wrong[0]!r} means nothing: name a script")
    program = found[0] if "/" not in found[0] else str(folder / found[0])
    if shutil.which(program) is None:
        raise UsageError(f"{option}: there is no program {found[0][:200]!r} (variables: `env NAME=VALUE PROGRAM …`)")
    return found
