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
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from flows.registry import EVAL_SET, TRAINING, Registry
from flows.run import plain
from flows.seal import Anchor, Seal, place_of, signed_from
from schemas.errors import CommitConflict, LedgerBroken, LedgerConflict, LedgerError
from schemas.events import Candidate, Decision, to_json
from schemas.records import content_hash
from schemas.tables import TABLES
from streams.lake import Lake, query
from streams.lake import append as commit

APPEND_TRIES = 50
"""Each lost race is a commit that somebody else made; fifty in a row is not a race but a fault."""
BOOTSTRAP = "bootstrap"
"""Evidence key of a first champion: set by a person, with a reason, before there is anything to compare it to."""

EVIDENCE = ("evaluation_id", "comparison", "dataset_version", "dataset_sha256", "scores")
"""What every other promotion must name: which comparison, on which items, by which answers."""


def fold(lake: Lake, application: str, version: int | None = None) -> Registry:
    """The registry as the ledger says it now, or as of a version of the table."""
    return _fold(application, rows(lake, application, version))


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
    seal: Seal | None = None,
) -> Decision:
    """Append one decision, or return the row that already has this `id`: the same decision twice is one row.

    `seal` signs the row: without one nobody announces it, and `verify` asks whose it is.

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
        stored = _stored(lake, application, handle.version())
        registry = _fold(application, map(_decision, stored))
        if same := _recorded(registry, draft):
            return same
        if action != "registered":
            _expect(registry, expected_champion)
        decision = _seal(registry, draft)
        try:
            row = {**_row(decision), "signature": seal.mark(decision.hash) if seal else None}
            sequence = {app_id(application): decision.sequence}
            commit.append(lake, "ledger", commit.to_rows("ledger", [row]), sequence, handle)
        except CommitConflict:
            continue
        if seal:
            seal.remember(application, decision.sequence, decision.hash, signed_from(stored))
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
    training: str = "",
    seal: Seal | None = None,
) -> Decision:
    """Record a candidate; registering the same one twice, for the same eval set and of the same training, is one.

    `eval_set` names the one that it is to be measured on; empty leaves that to the settings. `training` says what made
    it, as JSON of `flows.training.Training`; empty where nobody knows.
    """
    evidence = {name: value for name, value in ((EVAL_SET, eval_set), (TRAINING, training)) if value}
    return append(
        lake,
        application,
        "registered",
        candidate,
        id=decision_id(
            "registered",
            application,
            candidate.id,
            *([eval_set] if eval_set or training else []),
            *([training] if training else []),
        ),
        time=time,
        evidence=evidence,
        decided_by=decided_by,
        seal=seal,
    )


def bootstrap(
    lake: Lake,
    application: str,
    candidate: Candidate,
    reason: str,
    *,
    time: datetime,
    decided_by: str = "flywheel",
    seal: Seal | None = None,
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
        seal=seal,
    )


def verify(lake: Lake, application: str, seal: Seal | None = None) -> int:
    """Check an application's whole ledger and return its number of rows. Raises LedgerBroken naming the first bad row.

    1. Each row hashes to its `hash`, follows the hash before it, and counts on by one.
    2. Each row is allowed by the rows before it (champion, evidence).
    3. The last row is the one that the last commit marked: a cut tail is found.
    4. What was announced on Kafka and archived in `decisions` is in the ledger with the same hash: a chain that was
       recomputed as a whole is found too. A hole that Kafka's compaction left there is none in the ledger.
    5. With a `seal`: a trusted key signed each row, and the newest row that this home has seen is still there. What is
       sound becomes that newest row. Rows from before rows were signed (`unsigned`) are vouched for by the first signed
       one, whose hash is over the hash before it; no row after that may be without a signature.
    """
    seen = seal.last(application) if seal else None  # before the table, which is then at least as new
    stored = _stored(lake, application, None)
    registry = Registry(application=application)
    for row in stored:
        registry = _checked(registry, row)
    if seal:
        seal.check(stored, seen)
        _anchored(registry, seen)
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
    if seal and registry.decisions:
        seal.remember(application, len(stored) - 1, registry.head, signed_from(stored))
    return len(stored)


def unsigned(lake: Lake, application: str) -> int:
    """How many of the ledger's rows come before the first signed one: written before rows were signed."""
    return signed_from(_stored(lake, application, None))


def unannounced(lake: Lake, application: str, seal: Seal) -> list[Decision]:
    """Ledger rows that are not yet seen in `decisions`: to be published again (the same id twice is one event).

    Raises LedgerBroken for a row that no trusted key signed: what is announced is signed anew, and believed.
    """
    seen = {row["id"] for row in query.rows(lake, "decisions", application=application)}
    pending = [row for row in _stored(lake, application, None) if row["id"] not in seen]
    for row in pending:
        if chain_hash(_decision(row)) != row["hash"] or seal.signer(row["hash"], row.get("signature")) is None:
            raise LedgerBroken(f"{place_of(row)} is signed by nobody trusted, so nobody is told of it")
    return [_decision(row) for row in pending]


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


def _seal(registry: Registry, draft: Decision, former: bool = True) -> Decision:
    """The draft as the next row: champion after it, place in the chain, hash. Rows of old tell of no `former`."""
    linked = msgspec.structs.replace(
        draft,
        champion=_champion_after(registry, draft),
        former=_former_after(registry, draft) if former else None,
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


def _former_after(registry: Registry, decision: Decision) -> Candidate | None:
    """Who served before the champion that serves once the decision is taken; None where that one was not promoted."""
    if decision.action == "promoted":
        return registry.champion
    if decision.action == "rolled_back":
        return None
    before: Candidate | None = None
    former: Candidate | None = None
    for row in registry.decisions:
        if row.action in {"promoted", "rolled_back"}:
            former = before if row.action == "promoted" else None
        before = row.champion
    return former


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


def _fold(application: str, decisions: Iterable[Decision]) -> Registry:
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
    place = place_of(row)
    try:
        decision = _decision(row)
        expected = _seal(registry, decision, former=row["former"] is not None)
    except (msgspec.MsgspecError, LedgerError) as error:
        raise LedgerBroken(f"{place} is not a decision that could be taken: {error}") from error
    if row["sequence"] != len(registry.decisions):
        raise LedgerBroken(f"{place} stands where row {len(registry.decisions)} should: one is missing or doubled")
    if row["previous_hash"] != registry.head:
        raise LedgerBroken(f"{place} does not follow the row before it")
    if _unsigned(row) != _row(expected):
        raise LedgerBroken(f"{place} was edited: its content does not have the hash {row['hash'][:12]}…")
    return _after(registry, decision)


def _anchored(registry: Registry, last: Anchor | None) -> None:
    """Raise LedgerBroken where the newest row that this home has seen is another by now, or gone."""
    if last is None:
        return
    if last.sequence >= len(registry.decisions):
        raise LedgerBroken(
            f"{registry.application}: ledger row {len(registry.decisions)} is missing; {last.sequence} was seen here"
        )
    if registry.decisions[last.sequence].hash != last.hash:
        raise LedgerBroken(
            f"{registry.application}: ledger row {last.sequence} had the hash {last.hash[:12]}… when it was seen here"
        )


def _unsigned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row without its signature: what the hash is over, and a decision is made of."""
    return {name: value for name, value in row.items() if name != "signature"}


def _stored(lake: Lake, application: str, version: int | None) -> list[dict[str, Any]]:
    return sorted(query.rows(lake, "ledger", version, application=application), key=lambda row: row["sequence"])


def _row(decision: Decision) -> dict[str, Any]:
    """A decision as its ledger row: nested values as canonical JSON, every column present."""
    names = (name for name in TABLES["ledger"].schema.names if name != "signature")
    row: dict[str, Any] = {name: getattr(decision, name) for name in names}
    named = {name: getattr(decision, name) for name in ("champion", "former")}
    return {
        **row,
        "candidate": to_json(decision.candidate),
        **{name: None if one is None else to_json(one) for name, one in named.items()},
        "evidence": to_json(decision.evidence),
    }


def _decision(row: Mapping[str, Any]) -> Decision:
    values = {
        **_unsigned(row),
        "candidate": msgspec.json.decode(row["candidate"]),
        **{name: msgspec.json.decode(row[name]) if row[name] else None for name in ("champion", "former")},
        "evidence": msgspec.json.decode(row["evidence"]),
        "time": row["time"].astimezone(UTC),
    }
    return msgspec.convert(values, Decision)
