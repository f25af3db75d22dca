"""Freeze an eval set under a name: from then on no training build may resemble it. Go on to `flows/evalset.py`."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from flows.evalset import recipes
from flows.run import begin, finish, finished, under_way
from flows.versions import Version, record, versions
from schemas.errors import NotEnoughData, UsageError
from schemas.settings import Settings
from streams.lake import Lake

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def freeze(lake: Lake, settings: Settings, as_of: datetime, name: str, dataset: str) -> Version:
    """Pin the newest eval version of `dataset` (a recipe) under `name`; freezing the same again changes nothing.

    A name can be frozen again later: every version of it binds every later build. Raises UsageError for a bad name,
    NotEnoughData where the recipe has no eval set with rows yet.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an eval set: use small letters, digits and dashes")
    if name in recipes(settings):
        raise UsageError(f"{name!r} is a recipe: a set frozen under its name could not be told from the newest one")
    with under_way(lake):
        return _freeze(lake, settings, as_of, name, dataset)


def _freeze(lake: Lake, settings: Settings, as_of: datetime, name: str, dataset: str) -> Version:
    known = [v for v in versions(lake, settings.application) if v.kind == "eval" and v.dataset == dataset]
    usable = [v for v in known if v.status != "withdrawn" and any(v.rows.values())]
    if not usable:
        raise NotEnoughData(f"{dataset!r} has no eval set with rows yet: run `flywheel dataset build {dataset}` first")
    frozen = msgspec.structs.replace(
        usable[-1], dataset=name, kind="frozen", created=as_of, status="current", status_reason=None
    )
    run = begin(lake, "freeze", settings.application, as_of, (), None, name=name, version=frozen.version)
    if finished(lake, run, dict[str, str]) is None:
        record(lake, run, [frozen])
        finish(lake, run, {"name": name, "version": frozen.version})
    return frozen
