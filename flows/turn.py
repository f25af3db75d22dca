"""One turn of the wheel: cluster ▶ curate; and since when a candidate waits to be evaluated and promoted.

Plain functions, for `flywheel turn`, cron and tests; `serve.py` runs the same under Prefect, and knows all stages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from flows.cluster.stage import cluster
from flows.cost import measured
from flows.curate.stage import curate
from flows.embed import code_of
from flows.extend import fingerprint
from flows.ledger import fold
from flows.promote.experiment import look_at_all
from flows.run import Run, begin, finish, finished, has_news, latest, named
from schemas.errors import NotEnoughData
from schemas.settings import Settings
from streams.lake import Lake

_log = logging.getLogger(__name__)
RAW = ("interactions", "feedback", "erasures")
"""What a turn is turned by: without news in these there is nothing to turn."""
Step = Callable[[], dict[str, Any]]


def turn(lake: Lake, settings: Settings, as_of: datetime, steps: Mapping[str, Step] | None = None) -> dict[str, Any]:
    """Cluster, then curate, as of an instant; returns each stage's summary by its name.

    Where nothing has arrived since the last turn (and settings and code, extensions' too, are the same), that turn's
    summary is returned and nothing is done: started twice is turned once. `steps` are the stages in another dress,
    such as Prefect's. Raises NotEnoughData where there is nothing to work on yet.
    """
    if not lake.exists("interactions"):
        raise NotEnoughData(f"no interactions have come to the lake at {lake.root} yet: there is nothing to turn")
    wheel = [settings.cluster, settings.curate, settings.archive.after_erasure]
    own = code_of(settings.cluster.embedder, settings.cluster.embedder_url)
    own += fingerprint(*settings.curate.recognise_with, *settings.curate.kinds)
    run = begin(lake, "turn", settings.application, as_of, RAW, wheel, extensions=own)
    with named(run):
        return _turn(lake, settings, run, steps)


def _turn(lake: Lake, settings: Settings, run: Run, steps: Mapping[str, Step] | None) -> dict[str, Any]:
    if (before := finished(lake, run, dict[str, Any]) or _unchanged(lake, run)) is not None:
        _log.info("nothing has come since the last turn: its result stands")
        return before
    steps = steps or {
        "cluster": lambda: dict(msgspec.to_builtins(cluster(lake, settings, run.as_of))),
        "curate": lambda: curate(lake, settings, run.as_of),
    }
    with measured(lake, settings.application, run.run_id):
        summary = {name: step() for name, step in steps.items()}
    if looked := look_at_all(lake, settings):
        summary["experiments"] = {one.experiment: one.shares for one in looked}
    finish(lake, run, summary)
    return summary


def registered_at(lake: Lake, application: str, candidate_id: str) -> datetime:
    """When a candidate came: the instant that its evaluation is as of, so that asking for it again is the same run.

    Raises UsageError for an unknown candidate.
    """
    registry = fold(lake, application)
    candidate = registry.candidate(candidate_id)
    return next(decision.time for decision in registry.decisions if decision.candidate.id == candidate.id)


def _unchanged(lake: Lake, run: Run) -> dict[str, Any] | None:
    """The last turn's summary, where this one would read and do the same."""
    last = latest(lake, "turn", run.application)
    if last is None or run.as_of < last.as_of:
        return None
    same = (last.settings_hash, last.code_version) == (run.settings_hash, run.code_version)
    return last.told(dict[str, Any]) if same and not has_news(lake, last, RAW) else None
