"""Trains a model on the newest dataset, by the command of the settings: read which version, run it, publish what came.

A dataset version is trained on once under one command, configuration and seed: whoever asks again gets what came of it.
A kill at any moment leaves what the command has put into its checkpoints, and the next start goes on. However it ends,
that has a name, and nothing else waits for it. `flow.py` puts it under Prefect; `flows/enlist.py` registers the model.
"""

from __future__ import annotations

import logging
import shutil
from typing import Literal

import msgspec
from msgspec import Struct

from flows.command_line import words
from flows.ledger import fold
from flows.run import Run, begin, finish, named, runs
from flows.trained import Place, State, end_orphans, free_port, place_of
from flows.trainer.command import remove, work
from flows.trainer.output import Fault, Unusable, finished
from flows.versions import Version, versions
from schemas.errors import AlreadyRunning, FilesMissing, UsageError
from schemas.records import content_hash
from schemas.settings import Settings
from streams.lake import Lake
from streams.processes.orphans import Claim

_log = logging.getLogger(__name__)
Status = Literal[
    "trained",
    "off", "no_dataset", "few_rows", "running",  # nothing to do, or not now
    Fault, "cannot_start", "withdrawn",
]  # fmt: skip
WAITING = frozenset({"off", "no_dataset", "few_rows", "running"})
"""Nothing was tried."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a training."""

    status: Status
    reason: str = ""
    """A sentence, where it is not `trained`."""
    key: str = ""
    """Of the training, and of its folder."""
    dataset: str = ""
    """The version that it is on."""
    rows: int = 0
    spent_s: float = 0.0
    """Seconds of the command, over all its starts."""
    starts: int = 0

    @property
    def failed(self) -> bool:
        """Whether it was tried, and gave no model."""
        return self.status != "trained" and self.status not in WAITING


def due(lake: Lake, settings: Settings) -> bool:
    """Whether there is a dataset that nobody has trained on yet, nor tried to, or a model that is not registered."""
    found = _next(lake, settings)
    if isinstance(found, Outcome):
        return False
    key = key_of(settings, found)
    known = _known(lake, settings, key)
    if not known:
        return _absent(settings, found) is None
    if known[-1].status != "trained" or not settings.train.endpoint:
        return False
    made = place_of(settings.home_path, key)
    if made.state is None or not made.model.is_dir():  # it was cleaned away, unregistered
        return False
    return made.state.model not in {one.model for one in fold(lake, settings.application).candidates.values()}


def train(lake: Lake, settings: Settings, *, again: bool = False) -> Outcome:
    """Train on the newest version of `train.recipe`; `again` tries anew where that has failed.

    Raises nothing for what the command does: that is the outcome.
    """
    found = _next(lake, settings)
    if isinstance(found, Outcome):
        return found
    key = key_of(settings, found)
    known = _known(lake, settings, key)
    if known and (known[-1].status == "trained" or not again):
        return known[-1]
    if (absent := _absent(settings, found)) is not None:
        return absent
    how = msgspec.structs.replace(settings.train, keep=1)
    run = begin(lake, "train", settings.application, found.made, (), how, key=key, attempt=str(len(known)))
    with named(run):
        return _train(lake, settings, run, found, key, again)


def _train(lake: Lake, settings: Settings, run: Run, found: Version, key: str, again: bool) -> Outcome:
    end_orphans(settings.home_path)
    place = place_of(settings.home_path, key)
    try:
        claim = Claim(place.folder)
    except AlreadyRunning:
        return Outcome(status="running", reason="another process trains on it", key=key, dataset=found.version)
    try:
        outcome = _trained(lake, settings, found, place, key, again)
    finally:
        claim.release()
    finish(lake, run, outcome)
    _log.info("training on %s: %s %s", found.version, outcome.status, outcome.reason)
    return outcome


def key_of(settings: Settings, version: Version) -> str:
    """What names a training: the dataset, and all that the command is told."""
    how = settings.train
    return content_hash([settings.application, version.sha256, version.version, how.command, how.config, how.seed])[:16]


def model_of(settings: Settings, key: str) -> str:
    """What the model of a training is called."""
    return f"{settings.train.model}-{key[:8]}"


def _next(lake: Lake, settings: Settings) -> Version | Outcome:
    """The version to train on, or why there is none."""
    how = settings.train
    if not how.command.strip():
        return Outcome(status="off", reason="the settings have no train.command")
    known = [v for v in versions(lake, settings.application) if v.kind == "training" and v.dataset == how.recipe]
    if not known or (newest := max(known, key=lambda v: (v.made, v.version))).status == "withdrawn":
        return Outcome(status="no_dataset", reason=f"there is no training dataset of the recipe {how.recipe!r} yet")
    rows = newest.rows.get(f"{how.config}/train", 0)
    if rows < how.min_rows:
        reason = f"{rows} rows of {how.config!r}, and train.min_rows asks for {how.min_rows}"
        return Outcome(status="few_rows", reason=reason, dataset=newest.version, rows=rows)
    return newest


def _absent(settings: Settings, version: Version) -> Outcome | None:
    """Why a version cannot be trained on here and now; it is not tried, so that it is where its files are."""
    try:
        version.files(settings)
    except FilesMissing as error:
        return Outcome(status="no_dataset", reason=str(error), dataset=version.version)
    return None


def _known(lake: Lake, settings: Settings, key: str) -> list[Outcome]:
    told = [run.told(Outcome) for run in runs(lake, "train", settings.application)]
    return [one for one in told if one.key == key]


def _trained(lake: Lake, settings: Settings, version: Version, place: Place, key: str, again: bool) -> Outcome:
    if place.state is None or again:
        port = place.state.port if place.state else free_port(settings.home_path, settings.train.port)
        place.note(State(model=model_of(settings, key), port=port, dataset=version.version))
    status, reason = _worked(lake, settings, version, place)
    state = place.state or State(model="", port=0)
    if status in {"trained", "withdrawn"}:
        shutil.rmtree(place.checkpoints, ignore_errors=True)
    return Outcome(
        status=status, reason=reason, key=key, dataset=version.version, spent_s=state.spent_s, starts=state.starts,
        rows=version.rows.get(f"{settings.train.config}/train", 0),
    )  # fmt: skip


def _worked(lake: Lake, settings: Settings, version: Version, place: Place) -> tuple[Status, str]:
    how = settings.train
    try:
        if not place.model.is_dir():
            if how.serve.strip():  # hours later would be late to say so
                words(how.serve, place.folder, "train.serve")
            work(place, version.folder(settings), settings)
            if (now := _now(lake, version)).status == "withdrawn":
                remove(place.output)
                return "withdrawn", f"its dataset was withdrawn meanwhile: {now.status_reason}"
            finished(place, version, how.config, seed=how.seed, settings={"command": how.command})
    except Unusable as wrong:
        remove(place.output)
        return wrong.status, str(wrong)
    except UsageError as error:
        return "cannot_start", str(error)
    return "trained", ""


def _now(lake: Lake, version: Version) -> Version:
    """The version as it is by now."""
    key = (version.kind, version.dataset, version.version)
    known = versions(lake, version.application)
    return next((v for v in known if (v.kind, v.dataset, v.version) == key), version)
