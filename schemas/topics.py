"""The table of topics: no other file names a Kafka topic.

Go on to `streams/producer.py` and `streams/archive/archiver.py`; `docs/contracts.md` says how an application sends.
"""

from __future__ import annotations

import msgspec


class Topic(msgspec.Struct, frozen=True):
    """One Kafka topic, its event type, and what keys its records."""

    name: str
    event_type: str
    """`ce_type` of its records; also the name of the JSON Schema in `schemas/json/`."""
    key: str
    """The event's field that is the Kafka key, so that events that belong together stay in order."""
    table: str
    """The raw lake table that the archiver fills; empty where the topic is not archived."""
    config: dict[str, str] = {}
    """Topic configuration beside the broker's defaults."""
    signed: bool = False
    """Its records give orders: those that no trusted key signed (`schemas/signing.py`) are believed by nobody."""
    waits: bool = False
    """Its records ask for what a trusted key then orders: the archiver notes who signed each (`signed_by`)."""


LOG_TIME = {"message.timestamp.type": "LogAppendTime"}
"""Retention counts from the arrival: a replay of last month's events must not be deleted before it is archived."""

INTERACTIONS = Topic("llm.interactions", "llm.interaction.v1", "conversation_id", "interactions", LOG_TIME)
FEEDBACK = Topic("llm.feedback", "llm.feedback.v1", "conversation_id", "feedback", LOG_TIME)
ERASURES = Topic("llm.erasures", "llm.erasure.v1", "subject", "erasures", LOG_TIME, waits=True)
DECISIONS = Topic(
    "llm.decisions",
    "llm.decision.v1",
    "application",
    "decisions",
    # Listeners that join late need only the newest decision; a day's lag lets the archiver see every one.
    LOG_TIME | {"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"},
    signed=True,
)
ALERTS = Topic("llm.alerts", "llm.alert.v1", "application", "")

TOPICS: tuple[Topic, ...] = (INTERACTIONS, FEEDBACK, ERASURES, DECISIONS, ALERTS)
ARCHIVED: tuple[Topic, ...] = tuple(topic for topic in TOPICS if topic.table)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}
