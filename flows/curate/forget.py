"""A person out of the datasets: versions with a row of theirs are withdrawn and deleted, frozen sets made without it.

Called by `flows/erase.py`; for wishes that arrive as events the next build does the same (`stage.py`). The pieces are
in `versions/withdraw.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.curate import golden, kept
from flows.curate.salt import salts
from flows.curate.split import pseudonym
from flows.curate.versions.withdraw import (
    Holding,
    Units,
    clear,
    discard_unlisted,
    discard_unlisted_stored,
    holding,
    withdrawals,
)
from flows.run import Run, begin, finish
from flows.versions import Version, record, versions
from flows.versions import gone as gone_of
from schemas.settings import Settings
from schemas.unit import unit_of
from streams.keyring import mark_of
from streams.lake import Lake
from streams.lake.forget import FOR_EVER
from streams.lake.maintain import delete_rows
from streams.lake.maintain import holding as holding_rows


def held(lake: Lake, settings: Settings, subject: str, events: Collection[str], application: str = "") -> list[Holding]:
    """The dataset versions with a row of the person; an empty `application` means all. Nothing is changed."""
    return holding(versions(lake, application or None), settings, _units(settings, subject), events)


def gone(lake: Lake, application: str = "") -> set[str]:
    """The versions whose rows are nowhere any more, by version and SHA-256; an empty `application` means all."""
    known = versions(lake, application or None)
    names = gone_of(known)
    return {name for v in known if v.version in names for name in (v.version, v.sha256)}


def forget(
    lake: Lake,
    settings: Settings,
    subject: str,
    events: Collection[str],
    as_of: datetime,
    *,
    application: str = "",
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    """Withdraw and delete; returns `{"run_id", "replaced": [frozen sets made anew], "unlisted": [folders]}`.

    1. The frozen sets without the person's rows, and a finding for each version that holds one.
    2. The row of the run (`summary` is its summary), which makes the findings visible.
    3. The folders of what is withdrawn, and those with a row of theirs that no version names.

    `events` are ids of interactions and feedback. What waited in quarantine, or was vouched for, goes
    first, and golden items that were made from what they said.
    """
    units = _units(settings, subject)
    _unlist(lake, units, events)
    golden.forget(lake, golden.rows_of({unit_of(subject, ""): FOR_EVER}, events, application))
    found = withdrawals(versions(lake, application or None), settings, units, events, as_of)
    name = mark_of(settings.home_path, subject)
    run = withdraw(lake, settings, application, as_of, found, summary, alone=True, subject=name)
    kept.forget(lake, units, events)
    known = versions(lake)
    return {
        "run_id": run.run_id,
        "replaced": [f"{version.dataset}@{version.version}" for version in found if version.status == "current"],
        "unlisted": sorted(
            {
                name
                for discard in (discard_unlisted, discard_unlisted_stored)
                for name in discard(known, settings, application, units, events)
            }
        ),
    }


def withdraw(
    lake: Lake,
    settings: Settings,
    application: str,
    as_of: datetime,
    marked: Sequence[Version],
    summary: Mapping[str, Any],
    *,
    alone: bool = False,
    **inputs: str,
) -> Run:
    """Publish findings about versions as a run of their own, and remove what they say is gone.

    `alone`: no build is under way.
    """
    run = begin(lake, "erase", application, as_of, ("interactions", "dataset_versions"), None, **inputs)
    record(lake, run, marked)
    finish(lake, run, summary)
    clear(versions(lake), settings, alone=alone)
    return run


def _unlist(lake: Lake, units: Units, events: Collection[str]) -> None:
    ids, names = pa.array(sorted(events), pa.string()), pa.array(sorted(units), pa.string())
    listed = pc.field("interaction_id").isin(ids) | pc.field("feedback_id").isin(ids)
    for table, which in (
        ("quarantine", listed | pc.field("contributor").isin(names)),
        ("cleared", pc.field("id").isin(ids)),
    ):
        if holding_rows(lake, table, which):
            delete_rows(lake, table, which)


def _units(settings: Settings, subject: str) -> Units:
    return {pseudonym(unit_of(subject, ""), salt): FOR_EVER for salt in salts(settings)}
