"""Pythons with what is too heavy for all other tests' environment: LiteLLM's proxy, instrumentations, Spark.

    python tests/support/venvs.py litellm otel spark      makes them, once

`LITELLM_PYTHON`, `OTEL_PYTHON` and `SPARK_PYTHON` name others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-flywheel"
NEEDED = {
    "litellm": ("litellm[proxy]>=1.108,<2", "kafka-python[crc32c,lz4]>=3.0", "openai>=2"),
    "otel": (
        "openai>=3", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-instrumentation-genai-openai", "opentelemetry-instrumentation-openai",
        "openinference-instrumentation-openai",
    ),
    "spark": ("pyspark>=4.3,<5",),
}  # fmt: skip


def python(name: str) -> Path | None:
    """The interpreter of one of them; None where there is none."""
    named = os.environ.get(f"{name.upper()}_PYTHON")
    found = Path(named) if named else FOLDER / name / "bin" / "python"
    return found if found.exists() else None


def make(name: str) -> None:
    """Make one anew."""
    venv.create(FOLDER / name, clear=True, with_pip=True)
    installer = [FOLDER / name / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*installer, *NEEDED[name]], check=True)
    sys.stdout.write(f"{FOLDER / name}\n")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        make(each)
