"""A wheel that has turned once: customers, feedback, clusters, datasets, a champion and an evaluated candidate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from flows import ledger
from flows.curate.stage import curate
from flows.seal import seal_of
from flows.versions import versions
from schemas.events import Interaction
from schemas.settings import CurateSettings, GateSettings
from tests.support.clusters import START, World, asked, phrase, said
from tests.support.promotion import BETTER, NEW, NOW, OLD, evaluated

TOPICS = ("refund", "parcel", "card", "password")
CORRECTION = "We refund within three days; you get the delivery fee too."


def turned(home: Path, dress: Callable[[Interaction, int], dict[str, Any]] = lambda _one, _n: {}) -> World:
    """A world after its first turn; `dress` changes fields of interactions before they happen."""
    world = World(home, min_size=5)
    how = CurateSettings(paraphrase=1, hold_back=0, eval_share=0.5)
    world.settings = msgspec.structs.replace(world.settings, curate=how, gate=GateSettings(approval=True))
    world.settings = msgspec.structs.replace(
        world.settings, evaluate=msgspec.structs.replace(world.settings.evaluate, eval_set="all")
    )
    seal = seal_of(world.settings)
    ledger.bootstrap(world.lake, "support-bot", OLD, "the first", time=START, decided_by="ana", seal=seal)
    rows = [_row(n, dress) for n in range(160)]
    voices = [said(row, value=0.0 if n % 4 < 2 else 1.0) for n, row in enumerate(rows)]
    corrections = [said(row, "correction", None, text=CORRECTION) for row in rows[:40:4]]
    comments = [said(row, "comment", None, text="that is not what I asked") for row in rows[1:40:8]]
    world.happened(*rows, *voices, *corrections, *comments)
    world.run(days=2.0)
    curate(world.lake, world.settings, START + timedelta(days=2))
    ledger.register(world.lake, "support-bot", NEW, time=NOW, seal=seal)
    evaluated(world.lake, "e1", BETTER, dataset=_eval_version(world))
    return world


def _row(n: int, dress: Callable[[Interaction, int], dict[str, Any]]) -> Interaction:
    row = asked(
        n, phrase(TOPICS[n % 4], n // 4), time=START + timedelta(minutes=7 * n), input_tokens=40, output_tokens=9,
        duration_ms=120.0, request_model="old" if n < 120 else "new",
    )  # fmt: skip
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return msgspec.convert({**fields, **dress(row, n)}, Interaction)


def _eval_version(world: World) -> str:
    return next(one.version for one in versions(world.lake) if one.kind == "eval")
