"""A small world for the cluster stage: questions on four topics, and their feedback, straight into a lake."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from flows.cluster.forget import forget_wished
from flows.cluster.outcomes.judging import Judged, basis_of
from flows.cluster.stage import READS, cluster, judge_changes, publish_judged
from flows.cluster.state import clusters_of, events_of
from flows.cluster.summary import Summary
from flows.ledger import fold
from flows.run import begin, finish, latest
from flows.testing.events import START, event_id, happened
from schemas.events import Event, Feedback, Interaction
from schemas.records import Cluster, ClusterEvent, EventDetails, Member
from schemas.settings import ClusterSettings, Settings
from streams.lake import Lake
from streams.lake.append import append
from streams.lake.query import query, read
from streams.lake.rows import from_row, to_table

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


def planted(world: World, seed: int | None = None, **sure: float) -> dict[str, str]:
    """A run after which parcels live under the cards' id, half the refunds under a second one, and both is proposed.

    With a seed, events come in another order and in several commits. `sure`: certainty of the proposals, `split` and
    `merged`. Returns topic → cluster.
    """
    rows = {t: [asked(1000 * n + i, phrase(t, 5 * i)) for i in range(56)] for n, t in enumerate(TOPICS)}
    rows["parcel"] = rows["parcel"][:40]
    events = [event for some in rows.values() for row in some for event in (row, said(row))]
    if seed is not None:
        random.Random(seed).shuffle(events)
    for start in range(0, len(events), 150):
        world.happened(*events[start : start + 150])
    world.run()
    stored = read(world.lake, "cluster_members").to_pylist()
    members = {row["interaction_id"]: from_row(Member, row) for row in stored}
    of_topic = {topic: members[some[0].id].cluster_id for topic, some in rows.items()}
    homes = {row.id: of_topic[topic] for topic, some in rows.items() for row in some}
    homes |= {row.id: of_topic["card"] for row in rows["parcel"]}
    homes |= {row.id: "cother" for row in rows["refund"][::2][:20]}
    moved = [replace(members[id_], cluster_id=home, moves=1) for id_, home in sorted(homes.items())]
    refunds = next(cluster for cluster in world.clusters() if cluster.cluster_id == of_topic["refund"])
    parts = tuple(
        tuple(sorted({members[row.id].text_hash or "" for row in rows[topic]})[:20]) for topic in ("card", "parcel")
    )
    split = EventDetails(proposed=True, shares=(0.6, 0.4), parts=parts, certainty=sure.get("split", msgspec.UNSET))
    merge = EventDetails(proposed=True, shares=(0.9,), parts=(), certainty=sure.get("merged", msgspec.UNSET))
    proposed = [
        ClusterEvent(cluster_id=of_topic["card"], event="split", details=split),
        ClusterEvent(cluster_id="cother", event="merged", other_ids=(of_topic["refund"],), details=merge),
    ]
    planted_rows: dict[str, Sequence[msgspec.Struct]] = {
        "cluster_members": moved,
        "clusters": [replace(refunds, cluster_id="cother")],
        "cluster_events": proposed,
    }
    _beside(world, stored[0]["run_id"], planted_rows)
    return of_topic


def halved(world: World, cluster: str) -> None:
    """Every second text of a cluster lives under a second id, `cother`, as if the run had placed it there."""
    stored = read(world.lake, "cluster_members").to_pylist()
    inside = sorted((row for row in stored if row["cluster_id"] == cluster), key=lambda row: row["text_hash"])
    known = next(one for one in world.clusters() if one.cluster_id == cluster)
    moved = [replace(from_row(Member, row), cluster_id="cother", moves=1) for row in inside[::2]]
    second = replace(known, cluster_id="cother")
    _beside(world, inside[0]["run_id"], {"cluster_members": moved, "clusters": [second]})


def propose(world: World, event: Literal["split", "merged"], clusters: Sequence[str], certainty: float) -> None:
    """A proposal of the newest run, beside its own."""
    run = latest(world.lake, "cluster", "support-bot")
    assert run is not None
    first, *others = clusters
    details = EventDetails(proposed=True, shares=(0.5, 0.5), parts=(("x",), ("y",)), certainty=certainty)
    told = ClusterEvent(cluster_id=first, event=event, other_ids=tuple(others), details=details)
    _beside(world, run.run_id, {"cluster_events": [told]})


def _beside(world: World, run_id: str, planted_rows: Mapping[str, Sequence[msgspec.Struct]]) -> None:
    """Table → rows, put beside a finished run's own."""
    for table, some in planted_rows.items():
        append(world.lake, table, to_table(table, some, application="support-bot", run_id=run_id), {})


class Tools:
    """The makers above, for tests: modules of tests import nothing from each other."""

    asked = staticmethod(asked)
    said = staticmethod(said)
    phrase = staticmethod(phrase)
    planted = staticmethod(planted)
    halved = staticmethod(halved)
    propose = staticmethod(propose)
    event_id = staticmethod(event_id)
    topics: Sequence[str] = tuple(TOPICS)
    start = START
    World = World
