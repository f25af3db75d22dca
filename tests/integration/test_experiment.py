"""An experiment on live users: Kafka, the archiver, a turn, and the shares that come of it."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from flows.cluster.stage import cluster
from flows.promote.experiment import known, started, variant_of
from flows.testing.events import START, feedback, interaction
from flows.turn import turn
from llm_flywheel import variant
from schemas.settings import TriageSettings
from streams.lake import Lake
from streams.producer import EventProducer
from tests.support.kafka import Ingest

pytestmark = pytest.mark.integration
ARMS = ("champion", "bot-2")


def test_users_are_dealt_counted_once_and_the_worse_arm_is_dropped(ingest: Ingest) -> None:
    """Two hours of users by the SDK's shares; one arm fails nearly all of them, so that the other one is left."""
    settings = msgspec.structs.replace(
        ingest.settings, application="shop", triage=TriageSettings(canary_delay_s=3600.0, canary_accounts=0)
    )
    lake = Lake(settings.lake_root)
    shares = started(lake, settings, "exp-1", ARMS, START, slow_ms=0, decided_by="ada").shares
    met = dict.fromkeys(ARMS, 0)
    with EventProducer(settings.kafka) as producer:
        for n in range(400):
            arm, at = variant(f"user-{n}", shares, salt="exp-1"), START + timedelta(seconds=10 * n)
            bad = n % 20 == 0 if arm == "champion" else n % 20 > 0
            met[arm] += 1
            asked = interaction(n, application="shop", user_id=f"user-{n}", variant=variant_of("exp-1", arm), time=at)
            producer.send(asked)
            producer.send(feedback(n, asked, value=float(not bad), time=at))
    ingest.archive()
    at = START + timedelta(hours=3)

    summary = turn(lake, settings, at, {"cluster": lambda: msgspec.to_builtins(cluster(lake, settings, at))})

    ended = known(lake, "shop", "exp-1")
    assert {arm: tally.users for arm, tally in ended.tallies.items()} == met
    assert (ended.action, ended.winner, list(ended.dropped)) == ("stopped", "champion", ["bot-2"])
    assert summary["experiments"]["exp-1"] == {"champion": 1.0, "bot-2": 0.0}
