"""Review as pages and forms: blind, one answer an item, once however often it is sent, and taken back by an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.testing.events import event_id
from tests.support.clusters import World
from tests.support.reviewers import Form, People, for_people, question
from ui.answers import LABELS
from ui.questions import fresh_id
from ui.saving import MOST


@pytest.fixture
def people(world: World, tmp_path: Path) -> People:
    """Reviewers over the world's lake, with an outbox of their own that nothing is sent from."""
    return People(world.lake, for_people(world.settings, tmp_path))


def told(people: People) -> list[tuple[str, str, Any, Any]]:
    return [
        (event.kind, event.source, event.value, event.label) for event in people.state.outbox.feedback()
        if not event.retracts
    ]  # fmt: skip


def standing(people: People) -> list[str]:
    """Ids of what was said and not taken back."""
    events = people.state.outbox.feedback()
    gone = {event.retracts for event in events}
    return [event.id for event in events if not event.retracts and event.id not in gone]


def test_a_form_answers_and_the_next_question_comes(people: People) -> None:
    """Without JavaScript: answer, a redirect to the queue with its filters, another question, and what one said."""
    ana = people.client("ana")
    first = question(ana, "/review/queue?outcome=failed&overlap=0")
    answer = ana.post("/review/acts", data={**first, "verdict": "bad", "label_tone": "on", "exclude": "on"})
    page = ana.get(answer.headers["location"])

    assert (answer.status_code, answer.headers["location"]) == (303, "/review/queue?outcome=failed&overlap=0.0")
    assert told(people) == [
        ("reviewer", "reviewer:ana", 0.0, "random"), ("label", "reviewer:ana", None, "tone"),
        ("label", "reviewer:ana", None, "exclude"),
    ]  # fmt: skip
    assert Form(page.text).forms["Your answer"]["item"] != first["item"]
    assert 'You said: <b id="last-said">Bad</b>' in page.text
    assert "thumb down" in page.text
    assert "79</b> wait" in page.text


def test_taking_back_is_an_event_and_asks_again(people: People) -> None:
    """By the form below the next question: every part is retracted, and the item is asked anew under a fresh id."""
    ana = people.client("ana")
    first = question(ana)
    ana.post("/review/acts", data={**first, "verdict": "bad", "correction": "So it is."})
    last = Form(ana.get("/review/queue").text).forms["Your last answer"]
    ana.post("/review/acts", data=last)
    again = question(ana)
    ana.post("/review/acts", data={**again, "verdict": "good"})

    assert again["item"] == first["item"]
    assert again["id"] != first["id"]
    assert standing(people) == [again["id"]]
    assert sum(event.retracts is not None for event in people.state.outbox.feedback()) == 2


def test_a_question_is_blind(people: People) -> None:
    """Neither model, nor variant, nor a word of anybody is in it; after the answer they are told."""
    ana = people.client("ana")
    text = ana.get("/review/queue").text + ana.get("/review/ahead?besides=").text
    words = Form(text).article.split()
    item = question(ana)["item"]
    said = people.send("ana", {"item": item, "id": fresh_id(), "verdict": "good"}).json()

    assert "answer." in words
    assert not {"old", "thumb", "corrected", "failed"} & set(words)
    assert "thumb" in said["acts"][0]["heard"]


def test_sent_again_after_a_restart_it_is_said_once(people: People, world: World, tmp_path: Path) -> None:
    """[three answers, a take-back, an answer], sent; the app is started anew, and the page sends the whole again."""
    ids = [fresh_id() for _ in range(4)]
    acts = [{"item": event_id(n), "id": ids[n], "verdict": "good"} for n in range(3)]
    acts += [{**acts[0], "act": "take_back"}, {"item": event_id(0), "id": ids[3], "verdict": "bad"}]
    first = people.send("ana", *acts)
    before = people.state.outbox.feedback()
    later = People(world.lake, for_people(world.settings, tmp_path))
    second = later.send("ana", *acts)

    assert [act["error"] for act in first.json()["acts"]] == [""] * 5
    assert second.status_code == 200
    assert later.state.outbox.feedback() == before
    assert sorted(standing(later)) == sorted(ids[1:])


def test_an_answer_in_another_tab_replaces_the_first(people: People) -> None:
    """The same person, the same item, two pages: the last answer stands; the first, sent late again, changes none."""
    first, second = ({"item": event_id(3), "id": fresh_id(), "verdict": verdict} for verdict in ("good", "bad"))
    for act in (first, second, first):
        people.send("ana", act)

    assert standing(people) == [second["id"]]


def test_two_people_are_asked_different_things(people: People) -> None:
    """Unless the item is one that two are asked: then both, and neither sees the other's word before."""
    first = [
        question(people.client(name), "/review/queue?overlap=0&q=refund")["item"] for name in ("ana", "ben", "chi")
    ]
    both = [question(people.client(name), "/review/queue?overlap=1&q=card") for name in ("ana", "ben")]
    people.send("ana", {"item": both[0]["item"], "id": fresh_id(), "verdict": "bad"})
    shown = people.client("ben").get("/review/queue?overlap=1&q=card").text
    said = people.send("ben", {"item": both[1]["item"], "id": fresh_id(), "verdict": "good"}).json()

    assert len(set(first)) == 3
    assert both[0]["item"] == both[1]["item"]
    assert "ana" not in Form(shown).article
    assert said["acts"][0]["error"] == ""


def test_later_asks_something_else_and_says_nothing(people: People) -> None:
    """No event; the next question is another."""
    ana = people.client("ana")
    first = question(ana)
    ana.post("/review/acts", data={**first, "act": "later"})

    assert question(ana)["item"] != first["item"]
    assert told(people) == []


def test_who_only_reads_is_not_asked(people: People) -> None:
    """A reader sees which queues there are; neither a question, nor may they answer."""
    rea = people.client("rea")

    assert rea.get("/review").status_code == 200
    assert rea.get("/review/queue").status_code == 403
    assert rea.get("/review/ahead").status_code == 403
    assert people.send("rea", {"item": event_id(1), "id": fresh_id(), "verdict": "good"}).status_code == 403
    assert told(people) == []


@pytest.mark.parametrize(
    "act",
    [
        {"item": event_id(1), "id": "no-uuid", "verdict": "good"},
        {"item": event_id(1), "id": fresh_id(), "verdict": "splendid"},
        {"item": event_id(1), "id": fresh_id()},
        {"item": event_id(99_999), "id": fresh_id(), "verdict": "good"},
        {"item": "../../etc", "id": fresh_id(), "verdict": "good"},
        {"kind": "pairs", "item": "i1", "id": "x", "verdict": "1", "evaluation": "e1"},
        {"kind": "pairs", "item": "i1", "id": "x", "verdict": "1", "evaluation": "none"},
        {"act": "drop", "item": event_id(1), "id": fresh_id(), "verdict": "bad"},
    ],
)
def test_what_is_no_answer_is_refused_and_says_why(people: People, act: dict[str, str]) -> None:
    """Alone, with a sentence; an answer that is sent with it is kept."""
    good = {"item": event_id(2), "id": fresh_id(), "verdict": "good"}
    done = people.send("ana", act, good).json()["acts"]

    assert done[0]["error"]
    assert done[1]["error"] == ""
    assert standing(people) == [good["id"]]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b"[[]]", b'[{"id": 1}]', b"\xff", b'[{"id": "\xff"}]', b"[" * 9_000]
)
def test_what_is_no_list_of_answers_is_refused(people: People, body: bytes) -> None:
    """Whatever a script sends."""
    headers = {"x-csrf": people.app.token_of("ana"), "content-type": "application/json"}
    answer = people.client("ana").post("/review/acts", headers=headers, content=body)

    assert answer.status_code == 422
    assert told(people) == []


def test_a_request_holds_so_many_answers(people: People) -> None:
    """And not one more."""
    acts = [{"item": event_id(n), "id": fresh_id(), "verdict": "good"} for n in range(MOST + 1)]

    assert people.send("ana", *acts).status_code == 413
    assert people.send("ana", *acts[:-1]).status_code == 200
    assert len(told(people)) == MOST


def test_only_random_order_is_marked_so(people: People) -> None:
    """What somebody chose or took newest first carries no mark, whatever the form says; nor does another's ticket."""
    ana = people.client("ana")
    chosen, newest = (question(ana, f"/review/queue?{how}") for how in (f"item={event_id(7)}", "order=newest"))
    drawn = question(ana)
    bens = question(people.client("ben"))
    for form in (chosen, {**newest, "order": "random"}, {**newest, "ticket": drawn["ticket"], "id": fresh_id()}, drawn):
        ana.post("/review/acts", data={**form, "verdict": "good"})
    people.send("ana", {**bens, "verdict": "good"})

    assert chosen["item"] == event_id(7)
    assert [label for _, _, _, label in told(people)] == [None, None, None, "random", None]


def test_the_queues_are_listed(people: People) -> None:
    """Clusters, judged, random; each link leads to a question or says that nothing waits."""
    text = people.client("ana").get("/review").text

    for path in ("/review/queue?days=7", "/review/queue?kind=judged", "/review/queue?outcome=failed"):
        assert f'href="{path}"' in text
        assert people.client("ana").get(path).status_code == 200
    assert "Nothing waits for you here" in people.client("ana").get("/review/queue?kind=judged").text


def test_each_label_has_a_key_of_its_own() -> None:
    """And none that does something else on the page."""
    keys = [key for _, _, key in LABELS]

    assert len({*keys, *"123zlexjkg"}) == len(keys) + 10
