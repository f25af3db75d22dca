"""A turn on DuckDB and a turn on Spark are one: the same runs, outcomes, members and datasets, also after a kill -9."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.cluster.stage import cluster
from flows.curate.stage import curate
from flows.testing.events import START, feedback, happened, interaction
from schemas.events import Event
from schemas.records import content_hash
from schemas.secrets import Secret
from schemas.settings import CurateSettings, Settings
from streams.lake import Lake
from streams.lake.query import read
from tests.support import spark
from tests.support.clusters import Tools

pytestmark = pytest.mark.timeout(1800)
DAYS = (1, 2)
TABLES = ("runs", "outcomes", "voices", "cluster_members", "clusters", "cluster_events", "embeddings", "examples")
KILLED = """
import os, signal, sys
from pathlib import Path
from streams.lake import append
from tests.flows.test_engine_turn import turned

commit = append._commit
def killed(handle, name, actions, txns):
    if name == "outcomes":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(handle, name, actions, txns)
append._commit = killed
turned(Path(sys.argv[1]), sys.argv[2])
"""


def settings_of(home: Path, engine: str) -> Settings:
    how = CurateSettings(hold_back=0.2, paraphrase=1, salt=Secret("a test's"))
    return Settings(home=str(home), curate=how, engine=engine)


def events(day: int) -> list[Event]:
    """A day's traffic: failures of four topics, answers that pleased, corrections with somebody's number in them."""
    found: list[Event] = []
    for n in range(96):
        number = day * 1_000 + n
        topic = list(Tools.topics)[n % 4]
        said = Tools.phrase(topic, n // 4) if n < 56 else f"hello number {number}, how are you"
        asked = interaction(
            number,
            time=START + timedelta(days=day, seconds=n),
            prompt_version=None if n % 3 else "p1",
            user_id=None if n % 7 == 0 else f"user-{n % 11}",
            input_messages=[{"role": "user", "content": said}],
        )
        found.append(asked)
        if n < 56:
            found.append(feedback(number, asked))
        elif n % 3:
            found.append(feedback(number, asked, value=1.0))
        else:
            found.append(feedback(number, asked, "correction", text=f"Write to ada{n}@example.org, please"))
    return found


def turned(home: Path, engine: str) -> dict[str, Any]:
    """Two days, each with a turn; what came of them. What was begun before goes on."""
    settings = settings_of(home, engine)
    lake, summary = Lake(settings.lake_root), dict[str, Any]()
    for day in DAYS:
        if lake.version("interactions") < day:
            happened(lake, *events(day))
        as_of = START + timedelta(days=day + 1)
        cluster(lake, settings, as_of)
        summary = curate(lake, settings, as_of)
    hashes = {part: summary[part]["sha256"] for part in ("training", "eval", "sample")}
    return {**hashes, **{name: content_of(lake, name) for name in TABLES}}


def content_of(lake: Lake, name: str) -> str:
    """A hash of a table's rows, in whatever order and files they lie; what a run says of itself names its home."""
    rows = read(lake, name).drop_columns(["summary"] if name == "runs" else []).to_pylist()
    return content_hash(sorted(msgspec.json.encode(row, order="sorted").decode() for row in rows))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of it on DuckDB."""
    return turned(tmp_path_factory.mktemp("duckdb"), "")


def test_the_world_has_something_to_say(tmp_path: Path) -> None:
    """Failures in clusters, and datasets that hold something: else equal results would be no news."""
    turned(tmp_path, "")
    lake = Lake(settings_of(tmp_path, "").lake_root)

    assert {row["outcome"] for row in read(lake, "outcomes").to_pylist()} >= {"ok", "failed"}
    assert len(read(lake, "clusters")) >= 4
    assert all(sum(msgspec.json.decode(row["rows"]).values()) for row in read(lake, "dataset_versions").to_pylist())


def test_a_turn_on_spark_is_the_same_turn(tmp_path: Path, expected: dict[str, Any]) -> None:
    """Run ids, outcomes, members and the SHA-256 of datasets; the second turn goes on from the first."""
    assert turned(tmp_path, spark.needed()) == expected


def test_a_driver_that_is_killed_before_its_commit_leaves_one_run(tmp_path: Path, expected: dict[str, Any]) -> None:
    """Its files are orphans; started again, the run is one run with one mark, and all is as if nothing had happened."""
    engine = spark.needed()
    done = subprocess.run([sys.executable, "-c", spark.KIN + KILLED, str(tmp_path), engine], check=False, timeout=900)
    assert done.returncode == -signal.SIGKILL
    lake = Lake(settings_of(tmp_path, engine).lake_root)
    assert not len(read(lake, "outcomes"))
    assert list((Path(lake.root) / "outcomes").glob("*.parquet"))

    assert turned(tmp_path, engine) == expected
    runs = [row["run_id"] for row in read(lake, "runs").to_pylist() if row["stage"] == "cluster"]
    assert len(runs) == len(set(runs)) == len(DAYS)
    assert all(lake.committed("outcomes", f"run:{run}") == 1 for run in runs)
