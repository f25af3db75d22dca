"""A turn: its stages once per news, and the candidates that wait."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from flows import ledger
from flows.cluster.stage import cluster
from flows.run import latest
from flows.testing.events import START, happened, interaction
from flows.turn import registered_at, turn
from schemas.errors import NotEnoughData, UsageError
from schemas.records import make_candidate
from schemas.settings import ClusterSettings, Settings
from streams.lake import Lake
from streams.lake.maintain import compact
from streams.logs import WithIds

SETTINGS = Settings()
HOUR = timedelta(hours=1)


def arrive(lake: Lake, n: int) -> None:
    """One more interaction at rest."""
    happened(lake, interaction(n))


class Stages:
    """Two stages that count how often they were called."""

    def __init__(self) -> None:
        self.calls = 0

    def steps(self) -> dict[str, Any]:
        return {"cluster": self.step, "curate": self.step}

    def step(self) -> dict[str, int]:
        self.calls += 1
        return {"call": self.calls}


def test_a_turn_without_news_does_nothing(lake: Lake) -> None:
    """The next turn works only when something has arrived, or the settings have changed; joined files are no news."""
    stages = Stages()
    arrive(lake, 1)

    first = turn(lake, SETTINGS, START, stages.steps())
    assert turn(lake, SETTINGS, START, stages.steps()) == first
    assert turn(lake, SETTINGS, START + HOUR, stages.steps()) == first
    assert stages.calls == 2

    arrive(lake, 2)
    assert turn(lake, SETTINGS, START + 1.5 * HOUR, stages.steps()) != first
    assert compact(lake, "interactions", 2**20) == 1
    assert turn(lake, SETTINGS, START + 1.6 * HOUR, stages.steps()) == {"cluster": {"call": 3}, "curate": {"call": 4}}
    assert stages.calls == 4
    arrive(lake, 3)
    turn(lake, SETTINGS, START + 2 * HOUR, stages.steps())
    assert stages.calls == 6

    stricter = msgspec.structs.replace(SETTINGS, cluster=ClusterSettings(min_size=9))
    turn(lake, stricter, START + 3 * HOUR, stages.steps())
    assert stages.calls == 8


def test_what_a_turn_logs_has_its_runs(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """A stage's lines carry the turn's id, and its own where it has begun; afterwards no line does."""
    for n in range(3):
        arrive(lake, n)
    log = logging.getLogger("flows.test")
    caplog.handler.setFormatter(WithIds(logging.Formatter("%(message)s")))

    def stage() -> dict[str, int]:
        log.info("at work")
        return {"interactions": cluster(lake, SETTINGS, START + HOUR).interactions}

    with caplog.at_level(logging.INFO, "flows"):
        for _ in range(2):
            turn(lake, SETTINGS, START + HOUR, {"cluster": stage})
        log.info("over")

    ids = {stage: latest(lake, stage, SETTINGS.application).run_id for stage in ("turn", "cluster")}  # type: ignore[union-attr]
    lines = caplog.text.splitlines()
    assert f"nothing has come since the last turn: its result stands [turn={ids['turn']}]" in lines
    assert f"at work [turn={ids['turn']}]" in lines
    assert [line for line in lines if line.startswith("clustering: ")]
    assert all(f"[turn={ids['turn']} cluster={ids['cluster']}]" in x for x in lines if x.startswith("clustering: "))
    assert lines[-1] == "over"


def test_an_instant_before_the_last_turn_is_its_own_turn(lake: Lake) -> None:
    """Asking for an earlier instant is asking for other windows, news or none."""
    stages = Stages()
    arrive(lake, 1)

    turn(lake, SETTINGS, START, stages.steps())
    turn(lake, SETTINGS, START - HOUR, stages.steps())

    assert stages.calls == 4


def test_a_turn_that_was_cut_off_is_made_again(lake: Lake) -> None:
    """A stage that raises leaves no finished turn behind."""
    arrive(lake, 1)

    def fall() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turn(lake, SETTINGS, START, {"cluster": fall})
    stages = Stages()
    turn(lake, SETTINGS, START, stages.steps())

    assert stages.calls == 2


def test_an_empty_lake_has_nothing_to_turn(lake: Lake) -> None:
    """Before the first interaction a turn says so, and writes nothing."""
    with pytest.raises(NotEnoughData, match="nothing to turn"):
        turn(lake, SETTINGS, START)

    assert not lake.exists("runs")


def test_candidates_wait_until_something_is_decided(lake: Lake) -> None:
    """A registered candidate waits; a held one does not, and neither does the champion."""
    first, second, third = (make_candidate(f"bot-{n}", "http://127.0.0.1:9/v1") for n in range(3))
    ledger.bootstrap(lake, "support-bot", first, "the first", time=START)
    for n, candidate in enumerate((second, third)):
        ledger.register(lake, "support-bot", candidate, time=START + n * HOUR)
    assert [c.id for c in ledger.fold(lake, "support-bot").waiting] == [second.id, third.id]

    held = ledger.decision_id("held")
    ledger.append(lake, "support-bot", "held", second, id=held, time=START, expected_champion=first.id, verdict="block")

    assert [c.id for c in ledger.fold(lake, "support-bot").waiting] == [third.id]
    assert registered_at(lake, "support-bot", third.id) == START + HOUR
    with pytest.raises(UsageError, match="no candidate"):
        registered_at(lake, "support-bot", "unheard-of")
