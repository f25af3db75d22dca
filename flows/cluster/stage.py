"""Failures into clusters that keep their name: read, think, publish.

What it concludes is in the tables `outcomes`, `cluster_members`, `cluster_events` and `clusters`, visible once its run
is finished. `flow.py` runs the same under Prefect.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
import pyarrow as pa

from flows import embed, ledger
from flows.cluster import state
from flows.cluster.audit import audit
from flows.cluster.catalogue.catalogue import Catalogue, catalogue
from flows.cluster.catalogue.closure import Offline, Promotion
from flows.cluster.catalogue.llm_names import Namer
from flows.cluster.catalogue.population import population
from flows.cluster.catalogue.trends import windows
from flows.cluster.covered import covered
from flows.cluster.forget import forget_wished
from flows.cluster.lineage.accepted import carry_out, pending
from flows.cluster.lineage.acts import decisions_of, waiting
from flows.cluster.lineage.by_hand import carry_out_acts
from flows.cluster.lineage.by_itself import accept_certain
from flows.cluster.lineage.pinned import defined, members_of
from flows.cluster.outcomes.changes import Source
from flows.cluster.outcomes.judging import Judged, basis_of, judge
from flows.cluster.placement.placing import Placed, place_failures
from flows.cluster.summary import Audit, Summary
from flows.extend import fingerprint
from flows.redact.own import patterns_of, redactor_of
from flows.run import Finished, Run, begin, counted, finish, has_news, latest, named, runs, under_way
from schemas.errors import NotEnoughData
from schemas.events import Decision
from schemas.records import ClusterEvent, Evaluation
from schemas.settings import Settings
from schemas.tables import OUTCOMES
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.query import rows as rows_of
from streams.lake.rows import from_row, to_table

_log = logging.getLogger(__name__)
READS = ("interactions", "feedback", "erasures", "ledger", "cluster_decisions")
LOT = 200_000
"""Outcomes that are written together, into one file: some hundred megabytes in memory."""


def cluster(lake: Lake, settings: Settings, as_of: datetime) -> Summary:
    """Judge every interaction, place every new failure, and publish. Returns the run's summary.

    The same call twice is one run. Where nothing has come since the last run, that one stands and nothing is written:
    time alone tells nothing of a system that nobody asked.
    Raises NotEnoughData where the application has no interactions yet.
    """
    lake = lake.asked_by(settings.engine)
    forget_wished(lake, settings)
    with under_way(lake):
        run, summary, stands = _start(lake, settings, as_of)
        if summary is not None:
            return summary
        with named(run):
            return _cluster(lake, settings, run, stands)


def _cluster(lake: Lake, settings: Settings, run: Run, stands: Summary | None) -> Summary:
    before = state.load(lake, run.application, run.as_of)
    judged = judge_changes(lake, run, settings)
    if not judged.tally.total:
        raise NotEnoughData(
            f"there are no interactions of application {run.application!r} in the lake at {lake.root}: "
            "send some (`flywheel replay FILE`), and see that the archiver runs"
        )
    if stands is not None and not judged.rows.count and not judged.moved:
        _log.info("clustering: nothing has come since the last run: what it found stands")
        return stands
    _log.info("clustering: %s outcomes have changed, of %s interactions", judged.rows.count, judged.tally.total)
    publish_judged(lake, run, judged)
    with state.Now(lake, run).with_failures() as now:
        return _clustered(now, settings, judged, before)


def _clustered(now: state.Now, settings: Settings, judged: Judged, before: state.State) -> Summary:
    """Place what failed, say what is known of the clusters, and finish the run."""
    lake, run = now.lake, now.run
    _log.info("clustering: placing the failures among %s clusters", len(before.clusters))
    how, declared = settings.cluster, settings.evaluate.private_endpoints
    embedder = embed.load(how.embedder, how.embedder_url, how.embedder_key, declared)
    followed = frozenset(before.pinned)
    with now.with_homes(placed=False) as until_now:
        before, placed, told = _placed(until_now, settings, before, embedder)
    _publish_placed(lake, run, placed)
    with now.with_homes(placed=True) as by_now:
        if before.pinned:
            _publish_pinned(by_now, before, followed, judged, embedder)
        found = catalogue(
            population(by_now),
            before,
            placed,
            _promotions(lake, run),
            run.as_of,
            settings.cluster,
            redactor_of(settings.curate),
            _namer(settings),
            population(replace(by_now, homes=state.PINNED)) if before.pinned else None,
        )
    found = replace(found, events=[*told, *found.events])
    _publish(lake, run, {"cluster_events": found.events, "clusters": found.clusters})
    source = _source(lake, run.application, run.versions, settings)
    asked = audit(now, source, settings.cluster.audit)
    basis = basis_of(run.code_version, settings, source.shots)
    summary = _summary(now, settings, judged, placed, found, asked, basis)
    finish(lake, run, summary, before.previous)
    _log.info("clustering: %s", counted(summary))
    return summary


def _placed(
    now: state.Now, settings: Settings, before: state.State, embedder: embed.Embedder
) -> tuple[state.State, Placed, list[ClusterEvent]]:
    """Where everything is at home after this run, and what people and the run itself have changed."""
    lake, run, how = now.lake, now.run, settings.cluster
    placed = place_failures(now, before, embedder, how.min_size)
    decisions = pending(lake, run.application, before.proposals, run.versions["cluster_decisions"])
    acts = waiting(lake, run.application, before.done, run.versions["cluster_decisions"])
    before, placed, changed = carry_out(now, decisions, before, placed, embedder)
    before, placed, done = carry_out_acts(now, acts, before, placed, embedder)
    people = [*changed, *done]
    before, placed, own = accept_certain(now, before, placed, embedder, how.accept_from, people)
    return before, placed, [*people, *own]


def _same_again(lake: Lake, run: Run, last: Finished, as_last: Run) -> bool:
    """Whether a run reads what the last one read, and in the same way; `as_last`: what that one would be begun as."""
    if (as_last.settings_hash, as_last.code_version) != (last.settings_hash, last.code_version):
        return False
    decided = (row.time for row in ledger.rows(lake, run.application, run.versions["ledger"]))
    return not has_news(lake, last, READS) and not any(last.as_of < time <= run.as_of for time in decided)


def judge_changes(lake: Lake, run: Run, settings: Settings) -> Judged:
    """What has changed since the last run; everything, where that judged in another way or there was none."""
    last = latest(lake, "cluster", run.application)
    told = msgspec.json.decode(last.summary) if last else {}
    source = _source(lake, run.application, run.versions, settings)
    seen = last.versions if last else None
    return judge(
        source,
        settings.cluster,
        seen,
        again=last is not None and told.get("basis") != basis_of(run.code_version, settings, source.shots),
    )


def _source(lake: Lake, application: str, versions: Mapping[str, int], settings: Settings) -> Source:
    return Source(
        lake=lake,
        application=application,
        versions=versions,
        after_erasure=settings.archive.after_erasure,
        cap=settings.cluster.feedback_cap,
        shots=ledger.fold(lake, application, versions["ledger"]).shots,
    )


def _start(lake: Lake, settings: Settings, as_of: datetime) -> tuple[Run, Summary | None, Summary | None]:
    """The run, and its summary where it was finished before; and the last one's, where nothing has come since that.

    A run goes on from the one before it, whose id is therefore one of its inputs.
    """
    code = embed.code_of(settings.cluster.embedder, settings.cluster.embedder_url)
    code += fingerprint(*settings.curate.recognise_with)

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
            redaction=patterns_of(settings.curate),
        )

    history = runs(lake, "cluster", settings.application)
    previous = ["", *(run.run_id for run in history)]
    for run, before in zip(history, previous, strict=False):
        if run.as_of == as_of and after(before).run_id == run.run_id:
            return after(before), run.told(Summary), None
    now, last = after(previous[-1]), history[-1] if history else None
    if last is None or last.as_of > now.as_of or not _same_again(lake, now, last, after(previous[-2])):
        return now, None, None
    return now, None, last.told(Summary)


def judged_of(lake: Lake, settings: Settings) -> Judged:
    """Outcomes as the newest events have them, from scratch and published nowhere: for looking, and for tests."""
    source = _source(lake, settings.application, lake.versions(READS), settings)
    return judge(source, settings.cluster, None, again=False)


def _namer(settings: Settings) -> Namer | None:
    how, declared = settings.cluster, settings.evaluate.private_endpoints
    return Namer(how.namer_url, how.namer_model, how.namer_key, declared) if how.namer_url else None


def _promotions(lake: Lake, run: Run) -> list[Promotion]:
    """Changes of champion, oldest first, each with what its evaluation says of the clusters."""
    rows = ledger.rows(lake, run.application, run.versions["ledger"])
    return [
        Promotion(row.time, row.champion.model, row.action, _offline(lake, run.application, row))
        for row in rows
        if row.action in {"promoted", "rolled_back"} and row.champion and row.time <= run.as_of
    ]


def _offline(lake: Lake, application: str, decision: Decision) -> dict[str, Offline]:
    """Cluster → its slice of the evaluation that a promotion was decided on; empty where it was decided on none."""
    if decision.action != "promoted" or not (evaluation_id := decision.evidence.get("evaluation_id")):
        return {}
    found = rows_of(lake, "evaluations", evaluation_id=evaluation_id, application=application)
    slices = [part for row in found for part in from_row(Evaluation, row).comparison.slices]
    return {part.slice: (part.difference, part.low, part.high) for part in slices if part.difference is not None}


def publish_judged(lake: Lake, run: Run, judged: Judged) -> None:
    """The outcomes that have changed; nothing where none has."""
    if judged.rows.count:
        publish(lake, "outcomes", (_of_run(run, lot) for lot in judged.rows.tables(LOT)), run.run_id)
    if judged.moved:
        publish(lake, "voices", judged.voices(run_id=run.run_id, application=run.application), run.run_id)


def _of_run(run: Run, rows: pa.Table) -> pa.Table:
    """Rows of `outcomes`, by interaction."""
    shared = {name: pa.array([getattr(run, name)] * len(rows), pa.string()) for name in ("run_id", "application")}
    columns = {**shared, **{name: rows[name] for name in rows.column_names}}
    table = pa.table([columns[name] for name in OUTCOMES.schema.names], schema=OUTCOMES.schema)
    return table.sort_by("interaction_id")


def _publish_placed(lake: Lake, run: Run, placed: Placed) -> None:
    if placed.embeddings:
        publish(lake, "embeddings", to_table("embeddings", placed.embeddings), run.run_id)
    _publish(lake, run, {"cluster_members": placed.members})


def _publish_pinned(
    now: state.Now, before: state.State, followed: Collection[str], judged: Judged, embedder: embed.Embedder
) -> None:
    """Who is in pinned clusters. `followed`: those that an earlier run has seen to."""
    acts = decisions_of(now.lake, now.run.application, now.run.versions["cluster_decisions"])
    definitions = defined(now, before.pinned, acts, embedder)
    fresh = frozenset(before.pinned) - frozenset(followed)
    _publish(now.lake, now.run, {"pinned_members": members_of(now, definitions, fresh, judged.failures, embedder)})


def _publish(lake: Lake, run: Run, concluded: Mapping[str, Sequence[msgspec.Struct]]) -> None:
    for table, records in concluded.items():
        if records:
            rows = to_table(table, records, run_id=run.run_id, application=run.application)
            publish(lake, table, rows, run.run_id)


def _summary(
    now: state.Now, settings: Settings, judged: Judged, placed: Placed, found: Catalogue, asked: Audit, basis: str
) -> Summary:
    """Counts of the run: what the turn reports and the artifact says."""
    outcomes = judged.counts()
    living = [cluster for cluster in found.clusters if not cluster.alias_of and not cluster.pinned]
    statuses = Counter(cluster.status for cluster in living)
    failed = outcomes["failed"]
    first = windows(now.run.as_of, settings.cluster.window_hours, None)[0].start
    return Summary(
        interactions=judged.tally.total,
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
        coverage=covered(now, first),
        audit=asked,
        reliabilities=judged.reliability.sources,
        basis=basis,
    )
