"""A turn: its stages once per news, and the candidates that wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from flows import ledger
from flows.testing.events import START, happened, interaction
from flows.turn import registered_at, turn
from schemas.errors import NotEnoughData, UsageError
from schemas.records import make_candidate
from schemas.settings import ClusterSettings, Settings
from streams.lake import Lake

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
    """The next turn works only when something has arrived, or the settings have changed."""
    stages = Stages()
    arrive(lake, 1)

    first = turn(lake, SETTINGS, START, stages.steps())
    assert turn(lake, SETTINGS, START, stages.steps()) == first
    assert turn(lake, SETTINGS, START + HOUR, stages.steps()) == first
    assert stages.calls == 2

    arrive(lake, 2)
    turn(lake, SETTINGS, START + 2 * HOUR, stages.steps())
    assert stages.calls == 4

    stricter = msgspec.structs.replace(SETTINGS, cluster=ClusterSettings(min_size=9))
    turn(lake, stricter, START + 3 * HOUR, stages.steps())
    assert stages.calls == 6


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
