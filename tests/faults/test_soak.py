"""Fifty blows at random moments, and every event is in the lake or among the dead letters exactly once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_fifty_kills_lose_and_double_nothing(kafka: str) -> None:
    """Kill -9, zombies that wake, archivers that fight for every partition, and compaction beside them."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--kills", "50", "--seed", "1"],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["in_lake"] + figures["dead_letters"] == figures["produced"] > 1000
    assert (figures["lost"], figures["doubled"], figures["altered"], figures["incidents"]) == (0, 0, 0, 0)
