"""Kafka as the operator sees it: client options, topics with the right partitions, offsets and lag.

Go on to `streams/producer.py` for events in and `streams/archive.py` for events out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from schemas.errors import BrokerError, UsageError
from schemas.settings import KafkaSettings
from schemas.topics import FEEDBACK, INTERACTIONS, TOPICS, Topic

TIMEOUT_S = 15.0
"""For one question to the broker: a healthy one answers in milliseconds, one that restarts in some seconds."""


class Offsets(msgspec.Struct, frozen=True):
    """What Kafka holds of one partition."""

    earliest: int
    latest: int
    """The offset that the next event will get."""


def client_options(kafka: KafkaSettings) -> dict[str, str | int | float | bool]:
    """Options (in librdkafka's names) that every client shares; `kafka.client` is passed on as it is and wins.

    Raises UsageError where no broker is named.
    """
    if not kafka.bootstrap_servers:
        raise UsageError("no Kafka broker is named: start one with `flywheel up`, or set KAFKA_BOOTSTRAP_SERVERS")
    return {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 3, **kafka.client}


class Admin:
    """Questions and orders to the brokers. Every method raises BrokerError where they do not answer in time."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._client = AdminClient(client_options(kafka))

    def ensure_topics(self, topics: Iterable[Topic] = TOPICS) -> list[str]:
        """Create the topics that do not exist yet; their names. Existing ones are left as they are.

        Raises UsageError where interactions and feedback have different partition counts: their join in triage is
        local to a partition.
        """
        wanted = {topic.name: topic for topic in topics}
        existing = self.partitions(wanted)
        missing = [topic for name, topic in wanted.items() if name not in existing]
        orders = [
            NewTopic(topic.name, num_partitions=self._kafka.partitions, config=dict(topic.config)) for topic in missing
        ]
        for name, order in (self._client.create_topics(orders, request_timeout=TIMEOUT_S) if orders else {}).items():
            try:
                order.result(TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise BrokerError(f"topic {name} cannot be created: {error}") from error
        counts = {name: existing[name] for name in (INTERACTIONS.name, FEEDBACK.name) if name in existing}
        if len(set(counts.values())) > 1:
            raise UsageError(f"topics that are joined must have the same number of partitions, but have {counts}")
        return [topic.name for topic in missing]

    def partitions(self, names: Iterable[str]) -> dict[str, int]:
        """How many partitions each of the topics has; a topic that does not exist is left out."""
        try:
            known = self._client.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerError(f"Kafka at {self._kafka.bootstrap_servers} does not answer: {error}") from error
        return {name: len(known[name].partitions) for name in names if name in known}

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The id that each topic got when it was created: a topic made anew under an old name has another.

        Empty text from a broker that is older than topic ids; a topic that does not exist is left out.
        """
        orders = self._client.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_S)
        found = {}
        for name, order in orders.items():
            try:
                found[name] = str(order.result(TIMEOUT_S).topic_id or "")
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise BrokerError(f"topic {name} cannot be described: {error}") from error
            except TimeoutError as error:
                raise BrokerError(f"Kafka at {self._kafka.bootstrap_servers} does not answer") from error
        return found

    def offsets(self, names: Iterable[str]) -> dict[tuple[str, int], Offsets]:
        """Earliest and latest offset of every partition of the topics that exist."""
        places = [(name, number) for name, count in self.partitions(names).items() for number in range(count)]
        earliest = self._offsets(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        latest = self._offsets(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {place: Offsets(earliest[place], latest[place]) for place in places}

    def _offsets(self, places: list[tuple[str, int]], spec: OffsetSpec) -> Mapping[tuple[str, int], int]:
        if not places:
            return {}
        asked = {TopicPartition(*place): spec for place in places}
        try:
            answers = self._client.list_offsets(asked, request_timeout=TIMEOUT_S)
            return {(at.topic, at.partition): order.result(TIMEOUT_S).offset for at, order in answers.items()}
        except (KafkaException, TimeoutError) as error:
            raise BrokerError(f"Kafka at {self._kafka.bootstrap_servers} does not answer: {error}") from error
