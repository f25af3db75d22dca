"""Packages that a test needs and nobody else: each in a folder of its own, where a package index is at hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def install(folder: Path, *requirements: str) -> Path:
    """The packages and what they need, in a folder of its own; skips where there is no package index."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), *requirements],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"{requirements[0]} cannot be installed here: {done.stderr.strip()[-200:]}")
    return folder
