"""Withdraw a version whose files are lost for good: no erasure and no build looks for them any more.

Until somebody says so both refuse (`FilesMissing`), since the folder may be put back, or lie in another home. Go on to
`withdraw.py`.
"""

from __future__ import annotations

from datetime import datetime

from flows.curate.versions.withdraw import clear, withdrawn
from flows.run import begin, finish, under_way
from flows.versions import LOST, Version, find, record, versions
from schemas.errors import FilesMissing, UsageError
from schemas.settings import Settings
from streams.lake import Lake


def lose(lake: Lake, settings: Settings, as_of: datetime, name: str) -> list[Version]:
    """Withdraw the version that a name means, under every name that its folder has; these versions.

    What is left of the folder goes, in another home with the next build there. The same rows, built anew after that,
    are the version again; a frozen set guards nothing from here on. Waits until no build is under way, which may be
    making the folder. Raises UsageError where all its files are there.
    """
    with under_way(lake, alone=True):
        meant = find(lake, settings.application, name)
        if meant.status == "withdrawn":
            raise UsageError(f"{meant.dataset}@{meant.version} was withdrawn already: {meant.status_reason}")
        try:
            meant.files(settings)
        except FilesMissing:
            return _lose(lake, settings, as_of, meant)
    raise UsageError(f"{meant.dataset}@{meant.version} is not lost: all its files are in {meant.folder(settings)}")


def _lose(lake: Lake, settings: Settings, as_of: datetime, meant: Version) -> list[Version]:
    living = [one for one in versions(lake, meant.application) if one.status != "withdrawn"]
    found = [withdrawn(one, as_of, LOST) for one in living if one.path == meant.path]
    run = begin(lake, "lost", meant.application, as_of, ("dataset_versions",), None, version=meant.version)
    record(lake, run, found)
    finish(lake, run, {"withdrawn": [f"{one.dataset}@{one.version}" for one in found]})
    clear(versions(lake), settings, alone=True)
    return found
