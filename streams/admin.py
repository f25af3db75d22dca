"""Kafka as the operator sees it: client options, topics with the right partitions, offsets and lag.

Go on to `streams/archive/archiver.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import msgspec
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from schemas.errors import BrokerError, UsageError
from schemas.secrets import revealed
from schemas.settings import NO_BROKER, KafkaSettings
from schemas.topics import FEEDBACK, INTERACTIONS, TOPICS, Topic
from streams.access import Role, Rule

TIMEOUT_S = 15.0
"""For one question to the broker: a healthy one answers in milliseconds, one that restarts in some seconds."""
PAUSE_S = 0.2
"""Before a question is asked again."""
PASSING = frozenset({
    KafkaError._NOENT,  # noqa: SLF001 - its API: no leaders found
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.KAFKA_STORAGE_ERROR,
})  # fmt: skip
"""What a broker answers while a topic is being made or deleted, or while its leader moves: gone a moment later."""
_Answer = TypeVar("_Answer")


class Offsets(msgspec.Struct, frozen=True):
    """What Kafka holds of one partition."""

    earliest: int
    latest: int
    """The offset that the next event will get."""
    stable: int
    """Up to here all transactions are decided: what lies beyond cannot be read yet."""


def client_options(kafka: KafkaSettings) -> dict[str, str | int | float | bool]:
    """Options (in librdkafka's names) that every client shares; `kafka.client` is passed on as it is and wins.

    Raises UsageError where no broker is named.
    """
    if not kafka.bootstrap_servers:
        raise UsageError(NO_BROKER)
    return {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 3, **revealed(kafka.client)}


class Admin:
    """Questions and orders to the brokers. Every method raises BrokerError where they do not answer in time."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        # Level 2: what fails is raised, with its reason; librdkafka would print every try beside it.
        options = {**client_options(kafka), "log_level": revealed(kafka.client).get("log_level", 2)}
        self._client = AdminClient(options)

    def ensure_topics(self, topics: Iterable[Topic] = TOPICS) -> list[str]:
        """Create the topics that do not exist yet; their names. Existing ones are left as they are.

        On return the topics can be used: a broker says "created" a moment before it lists and leads them.
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
        if missing:
            self._await([topic.name for topic in missing])
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
        return self._ask(lambda: self._topic_ids(list(names)))

    def offsets(self, names: Iterable[str]) -> dict[tuple[str, int], Offsets]:
        """Earliest and latest offset of every partition of the topics that exist."""
        return self._ask(lambda: self._offsets(list(names)))

    def delete_before(self, offsets: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """Delete what lies before an offset of each partition; the earliest offset that each then has."""
        if not offsets:
            return {}
        asked = [TopicPartition(name, number, offset) for (name, number), offset in offsets.items()]
        try:
            orders = self._client.delete_records(asked, request_timeout=TIMEOUT_S)
            return {(at.topic, at.partition): order.result(TIMEOUT_S).low_watermark for at, order in orders.items()}
        except (KafkaException, TimeoutError) as error:
            raise BrokerError(f"Kafka at {self._kafka.bootstrap_servers} deletes nothing: {error}") from error

    def allow(self, rules: Iterable[Rule], principals: Mapping[Role, str]) -> int:
        """Give the brokers these permissions, for every host; how many. Those that are there already stay as they are.

        Raises BrokerError where they have no authorizer, or this client may not.
        """
        bindings = [
            AclBinding(
                ResourceType[rule.kind], rule.name,
                ResourcePatternType.PREFIXED if rule.prefixed else ResourcePatternType.LITERAL,
                principals[rule.role], "*", AclOperation[rule.operation], AclPermissionType.ALLOW,
            )
            for rule in rules
        ]  # fmt: skip
        try:
            for order in self._client.create_acls(bindings, request_timeout=TIMEOUT_S).values():
                order.result(TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            raise BrokerError(f"Kafka at {self._kafka.bootstrap_servers} takes no permissions: {error}") from error
        return len(bindings)

    def _await(self, names: list[str]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while missing := set(names) - {name for name, _ in self.offsets(names)}:
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka says that it created {sorted(missing)}, but does not list them")
            time.sleep(PAUSE_S)

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """The answer, asked for again while the broker says that it has none yet."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return question()
            except (KafkaException, TimeoutError) as error:
                passing = isinstance(error, KafkaException) and error.args[0].code() in PASSING
                if not passing or time.monotonic() > deadline:
                    raise BrokerError(f"Kafka at {self._kafka.bootstrap_servers} does not answer: {error}") from error
            time.sleep(PAUSE_S)

    def _topic_ids(self, names: list[str]) -> dict[str, str]:
        ids = {}
        orders = self._client.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
        for name, order in orders.items():
            try:
                ids[name] = str(order.result(TIMEOUT_S).topic_id or "")
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        return ids

    def _offsets(self, names: list[str]) -> dict[tuple[str, int], Offsets]:
        places = [TopicPartition(name, n) for name, count in self.partitions(names).items() for n in range(count)]
        if not places:
            return {}
        first, last = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
        earliest, latest, stable = [
            {(at.topic, at.partition): order.result(TIMEOUT_S).offset for at, order in answers.items()}
            for answers in (
                self._client.list_offsets(dict.fromkeys(places, spec), isolation_level=seen, request_timeout=TIMEOUT_S)
                for spec, seen in (
                    (first, IsolationLevel.READ_UNCOMMITTED),
                    (last, IsolationLevel.READ_UNCOMMITTED),
                    (last, IsolationLevel.READ_COMMITTED),
                )
            )
        ]
        return {place: Offsets(earliest[place], latest[place], stable[place]) for place in earliest}
