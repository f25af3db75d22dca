"""What a person does to a cluster of their own accord: recorded at once, with who, when and why.

An act is a row of `cluster_decisions`, which nobody edits; the next run carries it out and says so in an event that
names it (`by_hand.py`), so that the state stays a fold over what is recorded. The same act twice in a row is one. What
a person typed is a stranger's text: bounded, on one line, and without personal data. Go on to
`flows/commands/cluster_acts.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from flows.cluster.lineage.accepted import full_id, pending, wanted_of
from flows.cluster.lineage.inside import SQL
from flows.cluster.lineage.pinned import FEWEST, MOST_PINNED, pinned_id
from flows.cluster.state import State, load, sql
from flows.redact.own import redactor_of
from flows.run import latest
from schemas.acts import ClusterDecision
from schemas.errors import NotEnoughData, UsageError
from schemas.normalise import bounded, words
from schemas.records import content_hash
from schemas.settings import Settings
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.query import query, rows
from streams.lake.rows import from_row, to_table

NAME_CHARS, WORDS_CHARS, REASON_CHARS, WHO_CHARS = 120, 200, 1_000, 200
MOST_FAILURES = 200
"""Failures that one act names: more than anybody picks by hand."""


@dataclass(frozen=True)
class Acts:
    """Where acts are recorded: by whom and when."""

    lake: Lake
    settings: Settings
    by: str
    now: datetime

    def rename(self, cluster: str, name: str, reason: str = "") -> ClusterDecision:
        """Call a cluster something; no run and no model gives it another name. Raises UsageError for an empty one."""
        state = self._state()
        wanted = self._typed(name, NAME_CHARS, "a name")
        return self._record(
            event="renamed", cluster_id=_shown(state, cluster), name=wanted, reason=self._reason(reason)
        )

    def merge(self, kept: str, others: Sequence[str], reason: str = "") -> ClusterDecision:
        """Make clusters one: the first keeps its id and name, the others' ids become other names of it."""
        state = self._state()
        first, *rest = (_living(state, cluster) for cluster in (kept, *others))
        if not rest or len({first, *rest}) <= len(rest):
            raise UsageError("a merge takes two clusters or more, each once: the first keeps its id")
        self._refuse_accepted(state, [first, *rest])
        return self._record(event="merged", cluster_id=first, other_ids=tuple(rest), reason=self._reason(reason))

    def split(
        self, cluster: str, saying: str = "", interactions: Sequence[str] = (), name: str = "", reason: str = ""
    ) -> ClusterDecision:
        """Make a cluster of the failures of another that say all of some words, and of those that are named.

        Raises UsageError where that is none of them, or all.
        """
        state = self._state()
        home = _living(state, cluster)
        self._refuse_accepted(state, [home])
        wanted = self._typed(saying, WORDS_CHARS, "words", kept=True) if saying else None
        if wanted and not words(wanted):
            raise UsageError(f"{wanted!r} has no word in it")
        ids = _bounded(interactions)
        inside = self._failures(home, ids)
        part = {row["interaction_id"] for row in inside if chosen(row, wanted, ids)}
        if astray := set(ids) - {row["interaction_id"] for row in inside}:
            raise UsageError(f"{home} does not hold {', '.join(sorted(astray)[:5])}")
        if not part or len(part) == len(inside):
            raise UsageError(
                f"that is {'none' if not part else 'all'} of the {len(inside)} failures of {home}: give words that "
                "some of them say (--saying), or failures of it (--failure)"
            )
        named = self._typed(name, NAME_CHARS, "a name") if name else None
        return self._record(
            event="split", cluster_id=home, name=named, words=wanted, interaction_ids=ids, reason=self._reason(reason)
        )

    def refuse(self, clusters: Sequence[str], reason: str = "") -> ClusterDecision:
        """Say no to what a run proposed: the split of one cluster, or the merge of two. No run proposes it again.

        Raises UsageError where no such proposal is open, or it was accepted.
        """
        state = self._state()
        proposal = wanted_of(state, clusters)
        if accepted := pending(self.lake, self.settings.application, state.proposals).get(proposal):
            raise UsageError(f"{accepted.decided_by} has accepted it: `flywheel cluster undo` takes it back after that")
        first, *rest = proposal.clusters
        return self._record(event="refused", cluster_id=first, other_ids=tuple(rest), reason=self._reason(reason))

    def undo(self, cluster: str, reason: str = "") -> ClusterDecision:
        """Take back the last split or merge of a cluster, whoever did it; no run does it again by itself.

        Raises UsageError where there is none, or what it left was merged into another cluster since.
        """
        state = self._state()
        home = full_id(state, cluster)
        change = next((one for one in reversed(state.changes) if home in {one.cluster, *one.others}), None)
        if change is None:
            raise UsageError(f"{home} was neither split nor merged")
        left = (change.cluster, *(change.others if change.event == "split" else ()))
        self._refuse_accepted(state, left)
        if gone := [id_ for id_ in left if state.clusters[id_].alias_of]:
            raise UsageError(f"{gone[0]} was merged into {state.clusters[gone[0]].alias_of} since: undo that first")
        return self._record(
            event="undone",
            cluster_id=change.cluster,
            other_ids=change.others,
            undoes=change.decision,
            reason=self._reason(reason),
        )

    def ignore(self, cluster: str, reason: str) -> ClusterDecision:
        """Close a cluster until it grows. Raises UsageError where no reason is given."""
        state = self._state()
        why = self._typed(reason, REASON_CHARS, "a reason")
        return self._record(event="ignored", cluster_id=_shown(state, cluster), reason=why)

    def reopen(self, cluster: str, reason: str = "") -> ClusterDecision:
        """Take back that a cluster is ignored, or resolved. Raises UsageError where it is neither."""
        state = self._state()
        home = _shown(state, cluster)
        known = state.pinned.get(home) or state.clusters[home]
        closed = known.ignored or known.status == "resolved"
        waits = [act for act in self.waiting(state) if act.event in {"ignored", "reopened"} and act.cluster_id == home]
        if not closed and not waits:
            raise UsageError(f"{home} is open: it is neither ignored nor resolved")
        return self._record(event="reopened", cluster_id=home, reason=self._reason(reason))

    def assign(self, cluster: str, interactions: Sequence[str], reason: str = "") -> ClusterDecision:
        """Say that failures belong to a cluster; no run moves them, and what says the same follows them.

        Raises UsageError for an interaction that is no failure in the lake.
        """
        state = self._state()
        home, ids = _living(state, cluster), _bounded(interactions)
        if not ids:
            raise UsageError("name the failures that belong there, by their interaction ids")
        if astray := set(ids) - self._failed(ids):
            raise UsageError(f"no failures of this application: {', '.join(sorted(astray)[:5])}")
        return self._record(event="assigned", cluster_id=home, interaction_ids=ids, reason=self._reason(reason))

    def pin(self, name: str, saying: str = "", interactions: Sequence[str] = (), reason: str = "") -> ClusterDecision:
        """Follow the failures that say all of some words, or that are like some examples, beside the found clusters.

        The same definition again is the same cluster. Raises UsageError where it is none, or there are too many.
        """
        state = self._state()
        called = self._typed(name, NAME_CHARS, "a name")
        wanted = self._typed(saying, WORDS_CHARS, "words", kept=True) if saying else None
        if wanted and not words(wanted):
            raise UsageError(f"{wanted!r} has no word in it")
        ids = _bounded(interactions)
        if bool(wanted) == bool(ids):
            raise UsageError("say which failures: by words that they say (--saying), or by examples (--like); not both")
        if ids and len(ids) < FEWEST:
            raise UsageError(f"give {FEWEST} examples or more: of fewer nobody knows how like each other they are")
        if astray := set(ids) - self._failed(ids):
            raise UsageError(f"no failures of this application: {', '.join(sorted(astray)[:5])}")
        id_ = pinned_id(wanted, ids)
        waits = [act for act in self.waiting(state) if act.event in {"pinned", "unpinned"}]
        now = pinned_after(state.pinned, waits)
        if id_ not in now and len(now) >= MOST_PINNED:
            raise UsageError(
                f"{MOST_PINNED} clusters are pinned, and no more may be: `flywheel cluster unpin` ends one"
            )
        return self._record(
            event="pinned", cluster_id=id_, name=called, words=wanted, interaction_ids=ids, reason=self._reason(reason)
        )

    def unpin(self, cluster: str, reason: str = "") -> ClusterDecision:
        """Follow a pinned cluster no longer; its failures stay where they are. Raises UsageError for a found one."""
        state = self._state()
        waits = [act for act in self.waiting(state) if act.event in {"pinned", "unpinned"}]
        found = [id_ for id_ in sorted(pinned_after(state.pinned, waits)) if cluster and id_.startswith(cluster)]
        if len(found) != 1:
            raise UsageError(f"{len(found)} pinned clusters match {cluster!r}: `flywheel cluster list` shows them")
        return self._record(event="unpinned", cluster_id=found[0], reason=self._reason(reason))

    def waiting(self, state: State) -> list[ClusterDecision]:
        """The acts that the next run carries out, oldest first."""
        return waiting(self.lake, self.settings.application, state.done)

    def _state(self) -> State:
        run = latest(self.lake, "cluster", self.settings.application)
        if run is None:
            raise NotEnoughData(
                f"no cluster run of application {self.settings.application!r} is finished yet: "
                "`flywheel turn` makes one"
            )
        return load(self.lake, self.settings.application, run.as_of)

    def _refuse_accepted(self, state: State, clusters: Sequence[str]) -> None:
        for proposal in pending(self.lake, self.settings.application, state.proposals):
            if shared := set(proposal.clusters) & set(clusters):
                raise UsageError(
                    f"a proposal for {', '.join(sorted(shared))} is accepted already: after the next run it no longer "
                    "is what you see"
                )

    def _failures(self, cluster: str, ids: Sequence[str]) -> list[dict[str, object]]:
        """The failures with a home in a cluster, and some by id."""
        parameters = {
            "application": self.settings.application, "cluster": cluster, "placed": list(ids), "unseen": ""
        }  # fmt: skip
        found = query(self.lake, sql(SQL), self.lake.versions(("outcomes", "cluster_members")), parameters).to_pylist()
        return [row for row in found if row["outcome"] is not None and (not cluster or row["cluster_id"] == cluster)]

    def _failed(self, ids: Sequence[str]) -> set[object]:
        """Which of some interactions are failures."""
        return {row["interaction_id"] for row in self._failures("", ids) if row["outcome"] == "failed"}

    def _reason(self, text: str) -> str | None:
        return self._typed(text, REASON_CHARS, "a reason") if text.strip() else None

    def _typed(self, text: str, most: int, what: str, *, kept: bool = False) -> str:
        """A person's words as they are kept. `kept`: refuse what would have to be taken out of them."""
        plain = " ".join(bounded(text.encode("utf-8", "replace").decode()).split())
        if not plain or len(plain) > most:
            raise UsageError(f"{what} has 1 to {most} characters, this has {len(plain)}")
        clean = redactor_of(self.settings.curate).texts([plain])[0]
        if kept and clean != plain:
            raise UsageError(f"{what} with personal data in them are not kept: {clean}")
        return clean

    def _record(self, **act: object) -> ClusterDecision:
        """Write the act, unless the newest about these clusters is the same."""
        application = self.settings.application
        by = " ".join(self.by.encode("utf-8", "replace").decode().split())[:WHO_CHARS] or "unknown"
        shared = {"application": application, "time": self.now, "decided_by": by}
        new = msgspec.convert({"decision_id": "", **shared, **act}, ClusterDecision)
        about = {new.cluster_id, *new.other_ids}
        before = [one for one in decisions_of(self.lake, application) if about & {one.cluster_id, *one.other_ids}]
        last = before[-1] if before else None
        if last is not None and _same(last, new):
            return last
        plain = msgspec.to_builtins(new)
        said = {name: plain[name] for name in SAID}
        decision = msgspec.structs.replace(
            new, decision_id=content_hash([application, said, last.decision_id if last else ""])[:32]
        )
        publish(self.lake, "cluster_decisions", to_table("cluster_decisions", [decision]), decision.decision_id)
        return decision


SAID = ("event", "cluster_id", "other_ids", "name", "reason", "words", "interaction_ids", "undoes")
"""What makes an act what it is: whoever says it again does not do it again."""


def decisions_of(lake: Lake, application: str, version: int | None = None) -> list[ClusterDecision]:
    """All that people decided about clusters, oldest first."""
    found = rows(lake, "cluster_decisions", version, application=application)
    return sorted((from_row(ClusterDecision, row) for row in found), key=lambda one: (one.time, one.decision_id))


def waiting(lake: Lake, application: str, done: Collection[str], version: int | None = None) -> list[ClusterDecision]:
    """The acts of people's own that no run has carried out, oldest first."""
    acts = decisions_of(lake, application, version)
    return [act for act in acts if not act.proposed_by and act.decision_id not in done]


def chosen(failure: dict[str, object], wanted: str | None, ids: Collection[str]) -> bool:
    """Whether a split by hand takes a failure: it is named; or it says the words, and nobody has pinned it."""
    if failure["interaction_id"] in ids:
        return True
    said = set(words(str(failure["text"] or ""))) if wanted and not failure["pinned"] else set()
    return bool(wanted) and set(words(wanted or "")) <= said and bool(said)


def _same(one: ClusterDecision, other: ClusterDecision) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in SAID)


def pinned_after(pinned: Collection[str], acts: Iterable[ClusterDecision]) -> set[str]:
    """Which clusters are pinned once these acts are carried out."""
    found = set(pinned)
    for act in acts:
        if act.event == "pinned":
            found.add(act.cluster_id)
        elif act.event == "unpinned":
            found.discard(act.cluster_id)
    return found


def _shown(state: State, wanted: str) -> str:
    """A cluster that may be named and closed: a living one, or a pinned one."""
    pinned = [id_ for id_ in state.pinned if wanted and id_.startswith(wanted)]
    if len(pinned) > 1:
        raise UsageError(f"{len(pinned)} pinned clusters match {wanted!r}: `flywheel cluster list` shows their ids")
    return pinned[0] if pinned else _living(state, wanted)


def _living(state: State, wanted: str) -> str:
    if any(id_.startswith(wanted) for id_ in state.pinned if wanted):
        raise UsageError(f"{wanted} is pinned: it has what its definition says, and nothing is moved in or out")
    id_ = full_id(state, wanted)
    if alias := state.clusters[id_].alias_of:
        raise UsageError(f"{id_} was merged into {alias}: act on that")
    return id_


def _bounded(interactions: Sequence[str]) -> tuple[str, ...]:
    if len(interactions) > MOST_FAILURES:
        raise UsageError(f"at most {MOST_FAILURES} failures at a time, these are {len(interactions)}")
    return tuple(sorted({id_.strip() for id_ in interactions if id_.strip()}))
