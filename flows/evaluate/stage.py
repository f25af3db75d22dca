"""One evaluation: candidate and champion on the same frozen items, their scores and the comparison published.

The plain function behind `flow.py` (which only adds Prefect) and `flywheel evaluate`. Three beats: read who and what is
compared, ask and score, publish.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from flows.evalset import answers_folder
from flows.evaluate.compare import compare
from flows.evaluate.disagreements import is_golden
from flows.evaluate.freshness import unseen
from flows.evaluate.journal import Journal
from flows.evaluate.plan import Plan, plan_for
from flows.evaluate.power import refuse_impossible
from flows.evaluate.runner import Progress, Role, is_whole, run
from flows.evaluate.sampled import Asking, compare_reviewed
from flows.evaluate.scorers.auto import FREE_TEXT, kind_for
from flows.evaluate.scorers.registry import extensions, scorer_of
from flows.evaluate.server import serving
from flows.ledger import fold
from flows.opinions import opinions
from flows.pins import pinned_items
from flows.run import Run, begin, finish, finished, latest, named, runs
from flows.versions import versions
from schemas.errors import NotEnoughData, UsageError
from schemas.events import Candidate, to_json
from schemas.records import Comparison, Evaluation, Score, content_hash
from schemas.settings import EvaluateSettings, Settings
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.rows import to_table

UNSCORABLE = (
    "references are free text, which no comparison of words scores rightly: reviews decide (`flywheel review next`); "
    "`evaluate.judge_endpoint` and `evaluate.judge_model` name a judge whose guesses narrow their interval"
)


class Summary(Struct, frozen=True, kw_only=True):
    """What a turn, a person and the run's row need to know of an evaluation."""

    evaluation_id: str
    candidate: str
    """Ids of the two models."""
    champion: str
    eval_set: str = ""
    """Name and version of the eval set."""
    dataset_version: str
    items: int
    """With a score on both sides."""
    scores: dict[Role, float | None]
    """Mean by role; None where there is none."""
    unscored: dict[Role, dict[str, int]]
    """By role: reason → how many."""
    difference: float | None
    low: float | None
    high: float | None


def evaluate(
    lake: Lake,
    settings: Settings,
    as_of: datetime,
    candidate_id: str | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Summary:
    """Compare a candidate (none given: the newest that nothing was decided about) with the champion.

    What an endpoint does wrong makes unscored items, not errors. Answers are kept in a journal: started again, only
    missing ones are asked for. Raises NotEnoughData without a champion, candidate or eval set, UsageError where the
    set's name is nobody's, EndpointError where nobody is at an endpoint.
    """
    if earlier := _decided(lake, settings.application, candidate_id):
        return earlier
    plan = plan_for(lake, settings, candidate_id)
    said = opinions(lake, settings, [item.item_id for item in plan.items])
    how = msgspec.structs.replace(settings.evaluate, api_keys={}, eval_set=plan.eval_set.name)
    run_of = begin(
        lake,
        "evaluate",
        settings.application,
        as_of,
        (),
        [how, settings.gate],
        candidate=plan.candidate.id,
        champion=plan.champion.id,
        dataset_version=plan.eval_set.version,
        reviews=content_hash(sorted((key, sorted(names.items())) for key, names in said.items())),
        extensions=extensions(how),
        **({"pinned": content_hash([(pin, sorted(wanted)) for pin, wanted in plan.pins.items()])} if plan.pins else {}),
    )
    if summary := finished(lake, run_of, Summary):
        return summary
    with named(run_of):
        scores, comparison = measure(lake, plan, settings, run_of.run_id, watch)
        return _publish(lake, run_of, settings, scores, comparison)


def measure(
    lake: Lake, plan: Plan, settings: Settings, evaluation_id: str, watch: Callable[[Progress], None] | None = None
) -> tuple[list[Score], Comparison]:
    """Ask both models what was not asked yet, score the answers, compare.

    Scores decide where every reference came with its set and no judge gave them; else people's reviews do. Raises
    SettingsError for a gate that could not pass whatever is answered, before anything is asked, and EndpointError where
    a model is not there, or its command has ended.
    """
    how = msgspec.structs.replace(settings.evaluate, scorer=kind_for(plan.items, settings.evaluate))
    scorer = scorer_of(how)
    believed = is_golden(plan.items) and not scorer.asks and scorer.name != FREE_TEXT
    if believed:
        refuse_impossible(plan.items, settings.gate)
    models: dict[Role, Candidate] = {"candidate": plan.candidate, "champion": plan.champion}
    with Journal(journal_path(settings.home_path, plan, how)) as journal:
        if is_whole(plan.items, models, how, journal):
            scores = run(plan.items, models, how, scorer, journal, watch)
        else:
            with serving(models, settings) as check:
                scores = run(plan.items, models, how, scorer, journal, _watching(check, watch))
    where = plan.eval_set.version, evaluation_id, settings.gate
    if believed:
        comparison = compare(scores, plan.candidate, plan.champion, *where)
    else:
        opined = opinions(lake, settings, [item.item_id for item in plan.items])
        pair = plan.candidate, plan.champion
        unknown = unseen(plan.items, pair, versions(lake, settings.application), settings)
        pinned = pinned_items(plan.pins, plan.items)
        asking = Asking(*pair, plan.items, opined, plan.left_out, plan.kept_out, unknown, plan.eval_set.frozen, pinned)
        comparison = compare_reviewed(scores, asking, *where)
    said = (
        *([plan.eval_set.warning] if plan.eval_set.warning else []),
        *([UNSCORABLE] if scorer.name == FREE_TEXT else []),
    )
    return scores, msgspec.structs.replace(comparison, eval_set=plan.eval_set.name, notes=(*comparison.notes, *said))


def _watching(check: Callable[[], None], watch: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Sees with each progress that the models are still there."""

    def seen(progress: Progress) -> None:
        check()
        if watch:
            watch(progress)

    return seen


def newest(lake: Lake, application: str) -> str:
    """The id of the newest finished evaluation. Raises UsageError where there is none."""
    found = latest(lake, "evaluate", application)
    if found is None:
        raise UsageError(f"{application}: nothing was evaluated yet; `flywheel evaluate` does")
    return found.run_id


def journal_path(home: Path, plan: Plan, how: EvaluateSettings) -> Path:
    """Where the answers of an evaluation are kept."""
    pair = "all" if how.share_answers else f"{plan.candidate.id}-{plan.champion.id}"
    name = hashlib.sha256(pair.encode()).hexdigest()[:16]
    return answers_folder(home, plan.eval_set.version) / f"{name}.jsonl"


def _decided(lake: Lake, application: str, candidate_id: str | None) -> Summary | None:
    """The newest evaluation of a candidate that serves by now: there is nothing left to compare it with."""
    champion = fold(lake, application).champion
    if champion is None or champion.id != candidate_id:
        return None
    summaries = [run.told(Summary) for run in runs(lake, "evaluate", application)]
    found = next((summary for summary in reversed(summaries) if summary.candidate == candidate_id), None)
    if found is None:
        raise NotEnoughData(f"{candidate_id} is the champion: there is nothing to compare it with")
    return found


def _publish(lake: Lake, run_of: Run, settings: Settings, scores: list[Score], comparison: Comparison) -> Summary:
    publish(lake, "scores", to_table("scores", scores, evaluation_id=run_of.run_id), run_of.run_id)
    evaluation = Evaluation(
        evaluation_id=run_of.run_id,
        candidate=comparison.candidate,
        champion=comparison.champion,
        eval_set=comparison.eval_set,
        dataset_version=comparison.dataset_version,
        created=run_of.as_of,
        comparison=comparison,
    )
    shared = {"run_id": run_of.run_id, "application": run_of.application, "policy": to_json(settings.gate)}
    publish(lake, "evaluations", to_table("evaluations", [evaluation], **shared), run_of.run_id)
    summary = summarise(scores, comparison)
    finish(lake, run_of, summary)
    return summary


def summarise(scores: list[Score], comparison: Comparison) -> Summary:
    """The comparison in short, with what is missing counted by its reasons."""
    unscored: dict[Role, dict[str, int]] = {"candidate": {}, "champion": {}}
    for score in scores:
        if score.unscored:
            unscored[score.role][score.unscored] = unscored[score.role].get(score.unscored, 0) + 1
    overall = comparison.overall
    return Summary(
        evaluation_id=comparison.evaluation_id,
        candidate=comparison.candidate.id,
        champion=comparison.champion.id,
        eval_set=comparison.eval_set,
        dataset_version=comparison.dataset_version,
        items=overall.items,
        scores={"candidate": overall.candidate, "champion": overall.champion},
        unscored=unscored,
        difference=overall.difference,
        low=overall.low,
        high=overall.high,
    )
