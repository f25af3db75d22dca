"""From disagreements to a decision: what people are shown, what they say, and all that comes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.evaluate.disagreements import in_order
from flows.evaluate.reviewing import record_reviews, standing_of, take_back_reviews, to_review
from flows.evaluate.reviews import Question, read_answers
from flows.evaluate.stage import evaluate
from flows.evaluations import evaluation_of
from flows.ledger import fold
from flows.opinions import opinions, spoken
from flows.promote.gate import decide
from flows.promote.stage import gather, judge, promote
from flows.testing.events import event_id, happened
from schemas.errors import InputFileError, NotEnoughData
from schemas.events import Feedback, to_json
from schemas.records import Comparison
from streams.lake.query import read
from tests.support.disagreements import COUNT, SAMPLE, sampled

NOW = datetime(2026, 1, 7, tzinfo=UTC)


def right(question: Question, side: int) -> float:
    """What an honest person says of a reply: whether it has the number of the question."""
    number = question.conversation[-1]["content"].removeprefix("question ")
    return float(f"Answer {number}!" in (question.reply_1, question.reply_2)[side])


def comparison_of(bench: Any, evaluation: str) -> Comparison:
    return evaluation_of(bench.lake, bench.application, evaluation).comparison


def filled(questions: Sequence[Question]) -> list[Question]:
    return [msgspec.structs.replace(q, right_1=right(q, 0), right_2=right(q, 1)) for q in questions]


@pytest.fixture
def traffic(bench: Any) -> Any:
    """A bench whose sample is 300 requests that the champion answered; nobody said what was right."""
    return sampled(bench)


def review(bench: Any, evaluation: str, told: list[Feedback], by: str = "ann", count: int | None = None) -> Any:
    asked = to_review(bench.lake, bench.settings, evaluation, by, count)
    return record_reviews(bench.lake, bench.settings, evaluation, filled(asked), by, NOW, told.extend)


def test_reviews_of_a_beginning_of_the_disagreements_decide(traffic: Any) -> None:
    """[evaluate, review 50, evaluate]: inconclusive with the number that is missing, then promote, at no new call."""
    first = evaluate(traffic.lake, traffic.settings, traffic.as_of)
    before = decide(comparison_of(traffic, first.evaluation_id), traffic.settings.gate)
    calls = len(traffic.endpoint.seen)
    told: list[Feedback] = []

    done = review(traffic, first.evaluation_id, told)
    second = evaluate(traffic.lake, traffic.settings, traffic.as_of)
    comparison = comparison_of(traffic, second.evaluation_id)
    after = decide(comparison, traffic.settings.gate)

    assert (before.verdict, before.waits_for) == ("inconclusive", "reviews")
    assert "the answers differ in 150 of 300 requests; review 50 of them" in before.reasons[0]
    assert (done.answers, done.standing.look, len(traffic.endpoint.seen)) == (50, 50, calls)
    assert after.verdict == "promote"
    assert comparison.sampled is not None
    assert (comparison.overall.wins, comparison.overall.losses) == (50, 0)
    assert comparison.overall.difference == pytest.approx(0.5)
    assert {origin.slice for origin in comparison.sampled.origins} == {"none"}


def test_references_of_the_champions_own_decide_nothing(traffic: Any) -> None:
    """Accepted answers of the champion, one and all, and no review: inconclusive, whatever the scores say."""
    sample = next(traffic.settings.datasets_path.rglob("sample-test-*.parquet"))
    rows = pq.read_table(sample).to_pylist()
    own = [
        {**row, "reference": f"answer {n}" if n % 2 else "no idea", "source": "accepted"} for n, row in enumerate(rows)
    ]
    traffic.put(pa.Table.from_pylist(own, SAMPLE), "sample", "s2", dataset="sample")

    found = comparison_of(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id)

    assert found.overall.difference is None
    assert decide(found, traffic.settings.gate).verdict == "inconclusive"
    assert found.sampled is not None
    assert [(origin.slice, origin.items) for origin in found.sampled.origins] == [("own", COUNT)]


def test_reviews_are_blind(traffic: Any) -> None:
    """Neither model, nor reference, nor a side that is always the same; asking again shows the same."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    asked = to_review(traffic.lake, traffic.settings, evaluation, "ann")

    assert asked == to_review(traffic.lake, traffic.settings, evaluation, "ann")
    assert set(msgspec.to_builtins(asked[0])) == {
        "id", "item_id", "order", "conversation", "reply_1", "reply_2", "rubric", "right_1", "right_2", "correction",
        "skip", "again",
    }  # fmt: skip
    sides = ["no idea" in question.reply_1 for question in asked]
    assert 10 < sum(sides) < 40
    assert [question.order for question in asked] == sorted(question.order for question in asked)


def test_what_is_taken_back_is_asked_again_and_said_anew(traffic: Any) -> None:
    """[say, take back, say the same again], and the whole sent once more: one standing review, told by fresh events."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    first = filled(to_review(traffic.lake, traffic.settings, evaluation, "ann", 1))
    again = [msgspec.structs.replace(answer, again=1) for answer in first]
    told: list[Feedback] = []
    given = (traffic.lake, traffic.settings, evaluation)
    counts = []
    for _ in range(2):  # as a page sends it, and sends it again where the answer was lost
        record_reviews(*given, first, "ann", NOW, told.extend)
        counts.append(standing_of(*given).reviewed)
        take_back_reviews(*given, first, "ann", NOW + timedelta(seconds=1), told.extend)
        counts.append(standing_of(*given).reviewed)
        asked = to_review(*given, "ann", 1)
        record_reviews(*given, again, "ann", NOW + timedelta(seconds=2), told.extend)
        counts.append(standing_of(*given).reviewed)
    happened(traffic.lake, *{event.id: event for event in told}.values())
    standing = {event.id for event in told if not event.retracts} - {event.retracts for event in told}

    assert counts == [1, 0, 1, 1, 1, 1]
    assert [question.item_id for question in asked] != [first[0].item_id]
    assert len({event.id for event in told}) * 2 == len(told)
    assert standing == {event.id for event in told[len(told) // 2 - len(standing) : len(told) // 2]}
    assert standing_of(*given).reviewed == 1


def test_the_same_reviews_twice_are_kept_and_told_once(traffic: Any, tmp_path: Path) -> None:
    """Ids are made of what is said: told again, each event is the one that was told before."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    answers = filled(to_review(traffic.lake, traffic.settings, evaluation, "ann"))
    told: list[Feedback] = []
    for _ in range(2):
        record_reviews(traffic.lake, traffic.settings, evaluation, answers, "ann", NOW, told.extend)

    rows = [row for row in read(traffic.lake, "scores").to_pylist() if row["scorer"] == "human:ann"]
    assert len(rows) == 100
    assert len(told) == 2 * len({event.id for event in told}) == 2 * 100
    assert {(event.kind, event.source, event.value) for event in told} == {
        ("reviewer", "reviewer:ann", 0.0), ("correction", "reviewer:ann", None),
    }  # fmt: skip
    assert {spoken(event.text or "")[:7] for event in told if event.kind == "correction"} == {"answer "}


def test_reviews_picked_by_hand_count_for_nothing(traffic: Any) -> None:
    """Sixty reviews of later disagreements, the first left out: no look is reached."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    picked = filled(to_review(traffic.lake, traffic.settings, evaluation, "ann", 61)[1:])

    done = record_reviews(traffic.lake, traffic.settings, evaluation, picked, "ann", NOW, lambda _: None)

    assert (done.standing.reviewed, done.standing.look) == (0, 0)


def test_a_file_in_another_order_or_with_changed_answers_is_refused(traffic: Any, tmp_path: Path) -> None:
    """Nothing of it is taken, and the message names the line."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    answers = filled(to_review(traffic.lake, traffic.settings, evaluation, "ann"))
    file = tmp_path / "f.jsonl"

    def written(lines: Sequence[Any]) -> Path:
        file.write_text("".join(to_json(line) + "\n" for line in lines))
        return file

    assert read_answers(written(answers)) == answers
    with pytest.raises(InputFileError, match="line 2: lines stand in another order"):
        read_answers(written(answers[::-1]))
    with pytest.raises(InputFileError, match="line 1: an answer was changed"):
        read_answers(written([msgspec.structs.replace(answers[0], reply_1="better")]))
    with pytest.raises(InputFileError, match="line 1: only one of"):
        read_answers(written([msgspec.structs.replace(answers[0], right_1=None)]))
    with pytest.raises(InputFileError, match=r"line 1.*<= 1"):
        read_answers(written([{**msgspec.to_builtins(answers[0]), "right_1": 2}]))


def test_what_reviewers_cannot_tell_speaks_against_what_is_to_be_shown(traffic: Any) -> None:
    """Ten skipped of fifty: more than the gate allows; the interval reaches both ways."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    answers = filled(to_review(traffic.lake, traffic.settings, evaluation, "ann"))
    skipped = [msgspec.structs.replace(a, skip=True) if n < 10 else a for n, a in enumerate(answers)]
    record_reviews(traffic.lake, traffic.settings, evaluation, skipped, "ann", NOW, lambda _: None)

    found = comparison_of(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id)
    verdict = decide(found, traffic.settings.gate)

    assert found.sampled is not None
    assert found.sampled.skipped == 10
    assert verdict.verdict == "inconclusive"
    assert "could not tell in 10 of 50" in verdict.reasons[0]


def test_every_fifth_disagreement_is_shown_to_a_second_person(traffic: Any) -> None:
    """What two say of the same answers tells how often one errs; the gate's first fifty are not asked for twice."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    review(traffic, evaluation, [])
    stood = standing_of(traffic.lake, traffic.settings, evaluation)
    assert stood.youden == (1.0, 0.0)

    review(traffic, evaluation, [], by="bob", count=1)
    stood = standing_of(traffic.lake, traffic.settings, evaluation)

    assert stood.reviewed == 51
    assert 0.8 < stood.youden[0] < 1


def test_requests_that_a_model_may_have_been_trained_on_are_left_out_and_counted(traffic: Any) -> None:
    """A champion that came after a third of the sample: that third is not asked, and the comparison says so."""
    sample = next(traffic.settings.datasets_path.rglob("sample-test-*.parquet"))
    rows = pq.read_table(sample).to_pylist()
    older = [{**row, "time": traffic.as_of - timedelta(hours=1)} if n % 3 == 0 else row for n, row in enumerate(rows)]
    older[0]["kept_out"] = True
    traffic.put(pa.Table.from_pylist(older, SAMPLE), "sample", "s2", dataset="sample")

    found = comparison_of(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id)

    assert found.sampled is not None
    assert (found.sampled.requests, found.sampled.left_out, found.sampled.kept_out) == (201, 99, 1)


def test_a_model_against_itself_is_as_good_without_a_review(traffic: Any) -> None:
    """Equal answers are equally right: nothing to review, and nothing to wait for."""
    traffic.endpoint.reply = lambda body: "Answer " + body["messages"][-1]["content"]
    gate = msgspec.structs.replace(traffic.settings.gate, policy="as_good")
    settings = msgspec.structs.replace(traffic.settings, gate=gate)
    evaluation = evaluate(traffic.lake, settings, traffic.as_of).evaluation_id

    found = decide(comparison_of(traffic, evaluation), gate)

    assert found.verdict == "promote", found.reasons
    assert "the answers differ in 0 of 300" in found.reasons[0]
    with pytest.raises(NotEnoughData, match="nothing to review"):
        to_review(traffic.lake, settings, evaluation, "ann")


def test_the_terminal_reviews_one_pair_at_a_time(traffic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys 1, 2, b, n, s, q; what was said before `q` is told and kept."""
    evaluate(traffic.lake, traffic.settings, traffic.as_of)
    told: list[Feedback] = []
    monkeypatch.setattr("flows.commands.review.tell", lambda _, events: told.extend(events))
    environment = {"FLYWHEEL_LAKE": traffic.lake.root, "FLYWHEEL_HOME": traffic.settings.home, "COLUMNS": "200"}

    done = CliRunner(env=environment).invoke(app, ["review", "answer", "--by", "ann"], input="1\nx\n2\nb\nn\ns\nq\n")

    assert done.exit_code == 0, done.output
    assert "5 reviews recorded" in done.output
    rows = [row for row in read(traffic.lake, "scores").to_pylist() if row["scorer"] == "human:ann"]
    assert sorted(str(row["score"]) for row in rows) == sorted(
        ["1.0", "0.0", "0.0", "1.0", "1.0", "1.0", "0.0", "0.0", "None", "None"]
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Yes.", "yes", True),
        ("a  b\n", "A B", True),
        ("-5", "5", False),
        ("£5.00", "£500", False),
        ('[{"id": "1", "function": {"name": "f", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}}]',
         '[{"id": "2", "function": {"name": "f", "arguments": "{\\"b\\": 2, \\"a\\": 1}"}}]', True),
        ('[{"function": {"name": "f", "arguments": "{}"}}]', '[{"function": {"name": "g", "arguments": "{}"}}]', False),
        ("[" * 5000, "[" * 5001, False),
    ],
)  # fmt: skip
def test_answers_are_the_same_when_they_say_the_same(one: str, other: str, same: bool) -> None:
    """Case, spacing and a final stop do not count; signs and digits do; calls are compared by what they ask for."""
    assert (spoken(one) == spoken(other)) is same


def test_programs_get_the_next_disagreements_as_json(traffic: Any) -> None:
    """Without a file, `review next` prints one JSON array."""
    evaluate(traffic.lake, traffic.settings, traffic.as_of)
    environment = {"FLYWHEEL_LAKE": traffic.lake.root, "FLYWHEEL_HOME": traffic.settings.home}
    shown = CliRunner(env=environment).invoke(app, ["review", "next", "--count", "3", "--by", "ann"])

    assert [set(q) >= {"reply_1", "reply_2"} for q in json.loads(shown.stdout)] == [True] * 3


def ground(bench: Any, evaluation: str) -> tuple[str, str, str]:
    """What of an evaluation's ground has moved, and what the gate says and waits for."""
    evidence = gather(bench.lake, bench.settings, evaluation)
    verdict = judge(evidence, fold(bench.lake, bench.application), bench.settings.gate)
    return evidence.changed, verdict.verdict, verdict.waits_for


def test_a_review_that_is_taken_back_takes_its_verdict_with_it(traffic: Any) -> None:
    """[evaluate, review 50, evaluate, one of them retracted]: promote becomes inconclusive, and 49 are left."""
    told: list[Feedback] = []
    review(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id, told)
    happened(traffic.lake, *told)
    found = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    assert ground(traffic, found) == ("", "promote", "")
    order = [one.item.interaction_id for one in in_order(standing_of(traffic.lake, traffic.settings, found).asked)]
    last = next(event for event in told if event.interaction_id == order[49] and event.kind == "reviewer")

    happened(traffic.lake, msgspec.structs.replace(last, id=event_id(9), value=None, retracts=last.id))

    assert ground(traffic, found)[1:] == ("inconclusive", "reviews")
    assert "no longer what it was" in ground(traffic, found)[0]
    assert standing_of(traffic.lake, traffic.settings, found).reviewed == 49
    again = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    assert again != found
    assert ground(traffic, again)[1:] == ("inconclusive", "reviews")


def test_another_person_cannot_take_back_what_a_reviewer_said(traffic: Any) -> None:
    """A retraction from another source, and one of a stranger's event, change nothing."""
    told: list[Feedback] = []
    review(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id, told)
    happened(traffic.lake, *told)
    found = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    verdict = next(event for event in told if event.kind == "reviewer")
    stranger = msgspec.structs.replace(verdict, id=event_id(9), value=None, retracts=verdict.id, source="reviewer:eve")

    happened(traffic.lake, stranger)

    assert ground(traffic, found) == ("", "promote", "")


def test_reviews_that_came_since_make_a_comparison_old(traffic: Any) -> None:
    """Whoever decides on the look before the last chooses what to see: evaluate again."""
    review(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id, [])
    found = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    review(traffic, found, [], count=10)

    assert ground(traffic, found)[1:] == ("inconclusive", "reviews")


def test_a_champion_whose_evidence_was_taken_back_is_named_as_such(traffic: Any) -> None:
    """What was promoted stays so; `flywheel champion` says that its ground has moved."""
    told: list[Feedback] = []
    review(traffic, evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id, told)
    found = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    done = promote(traffic.lake, traffic.settings, NOW, found, lambda _: None)
    environment = {"FLYWHEEL_LAKE": traffic.lake.root, "FLYWHEEL_HOME": traffic.settings.home}

    def stale() -> str:
        shown = CliRunner(env=environment).invoke(app, ["champion", "--json"])
        return str(json.loads(shown.stdout)["stale"])

    assert (done.action, stale()) == ("promoted", "")
    verdict = next(event for event in told if event.kind == "reviewer")
    back = msgspec.structs.replace(verdict, id=event_id(9), value=None, retracts=verdict.id)
    happened(traffic.lake, *told, back)
    assert "no longer what it was" in stale()


def test_only_the_reviews_of_an_evaluations_items_are_read(traffic: Any) -> None:
    """Of all that people ever said, an evaluation asks for what was said of its own requests."""
    evaluation = evaluate(traffic.lake, traffic.settings, traffic.as_of).evaluation_id
    review(traffic, evaluation, [])
    some = [question.item_id for question in to_review(traffic.lake, traffic.settings, evaluation, "bob", 1)][:3]

    assert {item for item, _ in opinions(traffic.lake, traffic.settings, some)} <= set(some)
    assert opinions(traffic.lake, traffic.settings, []) == {}
