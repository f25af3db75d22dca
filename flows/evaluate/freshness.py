"""Which requests are younger than what two models were trained on: nothing in them can have leaked into either.

A model whose dataset is known was taught nothing from that dataset's cut on. Of any other only its registration is
known: it cannot have been trained on what came after. For such a model, older requests of users of whom no build ever
teaches anything take the place of fresh ones. Pure.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow.parquet as pq
from msgspec import Struct

from flows.opinions import spoken
from flows.registry import Registry
from flows.versions import Version
from schemas.errors import FilesMissing
from schemas.events import Candidate
from schemas.messages import text_of
from schemas.records import Item
from schemas.settings import Settings

_log = logging.getLogger(__name__)
BATCH = 2_000
"""Training rows that are read at a time."""
SAID = (("sft", "messages"), ("kto", "prompt"), ("guardrail", "messages"))
"""Configs that hold all that is taught between them, and where: `sft` what stands behind a turn that failed, `kto`
whole conversations, those too that were only answered badly."""
NEVER = datetime.max.replace(tzinfo=UTC)


class Cut(Struct, frozen=True):
    """From when on a model was taught nothing."""

    time: datetime
    known: bool
    """Whether its training data are known, rather than only when it came."""


class Fresh(Struct, frozen=True):
    """The requests that may decide about two models."""

    items: tuple[Item, ...]
    left_out: int
    kept_out: int
    """How many of the items are older, and of users of whom nothing is taught."""


def cut_of(model: Candidate, registry: Registry, known: Sequence[Version]) -> Cut:
    """The cut of a model's dataset, else when it came into the ledger; never, where it did not."""
    for version in known:
        named = model.dataset and model.dataset in {version.version, version.sha256}
        if named and version.kind == "training":
            cut = version.manifest.get("cut")
            return Cut(datetime.fromisoformat(cut) if cut else version.created, known=True)
    came = [decision.time for decision in registry.decisions if decision.candidate.id == model.id]
    return Cut(min(came, default=NEVER), known=False)


def fresh(items: Sequence[Item], cuts: Sequence[Cut]) -> Fresh:
    """The items younger than every cut, and those of kept-out users where only a registration stands against it."""
    taken = [item for item in items if all(_may_ask(item, cut) for cut in cuts)]
    older = sum(any(item.time is None or item.time < cut.time for cut in cuts) for item in taken)
    return Fresh(tuple(taken), len(items) - len(taken), older)


def unseen(
    items: Sequence[Item], models: Sequence[Candidate], known: Sequence[Version], settings: Settings
) -> frozenset[str] | None:
    """The items whose words no training row of these models has; None where no training rows are known.

    So too where the files of one are not here, as the log says: no item could be said to be unseen, and a comparison is
    as good without this slice. Reads each model's rows once, a batch at a time, and keeps nothing but the items' own
    words.
    """
    taught = {version.path: version for model in models for version in known if _taught(model, version)}
    if not taught:
        return None
    words = {item.item_id: spoken(text_of(list(item.messages), "user")) for item in items}
    wanted, seen = set(words.values()), set[str]()
    try:
        files = [
            (file, column)
            for version in taught.values()
            for config, column in SAID
            for file in version.files(settings, config)
        ]
    except FilesMissing as error:
        _log.warning("which words the models were trained on is unknown: %s", error)
        return None
    for file, column in files:
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=[column]):
            seen |= wanted & {spoken(text_of(row, "user")) for row in batch[column].to_pylist()}
    return frozenset(item for item, text in words.items() if text not in seen)


def _taught(model: Candidate, version: Version) -> bool:
    """Whether a version is what a model was trained on, and still there."""
    named = bool(model.dataset) and model.dataset in {version.version, version.sha256}
    return named and version.kind == "training" and version.status != "withdrawn"


def _may_ask(item: Item, cut: Cut) -> bool:
    return (item.time is not None and item.time >= cut.time) or (item.kept_out and not cut.known)
