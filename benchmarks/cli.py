"""What a command costs before it does anything: `flywheel --help`, and `flywheel cluster list` on a small lake.

    python benchmarks/cli.py [--runs N]

Each command is a process of its own, started as a person starts it; the median of its CPU seconds counts, since wall
time is the machine's. Prints a table for people and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.cluster.stage import cluster
from flows.context import lake_of
from schemas.events import to_json
from schemas.settings import Settings
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import append, to_rows

UTTERANCES = Path(__file__).resolve().parent.parent / "examples" / "support_bot" / "utterances.jsonl"
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
FAILURES = 600
"""A small lake: some forty clusters' worth of the demo's customers, all of them unhappy."""
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Python keeps its modules compiled from the first start on, wherever it is not told otherwise."""
COMMANDS = {
    "bare_python_cpu_s": ["-c", "pass"],
    "help_cpu_s": ["-m", "flows.cli", "--help"],
    "clusters_list_cpu_s": ["-m", "flows.cli", "clusters", "list"],
    "candidate_list_cpu_s": ["-m", "flows.cli", "candidate", "list"],
    "status_cpu_s": ["-m", "flows.cli", "status"],
}


def main() -> None:
    """Make a lake, start each command some times, print what one start costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="starts of each command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=home)
        clusters = fill(lake_of(settings), settings)
        environment = {**os.environ, "FLYWHEEL_HOME": home, "COLUMNS": "120", **COMPILED, "PYTHONPYCACHEPREFIX": home}
        figures = {name: cost(words, environment, runs) for name, words in COMMANDS.items()}
    for name, seconds in figures.items():
        print(f"{name:24} {seconds:6.2f}")
    print(json.dumps({**figures, "clusters": clusters, "runs": runs}))


def fill(lake: Lake, settings: Settings) -> int:
    """Failures of the demo's customers in the raw tables, and one cluster run over them; how many clusters it found."""
    interactions, feedback = (list(rows) for rows in zip(*events(settings.application), strict=True))
    for name, rows in (("interactions", interactions), ("feedback", feedback)):
        append(lake, name, to_rows(name, rows), {})
    return int(cluster(lake, settings, START + timedelta(days=1)).clusters)


def events(application: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of `interactions`, each with the thumb down that it got."""
    lines = UTTERANCES.read_text("utf-8").splitlines()
    for n in range(FAILURES):
        text, time = json.loads(lines[n % len(lines)])["text"], START + timedelta(seconds=n)
        shared = {
            "time": time, "application": application, "conversation_id": f"c-{n}", "user_id": f"u-{n}",
            "event_version": 1, "kafka_partition": 0, "kafka_offset": n, "kafka_time": time, "ingested_at": time,
            "ingest_date": time.date(), "extra": "{}",
        }  # fmt: skip
        asked = {
            **shared, "id": _id(n), "request_model": "bot-1",
            "input_messages": to_json([{"role": "user", "content": text}]),
            "output_messages": to_json([{"role": "assistant", "content": "I do not know."}]),
        }  # fmt: skip
        told = {**shared, "id": _id(FAILURES + n), "interaction_id": _id(n), "kind": "thumb", "value": 0.0}
        yield _whole("interactions", asked), _whole("feedback", told)


def cost(words: list[str], environment: dict[str, str], runs: int) -> float:
    """Median CPU seconds of a process, its children's included; one start before is not counted: it fills caches."""
    spent = []
    for _ in range(runs + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(statistics.median(spent[1:]), 3)


def _id(n: int) -> str:
    return str(uuid.UUID(int=(0x0190_0000_0000 << 80) | (7 << 76) | (2 << 62) | n))


def _whole(table: str, row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in TABLES[table].schema.names}


if __name__ == "__main__":
    main()
