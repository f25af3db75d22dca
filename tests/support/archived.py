"""Events that come by Kafka, landed by the archiver's own code, without a broker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flows.testing.events import START
from schemas.codec import encode
from schemas.events import Event
from schemas.settings import ArchiveSettings
from schemas.topics import Topic
from streams.archive.batch import make_batch
from streams.archive.landing import Landing
from streams.lake import Lake


class Record:
    """One Kafka record of partition 0."""

    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_767_600_000_000

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None:
        return None


def arrive(lake: Lake, topic: Topic, events: Sequence[Event | bytes], at: datetime = START) -> None:
    """Events come and are archived, after those that came before."""
    landing = Landing(lake, check=lambda *_: None)
    committed = landing.starts(topic, "t", [0]).result()[0].committed
    values = [event if isinstance(event, bytes) else encode(event) for event in events]
    records = [Record((committed or 0) + n, value) for n, value in enumerate(values)]
    batch = make_batch(topic, "t", records, {0: committed or 0}, at, ArchiveSettings())
    landing.submit(topic, "t", batch, {0: committed}).result()
    landing.close(5)
