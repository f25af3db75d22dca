"""Whether a comparison still stands on what it stood on: reviews that came since, were taken back, or are forgotten.

What was promoted stays so; a person is told, and a new evaluation is one command.
"""

from __future__ import annotations

from collections.abc import Iterable

from flows.evaluations import evaluation_of, scores_of
from flows.opinions import fingerprint, opinions
from flows.registry import Registry
from flows.versions import versions
from schemas.records import Comparison, Score
from schemas.settings import Settings
from streams.lake import Lake


def changed(lake: Lake, settings: Settings, comparison: Comparison, scores: Iterable[Score]) -> str:
    """What of a comparison's ground has moved since it was made; empty where nothing has.

    References and judges only guess: where feedback changes them, no estimate moves (docs/gate.md).
    """
    if comparison.sampled is None or not comparison.sampled.reviews:
        return ""
    answers = [(s.item_id, s.output or "") for s in scores if s.answered and s.sample == 0]
    said = opinions(lake, settings, {item for item, _ in answers})
    if fingerprint(said, answers) == comparison.sampled.reviews:
        return ""
    return "what reviewers say of these answers is no longer what it was"


def of_champion(lake: Lake, settings: Settings, registry: Registry) -> str:
    """What of the ground of the present champion's promotion has moved since; empty where nothing has."""
    serving = registry.champion
    made = [row for row in registry.decisions if row.action == "promoted" and row.candidate == serving]
    evaluation_id = made[-1].evidence.get("evaluation_id") if made else None
    if evaluation_id is None:
        return ""
    comparison = evaluation_of(lake, settings.application, evaluation_id).comparison
    for version in versions(lake, settings.application):
        measured = (version.dataset, version.version) == (comparison.eval_set, comparison.dataset_version)
        if measured and version.status == "withdrawn":
            return f"eval set {comparison.measured_on} was withdrawn: {version.status_reason}"
    return changed(lake, settings, comparison, scores_of(lake, evaluation_id))
