"""Which eval set decides about a candidate, and where answers to its items are kept.

The set is named, never guessed: by the candidate's registration (`flywheel candidate add --eval-set`), else by the
setting `evaluate.eval_set`. Evaluate measures on it, promote asks whether it still is the one, erasure forgets answers.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from flows.registry import Registry
from flows.versions import Version, versions
from schemas.errors import NotEnoughData, UsageError
from schemas.settings import DEFAULT_RECIPE, SAMPLE, Settings
from streams.lake import Lake


def name_for(registry: Registry, settings: Settings, candidate_id: str) -> str:
    """The name of the eval set that decides about a candidate: a recipe, or what a set was frozen under."""
    return registry.eval_set(candidate_id) or settings.evaluate.eval_set


def find(lake: Lake, settings: Settings, name: str, begun: str = "") -> Version:
    """The eval set of a name: the sample, the newest of a recipe, or the newest that was frozen so.

    `begun` is the version of the sample that a decision was begun on: it goes on with that one while it is there.

    Raises NotEnoughData where it was not built yet or was withdrawn, UsageError where the name is nobody's or both a
    recipe's and a frozen set's; each says what to do next. Where the newest was withdrawn no older one takes its place.
    """
    known = [v for v in versions(lake, settings.application) if v.kind in {"eval", "frozen", SAMPLE}]
    named = [version for version in known if version.dataset == name]
    if not named:
        raise _missing(settings, name, known)
    if name in recipes(settings) | {v.dataset for v in known if v.kind == "eval"} and _frozen(named):
        raise UsageError(
            f"{name!r} is both a recipe and a frozen eval set, so it does not say which of them decides: freeze the "
            f"set under another name (`flywheel eval-set freeze NAME`) and name that"
        )
    newest = max(named, key=lambda version: (version.made, version.version))
    going_on = [v for v in named if v.kind == SAMPLE and v.version == begun and v.status != "withdrawn"]
    newest = going_on[0] if going_on else newest
    if newest.status == "withdrawn":
        raise NotEnoughData(f"eval set {of(newest)} was withdrawn ({newest.status_reason}): {again(newest)}")
    return newest


def warning(version: Version) -> str:
    """What must be said of an eval set that still can be used; empty where there is nothing to say."""
    return (
        f"eval set {of(version)} is stale: {version.status_reason}; {again(version)}"
        if version.status == "stale"
        else ""
    )


def of(version: Version) -> str:
    """An eval set as people read it: `name@version`."""
    return f"{version.dataset}@{version.version}"


def recipes(settings: Settings) -> set[str]:
    """The names that are recipes, or the sample's, so that no frozen set may have them."""
    return {DEFAULT_RECIPE, SAMPLE, *settings.curate.recipes}


def answers_folder(home: Path, version: str) -> Path:
    """Where the answers that models gave to a version's items are kept, so that they can go with it."""
    return home / "answers" / hashlib.sha256(version.encode()).hexdigest()[:16]


def forget_answers(home: Path, versions: Collection[str]) -> None:
    """Remove all answers to the items of dataset versions that this home has."""
    for version in versions:
        shutil.rmtree(answers_folder(home, version), ignore_errors=True)


def again(version: Version) -> str:
    """How a dataset version, an eval set or another, is made again under its name."""
    recipe = version.manifest.get("recipe", DEFAULT_RECIPE)
    build = f"`flywheel dataset build {recipe}`"
    if version.kind != "frozen":
        return f"{build} makes a new one"
    return f"{build}, then `flywheel eval-set freeze {version.dataset} --dataset {recipe}`, makes a new one"


def _missing(settings: Settings, name: str, known: Sequence[Version]) -> NotEnoughData | UsageError:
    if name == SAMPLE:
        return NotEnoughData(f"{settings.application} has no sample of its requests yet: `flywheel dataset build`")
    if name in recipes(settings):
        return NotEnoughData(
            f"{settings.application} has no eval set of the recipe {name!r} yet: `flywheel dataset build {name}`"
        )
    frozen = sorted({version.dataset for version in _frozen(known)})
    return UsageError(
        f"there is no eval set {name[:64]!r}: recipes are {', '.join(sorted(recipes(settings)))}; frozen sets are "
        f"{', '.join(frozen) or 'none yet'}. `flywheel eval-set freeze NAME` freezes one"
    )


def _frozen(found: Sequence[Version]) -> list[Version]:
    return [version for version in found if version.kind == "frozen"]
