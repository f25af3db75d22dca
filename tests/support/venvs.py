"""Pythons with what is too heavy for all other tests' environment: LiteLLM's proxy, instrumentations, Spark.

    python tests/support/venvs.py litellm otel spark                            makes them, once
    python tests/support/venvs.py axolotl llama-factory unsloth openai          gets trainers, once

`LITELLM_PYTHON`, `OTEL_PYTHON`, `SPARK_PYTHON` and `TRL_PYTHON` name others. Of a trainer its own packages are taken,
without what they pull (another PyTorch each): they stand on the environment that has TRL (`trainers.py`).
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

BESIDE = {
    "axolotl": ("axolotl>=0.19,<1", "pillow"),
    "llama-factory": ("llamafactory>=0.9.5,<1", "omegaconf"),
    "unsloth": ("unsloth>=2026.10", "unsloth-zoo>=2026.10"),
    "openai": ("openai>=3,<4", "distro", "jiter", "sniffio"),
}


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


def get(name: str) -> None:
    """Put the packages of one trainer into a folder."""
    installer = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    subprocess.run([*installer, "--target", FOLDER / name, *BESIDE[name]], check=True)
    sys.stdout.write(f"{FOLDER / name}\n")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        (get if each in BESIDE else make)(each)
