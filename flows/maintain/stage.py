"""Maintenance of the tables: erasures, retention, what is superseded, compaction, vacuum, audit.

Each step may be begun again at any time and beside a running archiver; doing it twice changes nothing more.
Go on to `flow.py`.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import msgspec

from flows.erasures import confirm_due, waiting
from flows.evalset import forget_answers
from flows.ledger import fold
from flows.maintain.superseded import remove_superseded
from flows.run import begin, named, under_way
from flows.trained import clean
from flows.trained import forget as forget_trainings
from flows.versions import LOST, Version, gone
from flows.versions import versions as versions_of
from schemas.settings import Settings
from schemas.tables import TABLES
from streams.keyring import mark_of
from streams.lake import Lake
from streams.lake.audit import audit
from streams.lake.forget import forget, wished_rows
from streams.lake.maintain import compact, space_checkpoints, tidy_log, vacuum
from streams.lake.query import rows
from streams.lake.retire import retire


def maintain(lake: Lake, settings: Settings, as_of: datetime, *, hashes: bool = True) -> dict[str, Any]:
    """Bring all tables into order; what was done and what the audit found, as plain values.

    Its lines in the log carry an id of its own, made as a run's is; it concludes nothing, so no row of `runs` has it.
    """
    with named(begin(lake, "maintain", settings.application, as_of, (), settings.archive)):
        return _maintain(lake, settings, as_of, hashes=hashes)


def _maintain(lake: Lake, settings: Settings, as_of: datetime, *, hashes: bool) -> dict[str, Any]:
    limits = settings.archive
    before = as_of.date() - timedelta(days=limits.keep_days)
    names = [name for name in TABLES if lake.exists(name)]
    confirmed = confirm_due(lake, settings, as_of)
    summary: dict[str, Any] = {
        "confirmed": confirmed,
        "waiting": len(waiting(lake)) - confirmed,
        "erased": erase_raw(lake, settings, as_of),
        "retired": retire(lake, before, as_of) if limits.keep_days else 0,
        "superseded": remove_superseded(lake, as_of - timedelta(hours=limits.vacuum_hours)),
        "compacted": {name: compact(lake, name, limits.compact_bytes) for name in names},
    }
    keep = protected(lake, as_of - timedelta(hours=limits.vacuum_hours))
    summary["vacuumed"] = sum(len(vacuum(lake, name, limits.vacuum_hours, keep[name])) for name in names)
    summary["log_files"] = sum(tidy_log(lake, name, limits.vacuum_hours, keep[name]) for name in names)
    for name in names:
        if TABLES[name].raw:
            space_checkpoints(lake, name)
    known = versions_of(lake)
    forget_trainings(settings.home_path, gone(known))
    forget_answers(settings.home_path, gone(known) - {one.version for one in known if one.status_reason == LOST})
    summary["trainings"] = clean(settings.home_path, _models(lake), settings.train.keep)
    found = msgspec.to_builtins(audit(lake, as_of.date(), hashes=hashes))
    return {**summary, **found, "incidents": list(found["incidents"])}


def erase_raw(lake: Lake, settings: Settings, as_of: datetime) -> dict[str, int]:
    """Do what erasure events ask for in raw tables; rows per table, 0 where it was done before.

    Also removes what arrived since for a subject that was erased earlier: late events always, later ones where
    `archive.after_erasure` is `refuse`.
    """
    if not lake.exists("erasures"):
        return {"feedback": 0, "interactions": 0, "dead_letters": 0}
    home = settings.home_path
    subjects = {mark_of(home, row["subject"]): row["subject"] for row in rows(lake, "erasures") if row["signed_by"]}
    theirs = wished_rows(lake, settings.archive.after_erasure)
    with under_way(lake, alone=True) if theirs else nullcontext():  # no run may read what is being removed
        return forget(lake, theirs, subjects, as_of)


def protected(lake: Lake, since: datetime) -> dict[str, set[int]]:
    """Per table, the versions that somebody may still want to read again.

    Those that runs have read since then, that the newest run of each stage has read, and that datasets were built from
    which are frozen, the newest of their kind, or named by an evaluation or a decision.
    """
    found: dict[str, set[int]] = defaultdict(set)
    newest = {(row["stage"], row["application"]): row for row in sorted(rows(lake, "runs"), key=_order)}
    read = [row["versions"] for row in rows(lake, "runs") if row["as_of"] >= since or row in newest.values()]
    for versions in [*map(msgspec.json.decode, read), *(one.manifest["versions"] for one in _in_use(lake))]:
        for name, version in versions.items():
            if version >= 0:
                found[name].add(version)
    return found


def _models(lake: Lake) -> set[str]:
    """The names of models that serve, may serve again, or wait, in any application."""
    names: set[str] = set()
    for application in {row["application"] for row in rows(lake, "ledger")}:
        registry = fold(lake, application)
        names |= {one.model for one in (*registry.former, *registry.waiting)}
        names |= {registry.champion.model} if registry.champion else set()
    return names


def _order(row: dict[str, Any]) -> tuple[datetime, int]:
    return row["as_of"], row["sequence"] or 0


def _in_use(lake: Lake) -> list[Version]:
    """Dataset versions that a decision may rest on, or will."""
    living = [version for version in versions_of(lake) if version.status != "withdrawn"]
    named = {row["dataset_version"] for row in rows(lake, "evaluations")}
    named |= {msgspec.json.decode(row["candidate"]).get("dataset") for row in rows(lake, "ledger")}
    newest = {(v.application, v.dataset, v.kind): v.version for v in sorted(living, key=lambda v: v.made)}
    return [v for v in living if v.kind == "frozen" or v.version in named or v.version in newest.values()]
