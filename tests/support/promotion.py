"""What promotion's tests share: a lake with an eval set and evaluations, as the stages before leave it."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from typing import Any

import msgspec

from flows.evaluate.compare import compare
from flows.seal import seal_of
from schemas.events import Candidate, Decision
from schemas.records import Evaluation, Sampled, Score, make_candidate
from schemas.settings import EvaluateSettings, Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.rows import to_table

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD = make_candidate("old", "http://127.0.0.1:1/v1")
NEW = make_candidate("new", "http://127.0.0.1:2/v1")
_HOME = tempfile.TemporaryDirectory()
SETTINGS = Settings(home=_HOME.name, evaluate=EvaluateSettings(eval_set="all"))
"""Decides on fixed sets, whose references are believed; samples have tests of their own."""
SEAL = seal_of(SETTINGS)
"""Signs ledger rows, as this home does."""
APP = SETTINGS.application
BETTER = [(0, 1)] * 40 + [(1, 1)] * 60
WORSE = [(1, 0)] * 40 + [(1, 1)] * 60
LEVEL = [(1, 1)] * 100


class Told(list[Decision]):
    """Listeners that remember what they were told."""

    def __call__(self, decision: Decision) -> None:
        self.append(decision)


def eval_set(lake: Lake, version: str, **fields: Any) -> None:
    """A frozen eval set, as curate publishes it."""
    row = {
        "run_id": f"curate-{version}-{fields}", "application": APP, "dataset": "all", "version": version,
        "kind": "eval", "path": version, "sha256": "0" * 64, "created": NOW, "manifest": "{}", "status": "current",
    }  # fmt: skip
    row |= fields
    publish(lake, "dataset_versions", to_rows("dataset_versions", [row]), row["run_id"])
    visible(lake, row["run_id"], "curate")


def visible(lake: Lake, run_id: str, stage: str) -> None:
    row = {
        "run_id": run_id, "stage": stage, "application": APP, "as_of": NOW, "versions": "{}",
        "settings_hash": "", "code_version": "", "summary": "{}",
    }  # fmt: skip
    publish(lake, "runs", to_rows("runs", [row]), run_id)


def evaluated(
    lake: Lake,
    name: str,
    pairs: list[tuple[float, float]],
    candidate: Candidate = NEW,
    champion: Candidate = OLD,
    dataset: str = "set-1",
    finished: bool = True,
    sampled: Sampled | None = None,
) -> str:
    """An evaluation, as evaluate publishes it."""
    scores = [
        Score(f"i{n}", role, "exact", score)  # type: ignore[arg-type]
        for n, pair in enumerate(pairs)
        for role, score in zip(("champion", "candidate"), pair, strict=True)
    ]
    comparison = compare(scores, candidate, champion, dataset, name, SETTINGS.gate)
    comparison = msgspec.structs.replace(comparison, sampled=sampled)
    publish(lake, "scores", to_table("scores", scores, evaluation_id=name), name)
    evaluation = Evaluation(
        evaluation_id=name,
        candidate=candidate,
        champion=champion,
        dataset_version=dataset,
        created=NOW,
        comparison=comparison,
    )
    publish(lake, "evaluations", to_table("evaluations", [evaluation], run_id=name, application=APP), name)
    if finished:
        visible(lake, name, "evaluate")
    return name
