"""Who is compared with whom, and on which eval set: for a candidate of the ledger, or as a pipeline names them.

Go on to `stage.py`, which measures.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from flows import evalset
from flows.evaluate.freshness import cut_of, fresh
from flows.evaluate.items import EvalSet, of_folder, of_version, read_items
from flows.evaluations import evaluations
from flows.ledger import fold
from flows.pins import Pins, pins_of
from flows.registry import Registry
from flows.versions import versions
from schemas.errors import NotEnoughData, UsageError
from schemas.events import Candidate
from schemas.records import Item
from schemas.settings import SAMPLE, Settings
from streams.lake import Lake


class Plan(Struct, frozen=True, kw_only=True):
    """Who is compared on what."""

    candidate: Candidate
    champion: Candidate
    eval_set: EvalSet
    items: tuple[Item, ...] = ()
    """What both are asked: of a sample, the requests that neither can have been trained on."""
    left_out: int = 0
    """Requests of the sample that are not asked, since a model may know them."""
    kept_out: int = 0
    """Requests that are asked although they are older: of users of whom no build teaches anything."""
    pins: Pins = {}
    """What is pinned by words as the plan is made: slices of their own."""


def plan_for(lake: Lake, settings: Settings, candidate_id: str | None) -> Plan:
    """A registered candidate (None: the newest that waits) against the champion, on the set that decides about it.

    Raises NotEnoughData without a champion, a candidate or the set, UsageError for a name that is nobody's.
    """
    registry = fold(lake, settings.application)
    if registry.champion is None:
        raise NotEnoughData(f"{settings.application} has no champion to compare with: `flywheel champion set`")
    candidate = registry.candidate(candidate_id) if candidate_id else _newest_waiting(registry)
    asked = _deciding(lake, settings, registry, candidate, registry.champion)
    return _with_items(lake, settings, registry, Plan(candidate=candidate, champion=registry.champion, eval_set=asked))


def plan_of(
    lake: Lake, settings: Settings, candidate: str | Candidate, champion: str | Candidate = "", folder: str = ""
) -> Plan:
    """What a pipeline asks for: models as ids of the ledger or as they are, and a folder that no lake need know.

    Without a champion it is who serves, without a folder the set that decides. Raises as `plan_for` does.
    """
    registry = fold(lake, settings.application)
    serving = _model(champion, registry) if champion else registry.champion
    if serving is None:
        raise UsageError("nobody serves yet: name the model to compare with by --champion MODEL@URL")
    wanted = _model(candidate, registry)
    asked = of_folder(Path(folder)) if folder else _deciding(lake, settings, registry, wanted, serving)
    return _with_items(lake, settings, registry, Plan(candidate=wanted, champion=serving, eval_set=asked))


def _with_items(lake: Lake, settings: Settings, registry: Registry, plan: Plan) -> Plan:
    """With what is pinned and all items of a fixed set; of the sample those younger than both models' training."""
    items = read_items(plan.eval_set.folder, plan.eval_set.sha256)
    plan = msgspec.structs.replace(plan, pins=pins_of(lake, settings.application))
    if plan.eval_set.name != SAMPLE:
        return msgspec.structs.replace(plan, items=tuple(items))
    known = versions(lake, settings.application)
    found = fresh(items, [cut_of(model, registry, known) for model in (plan.candidate, plan.champion)])
    return msgspec.structs.replace(plan, items=found.items, left_out=found.left_out, kept_out=found.kept_out)


def _deciding(lake: Lake, settings: Settings, registry: Registry, candidate: Candidate, champion: Candidate) -> EvalSet:
    name = evalset.name_for(registry, settings, candidate.id)
    begun = _begun(lake, settings, candidate, champion) if name == SAMPLE else ""
    return of_version(evalset.find(lake, settings, name, begun), settings)


def _begun(lake: Lake, settings: Settings, candidate: Candidate, champion: Candidate) -> str:
    """The sample on which this pair was first compared, if it was enough: reviews of it are under way."""
    for found in evaluations(lake, settings.application):
        sampled = found.comparison.sampled
        same = (found.candidate.id, found.champion.id, found.eval_set) == (candidate.id, champion.id, SAMPLE)
        if same and sampled and sampled.requests >= settings.gate.min_items:
            return found.dataset_version
    return ""


def _newest_waiting(registry: Registry) -> Candidate:
    if not registry.waiting:
        raise NotEnoughData(f"{registry.application} has no candidate that waits: `flywheel candidate add`")
    return registry.waiting[-1]


def _model(named: str | Candidate, registry: Registry) -> Candidate:
    return registry.candidate(named) if isinstance(named, str) else named
