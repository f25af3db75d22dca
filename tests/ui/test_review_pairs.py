"""What the gate asks comes to the web app: two answers, blind; what is said there decides as in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.evaluate.reviewing import standing_of, to_review
from flows.evaluate.stage import evaluate
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from schemas.settings import EvaluateSettings
from streams.lake import Lake
from tests.support.disagreements import sampled
from tests.support.reviewers import Form, People, for_people, question


class Asked:
    """An evaluation whose disagreements people review."""

    def __init__(self, people: People, evaluation: str) -> None:
        self.people, self.evaluation = people, evaluation
        self.path = f"/review/queue?kind=pairs&evaluation={evaluation}"

    def standing(self) -> Any:
        """How far reviews have come."""
        return standing_of(self.people.state.lake, self.people.state.settings, self.evaluation)

    def next(self, by: str) -> list[Any]:
        """What the terminal would ask this person."""
        return to_review(self.people.state.lake, self.people.state.settings, self.evaluation, by)


@pytest.fixture
def asked(lake: Lake, tmp_path: Path) -> Iterator[Asked]:
    """A sample of 300 requests, half of which the two models answer differently."""
    with Endpoint() as endpoint:
        endpoint.reply = Bench.answer
        quick = EvaluateSettings(connections=4, timeout_s=2.0, tries=3, backoff_s=0.01, retry_after_max_s=0.2)
        bench = sampled(Bench(lake, tmp_path, quick, endpoint))
        evaluation = evaluate(lake, bench.settings, bench.as_of).evaluation_id
        yield Asked(People(lake, for_people(bench.settings, tmp_path)), evaluation)


def test_a_pair_is_blind_and_its_answer_counts_for_the_gate(asked: Asked) -> None:
    """[first, both, neither, cannot tell]: in the order that chance gave them, and the standing counts four."""
    ana = asked.people.client("ana")
    order = [one.item_id for one in asked.next("ana")]
    shown = []
    for verdict in "1bns":
        page = ana.get(asked.path).text
        form = Form(page).forms["Your answer"]
        shown.append(form["item"])
        assert not {"old", "new"} & set(Form(page).article.split())
        assert ana.post("/review/acts", data={**form, "verdict": verdict}).status_code == 303
    stood = asked.standing()

    assert shown == order[:4]
    assert stood.reviewed == 4
    assert {event.source for event in asked.people.state.outbox.feedback()} == {"reviewer:ana"}


def test_a_pair_is_taken_back_and_answered_anew(asked: Asked) -> None:
    """By the form below the next pair; the same answer again is another event, which stands."""
    ana = asked.people.client("ana")
    first = question(ana, asked.path)
    ana.post("/review/acts", data={**first, "verdict": "n"})
    counts = [asked.standing().reviewed]
    ana.post("/review/acts", data=Form(ana.get(asked.path).text).forms["Your last answer"])
    counts.append(asked.standing().reviewed)
    again = question(ana, asked.path)
    ana.post("/review/acts", data={**again, "verdict": "n"})
    counts.append(asked.standing().reviewed)
    events = asked.people.state.outbox.feedback()
    gone = {event.retracts for event in events}

    assert counts == [1, 0, 1]
    assert (again["item"], again["again"]) == (first["item"], "1")
    assert len([event for event in events if not event.retracts and event.id not in gone]) == 1


def test_two_people_share_the_disagreements(asked: Asked) -> None:
    """At once they see different pairs; what one reviewed, the other is asked only where chance wants two."""
    ana, ben = asked.people.client("ana"), asked.people.client("ben")
    firsts = question(ana, asked.path), question(ben, asked.path)
    ana.post("/review/acts", data={**firsts[0], "verdict": "1"})
    second = next(one for one in asked.next("ben") if one.item_id == firsts[0]["item"])

    assert firsts[0]["item"] != firsts[1]["item"]
    assert second.item_id == firsts[0]["item"]  # the first of each five is shown to two


def test_what_the_gate_waits_for_is_listed(asked: Asked) -> None:
    """On the queues' page, on the overview and in the rail, with how many pairs are missing."""
    text = asked.people.client("ana").get("/review").text

    assert "50 pairs to review" in text
    assert f"evaluation={asked.evaluation}" in text
    assert "Reviews for new" in asked.people.client("ana").get("/").text


def test_an_answer_to_other_answers_is_refused(asked: Asked) -> None:
    """A page from before a re-evaluation, or a made-up id, changes nothing."""
    form = question(asked.people.client("ana"), asked.path)
    answer = asked.people.client("ana").post("/review/acts", data={**form, "id": "0" * 16, "verdict": "1"})

    assert answer.status_code == 422
    assert asked.standing().reviewed == 0
