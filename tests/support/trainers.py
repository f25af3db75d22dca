"""Trainers' own Pythons: one that has TRL, and on top of it what reads the other tools' configs.

TRL's is that which `TRL_PYTHON` names, that of `make demo-lm` (`.venv-lm`), or the tests' own with the extra `trl`.
None of them knows this program: what they are to do lies in a file that they run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import venvs

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".venv-lm" / "bin" / "python"
TIMEOUT_S = 500
SAID = "result: "
KEPT = ("HOME", "PATH", "LANG", "XDG_CACHE_HOME")


def python() -> Path:
    """The interpreter that has TRL; the test is skipped where there is none."""
    if (named := venvs.python("trl")) is not None:
        return named
    if LOCAL.exists():
        return LOCAL
    if all(importlib.util.find_spec(name) for name in ("trl", "torch", "peft")):
        return Path(sys.executable)
    pytest.skip("no trl: `make .venv-lm/.installed` makes an environment with it, 4.9 GB; TRL_PYTHON names another")


def said(program: Path, *arguments: str, cwd: Path, tool: str = "") -> str:
    """What a program says in that interpreter, offline, in a folder of its own; `tool` is one of `venvs.BESIDE`."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf"), "DISABLE_VERSION_CHECK": "1"}  # LLaMA-Factory's
    command = [python(), program, *arguments]
    if tool:
        if not (folder := venvs.FOLDER / tool).exists():
            pytest.skip(f"no {tool}: `python tests/support/venvs.py {tool}` gets it")
        env["PYTHONPATH"] = str(folder)
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=env, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def run(program: Path, *arguments: str, cwd: Path, tool: str = "") -> list[Any]:
    """Of all that it says the lines that begin with `result: `, decoded: trainers write there too."""
    lines = said(program, *arguments, cwd=cwd, tool=tool).splitlines()
    return [json.loads(line.removeprefix(SAID)) for line in lines if line.startswith(SAID)]
