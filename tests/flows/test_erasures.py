"""Erasures over Kafka: what nobody trusted signed waits, is shown, can be stopped, and is done in the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from flows import erasures
from flows.cli import app
from flows.maintain.stage import maintain
from flows.testing.events import START, event_id, interaction
from schemas.errors import UsageError
from schemas.events import Erasure, Event
from schemas.settings import Settings
from schemas.signing import Signer
from streams.keyring import signer_of
from streams.lake.query import rows
from streams.producer import EventProducer
from tests.support.kafka import Ingest

pytestmark = pytest.mark.integration
FAR = datetime(9000, 1, 1, tzinfo=UTC)


def asked(n: int, subject: str, **fields: Any) -> Erasure:
    values = {"id": event_id(5_000 + n), "time": START + timedelta(hours=1), "subject": subject, **fields}
    return msgspec.convert(values, Erasure)


def sent(ingest: Ingest, signer: Signer | None, *events: Event) -> None:
    """Over the real broker and into the lake."""
    with EventProducer(ingest.settings.kafka, signer=signer) as producer:
        for event in events:
            producer.send(event)
    ingest.archive()


def people(ingest: Ingest) -> set[str]:
    return {row["user_id"] for row in rows(ingest.lake, "interactions")}


def after(ingest: Ingest, hours: float) -> datetime:
    """That long after the newest erasure arrived."""
    return max(row["ingested_at"] for row in rows(ingest.lake, "erasures")) + timedelta(hours=hours)


def flywheel(settings: Settings, *words: str) -> str:
    environment = {
        "FLYWHEEL_HOME": settings.home, "FLYWHEEL_KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "COLUMNS": "200",
    }  # fmt: skip
    result = CliRunner().invoke(app, list(words), env=environment)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_forged_erasure_is_refused_and_later_true_ones_are_heard(ingest: Ingest) -> None:
    """Unsigned, and signed by a key of the forger's own: on record, shown, stopped; a signed one is done at once."""
    crowd = [interaction(n, user_id=name) for n, name in enumerate(("anna", "ben", "carla"))]
    sent(ingest, None, *crowd, asked(1, "anna", time=FAR))
    sent(ingest, Signer("A" * 43), asked(2, "ben", requested_by="the board"))

    summary = maintain(ingest.lake, ingest.settings, after(ingest, 71))
    assert (summary["confirmed"], summary["waiting"]) == (0, 2)
    assert people(ingest) == {"anna", "ben", "carla"}
    shown = flywheel(ingest.settings, "erasure", "list")
    assert event_id(5_001) in shown
    assert "the board" in shown
    flywheel(ingest.settings, "erasures", "stop", event_id(5_001), event_id(5_002), "--reason", "nobody asked for it")

    sent(ingest, signer_of(ingest.settings), asked(3, "carla"))
    maintain(ingest.lake, ingest.settings, after(ingest, 1000))

    assert people(ingest) == {"anna", "ben"}
    assert erasures.waiting(ingest.lake) == []
    assert {row["stopped_by"] != "" for row in rows(ingest.lake, "erasure_stops")} == {True}
    with pytest.raises(UsageError, match="waits"):
        erasures.confirm(ingest.lake, ingest.settings, [event_id(5_001)])


def test_what_nobody_stops_is_done(ingest: Ingest) -> None:
    """After the grace this home signs it, once, and no longer ago than it arrived; a person may say so before."""
    crowd = [interaction(n, user_id=name) for n, name in enumerate(("anna", "ben", "carla"))]
    sent(ingest, None, *crowd, asked(1, "anna", time=FAR), asked(2, "ben"))
    flywheel(ingest.settings, "erasure", "confirm", event_id(5_002))
    ingest.archive()
    maintain(ingest.lake, ingest.settings, after(ingest, 1))
    assert people(ingest) == {"anna", "carla"}

    due = after(ingest, 73)
    assert maintain(ingest.lake, ingest.settings, due)["confirmed"] == 1
    ingest.archive()
    summary = maintain(ingest.lake, ingest.settings, due)

    assert people(ingest) == {"carla"}
    assert (summary["confirmed"], summary["waiting"], summary["incidents"]) == (0, 0, [])
    orders = [row for row in rows(ingest.lake, "erasures") if row["signed_by"]]
    assert {row["signed_by"] for row in orders} == {signer_of(ingest.settings).public_key}
    assert all(row["time"] <= row["ingested_at"] for row in orders)


def test_a_broker_that_is_away_makes_nothing_go_wrong(ingest: Ingest) -> None:
    """What is due waits on, and the tables are put in order all the same."""
    sent(ingest, None, interaction(1, user_id="anna"), asked(1, "anna"))
    alone = msgspec.structs.replace(
        ingest.settings, kafka=msgspec.structs.replace(ingest.settings.kafka, bootstrap_servers="")
    )

    assert maintain(ingest.lake, alone, after(ingest, 73))["waiting"] == 1
    assert people(ingest) == {"anna"}
