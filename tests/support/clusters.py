"""A small world for the cluster stage: questions on four topics, and their feedback, straight into a lake."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from flows.cluster.forget import forget_wished
from flows.cluster.outcomes.judging import Judged, basis_of
from flows.cluster.stage import READS, cluster, judge_changes, publish_judged
from flows.cluster.state import clusters_of, events_of
from flows.cluster.summary import Summary
from flows.ledger import fold
from flows.run import begin, finish, latest
from flows.testing.events import START, event_id, happened
from schemas.events import Event, Feedback, Interaction
from schemas.records import Cluster, ClusterEvent
from schemas.settings import ClusterSettings, Settings
from streams.lake import Lake
from streams.lake.query import query, read

TOPICS = {
    "card": (
        "my bank card was stolen",
        "I lost my card",
        "the card got swallowed",
        "block my card",
        "a new card please",
    ),
    "parcel": (
        "my parcel is late",
        "where is the parcel",
        "the parcel never came",
        "track my parcel",
        "parcel damaged",
    ),
    "refund": (
        "I want a refund",
        "refund not received",
        "when is my refund paid",
        "refund the order",
        "refund my money",
    ),
    "password": (
        "password forgotten",
        "reset the password",
        "password rejected",
        "change password",
        "my password expired",
    ),
}
OPENINGS = ("", "hi,", "hello there,", "please help:", "good morning,", "urgent!", "quick question,", "so")
ENDINGS = ("", "today", "thanks", "what now?", "again", "since monday", "can you check")


def asked(n: int, text: str = "where is my parcel", **fields: Any) -> Interaction:
    """The n-th interaction, a question with an answer."""
    values = {
        "id": event_id(n),
        "time": START + timedelta(seconds=n),
        "application": "support-bot",
        "conversation_id": f"conversation-{n}",
        "user_id": f"user-{n}",
        "request_model": "bot-1",
        "input_messages": [{"role": "user", "content": text}],
        "output_messages": [{"role": "assistant", "content": "An answer."}],
    }
    return msgspec.convert({**values, **fields}, Interaction)


_numbers = itertools.count()


def said(about: Interaction, kind: str = "thumb", value: float | None = 0.0, **fields: Any) -> Feedback:
    """A feedback event about an interaction; a thumb down unless told otherwise."""
    values = {
        "id": event_id(10_000_000 + next(_numbers)),
        "time": about.time + timedelta(seconds=30),
        "application": about.application,
        "conversation_id": about.conversation_id,
        "interaction_id": about.id,
        "user_id": about.user_id,
        "kind": kind,
        "value": value,
    }
    return msgspec.convert({**values, **fields}, Feedback)


def phrase(topic: str, n: int) -> str:
    """The n-th of 280 ways to ask about a topic."""
    return f"{OPENINGS[n // 5 % 8]} {TOPICS[topic][n % 5]} {ENDINGS[n // 40 % 7]}"


class World:
    """A lake and its settings, filled by hand."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=str(home), cluster=ClusterSettings(**settings))
        self.lake = Lake(self.settings.lake_root)

    def happened(self, *events: Event) -> None:
        """Put events into their raw tables."""
        happened(self.lake, *events)

    def failures(self, first: int, topic: str, count: int, **fields: Any) -> list[Interaction]:
        """`count` questions about a topic, each with a thumb down; the interactions."""
        rows = [asked(first + i, phrase(topic, i), **fields) for i in range(count)]
        self.happened(*rows, *[said(row) for row in rows])
        return rows

    def run(self, days: float = 1.0) -> Summary:
        """One cluster run, as of so many days after the start."""
        return cluster(self.lake, self.settings, START + timedelta(days=days))

    def judge(self, days: float, *, killed: bool = False) -> Judged:
        """The part of a run that outcomes depend on, finished, or killed before it is."""
        forget_wished(self.lake, self.settings)
        run = begin(self.lake, "cluster", self.settings.application, START + timedelta(days=days), READS, None)
        judged = judge_changes(self.lake, run, self.settings)
        publish_judged(self.lake, run, judged)
        if not killed:
            shots = fold(self.lake, run.application, run.versions["ledger"]).shots
            finish(self.lake, run, {"basis": basis_of(run.code_version, self.settings, shots)})
        return judged

    def clusters(self) -> list[Cluster]:
        """The clusters of the newest run, largest first."""
        return clusters_of(self.lake, self._newest())

    def events(self) -> list[ClusterEvent]:
        """The cluster events of the newest run."""
        return events_of(self.lake, self._newest())

    def homes(self) -> dict[str, str]:
        """Interaction → cluster, over all runs."""
        rows = sorted(read(self.lake, "cluster_members").to_pylist(), key=lambda row: row["moves"] or 0)
        return {row["interaction_id"]: row["cluster_id"] for row in rows}

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """Interaction → its newest row of `outcomes`."""
        rows = query(self.lake, "SELECT * FROM outcomes", self.lake.versions(["outcomes"])).to_pylist()
        return {row["interaction_id"]: row for row in rows}

    def _newest(self) -> str:
        run = latest(self.lake, "cluster", self.settings.application)
        assert run is not None
        return run.run_id


class Tools:
    """The makers above, for tests: modules of tests import nothing from each other."""

    asked = staticmethod(asked)
    said = staticmethod(said)
    phrase = staticmethod(phrase)
    event_id = staticmethod(event_id)
    topics: Sequence[str] = tuple(TOPICS)
    start = START
    World = World
