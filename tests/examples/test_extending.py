"""The examples of docs/extending.md run as they stand, and are what the page shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "extending"
SAYS = {
    "scorer": "alone: 1.0 0.0\nbrief: {'candidate': 1.0, 'champion': 0.0}",
    "embedder": "letters: 60 failures in 5 clusters",
    "recogniser": "<STAFF_1> promised me a refund",
    "kind": "answer 1 → Your refund was paid on Monday.",
}


@pytest.mark.parametrize("example", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_an_example_of_extending_runs(example: str, tmp_path: Path) -> None:
    """From any folder, with nothing but the file itself: the program uses what it defines."""
    command = [sys.executable, str(FOLDER / f"{example}.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert SAYS[example] in done.stdout
    assert list(tmp_path.iterdir()) == []
