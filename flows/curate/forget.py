"""A person out of the datasets: versions with a row of theirs are withdrawn and deleted, frozen sets made without it.

Called by `flows/erase.py`; for wishes that arrive as events the next build does the same (`stage.py`). The pieces are
in `versions/withdraw.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from flows.curate.split import pseudonym
from flows.curate.versions.withdraw import Holding, Units, clear, discard_unlisted, holding, withdrawals
from flows.run import Run, begin, finish
from flows.versions import Version, record, versions
from schemas.records import content_hash
from schemas.settings import Settings
from schemas.unit import unit_of
from streams.lake import Lake
from streams.lake.forget import FOR_EVER


def held(
    lake: Lake, settings: Settings, subject: str, interactions: Collection[str], application: str = ""
) -> list[Holding]:
    """The dataset versions with a row of the person; an empty `application` means all. Nothing is changed."""
    return holding(versions(lake, application or None), settings, _units(settings, subject), interactions)


def forget(
    lake: Lake,
    settings: Settings,
    subject: str,
    interactions: Collection[str],
    as_of: datetime,
    *,
    application: str = "",
    summary: Mapping[str, Any],
) -> dict[str, Any]:
    """Withdraw and delete; returns `{"run_id", "replaced": [frozen sets made anew], "unlisted": [folders]}`.

    1. The frozen sets without the person's rows, and a finding for each version that holds one.
    2. The row of the run (`summary` is its summary), which makes the findings visible.
    3. The folders of what is withdrawn, and those with a row of theirs that no version names.
    """
    units = _units(settings, subject)
    found = withdrawals(versions(lake, application or None), settings, units, interactions, as_of)
    run = withdraw(lake, settings, application, as_of, found, summary, subject=content_hash(subject))
    return {
        "run_id": run.run_id,
        "replaced": [f"{version.dataset}@{version.version}" for version in found if version.status == "current"],
        "unlisted": discard_unlisted(versions(lake), settings, application, units, interactions),
    }


def withdraw(
    lake: Lake,
    settings: Settings,
    application: str,
    as_of: datetime,
    marked: Sequence[Version],
    summary: Mapping[str, Any],
    **inputs: str,
) -> Run:
    """Publish findings about versions as a run of their own, and remove what they say is gone."""
    run = begin(lake, "erase", application, as_of, ("interactions", "dataset_versions"), None, **inputs)
    record(lake, run, marked)
    finish(lake, run, summary)
    clear(versions(lake), settings)
    return run


def _units(settings: Settings, subject: str) -> Units:
    return {pseudonym(unit_of(subject, ""), settings.curate.salt): FOR_EVER}
