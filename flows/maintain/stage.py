"""Maintenance of the tables: erasures, retention, compaction, vacuum, audit.

Each step may be begun again at any time and beside a running archiver; doing it twice changes nothing more.
Go on to `flow.py`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import msgspec

from schemas.settings import Settings
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.audit import audit
from streams.lake.forget import forget, wished_rows
from streams.lake.maintain import compact, vacuum
from streams.lake.query import rows
from streams.lake.retire import retire


def maintain(lake: Lake, settings: Settings, as_of: datetime, *, hashes: bool = True) -> dict[str, Any]:
    """Bring all tables into order; what was done and what the audit found, as plain values."""
    limits = settings.archive
    before = as_of.date() - timedelta(days=limits.keep_days)
    names = [name for name in TABLES if lake.exists(name)]
    summary: dict[str, Any] = {
        "erased": erase_raw(lake, settings, as_of),
        "retired": retire(lake, before, as_of) if limits.keep_days else 0,
        "compacted": {name: compact(lake, name, limits.compact_bytes) for name in names},
    }
    keep = protected(lake)
    summary["vacuumed"] = sum(len(vacuum(lake, name, limits.vacuum_hours, keep[name])) for name in names)
    found = msgspec.to_builtins(audit(lake, hashes=hashes))
    return {**summary, **found, "incidents": list(found["incidents"])}


def erase_raw(lake: Lake, settings: Settings, as_of: datetime) -> dict[str, int]:
    """Do what erasure events ask for in raw tables; rows per table, 0 where it was done before.

    Also removes what arrived since for a subject that was erased earlier: late events always, later ones where
    `archive.after_erasure` is `refuse`.
    """
    subjects = {row["subject"] for row in rows(lake, "erasures")}
    return forget(lake, wished_rows(lake, settings.archive.after_erasure), subjects, as_of)


def protected(lake: Lake) -> dict[str, set[int]]:
    """Per table, the versions that finished runs have read: datasets and decisions can be traced to them."""
    versions: dict[str, set[int]] = defaultdict(set)
    for row in rows(lake, "runs"):
        for name, version in msgspec.json.decode(row["versions"]).items():
            if version >= 0:
                versions[name].add(version)
    return versions
