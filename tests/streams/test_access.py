"""Who may do what in Kafka: no more than the processes need, and no less."""

from __future__ import annotations

from schemas.settings import DoorSettings, Settings
from streams.access import Rule, rules
from streams.doors.bridge import GROUP


def test_the_bridge_reads_its_topic_as_the_door() -> None:
    """Where a Collector's topic is named; its group is one of those that the door may join."""
    without, with_ = rules(Settings()), rules(Settings(door=DoorSettings(collector_topic="otlp_spans")))
    groups = [rule.name for rule in with_ if rule[:2] == ("door", "GROUP") and rule.prefixed]

    assert set(with_) - set(without) == {Rule("door", "TOPIC", "otlp_spans", False, "READ")}
    assert any(GROUP.startswith(each) for each in groups)
