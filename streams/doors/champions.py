"""Who serves in each application: followed on the decisions' topic, kept as the bytes that were signed.

Only decisions that a trusted key signed are passed on. The topic is compacted, so reading it from its beginning is
short. Go on to `streams/doors/app.py`.
"""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from llm_flywheel.transports.tolerant import ask_headers
from schemas.codec import decode
from schemas.errors import EventError
from schemas.events import Decision
from schemas.settings import KafkaSettings
from schemas.signing import SIGNATURE_HEADER, Trust
from schemas.topics import DECISIONS
from streams.admin import TIMEOUT_S, client_options

LOOK_S = 0.2
AGAIN_S = 2.0
"""Before a broker that was away is asked again."""
_log = logging.getLogger(__name__)


class Serving(NamedTuple):
    """An application's newest decision that says who serves."""

    sequence: int
    value: bytes
    """As it was signed."""
    signature: str

    @property
    def etag(self) -> str:
        """Changes with each decision, and with no restart."""
        return f'"{self.sequence}-{self.signature[:16]}"'


class Champions:
    """See the module. A thread follows from `start` to `close`."""

    def __init__(self, kafka: KafkaSettings, trust: Trust) -> None:
        self._kafka, self._trust = kafka, trust
        self._serving: dict[str, Serving] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="llm-flywheel-champions", daemon=True)
        self.ready = threading.Event()
        """Set once all that was there has been read."""

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Follow no longer."""
        self._stop.set()
        self._thread.join(TIMEOUT_S)

    def of(self, application: str) -> Serving | None:
        """Who serves in an application; None where nobody was ever promoted."""
        return self._serving.get(application)

    def hear(self, record: Message) -> None:
        """One record of the topic: kept if it is signed, newer than what is known, and names a champion."""
        try:
            pairs = dict(ask_headers(record) or {})
        except (UnicodeDecodeError, SystemError):  # a name that is no UTF-8: anybody's, and no decision of ours
            return
        value, headers = record.value(), [(name, each) for name, each in pairs.items() if isinstance(each, bytes)]
        if value is None or self._trust.signer(DECISIONS.event_type, value, headers) is None:
            return
        try:
            decision = decode(value, DECISIONS.event_type).event
        except EventError:
            return
        if not isinstance(decision, Decision) or decision.champion is None:
            return
        known = self._serving.get(decision.application)
        if known is None or decision.sequence > known.sequence:
            signature = next(each for name, each in headers if name == SIGNATURE_HEADER).decode("ascii", "replace")
            self._serving[decision.application] = Serving(decision.sequence, bytes(value), signature)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                self._read()
            except (KafkaException, KeyError) as error:
                _log.warning("decisions cannot be read, the last known ones are told: %s", error)
                self._stop.wait(AGAIN_S)

    def _read(self) -> None:
        options = {
            **client_options(self._kafka),
            "group.id": "llm-flywheel-door",
            "enable.auto.commit": False,
            "log_level": 2,
        }
        consumer = Consumer(options)
        try:
            numbers = consumer.list_topics(DECISIONS.name, timeout=TIMEOUT_S).topics[DECISIONS.name].partitions
            places = [TopicPartition(DECISIONS.name, number, OFFSET_BEGINNING) for number in numbers]
            bounds = {each.partition: consumer.get_watermark_offsets(each, timeout=TIMEOUT_S) for each in places}
            waiting = {number for number, (first, end) in bounds.items() if first < end}
            if not places:
                raise KeyError(f"there is no topic {DECISIONS.name}")
            consumer.assign(places)
            while not self._stop.is_set():
                record = consumer.poll(LOOK_S)
                if record is not None and record.error() is None:
                    self.hear(record)
                if waiting:
                    reached = {each.partition: each.offset for each in consumer.position(places)}
                    waiting = {number for number in waiting if reached.get(number, -1) < bounds[number][1]}
                if not waiting:
                    self.ready.set()
        finally:
            consumer.close()
