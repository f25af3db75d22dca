"""Events in at one end, a promotion out at the other, through real processes and the command that a person types."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.integration, pytest.mark.timeout(1600)]

FLYWHEEL = (sys.executable, "-m", "flows.cli")
TURNS, INTERACTIONS = 2, 1500
PLANNED_MEANWHILE = """
SELECT count(*) FROM flow_run JOIN flow ON flow.id = flow_run.flow_id
WHERE flow.name = 'turn' AND flow_run.auto_scheduled
      AND flow_run.created < (SELECT max(asked.created) FROM flow_run AS asked WHERE NOT asked.auto_scheduled)
"""


class Played:
    """A finished demo: what it printed, its report, its home, and who was killed on the way."""

    def __init__(self, home: Path, report: Path, killed: list[int]) -> None:
        self.home, self.killed = home, killed
        self.report: dict[str, Any] = json.loads(report.read_text())


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Two turns with a planted regression, and the archiver killed with signal 9 while customers talk."""
    folder = tmp_path_factory.mktemp("demo")
    home, report = folder / "home", folder / "report.json"
    command = [*FLYWHEEL, "--home", str(home), "demo", f"--turns={TURNS}", f"--interactions={INTERACTIONS}"]
    process = subprocess.Popen(
        [*command, "--plant-regression", f"--report={report}"], stdout=subprocess.PIPE, text=True
    )
    killed: list[int] = []
    threading.Thread(target=_kill_archiver_when_busy, args=(process, home, killed), daemon=True).start()
    output = process.communicate(timeout=1500)[0]
    assert process.returncode == 0, output
    return Played(home, report, killed)


def flywheel(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command on the demo's home, as its user would go on."""
    return subprocess.run([*FLYWHEEL, "--home", str(home), *arguments], capture_output=True, text=True, check=False)


def test_nothing_is_lost_and_nothing_doubled(played: Played) -> None:
    """With the archiver killed -9 on the way, events produced = rows in the lake + dead letters."""
    report = played.report

    assert played.killed
    assert report["dead_letters"] == 3 * TURNS
    assert report["events_produced"] == report["events_in_lake"] + report["dead_letters"]


def test_the_model_gets_better_and_fails_less(played: Played) -> None:
    """A promoted turn leaves a champion that is better on utterances that were in no traffic and in no dataset."""
    turns = played.report["turns"]
    accuracy = [played.report["accuracy_before"], *(turn["accuracy_untouched"] for turn in turns)]

    assert [turn["verdict"] for turn in turns].count("promote") >= 1
    assert accuracy == sorted(accuracy)
    assert accuracy[-1] >= accuracy[0] + 0.05
    assert turns[-1]["failure_rate_live"] < turns[0]["failure_rate_live"]


def test_a_planted_regression_is_not_promoted(played: Played) -> None:
    """The candidate that breaks some topics is refused, with the reason in words."""
    planted = [turn["planted"] for turn in played.report["turns"]]

    assert all(bad["verdict"] != "promote" and bad["reasons"] for bad in planted)
    assert any(bad["verdict"] == "block" for bad in planted)


def test_the_exported_dataset_opens_in_datasets(played: Played) -> None:
    """`datasets.load_dataset(PATH, "sft")` gives the rows that the report counts."""
    facts = played.report["turns"][0]["dataset"]
    code = (
        "import sys; from datasets import load_dataset\n"
        "rows = load_dataset(sys.argv[1], 'sft', split='train', cache_dir=sys.argv[2])\n"
        "assert {'role', 'content'} <= rows[0]['messages'][0].keys()\nprint(len(rows))"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    cache = str(played.home / "hf-cache")
    printed = subprocess.check_output([sys.executable, "-c", code, facts["path"], cache], env=offline, text=True)

    assert int(printed) == facts["sft_rows"]


def test_the_champion_and_the_ledger_tell_the_same_story(played: Played) -> None:
    """`flywheel champion` names the last promoted model, and the ledger's chain holds."""
    promoted = [turn["candidate"] for turn in played.report["turns"] if turn["verdict"] == "promote"]

    assert promoted[-1] in flywheel(played.home, "champion").stdout
    assert flywheel(played.home, "ledger", "verify").returncode == 0


def test_no_turn_starts_by_itself_while_the_demo_plays(played: Played) -> None:
    """The hourly one would be as of now: the demo's own next turn, of a day before, would be refused after it."""
    with closing(sqlite3.connect(played.home / "prefect" / "prefect.db")) as books:
        ((planned,),) = books.execute(PLANNED_MEANWHILE)

    assert planned == 0


def test_the_demo_leaves_no_process_behind(played: Played) -> None:
    """When it ends, nothing that it started is running."""
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(played.home) in " ".join(p.info["cmdline"] or [])
    ]

    assert left == []


def _kill_archiver_when_busy(process: subprocess.Popen[str], home: Path, killed: list[int]) -> None:
    """Once the lake's first commit shows that customers talk, kill the archiver in the middle of it."""
    while process.poll() is None and not killed:
        if (home / "lake" / "interactions" / "_delta_log").is_dir():
            pid = int(json.loads((home / "run" / "archiver.pid").read_text())["pid"])
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        time.sleep(0.05)
