"""Events that come by Kafka, landed by the archiver's own code, without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flows.testing.events import START
from schemas.codec import encode
from schemas.events import Event
from schemas.settings import ArchiveSettings
from schemas.signing import Signer, Trust
from schemas.topics import Topic
from streams.archive.batch import make_batch
from streams.archive.landing import Landing
from streams.lake import Lake
from tests.support.records import TIME_MS, Record

HOME = Signer("C" * 43)
"""Signs what arrives, as this home does."""


def arrive(
    lake: Lake, topic: Topic, events: Sequence[Event | bytes], at: datetime = START, *, signed: bool = True
) -> None:
    """Events come and are archived, after those that came before."""
    landing = Landing(lake, check=lambda *_: None)
    committed = landing.starts(topic, "t", [0]).result()[0].committed
    values = [event if isinstance(event, bytes) else encode(event) for event in events]
    records = [
        Record((committed or 0) + n, value, HOME.headers(topic.event_type, value) if signed else None, time_ms=TIME_MS)
        for n, value in enumerate(values)
    ]
    trust = Trust([HOME.public_key])
    batch = make_batch(topic, "t", records, {0: committed or 0}, at, ArchiveSettings(), trust=trust)
    landing.submit(topic, "t", batch, {0: committed}).result()
    landing.close(5)
