"""Who is compared with whom, and on which eval set: for a candidate of the ledger, or as a pipeline names them.

Go on to `stage.py`, which measures.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from flows import evalset
from flows.evaluate.items import EvalSet, of_folder, of_version
from flows.ledger import Registry, fold
from schemas.errors import NotEnoughData, UsageError
from schemas.events import Candidate
from schemas.records import make_candidate
from schemas.settings import Settings
from streams.lake import Lake


class Plan(Struct, frozen=True, kw_only=True):
    """Who is compared on what."""

    candidate: Candidate
    champion: Candidate
    eval_set: EvalSet


def plan_for(lake: Lake, settings: Settings, candidate_id: str | None) -> Plan:
    """A registered candidate (None: the newest that waits) against the champion, on the set that decides about it.

    Raises NotEnoughData without a champion, a candidate or the set, UsageError for a name that is nobody's.
    """
    registry = fold(lake, settings.application)
    if registry.champion is None:
        raise NotEnoughData(f"{settings.application} has no champion to compare with: `flywheel champion set`")
    candidate = registry.candidate(candidate_id) if candidate_id else _newest_waiting(registry)
    return Plan(
        candidate=candidate, champion=registry.champion, eval_set=_deciding(lake, settings, registry, candidate)
    )


def plan_of(lake: Lake, settings: Settings, candidate: str, champion: str = "", folder: str = "") -> Plan:
    """What a pipeline asks for: models as ids of the ledger or as MODEL@URL, and a folder that no lake need know.

    Without a champion it is who serves, without a folder the set that decides. Raises as `plan_for` does.
    """
    if not candidate:
        raise UsageError("--candidate is missing: the id of a registered candidate, or MODEL@URL")
    registry = fold(lake, settings.application)
    serving = _model(champion, registry) if champion else registry.champion
    if serving is None:
        raise UsageError("nobody serves yet: name the model to compare with by --champion MODEL@URL")
    wanted = _model(candidate, registry)
    asked = of_folder(Path(folder)) if folder else _deciding(lake, settings, registry, wanted)
    return Plan(candidate=wanted, champion=serving, eval_set=asked)


def _deciding(lake: Lake, settings: Settings, registry: Registry, candidate: Candidate) -> EvalSet:
    name = evalset.name_for(registry, settings, candidate.id)
    return of_version(evalset.find(lake, settings, name), settings)


def _newest_waiting(registry: Registry) -> Candidate:
    if not registry.waiting:
        raise NotEnoughData(f"{registry.application} has no candidate that waits: `flywheel candidate add`")
    return registry.waiting[-1]


def _model(text: str, registry: Registry) -> Candidate:
    """The candidate of an id, or a model at an endpoint that need not be registered."""
    model, at, endpoint = text.rpartition("@")
    if not at:
        return registry.candidate(text)
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"{text[:200]!r} names no model: write MODEL@URL with an http(s) URL, up to and with /v1")
    try:
        return make_candidate(model, endpoint.rstrip("/"))
    except msgspec.ValidationError as error:
        raise UsageError(f"{text[:200]!r} names no model: {error}") from error
