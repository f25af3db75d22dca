"""Deletes archived records from Kafka's own log (DeleteRecords), where somebody's words must not wait for retention.

Kafka deletes from the front of a partition only: all that is archived goes, not one person's events. Go on to
`flows/erase.py`.
"""

from __future__ import annotations

from schemas.settings import KafkaSettings
from schemas.topics import FEEDBACK, INTERACTIONS
from streams.admin import Admin
from streams.lake import Lake
from streams.lake.append import committed_id


def forget_archived(lake: Lake, kafka: KafkaSettings) -> dict[str, int]:
    """Delete what the lake has committed of interactions and feedback; `topic:partition` → the first offset left.

    What was not archived yet stays. Readers that lag behind the archiver miss what went. Raises BrokerError.
    """
    admin = Admin(kafka)
    topics = [topic for topic in (INTERACTIONS, FEEDBACK) if lake.exists(topic.table)]
    names = [topic.name for topic in topics]
    ids, counts = admin.topic_ids(names), admin.partitions(names)
    committed = {
        (topic.name, number): lake.open(topic.table).transaction_version(
            committed_id(topic.name, ids[topic.name], number)
        )
        for topic in topics
        for number in range(counts.get(topic.name, 0))
    }
    left = admin.delete_before({place: offset for place, offset in committed.items() if offset})
    return {f"{name}:{number}": offset for (name, number), offset in sorted(left.items())}
