"""The SDK as a package: small, quick to import, and alone in a bare environment."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = str(Path(sys.executable).with_name("uv"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as it would be published."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [UV, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT / "sdk")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr.strip()[-200:]}")
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_is_small_and_whole(wheel: Path) -> None:
    """Under 150 kB, typed, with its licence, and nothing of the flywheel's own."""
    names = zipfile.ZipFile(wheel).namelist()

    assert wheel.stat().st_size < 150_000
    assert "llm_flywheel/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"llm_flywheel", f"{wheel.name.split('-py3')[0]}.dist-info"}


def test_it_works_alone_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    """With no other package there: capture, feedback, files, and the forwarding of them."""
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "bare")], check=True, timeout=60)
    python = tmp_path / "bare" / "bin" / "python"
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--offline", "--python", str(python), str(wheel)], check=True, timeout=60
    )
    code = """
import sys, llm_flywheel as fly
assert fly.init("app", f"file://{sys.argv[1]}/spool", state_dir=sys.argv[1])
assert fly.instrument() == []
with fly.conversation("c"), fly.interaction(model="m", messages="hi") as turn:
    turn.output("hello")
fly.thumb(True)
assert fly.flush() and fly.Champion("app", "m").model == "m"
assert not fly.init("app", "kafka://localhost:9092")
print(fly.stats()["off"])
"""
    done = subprocess.run(
        [str(python), "-I", "-W", "error", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "no Kafka client is installed: pip install 'llm-flywheel-sdk[kafka]'\n"
    [spool] = (tmp_path / "spool").glob("*.jsonl")
    assert len(spool.read_text().splitlines()) == 2


def test_the_import_brings_in_nothing_slow() -> None:
    """What takes its time to import (networks, asyncio, vendors, Kafka) is imported where it is used."""
    slow = [
        "asyncio", "http.client", "urllib.request", "ssl", "email", "tempfile", "inspect", "dataclasses", "subprocess",
        "multiprocessing", "concurrent.futures", "kafka", "confluent_kafka", "openai", "anthropic", "httpx",
        "llm_flywheel.vendors", "llm_flywheel.champion", "llm_flywheel.transports.kafka",
    ]  # fmt: skip
    code = f"import llm_flywheel, sys; print([name for name in {slow!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"


def test_no_thread_runs_before_the_first_event(tmp_path: Path) -> None:
    """A server may fork after `init`: gunicorn's --preload, uWSGI without threads."""
    code = """
import sys, threading, llm_flywheel as fly
fly.init("app", f"file://{sys.argv[1]}/spool", state_dir=sys.argv[1])
print(threading.active_count())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip

    assert done.stdout == "1\n"
