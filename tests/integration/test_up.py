"""`flywheel up` as its user meets it: it starts everything once, keeps it running, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.context import ADDRESSES
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

PROCESSES = ("kafka/run/broker.pid", "run/archiver.pid", "run/triage.pid", "run/door.pid")


class House:
    """A `flywheel up` on a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.command = [sys.executable, "-m", "flows.cli", "--home", str(home), "up", "--no-prefect"]
        ports = dict.fromkeys(("FLYWHEEL_TRIAGE_WEB_PORT", "FLYWHEEL_DOOR_PORT", "FLYWHEEL_UI_PORT"), "0")
        self.environment = {**os.environ, **ports}

    def start(self) -> None:
        self.up = subprocess.Popen(
            self.command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        eventually((self.home / "run" / ADDRESSES).exists, seconds=400)

    def stop(self) -> None:
        self.up.send_signal(signal.SIGINT)
        self.up.communicate(timeout=60)

    def pids(self) -> dict[str, int]:
        """The processes that are written down, by their files."""
        files = [self.home / name for name in PROCESSES]
        return {file.stem: json.loads(file.read_bytes())["pid"] for file in files if file.exists()}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    found = House(tmp_path_factory.mktemp("up"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def house(started: House) -> House:
    """A house at work; a start takes seconds, so that one is used until a test has ended it."""
    if started.up.poll() is not None:
        started.start()
    return started


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_killed_process_is_started_again(house: House) -> None:
    """Kill -9 of the archiver: its supervisor starts another, and nobody else is touched."""
    before = house.pids()

    os.kill(before["archiver"], signal.SIGKILL)

    eventually(lambda: house.pids().get("archiver", before["archiver"]) != before["archiver"])
    assert house.pids() == before | {"archiver": house.pids()["archiver"]}


def test_a_second_one_on_the_same_home_is_refused(house: House) -> None:
    """The second start says who holds the home, ends with 2, and harms nobody."""
    before = house.pids()

    second = subprocess.run(
        house.command, env=house.environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert second.returncode == 2
    assert f"in use by process {house.up.pid}" in second.stderr.replace("\n", " ")
    assert house.pids() == before
    assert all(alive(pid) for pid in before.values())


def test_ctrl_c_stops_everything_in_time(house: House) -> None:
    """One Ctrl-C: within 20 seconds no process is left, and the addresses are withdrawn."""
    pids = house.pids()
    started = time.monotonic()

    house.up.send_signal(signal.SIGINT)
    output, _ = house.up.communicate(timeout=40)

    assert time.monotonic() - started < 20
    assert len(pids) == len(PROCESSES)
    assert not any(alive(pid) for pid in pids.values())
    assert not (house.home / "run" / ADDRESSES).exists()
    assert house.up.returncode == 0
    assert "archiver is ready" in output


def test_kill_9_leaves_no_orphans(house: House) -> None:
    """When `up` itself is killed its processes end with it, and the next start on the home works."""
    before = house.pids()

    house.up.kill()
    house.up.communicate()

    eventually(lambda: not any(alive(pid) for pid in before.values()))
    (house.home / "run" / ADDRESSES).unlink()
    house.start()
    assert all(alive(pid) for pid in house.pids().values())
