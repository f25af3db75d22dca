"""Pinned clusters as an evaluation of a lake sees them: what is pinned by words when it begins, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flows.evaluate.reviewing import asking_of
from flows.evaluate.stage import evaluate
from flows.evaluations import evaluation_of
from flows.pins import pins_of
from schemas.acts import ClusterDecision
from streams.lake.append import publish
from streams.lake.rows import to_table
from tests.support.disagreements import sampled


def say(bench: Any, n: int, event: Any, cluster: str, **said: Any) -> None:
    """What a person does, `n` minutes on."""
    act = ClusterDecision(
        decision_id=f"d{n}", application=bench.application, time=bench.as_of + timedelta(minutes=n), decided_by="ann",
        event=event, cluster_id=cluster, **said,
    )  # fmt: skip
    publish(bench.lake, "cluster_decisions", to_table("cluster_decisions", [act]), act.decision_id)


def slices_of(bench: Any, evaluation: str) -> dict[str, int]:
    comparison = evaluation_of(bench.lake, bench.application, evaluation).comparison
    return {part.slice: part.items for part in comparison.slices}


def test_what_is_pinned_when_it_begins_is_part_of_it(bench: Any) -> None:
    """Slices and the id are those of the pins of that time; once nothing is pinned any more it is the first again."""
    found = {"cluster-0": 150, "cluster-1": 150}
    sampled(bench)
    first = evaluate(bench.lake, bench.settings, bench.as_of)
    say(bench, 1, "pinned", "p1", name="Seven", words="Question 7!")
    second = evaluate(bench.lake, bench.settings, bench.as_of)
    asking = asking_of(
        bench.lake, bench.settings, evaluation_of(bench.lake, bench.application, second.evaluation_id).comparison
    )[1]
    say(bench, 2, "unpinned", "p1")
    third = evaluate(bench.lake, bench.settings, bench.as_of)

    assert slices_of(bench, first.evaluation_id) == found
    assert slices_of(bench, second.evaluation_id) == {**found, "p1": 1}
    assert asking.pinned == {"p1": frozenset({"item-7"})}
    assert first.evaluation_id != second.evaluation_id
    assert third == first


def test_what_is_pinned_meanwhile_is_no_part_of_it(bench: Any) -> None:
    """Models may be asked for hours: the slices are those that the id speaks of."""
    sampled(bench)
    answer = bench.endpoint.reply

    def reply(body: dict[str, Any]) -> Any:
        if not pins_of(bench.lake, bench.application):
            say(bench, 1, "pinned", "p1", name="Seven", words="7")
        return answer(body)

    bench.endpoint.reply = reply
    done = evaluate(bench.lake, bench.settings, bench.as_of)

    assert pins_of(bench.lake, bench.application) == {"p1": frozenset({"7"})}
    assert slices_of(bench, done.evaluation_id) == {"cluster-0": 150, "cluster-1": 150}


def test_the_last_word_on_each_pin_counts(bench: Any) -> None:
    """Said again it has the new words; by examples, or once its words are erased, it is none; nor are other acts."""
    say(bench, 1, "pinned", "p2", name="a", words="Refund, REFUND please")
    say(bench, 2, "pinned", "p1", name="b", words="seven")
    say(bench, 3, "renamed", "p1", name="c")
    say(bench, 4, "pinned", "p3", name="d", interaction_ids=("i1", "i2", "i3"))
    say(bench, 5, "pinned", "p4", name="e", words="gone")
    say(bench, 6, "pinned", "p4", name="e", words=None)
    say(bench, 7, "pinned", "p5", name="f", words="once")
    say(bench, 8, "unpinned", "p5")

    assert list(pins_of(bench.lake, bench.application).items()) == [
        ("p1", frozenset({"seven"})),
        ("p2", frozenset({"refund", "please"})),
    ]
    assert pins_of(bench.lake, "another") == {}
