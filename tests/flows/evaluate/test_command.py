"""`flywheel evaluate`, as a person or a pipeline calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from typer.testing import CliRunner

from flows.cli import app
from flows.evaluate.stage import evaluate
from streams.lake import Lake
from streams.lake.query import read


@pytest.fixture
def flywheel(bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A person's shell on the bench's data root."""
    monkeypatch.chdir(tmp_path)
    environment = {"FLYWHEEL_LAKE": bench.lake.root, "FLYWHEEL_EVALUATE_EVAL_SET": "all", "COLUMNS": "200"}
    return lambda *words: CliRunner(env=environment).invoke(app, ["--home", bench.settings.home, *words])


def test_the_comparison_is_shown(bench: Any, flywheel: Any) -> None:
    """A table for people; the same run again asks nothing and shows the same."""
    bench.freeze(40)
    bench.enlist()

    first = flywheel("evaluate", "--as-of", "2026-01-06")
    again = flywheel("evaluate", "--as-of", "2026-01-06")

    assert first.exit_code == 0, first.output
    assert "+0.500" in first.stdout
    assert again.stdout == first.stdout
    assert len(bench.endpoint.seen) == 80


def test_programs_get_json(bench: Any, flywheel: Any) -> None:
    """One object on standard output, and nothing else there."""
    bench.freeze(4)
    _, new = bench.enlist()

    shown = flywheel("evaluate", new.id, "--json")

    assert json.loads(shown.stdout)["scores"] == {"candidate": 1.0, "champion": 0.5}


def scores_of(lake: Lake) -> list[dict[str, Any]]:
    """The published scores without what no two runs share: whose they are, and how long each answer took."""
    rows = read(lake, "scores").to_pylist()
    kept = [{key: row[key] for key in row if key not in {"evaluation_id", "duration_ms"}} for row in rows]
    return sorted(kept, key=lambda row: (row["item_id"], row["role"], row["sample"]))


class Half(Struct):
    """An evaluation that got a signal at half of its calls."""

    command: list[str]
    environment: dict[str, str]
    code: int
    errors: str
    asked: Counter[str]
    """How often each call was made, by its `Idempotency-Key`."""
    kept: int
    """Answers in the journal."""


def half_way(bench: Any, items: int, number: signal.Signals) -> Half:
    """[evaluate, SIGNAL at half]: what there is then."""
    endpoint = bench.endpoint
    bench.freeze(items)
    bench.enlist()
    endpoint.delay_s = 0.01
    command = [sys.executable, "-m", "flows.cli", "--home", bench.settings.home, "evaluate", "--as-of", "2026-01-06"]
    environment = {**os.environ, "FLYWHEEL_LAKE": bench.lake.root, "FLYWHEEL_EVALUATE_CONNECTIONS": "8"}
    environment["FLYWHEEL_EVALUATE_EVAL_SET"] = "all"
    child = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while len(endpoint.seen) < items:
        assert child.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.002)
    child.send_signal(number)
    errors = child.communicate(timeout=60)[1]
    assert not read(bench.lake, "scores")
    (journal,) = (Path(bench.settings.home) / "answers").rglob("*.jsonl")
    return Half(command, environment, child.returncode, errors, calls(endpoint), journal.read_bytes().count(b"\n"))


def calls(endpoint: Any) -> Counter[str]:
    return Counter(headers["idempotency-key"] for headers in endpoint.headers)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_evaluation_keeps_what_it_asked_for(bench: Any, number: signal.Signals) -> None:
    """[evaluate, SIGTERM at half, evaluate]: calls on their way are waited for and kept; none is ever made twice."""
    items = 150
    half = half_way(bench, items, number)

    assert half.code == 3
    assert f"stopped: {half.kept} answers are kept" in " ".join(half.errors.split())
    assert half.kept == len(half.asked) < 2 * items

    subprocess.run(half.command, env=half.environment, check=True, capture_output=True)

    assert calls(bench.endpoint).total() == len(calls(bench.endpoint)) == 2 * items


@pytest.mark.integration
def test_a_killed_evaluation_goes_on_where_it_was(bench: Any, tmp_path: Any) -> None:
    """[evaluate, KILL -9 at half, evaluate]: no answered call is repeated, and the table is that of a run in peace.

    A call whose answer had not been written down when the kill came is made again, at most one a connection, under the
    same `Idempotency-Key`: the endpoint answers it from its store, and nothing is paid twice.
    """
    items, endpoint = 150, bench.endpoint
    half = half_way(bench, items, signal.SIGKILL)

    subprocess.run(half.command, env=half.environment, check=True, capture_output=True)

    every = calls(endpoint)
    assert len(every) == len(endpoint.paid) == 2 * items
    assert every.total() - half.asked.total() == 2 * items - half.kept
    assert every.total() - len(every) <= 8
    resumed = scores_of(bench.lake)
    peace = type(bench)(Lake(tmp_path / "peace" / "lake"), tmp_path / "peace", bench.settings.evaluate, endpoint)
    peace.freeze(items)
    peace.enlist()
    evaluate(peace.lake, peace.settings, peace.as_of)
    assert resumed == scores_of(peace.lake)
