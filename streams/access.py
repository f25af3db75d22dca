"""Who may do what in Kafka, topic by topic: the rules that `flywheel topics --acl` gives to the brokers.

One principal for each way of using Kafka. What no rule allows nobody may do, once the brokers have an authorizer; an
application above all neither decides nor erases. Pure. Go on to `admin.py`, which applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from schemas.errors import UsageError
from schemas.settings import Settings
from schemas.topics import ALERTS, ARCHIVED, DECISIONS, ERASURES, FEEDBACK, INTERACTIONS, TOPICS

Role = Literal["application", "listener", "door", "archiver", "triage", "flows"]
TRIAGE = "flywheel-triage"
"""Triage's name at the brokers: its group, and the beginning of its own topics."""
ROLES: dict[Role, str] = {
    "application": "tells what was asked, answered and thought of it",
    "listener": "hears who serves: a gateway, or an application that asks",
    "door": "takes events over HTTP and from a Collector's topic, and says who serves",
    "archiver": "carries everything into the lake",
    "triage": "watches live, and raises alerts",
    "flows": "decide, confirm erasures, tell of reviews and alerts, purge, make topics: runs, commands, web app",
}
"""Role → what it does. Each is a principal of its own."""


class Rule(NamedTuple):
    """One permission."""

    role: Role
    kind: Literal["TOPIC", "GROUP", "CLUSTER"]
    name: str
    prefixed: bool
    """Whether `name` is a beginning of names."""
    operation: str


def rules(settings: Settings) -> list[Rule]:
    """Every permission that the processes and an application need."""
    told = (INTERACTIONS, FEEDBACK)
    tells: tuple[Role, ...] = ("application", "door")
    hears: tuple[Role, ...] = ("listener", "door", "triage")
    looks: tuple[Role, ...] = ("archiver", "triage", "flows")
    # An erasure is a request: it waits until a trusted key orders it (`flows/erasures.py`).
    found = [_topic(role, topic.name, "WRITE") for role in tells for topic in (*told, ERASURES)]
    found += [_topic(role, DECISIONS.name, "READ") for role in hears]
    if settings.door.collector_topic:
        found += [_topic("door", settings.door.collector_topic, "READ")]  # the bridge is the door's
    found += [_topic("archiver", topic.name, "READ") for topic in ARCHIVED]
    found += [_topic("triage", topic.name, "READ") for topic in told]
    found += [_topic("triage", ALERTS.name, "WRITE")]
    found += [Rule("triage", "TOPIC", TRIAGE, True, each) for each in ("CREATE", "READ", "WRITE")]
    found += [_topic("flows", topic.name, "WRITE") for topic in (DECISIONS, ERASURES, FEEDBACK, ALERTS)]
    found += [_topic("flows", ALERTS.name, "READ")]
    found += [_topic("flows", topic.name, "DELETE") for topic in ARCHIVED]
    found += [_topic(role, topic.name, "DESCRIBE") for role in looks for topic in TOPICS]
    found += [_topic("flows", topic.name, "CREATE") for topic in TOPICS]
    found += [
        Rule("archiver", "GROUP", settings.archive.group_id, False, "READ"),
        Rule("triage", "GROUP", TRIAGE, True, "READ"),
        Rule("flows", "GROUP", settings.archive.group_id, False, "DESCRIBE"),
        *(Rule(role, "GROUP", "llm-flywheel-", True, "READ") for role in ("listener", "door", "flows")),
    ]
    return sorted(set(found))


def principals(given: Mapping[str, str]) -> dict[Role, str]:
    """Role → principal: `User:flywheel-ROLE`, or the name that was given. Raises UsageError for an unknown role."""
    if unknown := sorted(set(given) - set(ROLES)):
        raise UsageError(f"there is no role {unknown[0][:64]!r}; the roles are {', '.join(ROLES)}")
    names = {role: given.get(role) or f"flywheel-{role}" for role in ROLES}
    return {role: name if name.startswith("User:") else f"User:{name}" for role, name in names.items()}


def _topic(role: Role, name: str, operation: str) -> Rule:
    return Rule(role, "TOPIC", name, False, operation)
