"""State of earlier cluster runs, folded from the lake: the clusters as last seen, and what is proposed for them.

The state is a fold over the finished runs in the lake and lies nowhere else: replaying them gives the same ids. Go on
to `flow.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from flows.cluster.standing import LINEAGE, Change, Key, changes_of, key, refused, touched_by_people
from flows.run import Run, as_finished, runs
from schemas.errors import UsageError
from schemas.records import Cluster, ClusterEvent
from streams.lake import Lake
from streams.lake.parts import Part, in_file, kept_apart, within
from streams.lake.query import ask
from streams.lake.query import rows as rows_of
from streams.lake.rows import Rows, from_row

TABLES = ("cluster_members", "embeddings")
MEMBERS, PINNED = (Path(__file__).with_name(name) for name in ("members.sql", "pinned.sql"))
"""The home of every failure that has one; which failures are in which pinned clusters."""
NEWEST = 2**62
"""The number of a run that is not finished: above all others."""


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A split or merge that some run has proposed and nothing has overtaken."""

    event: Literal["split", "merged"]
    clusters: tuple[str, ...]
    """split: the one that falls apart. merged: the two that have become one."""
    run_id: str
    shares: tuple[float, ...]
    """As in `lineage.Proposal`."""
    parts: tuple[tuple[str, ...], ...]
    """split: hashes of the texts that stand for each part, the largest part first."""
    mode: str = ""
    """A split by how failures fail: the mode that leaves."""
    certainty: float = 0.0
    """How likely it is right; 0 where nobody measured."""


@dataclass(frozen=True, kw_only=True)
class State:
    """The clusters before a run."""

    previous: str
    """Id of the newest finished run; empty before the first."""
    clusters: dict[str, Cluster]
    """Cluster → what the previous run said of it, dissolved ones included; without pinned ones."""
    pinned: dict[str, Cluster]
    """The same of pinned clusters: nothing is placed in them, and nothing is proposed for them."""
    resolved: dict[str, datetime]
    """Cluster → start of the window in which it was last called resolved."""
    proposals: tuple[Proposed, ...]
    """Splits and merges that may be accepted, oldest first."""
    changes: tuple[Change, ...]
    """Splits and merges that were carried out and stand, oldest first."""
    refused: frozenset[Key]
    """What people refused: it is not proposed again."""
    touched: frozenset[str]
    """Clusters that people have acted on: runs do nothing to them by themselves."""
    born: dict[str, datetime]
    """Cluster → time of the run that it was born in."""
    ran: tuple[datetime, ...]
    """Times of the earlier runs, oldest first."""
    done: frozenset[str]
    """The decisions that a run has carried out."""

    def living(self) -> list[str]:
        """Ids that may take new failures, oldest name first: all that were not merged into another."""
        return sorted(id_ for id_, cluster in self.clusters.items() if not cluster.alias_of)


def load(lake: Lake, application: str, as_of: datetime) -> State:
    """The state that a run at `as_of` starts from. Raises UsageError where a later run has been finished."""
    history = runs(lake, "cluster", application)
    if history and history[-1].as_of > as_of:
        raise UsageError(
            f"cluster runs of {application!r} go forward in time: one as of {history[-1].as_of:%Y-%m-%d %H:%M:%S}Z "
            f"is finished, so none can start as of {as_of:%Y-%m-%d %H:%M:%S}Z. Give a later time."
        )
    previous = history[-1].run_id if history else ""
    order = {run.run_id: i for i, run in enumerate(history)}
    told = rows_of(lake, "cluster_events", application=application)
    told.sort(key=lambda row: order[row["run_id"]])
    events = [(row["run_id"], from_row(ClusterEvent, row)) for row in told]
    times = {run.run_id: run.as_of for run in history}
    known = {cluster.cluster_id: cluster for cluster in clusters_of(lake, previous)}
    return State(
        previous=previous,
        clusters={id_: cluster for id_, cluster in known.items() if not cluster.pinned},
        pinned={id_: cluster for id_, cluster in known.items() if cluster.pinned},
        resolved=_resolved(event for _, event in events),
        proposals=_proposals(events),
        changes=changes_of(events),
        refused=refused(event for _, event in events),
        touched=touched_by_people(event for _, event in events),
        born={event.cluster_id: times[run_id] for run_id, event in events if event.event == "born"},
        ran=tuple(run.as_of for run in history),
        done=frozenset(event.details.decision for _, event in events if isinstance(event.details.decision, str)),
    )


@dataclass(frozen=True)
class Now:
    """The lake as a run sees it: what earlier runs concluded, and its own rows that are written so far."""

    lake: Lake
    run: Run
    homes: Path = MEMBERS
    """What `{homes}` in a query stands for: where failures are at home, or which pinned clusters they are in."""
    failures: Mapping[str, Part] = field(default_factory=dict)
    """Where questions about failures alone look: `with_failures`; empty: into all that was judged."""
    placed: bool = True
    """Whether the run's own placements count, or only those of the runs before it."""
    at_home: ds.Dataset | None = None
    """The answer to MEMBERS, where it was found once for many questions: `with_homes`."""

    @contextmanager
    def with_failures(self) -> Iterator[Now]:
        """The same, for a stage that asks a dozen questions about failures: what was judged is read once for them.

        With what failed go the rows of a later revision, some of which say that something failed no longer; of other
        applications, about which nothing is asked, none. Where Spark is asked, it reads the tables that its workers
        see.
        """
        if self.lake.engine:
            yield self
            return
        own, revision = pc.field("application") == self.run.application, pc.field("revision")
        which = own & ((pc.field("outcome") == "failed") | (revision > 0) | revision.is_null())
        with kept_apart(within(self.lake, "outcomes", self.lake.version("outcomes"), which)) as part:
            yield replace(self, failures={"outcomes": part})

    @contextmanager
    def with_homes(self, *, placed: bool) -> Iterator[Now]:
        """The same, for a dozen questions between which nothing is placed: every failure's home is found once for them.

        `placed`: whether the run's own placements count, which then are all written.
        """
        now = replace(self, placed=placed)
        if self.lake.engine:
            yield now
            return
        with ExitStack() as kept:
            with now.stream(MEMBERS) as homes:
                at_home = kept.enter_context(in_file(homes.reader()))
            yield replace(now, at_home=at_home)

    def ask(self, file: Path, parts: Mapping[str, Part] | None = None, **parameters: Any) -> pa.Table:
        """The answer to a query of this stage."""
        with self.stream(file, parts, **parameters) as answer:
            return answer.table()

    @contextmanager
    def stream(self, file: Path, parts: Mapping[str, Part] | None = None, **parameters: Any) -> Iterator[Rows]:
        """The same, where the answer need not fit into memory."""
        found = {"at_home": self.at_home} if self.at_home is not None and self.homes == MEMBERS else {}
        text = file.read_text().replace("{homes}", "SELECT * FROM at_home") if found else sql(file, self.homes)
        names = [name for name in ("outcomes", "pinned_members", *TABLES) if re.search(rf"\b{name}\b", text)]
        given = {"application": self.run.application, "run_id": self.run.run_id, **parameters}
        given["unseen"] = "" if self.placed else self.run.run_id
        given = {name: value for name, value in given.items() if re.search(rf"\${name}\b", text)}
        with ask(
            self.lake,
            text,
            self.lake.versions(names),
            given,
            tables=found,
            parts=parts,
            finished=as_finished(self.run, NEWEST),
        ) as answer:
            yield answer


def sql(file: Path, homes: Path = MEMBERS) -> str:
    """A query of this stage; `{homes}` in it stands for `members.sql`, or for `pinned.sql`."""
    return file.read_text().replace("{homes}", homes.read_text())


def clusters_of(lake: Lake, run_id: str) -> list[Cluster]:
    """The clusters as a run saw them, pinned ones too, largest first."""
    found = [from_row(Cluster, row) for row in rows_of(lake, "clusters", run_id=run_id)]
    return sorted(found, key=lambda cluster: (-cluster.size, cluster.cluster_id))


def events_of(lake: Lake, run_id: str) -> list[ClusterEvent]:
    """What happened to clusters in a run."""
    return [from_row(ClusterEvent, row) for row in rows_of(lake, "cluster_events", run_id=run_id)]


def _resolved(events: Iterable[ClusterEvent]) -> dict[str, datetime]:
    resolved: dict[str, datetime] = {}
    for event in events:
        if event.event == "resolved" and isinstance(event.details.window_start, str):
            start = datetime.fromisoformat(event.details.window_start)
            resolved[event.cluster_id] = max(start, resolved.get(event.cluster_id, start))
        elif event.event in LINEAGE and not event.details.proposed:
            resolved = resolved_after(resolved, event.event, event.cluster_id, event.other_ids)
    return resolved


def resolved_after(
    resolved: dict[str, datetime], event: str, cluster: str, others: Sequence[str]
) -> dict[str, datetime]:
    """Parts of a split were resolved when the whole was; a merged cluster where both were, when the later one was."""
    if event == "split":
        return resolved | {other: resolved[cluster] for other in others if cluster in resolved}
    both = [resolved[id_] for id_ in (cluster, *others) if id_ in resolved]
    rest = {id_: start for id_, start in resolved.items() if id_ not in {cluster, *others}}
    return rest | ({cluster: max(both)} if len(both) == 1 + len(others) else {})


def _proposals(events: Iterable[tuple[str, ClusterEvent]]) -> tuple[Proposed, ...]:
    """What is proposed, not refused and not overtaken.

    A split or merge that was carried out ends all proposals for its clusters.
    """
    proposals: tuple[Proposed, ...] = ()
    for run_id, event in events:
        clusters, details = (event.cluster_id, *event.other_ids), event.details
        if event.event == "refused":
            proposals = without(proposals, clusters)
        if event.event not in {"split", "merged"}:
            continue
        if not details.proposed:
            proposals = untouched(proposals, clusters)
        elif (
            details.parts or details.mode or event.event == "merged"
        ):  # older versions proposed splits without saying into what
            proposals = (
                *proposals,
                Proposed(
                    event=event.event,
                    clusters=clusters,
                    run_id=run_id,
                    shares=details.shares or (),
                    parts=details.parts or (),
                    mode=details.mode or "",
                    certainty=details.certainty or 0.0,
                ),
            )
    return proposals


def untouched(proposals: Iterable[Proposed], clusters: Sequence[str]) -> tuple[Proposed, ...]:
    """The proposals that are about none of these clusters."""
    return tuple(known for known in proposals if not set(known.clusters) & set(clusters))


def without(proposals: Iterable[Proposed], refused_: Sequence[str]) -> tuple[Proposed, ...]:
    """The proposals but for the split of one cluster, or the merge of two, that was refused."""
    return tuple(known for known in proposals if key(known.clusters) != key(refused_))
