"""A Spark inside the process of a test: from the environment that `venvs.py` makes, or the tests' own."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import venvs

TESTS = Path(__file__).resolve().parents[1]
LOCAL = "local[2]"
KIN = (
    f"import sys, types; sys.modules['tests'] = tests = types.ModuleType('tests'); tests.__path__ = [{str(TESTS)!r}]\n"
)
"""The beginning of a program that imports from these tests."""
QUICK = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.memory": "1g",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
}
"""Tables of a test are small: to compile a query takes longer than to run it."""


def needed() -> str:
    """The address of a Spark; the test is skipped where there is none."""
    if importlib.util.find_spec("pyspark") is None:
        if (python := venvs.python("spark")) is None:
            pytest.skip("no pyspark: `python tests/support/venvs.py spark` makes an environment with it")
        ask = "import pyspark, pathlib; print(pathlib.Path(pyspark.__file__).parent.parent)"
        folder = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        sys.path.append(folder)
        root = str(Path.cwd())
        known = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([root, *([known] if known else []), folder])  # for its workers
    told = [part for name, value in QUICK.items() for part in ("--conf", shlex.quote(f"{name}={value}"))]
    os.environ["PYSPARK_SUBMIT_ARGS"] = " ".join([*told, "pyspark-shell"])
    return LOCAL
