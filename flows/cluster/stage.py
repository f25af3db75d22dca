"""Failures into clusters that keep their name: read, think, publish.

What it concludes is in the tables `outcomes`, `cluster_members`, `cluster_events` and `clusters`, visible once its run
is finished. `flow.py` runs the same under Prefect.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from flows import embed, ledger
from flows.cluster import state
from flows.cluster.catalogue.catalogue import Catalogue, catalogue
from flows.cluster.catalogue.closure import Promotion
from flows.cluster.catalogue.llm_names import Namer
from flows.cluster.catalogue.population import Population
from flows.cluster.forget import forget_wished
from flows.cluster.lineage.accepted import carry_out, pending
from flows.cluster.outcomes.coverage import coverage
from flows.cluster.outcomes.outcomes import Judged, judge
from flows.cluster.placement.placing import Placed, place_failures
from flows.cluster.summary import Summary
from flows.run import Run, begin, counted, finish, runs, under_way
from schemas.errors import NotEnoughData
from schemas.records import Outcome
from schemas.settings import ClusterSettings, Settings
from schemas.tables import OUTCOMES
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.query import query
from streams.lake.rows import to_table

_log = logging.getLogger(__name__)
OF_INTERACTION = ("time", "conversation_id", "user_id", "request_model", "prompt_version", "variant")
"""Columns that an outcome has from its interaction."""
READS = ("interactions", "feedback", "erasures", "ledger", "cluster_decisions")
_SQL = {path.stem: path.read_text() for path in (Path(__file__).parent / "outcomes").glob("*.sql")}


def cluster(lake: Lake, settings: Settings, as_of: datetime) -> Summary:
    """Judge every interaction, place every new failure, and publish. Returns the run's summary.

    The same call twice is one run. Raises NotEnoughData where the application has no interactions yet.
    """
    forget_wished(lake, settings)
    with under_way(settings.home_path):
        return _cluster(lake, settings, as_of)


def _cluster(lake: Lake, settings: Settings, as_of: datetime) -> Summary:
    run, summary = _start(lake, settings, as_of)
    if summary is not None:
        return summary
    interactions, signals = _events(lake, run.application, run.versions, settings)
    if not len(interactions):
        raise NotEnoughData(
            f"there are no interactions of application {run.application!r} in the lake at {lake.root}: "
            "send some (`flywheel replay FILE`), and see that the archiver runs"
        )
    _log.info("clustering: judging %s interactions by %s signals", len(interactions), len(signals))
    before = state.load(lake, run.application, as_of)

    judged = judge(interactions, signals, settings.cluster)
    _log.info("clustering: placing the failures among %s clusters", len(before.clusters))
    embedder = embed.load(
        settings.cluster.embedder, settings.cluster.embedder_url, settings.cluster.embedder_key.reveal()
    )
    placed = place_failures(lake, run.application, judged, before, embedder, settings.cluster.min_size)
    decisions = pending(lake, run.application, before.proposals, run.versions["cluster_decisions"])
    before, placed, changed = carry_out(lake, decisions, judged, before, placed, embedder)
    people = Population(interactions, signals, before.homes | placed.homes, judged, settings.cluster.failing_labels)
    promotions = _promotions(lake, run)
    found = catalogue(people, before, placed, promotions, as_of, settings.cluster, _namer(settings.cluster))
    found = replace(found, events=[*changed, *found.events])

    _publish(lake, run, interactions, judged, placed, found)
    summary = _summary(interactions, judged, placed, found)
    finish(lake, run, summary)
    _log.info("clustering: %s", counted(summary))
    return summary


def _start(lake: Lake, settings: Settings, as_of: datetime) -> tuple[Run, Summary | None]:
    """The run, and its summary where it was finished before.

    A run goes on from the one before it, whose id is therefore one of its inputs.
    """
    code = embed.code_of(settings.cluster.embedder, settings.cluster.embedder_url)

    def after(previous: str) -> Run:
        return begin(
            lake,
            "cluster",
            settings.application,
            as_of,
            READS,
            settings.cluster,
            previous=previous,
            after_erasure=settings.archive.after_erasure,
            extensions=code,
        )

    history = runs(lake, "cluster", settings.application)
    previous = ["", *(run.run_id for run in history)]
    for run, before in zip(history, previous, strict=False):
        if run.as_of == as_of and after(before).run_id == run.run_id:
            return after(before), run.told(Summary)
    return after(previous[-1]), None


def judged_of(lake: Lake, settings: Settings) -> Judged:
    """Outcomes as the newest events have them, published nowhere: for looking, and for tests."""
    interactions, signals = _events(lake, settings.application, lake.versions(READS), settings)
    return judge(interactions, signals, settings.cluster)


def _events(lake: Lake, application: str, versions: Mapping[str, int], settings: Settings) -> tuple[pa.Table, pa.Table]:
    """The interactions of an application and the feedback on them that stands."""
    parameters: dict[str, Any] = {"application": application}
    read = {name: versions[name] for name in ("interactions", "feedback", "erasures")}
    after = settings.archive.after_erasure
    interactions = query(lake, _SQL["interactions"], read, parameters, after_erasure=after)
    parameters |= {"cap": settings.cluster.feedback_cap}
    return interactions, query(lake, _SQL["signals"], read, parameters, after_erasure=after)


def _namer(settings: ClusterSettings) -> Namer | None:
    return Namer(settings.namer_url, settings.namer_model, settings.namer_key.reveal()) if settings.namer_url else None


def _promotions(lake: Lake, run: Run) -> list[Promotion]:
    """Changes of champion, oldest first."""
    rows = ledger.rows(lake, run.application, run.versions["ledger"])
    return [
        Promotion(row.time, row.champion.model, row.action)
        for row in rows
        if row.action in {"promoted", "rolled_back"} and row.champion and row.time <= run.as_of
    ]


def _publish(lake: Lake, run: Run, interactions: pa.Table, judged: Judged, placed: Placed, found: Catalogue) -> None:
    publish(lake, "outcomes", _outcomes(run, interactions, judged), run.run_id)
    publish(lake, "embeddings", to_table("embeddings", placed.embeddings), run.run_id)
    concluded: tuple[tuple[str, Sequence[msgspec.Struct]], ...] = (
        ("cluster_members", placed.members),
        ("cluster_events", found.events),
        ("clusters", found.clusters),
    )
    for table, records in concluded:
        rows = to_table(table, records, run_id=run.run_id, application=run.application)
        publish(lake, table, rows, run.run_id)


def _outcomes(run: Run, interactions: pa.Table, judged: Judged) -> pa.Table:
    """The rows of `outcomes`: columns of the interactions as they are, and beside them what was concluded."""
    count = len(judged.outcomes)
    columns = {name: interactions[name] for name in OF_INTERACTION}
    columns |= {name: [getattr(o, name) for o in judged.outcomes] for name in Outcome.__struct_fields__}
    columns |= {"run_id": [run.run_id] * count, "application": [run.application] * count, "text": judged.texts}
    return pa.table([columns[name] for name in OUTCOMES.schema.names], schema=OUTCOMES.schema)


def _summary(interactions: pa.Table, judged: Judged, placed: Placed, found: Catalogue) -> Summary:
    """Counts of the run: what the turn reports and the artifact says."""
    outcomes = Counter(outcome.outcome for outcome in judged.outcomes)
    living = [cluster for cluster in found.clusters if not cluster.alias_of]
    statuses = Counter(cluster.status for cluster in living)
    failed = outcomes["failed"]
    names = np.array([outcome.outcome for outcome in judged.outcomes])
    return Summary(
        interactions=len(judged.outcomes),
        ok=outcomes["ok"],
        failed=failed,
        unknown=outcomes["unknown"],
        clusters=len(living),
        born=len(placed.born),
        unclustered=placed.unclustered,
        unclustered_share=placed.unclustered / failed if failed else 0.0,
        statuses=dict(sorted(statuses.items())),
        feedback_over_cap=judged.over_cap,
        themes=found.themes,
        events=dict(sorted(Counter(event.event for event in found.events).items())),
        coverage=coverage(interactions, judged.texts, names != "unknown", names == "failed"),
        reliabilities=judged.reliability.sources,
    )
