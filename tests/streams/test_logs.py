"""Each line of a log says what it was about, by ids alone."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.testing.events import interaction
from schemas.codec import encode
from schemas.settings import ArchiveSettings
from schemas.topics import INTERACTIONS
from streams import logs
from streams.archive.batch import make_batch
from streams.archive.landing import Landing
from streams.lake import Lake
from streams.logs import WithIds, about, tell_ids
from streams.web_guard import Guarded
from tests.support.records import Record

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
GOOD = encode(interaction(1))
WORDS = "my card number is 4111"


class Lines(logging.Handler):
    """What a handler of a process writes."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(WithIds(logging.Formatter("%(message)s")))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """All that our own code logs meanwhile."""
    handler, loggers = Lines(), [logging.getLogger(name) for name in ("streams", "tests")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield handler.lines
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


class Stops(Record):
    """A record whose value stops our code."""

    def value(self) -> bytes:
        raise MemoryError(WORDS)


def test_ids_nest_and_end(lines: list[str]) -> None:
    """[plain, turn=1, turn=1 cluster=2, turn=1, plain]; a traceback follows the line that has the ids."""
    log = logging.getLogger("tests.here")
    log.info("plain")
    with about(turn="1"):
        log.info("a")
        with about(cluster="2"):
            log.error("b\nat c")
        log.info("d")
    log.info("plain")

    assert lines == ["plain", "a [turn=1]", "b [turn=1 cluster=2]\nat c", "d [turn=1]", "plain"]


def test_what_a_landing_says_names_its_batch(tmp_path: Path, lines: list[str]) -> None:
    """The thread that lands has the offsets of every partition in its lines; one of which nothing came is left out."""
    tries: list[str] = []

    def check(*_: Any) -> None:
        tries.append("")
        if len(tries) == 1:
            raise RuntimeError("the disk is full")

    landing = Landing(Lake(tmp_path / "lake"), check=check)
    records: list[Any] = [Record(4, GOOD), Record(5, GOOD), Record(1, GOOD, partition=2)]
    batch = make_batch(INTERACTIONS, "t", records, {0: 4, 1: 7, 2: 1}, NOW, ArchiveSettings())
    landing.submit(INTERACTIONS, "t", batch, {0: 4, 1: 7, 2: 1}).exception(timeout=30)
    landing.close(5)

    (line,) = [line for line in lines if "disk is full" in line]
    assert line.endswith(f"[batch={INTERACTIONS.name}:0@4-5+2@1-1]")


def test_a_record_that_stops_our_code_is_named_and_not_quoted(lines: list[str]) -> None:
    """Which record, what kind of error and where; the error's words may be the record's."""
    records: list[Any] = [Record(0, GOOD), Stops(1, GOOD)]
    make_batch(INTERACTIONS, "t", records, {0: 0}, NOW, ArchiveSettings())

    (line,) = lines
    assert line.splitlines()[0].endswith(f"[record={INTERACTIONS.name}:0@1]")
    assert "MemoryError" in line
    assert "in value" in line
    assert WORDS not in line


def test_every_request_has_an_id_of_its_own(lines: list[str]) -> None:
    """Two requests at once: each line has its own request's id."""
    log = logging.getLogger("tests.app")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.info("%s begins", scope["path"])
        await asyncio.sleep(0)
        log.info("%s ends", scope["path"])

    async def both() -> None:
        guarded: Any = Guarded(app)
        asked = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")]}
        await asyncio.gather(*(guarded(asked | {"path": path}, None, None) for path in "ab"))

    asyncio.run(both())

    ids = {line[0]: re.findall(r"\[request=([0-9a-f]{8})\]", line) for line in lines}
    assert [line[:3] for line in lines] == ["a b", "b b", "a e", "b e"]
    assert all(ids["ab"[i % 2]] == re.findall(r"\[request=(.*)\]", line) for i, line in enumerate(lines))
    assert ids["a"] != ids["b"]


def test_a_process_has_an_id_in_every_line(tmp_path: Path) -> None:
    """Each start another one."""
    words = [sys.executable, "-m", "streams", "door"]
    environment = {"FLYWHEEL_HOME": str(tmp_path), "FLYWHEEL_DOOR_HOST": "0.0.0.0", "PATH": ""}
    said = [subprocess.run(words, env=environment, capture_output=True, text=True, check=False) for _ in range(2)]

    found = [re.findall(r"there is no token.*\[door=([0-9a-f]{8})\]$", one.stderr, re.MULTILINE) for one in said]
    assert [len(ids) for ids in found] == [1, 1], said
    assert found[0] != found[1]


def test_handlers_of_others_learn_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's handlers keep their own form, and whoever tells them twice has the ids in it once."""
    monkeypatch.setattr(logs, "_PROCESS", {})
    handler, theirs = Lines(), logging.getLogger("tests.theirs")
    handler.setFormatter(logging.Formatter("Flow run %(message)s"))
    theirs.addHandler(handler)
    for _ in range(2):
        tell_ids({"flow_run": "7"}, "tests.theirs")
    theirs.warning("works")
    theirs.removeHandler(handler)

    assert handler.lines == ["Flow run works [flow_run=7]"]
