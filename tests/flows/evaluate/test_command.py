"""`flywheel evaluate`, as a person or a pipeline calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.evaluate.evaluation import evaluate
from streams.lake import Lake
from streams.lake.query import read


@pytest.fixture
def flywheel(bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """A person's shell on the bench's data root."""
    monkeypatch.chdir(tmp_path)
    environment = {"FLYWHEEL_LAKE": bench.lake.root, "COLUMNS": "200"}
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


@pytest.mark.integration
def test_a_killed_evaluation_goes_on_where_it_was(bench: Any, tmp_path: Any) -> None:
    """[evaluate, KILL -9 at half, evaluate]: no answered call is repeated, and the table is that of a run in peace.

    A call whose answer had not been written down when the kill came may be made again: at most one a connection.
    """
    items, endpoint = 150, bench.endpoint
    bench.freeze(items)
    bench.enlist()
    endpoint.delay_s = 0.01
    command = [sys.executable, "-m", "flows.cli", "--home", bench.settings.home, "evaluate", "--as-of", "2026-01-06"]
    surroundings = {**os.environ, "FLYWHEEL_LAKE": bench.lake.root, "FLYWHEEL_EVALUATE_CONNECTIONS": "8"}
    child = subprocess.Popen(command, env=surroundings)
    while len(endpoint.seen) < items:
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert not read(bench.lake, "scores")
    (journal,) = (tmp_path / "answers").rglob("*.jsonl")
    kept = journal.read_bytes().count(b"\n")
    before, endpoint.seen = endpoint.seen, []

    subprocess.run(command, env=surroundings, check=True, capture_output=True)

    calls = Counter((body["model"], body["messages"][0]["content"]) for body in [*before, *endpoint.seen])
    assert len(calls) == 2 * items
    assert len(endpoint.seen) == 2 * items - kept
    assert sum(count - 1 for count in calls.values()) <= 8
    resumed = scores_of(bench.lake)
    peace = type(bench)(Lake(tmp_path / "peace" / "lake"), tmp_path / "peace", bench.settings.evaluate, endpoint)
    peace.freeze(items)
    peace.enlist()
    evaluate(peace.lake, peace.settings, peace.as_of)
    assert resumed == scores_of(peace.lake)


def test_labels_travel_as_a_file(bench: Any, flywheel: Any, tmp_path: Any) -> None:
    """Out to be filled in, and back into the lake."""
    bench.freeze(10)
    bench.enlist()
    evaluation = json.loads(flywheel("evaluate", "--json").stdout)["evaluation_id"]
    file = tmp_path / "answers.jsonl"

    exported = flywheel("labels", "export", evaluation, str(file), "--items", "3")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**line, "score": 1}) + "\n" for line in lines))
    imported = flywheel("labels", "import", str(file), "--by", "ann")

    assert f"{len(lines)} answers to label" in exported.output
    assert f"{len(lines)} labels recorded" in imported.output
