"""Whether a comparison still stands on what it stood on."""

from __future__ import annotations

import pytest

from flows import ledger
from flows.evaluations import evaluation_of, scores_of
from flows.opinions import EITHER, HUMAN, fingerprint, opinions
from flows.promote.staleness import changed, of_champion
from schemas.records import Comparison, Difference, Evaluation, Sampled, Score
from streams.lake import Lake
from streams.lake.append import publish, to_rows
from streams.lake.rows import to_table
from tests.support.promotion import APP, NEW, NOW, OLD, SEAL, SETTINGS, eval_set, visible

MOVED = "what reviewers say of these answers is no longer what it was"


def reviewed(lake: Lake, batch: str, item: str, answer: str, right: float) -> None:
    """Ann's word of one answer, as it is recorded."""
    row = {
        "evaluation_id": f"reviews-{batch}", "item_id": item, "role": EITHER, "sample": 0, "scorer": f"{HUMAN}ann",
        "score": right, "output": answer, "tries": 1, "answered": True,
    }  # fmt: skip
    publish(lake, "scores", to_rows("scores", [row]), f"reviews-{batch}")


def compared(lake: Lake, name: str, dataset: str = "set-1", reviews: str | None = None) -> str:
    """An evaluation of two requests, each asked twice; by default it stands on what was said until now."""
    scores = [
        Score(f"i{n}", role, "exact", 1.0, sample=sample, output=f"{said} {n}" + " again" * sample)  # type: ignore[arg-type]
        for n in range(2)
        for role, said in (("champion", "old"), ("candidate", "new"))
        for sample in range(2)
    ]
    answers = [(score.item_id, score.output or "") for score in scores if score.sample == 0]
    stood = fingerprint(opinions(lake, SETTINGS, {"i0", "i1"}), answers) if reviews is None else reviews
    comparison = Comparison(
        evaluation_id=name,
        candidate=NEW,
        champion=OLD,
        dataset_version=dataset,
        overall=Difference(slice=""),
        eval_set="all",
        sampled=Sampled(requests=2, differ=2, reviewed=1, look=1, reviews=stood),
    )
    made = Evaluation(
        evaluation_id=name, candidate=NEW, champion=OLD, dataset_version=dataset, created=NOW, comparison=comparison
    )
    publish(lake, "scores", to_table("scores", scores, evaluation_id=name), name)
    publish(lake, "evaluations", to_table("evaluations", [made], run_id=name, application=APP), name)
    visible(lake, name, "evaluate")
    return name


def moved(lake: Lake, name: str) -> str:
    """What of an evaluation's ground has moved."""
    return changed(lake, SETTINGS, evaluation_of(lake, APP, name).comparison, scores_of(lake, name))


@pytest.fixture
def said(lake: Lake) -> Lake:
    """A lake with an eval set and one review."""
    eval_set(lake, "set-1")
    reviewed(lake, "1", "i0", "new 0", 1.0)
    return lake


def test_a_comparison_stands_until_its_answers_are_spoken_of_otherwise(said: Lake) -> None:
    """Another word of an answer that was compared moves it; of any other answer, sample or item, nothing does."""
    name = compared(said, "e1")
    assert moved(said, name) == ""

    for batch, item, answer in (("2", "i0", "somebody else's"), ("3", "i9", "new 0"), ("4", "i0", "new 0 again")):
        reviewed(said, batch, item, answer, 0.0)
    assert moved(said, name) == ""

    reviewed(said, "5", "i1", "old 1", 1.0)
    assert moved(said, name) == MOVED
    assert moved(said, compared(said, "e2")) == ""


def test_a_word_that_was_changed_moves_a_comparison(said: Lake) -> None:
    """The same person, the same answer, another word."""
    name = compared(said, "e1")
    reviewed(said, "2", "i0", "new 0", 0.0)

    assert moved(said, name) == MOVED


def test_what_no_review_decided_no_review_makes_old(said: Lake) -> None:
    """A comparison by scores alone, and one of before there were fingerprints."""
    assert moved(said, compared(said, "e1", reviews="")) == ""


def promoted(lake: Lake, evaluation: str, decision: str = "p") -> ledger.Registry:
    """The ledger after NEW was promoted on an evaluation."""
    if not ledger.rows(lake, APP):
        ledger.bootstrap(lake, APP, OLD, "what we have", time=NOW, seal=SEAL)
    serving = ledger.fold(lake, APP).champion
    evidence = {**dict.fromkeys(ledger.EVIDENCE, "hash"), "evaluation_id": evaluation}
    ledger.append(
        lake, APP, "promoted", NEW, id=ledger.decision_id(decision), time=NOW, verdict="promote", evidence=evidence,
        expected_champion=serving and serving.id,
    )  # fmt: skip
    return ledger.fold(lake, APP)


def test_a_champions_ground_is_its_own_evaluations(said: Lake) -> None:
    """Nobody's, and a person's word, cannot move; a promotion's moves with its reviews."""
    assert of_champion(said, SETTINGS, ledger.fold(said, APP)) == ""
    ledger.bootstrap(said, APP, OLD, "what we have", time=NOW, seal=SEAL)
    assert of_champion(said, SETTINGS, ledger.fold(said, APP)) == ""

    registry = promoted(said, compared(said, "e1"))
    assert of_champion(said, SETTINGS, registry) == ""
    reviewed(said, "2", "i1", "old 1", 0.0)
    assert of_champion(said, SETTINGS, registry) == MOVED


def test_a_champion_that_was_promoted_again_stands_on_the_newer_evidence(said: Lake) -> None:
    """[promoted, taken back, promoted on a new evaluation]: what moved the first one no longer counts."""
    promoted(said, compared(said, "e1"))
    ledger.append(said, APP, "rolled_back", NEW, id=ledger.decision_id("r"), time=NOW, expected_champion=NEW.id)
    reviewed(said, "2", "i1", "old 1", 0.0)

    assert of_champion(said, SETTINGS, promoted(said, compared(said, "e2"), "again")) == ""


def test_a_withdrawn_eval_set_takes_its_champions_ground(said: Lake) -> None:
    """Its own set, by name and version; another one's withdrawal, and one that is only stale, are nothing to it."""
    registry = promoted(said, compared(said, "e1"))
    eval_set(said, "set-2")
    eval_set(said, "set-2", status="withdrawn", status_reason="a person asked")
    eval_set(said, "set-1", status="stale", status_reason="3 rows")
    assert of_champion(said, SETTINGS, registry) == ""

    eval_set(said, "set-1", status="withdrawn", status_reason="a person asked")
    assert of_champion(said, SETTINGS, registry) == "eval set all@set-1 was withdrawn: a person asked"
