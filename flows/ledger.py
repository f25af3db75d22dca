"""The promotion ledger: a hash chain of decisions per application, and the registry that is a fold over it.

Shared by the stages evaluate (whom to compare), promote (who serves) and the commands. Nothing here knows Kafka: a
decision is a ledger row first and an event afterwards (`unannounced` finds what still has to be told).
Go on to `flows/promote/stage.py`, the main writer.

A row is appended by compare-and-set: the Delta commit carries `ledger:<hash of application>` = the row's sequence and
is made with the table handle at which the chain's end was read, so of two writers at one moment one wins.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from flows.run import plain
from schemas.errors import CommitConflict, LedgerBroken, LedgerConflict, LedgerError, UsageError
from schemas.events import Candidate, Decision, to_json
from schemas.records import content_hash
from schemas.tables import TABLES
from streams.lake import Lake, query
from streams.lake import append as commit

APPEND_TRIES = 50
"""Each lost race is a commit that somebody else made; fifty in a row is not a race but a fault."""
BOOTSTRAP = "bootstrap"
"""Evidence key of a first champion: set by a person, with a reason, before there is anything to compare it to."""

EVAL_SET = "eval_set"
"""Evidence key of the eval set's name: at a registration the one that was asked for, later the one that decided."""

EVIDENCE = ("evaluation_id", "comparison", "dataset_version", "dataset_sha256", "scores")
"""What every other promotion must name: which comparison, on which items, by which answers."""


class Registry(Struct, frozen=True, kw_only=True):
    """Who is who in one application: the fold over its ledger."""

    application: str
    candidates: dict[str, Candidate] = {}
    """Every candidate ever registered, by id, oldest first."""
    champion: Candidate | None = None
    """Who serves now."""
    former: tuple[Candidate, ...] = ()
    """Champions before the present one, newest last: where a rollback goes."""
    decisions: tuple[Decision, ...] = ()
    """The ledger rows, oldest first."""

    @property
    def head(self) -> str:
        """Hash of the last row; empty for an empty ledger."""
        return self.decisions[-1].hash if self.decisions else ""

    def candidate(self, candidate_id: str) -> Candidate:
        """The candidate of an id. Raises UsageError with the known ids where there is none."""
        if candidate_id in self.candidates:
            return self.candidates[candidate_id]
        known = ", ".join(self.candidates) or "none yet; `flywheel candidate add` registers one"
        raise UsageError(f"{self.application}: no candidate {candidate_id[:64]!r}; known are {known}")

    @property
    def waiting(self) -> tuple[Candidate, ...]:
        """The candidates that nothing was decided about since they were registered, last registered last."""
        last = {decision.candidate.id: decision for decision in self.decisions}
        registered = sorted((d for d in last.values() if d.action == "registered"), key=lambda d: d.sequence)
        return tuple(d.candidate for d in registered if self.champion is None or d.candidate.id != self.champion.id)

    def status(self, candidate_id: str) -> str:
        """What was decided about a candidate last: champion, waiting, held, rolled back, former champion.

        Raises UsageError for an unknown candidate.
        """
        candidate = self.candidate(candidate_id)
        if candidate == self.champion:
            return "champion"
        last = next(d for d in reversed(self.decisions) if d.candidate.id == candidate_id)
        return {"promoted": "former champion", "registered": "waiting"}.get(last.action, last.action.replace("_", " "))

    def eval_set(self, candidate_id: str) -> str:
        """The eval set that a candidate was registered to be measured on; empty where its registration names none."""
        registered = [d for d in self.decisions if d.action == "registered" and d.candidate.id == candidate_id]
        return registered[-1].evidence.get(EVAL_SET, "") if registered else ""


def fold(lake: Lake, application: str) -> Registry:
    """The registry as the ledger says it now."""
    return _fold(application, rows(lake, application))


def rows(lake: Lake, application: str, version: int | None = None) -> list[Decision]:
    """An application's ledger rows by sequence, as of a version of the table; not verified."""
    return [_decision(row) for row in _stored(lake, application, version)]


def append(
    lake: Lake,
    application: str,
    action: str,
    candidate: Candidate,
    *,
    id: str,  # noqa: A002 the event's own field name
    time: datetime,
    expected_champion: str | None = None,
    verdict: str = "",
    reasons: Sequence[str] = (),
    evidence: Mapping[str, str] | None = None,
    decided_by: str = "flywheel",
) -> Decision:
    """Append one decision, or return the row that already has this `id`: the same decision twice is one row.

    `promoted`, `held` and `rolled_back` name in `expected_champion` the id of the champion that they were decided
    against (None: there is none); LedgerConflict where another serves by now. LedgerError for what no ledger may
    say: a promotion without the verdict `promote` and its EVIDENCE (but for a BOOTSTRAP), a rollback to nobody.
    """
    draft = Decision(
        id=id,
        time=plain(time),
        application=application,
        action=action,  # type: ignore[arg-type]  # msgspec checks it when it is decoded below
        candidate=candidate,
        verdict=verdict,
        reasons=list(reasons),
        evidence=dict(evidence or {}),
        decided_by=decided_by,
    )
    msgspec.convert(msgspec.to_builtins(draft), Decision)
    for _ in range(APPEND_TRIES):
        handle = commit.create(lake, "ledger")
        registry = _fold(application, rows(lake, application, handle.version()))
        if same := _recorded(registry, draft):
            return same
        if action != "registered":
            _expect(registry, expected_champion)
        decision = _seal(registry, draft)
        try:
            row = commit.to_rows("ledger", [_row(decision)])
            commit.append(lake, "ledger", row, {app_id(application): decision.sequence}, handle)
        except CommitConflict:
            continue
        return decision
    raise LedgerConflict(f"{application}: {APPEND_TRIES} other writers came first; try again")


def register(
    lake: Lake,
    application: str,
    candidate: Candidate,
    *,
    time: datetime,
    decided_by: str = "flywheel",
    eval_set: str = "",
) -> Decision:
    """Record a candidate; registering the same one twice, for the same eval set, is one registration.

    `eval_set` names the one that it is to be measured on; empty leaves that to the settings.
    """
    return append(
        lake,
        application,
        "registered",
        candidate,
        id=decision_id("registered", application, candidate.id, *([eval_set] if eval_set else [])),
        time=time,
        evidence={EVAL_SET: eval_set} if eval_set else {},
        decided_by=decided_by,
    )


def bootstrap(
    lake: Lake, application: str, candidate: Candidate, reason: str, *, time: datetime, decided_by: str = "flywheel"
) -> Decision:
    """Record the first champion, which nothing could be compared to: a person's word, kept as such.

    Raises LedgerError where a champion serves already, or without a reason.
    """
    return append(
        lake,
        application,
        "promoted",
        candidate,
        id=decision_id(BOOTSTRAP, application, candidate.id),
        time=time,
        reasons=[f"first champion, set without a comparison: {reason}"] if reason.strip() else [],
        evidence={BOOTSTRAP: reason},
        decided_by=decided_by,
    )


def verify(lake: Lake, application: str) -> int:
    """Check an application's whole ledger and return its number of rows. Raises LedgerBroken naming the first bad row.

    1. Each row hashes to its `hash`, follows the hash before it, and counts on by one.
    2. Each row is allowed by the rows before it (champion, evidence).
    3. The last row is the one that the last commit marked: a cut tail is found.
    4. What was announced on Kafka and archived in `decisions` is in the ledger with the same hash: a chain that was
       recomputed as a whole is found too.
    """
    stored = _stored(lake, application, None)
    registry = Registry(application=application)
    for row in stored:
        registry = _checked(registry, row)
    last = lake.committed("ledger", app_id(application))
    if last != (len(stored) - 1 if stored else None):
        raise LedgerBroken(f"{application}: the ledger has {len(stored)} rows, but row {last} was the last committed")
    ours = {decision.id: decision.hash for decision in registry.decisions}
    for announced in query.rows(lake, "decisions", application=application):
        if ours.get(announced["id"]) != announced["hash"]:
            raise LedgerBroken(
                f"{application}: decision {announced['id']} was announced as row {announced['sequence']} with hash "
                f"{announced['hash'][:12]}…, which the ledger does not hold"
            )
    return len(stored)


def unannounced(lake: Lake, application: str) -> list[Decision]:
    """Ledger rows that are not yet seen in `decisions`: to be published again (the same id twice is one event)."""
    seen = {row["id"] for row in query.rows(lake, "decisions", application=application)}
    return [decision for decision in rows(lake, application) if decision.id not in seen]


def applications(lake: Lake) -> list[str]:
    """Every application that has a ledger, by name."""
    return sorted({row["application"] for row in query.rows(lake, "ledger")})


def decision_id(*parts: str) -> str:
    """A UUID (version 8, RFC 9562: free use) from what is decided, so that deciding it again is the same event."""
    digest = bytearray(hashlib.sha256("\0".join(parts).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def app_id(application: str) -> str:
    """The `txn` id under which the table's Delta log keeps an application's last sequence number."""
    return f"ledger:{hashlib.sha256(application.encode()).hexdigest()}"


def chain_hash(decision: Decision) -> str:
    """SHA-256 over a row's columns without `hash`. Absent values are left out, so the table can grow columns."""
    return content_hash({name: value for name, value in _row(decision).items() if name != "hash" and value is not None})


def _seal(registry: Registry, draft: Decision) -> Decision:
    """The draft as the next row: champion after it, place in the chain, hash."""
    linked = msgspec.structs.replace(
        draft,
        champion=_champion_after(registry, draft),
        sequence=len(registry.decisions),
        previous_hash=registry.head,
    )
    return msgspec.structs.replace(linked, hash=chain_hash(linked))


def _champion_after(registry: Registry, decision: Decision) -> Candidate | None:
    """Who serves once the decision is taken. Raises LedgerError where the ledger so far does not allow it."""
    if decision.action == "promoted":
        _require_evidence(registry, decision)
        return decision.candidate
    if decision.action == "rolled_back":
        if not registry.former:
            raise LedgerError(f"{registry.application}: there is no earlier champion to roll back to")
        return registry.former[-1]
    return registry.champion


def _require_evidence(registry: Registry, decision: Decision) -> None:
    first = BOOTSTRAP in decision.evidence
    if first and registry.champion is not None:
        raise LedgerError(
            f"{registry.application}: {registry.champion.id} serves already; a second champion needs an evaluation "
            "against it (`flywheel evaluate`, then `flywheel promote`)"
        )
    if first and not decision.evidence[BOOTSTRAP].strip():
        raise LedgerError("a first champion needs a reason: it is all the evidence there is")
    if not first and decision.verdict != "promote":
        raise LedgerError(f"no promotion without the verdict promote; it is {decision.verdict or 'missing'!r}")
    if not first and (missing := [name for name in EVIDENCE if name not in decision.evidence]):
        raise LedgerError(f"no promotion without evidence; {', '.join(missing)} is missing")


def _expect(registry: Registry, expected: str | None) -> None:
    serving = registry.champion.id if registry.champion else None
    if serving != expected:
        raise LedgerConflict(
            f"{registry.application}: decided against champion {expected}, but {serving} serves by now; "
            "evaluate against it and decide again"
        )


def _recorded(registry: Registry, draft: Decision) -> Decision | None:
    return next((decision for decision in registry.decisions if decision.id == draft.id), None)


def _fold(application: str, decisions: Sequence[Decision]) -> Registry:
    registry = Registry(application=application)
    for decision in decisions:
        registry = _after(registry, decision)
    return registry


def _after(registry: Registry, decision: Decision) -> Registry:
    former = registry.former
    if decision.action == "rolled_back":
        former = former[:-1]
    elif decision.action == "promoted" and registry.champion is not None:
        former = (*former, registry.champion)
    return Registry(
        application=registry.application,
        candidates={**registry.candidates, decision.candidate.id: decision.candidate},
        champion=decision.champion,
        former=former,
        decisions=(*registry.decisions, decision),
    )


def _checked(registry: Registry, row: dict[str, Any]) -> Registry:
    """The registry after a stored row, which must be exactly the row that `append` would have made."""
    place = f"{registry.application}: ledger row {row['sequence']}"
    try:
        decision = _decision(row)
        expected = _seal(registry, decision)
    except (msgspec.MsgspecError, LedgerError) as error:
        raise LedgerBroken(f"{place} is not a decision that could be taken: {error}") from error
    if row["sequence"] != len(registry.decisions):
        raise LedgerBroken(f"{place} stands where row {len(registry.decisions)} should: one is missing or doubled")
    if row["previous_hash"] != registry.head:
        raise LedgerBroken(f"{place} does not follow the row before it")
    if row != _row(expected):
        raise LedgerBroken(f"{place} was edited: its content does not have the hash {row['hash'][:12]}…")
    return _after(registry, decision)


def _stored(lake: Lake, application: str, version: int | None) -> list[dict[str, Any]]:
    return sorted(query.rows(lake, "ledger", version, application=application), key=lambda row: row["sequence"])


def _row(decision: Decision) -> dict[str, Any]:
    """A decision as its ledger row: nested values as canonical JSON, every column present."""
    row: dict[str, Any] = {name: getattr(decision, name) for name in TABLES["ledger"].schema.names}
    champion = decision.champion
    return {
        **row,
        "candidate": to_json(decision.candidate),
        "champion": None if champion is None else to_json(champion),
        "evidence": to_json(decision.evidence),
    }


def _decision(row: Mapping[str, Any]) -> Decision:
    values = {
        **row,
        "candidate": msgspec.json.decode(row["candidate"]),
        "champion": msgspec.json.decode(row["champion"]) if row["champion"] else None,
        "evidence": msgspec.json.decode(row["evidence"]),
        "time": row["time"].astimezone(UTC),
    }
    return msgspec.convert(values, Decision)
