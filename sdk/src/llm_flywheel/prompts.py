"""Prompt versions: one short name for the prompt that an interaction was made with, whichever tool keeps it.

with conversation("c-42", prompt_version=prompt_version(langfuse.get_prompt("support"))): ...
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any


def prompt_version(prompt: Any) -> str:
    """The name of a prompt, by what it is.

    A Langfuse prompt: `langfuse:NAME@VERSION`. An MLflow one: `mlflow:NAME/VERSION`. A file (a Path): `git:BLOB:NAME`,
    where BLOB is the id that git gives its content. Text, such as a template: `sha256:…`. Never
    raises: what is none of these is taken as text.
    """
    try:
        name, version = getattr(prompt, "name", None), getattr(prompt, "version", None)
        if isinstance(prompt, Path):
            content = prompt.read_bytes()
            blob = hashlib.sha1(b"blob %d\x00" % len(content) + content, usedforsecurity=False)
            return f"git:{blob.hexdigest()[:8]}:{prompt.name}"
        if name is not None and version is not None:
            kept_by = "mlflow" if type(prompt).__module__.startswith("mlflow") else "langfuse"
            return f"{kept_by}:{name}{'/' if kept_by == 'mlflow' else '@'}{version}"
    except OSError:
        pass
    return f"sha256:{hashlib.sha256(str(prompt).encode('utf-8', 'replace')).hexdigest()[:12]}"
