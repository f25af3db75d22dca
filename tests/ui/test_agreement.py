"""Agreement as a page: only random answers count, judges beside people, and a word on what they differ in."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.testing.events import event_id, happened
from flows.testing.world import AS_OF
from schemas.events import Erasure
from tests.support.clusters import asked, said
from tests.support.reviewers import People, for_people
from tests.support.turned import turned
from ui.agreeing import agreeing
from ui.questions import fresh_id


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """[ana judged 40, ben the same and differs in 4, chi 10 newest first, a judge all]: in the lake."""
    world = turned(tmp_path_factory.mktemp("agreement"))
    rows = [asked(n) for n in range(40)]

    def word(n: int, by: str, good: bool, **more: str) -> object:
        return said(rows[n], "reviewer", float(good), source=f"reviewer:{by}", user_id=None, **more)

    happened(
        world.lake,
        *[word(n, "ana", n % 2 == 0, label="random") for n in range(40)],
        *[word(n, "ben", (n % 2 == 0) != (n < 4), label="random") for n in range(40)],
        *[word(n, "chi", n % 2 == 1) for n in range(10)],
        *[said(rows[n], "judge", float(n % 2 == 0 or n > 29), source="judge:j", user_id=None) for n in range(40)],
    )  # fmt: skip
    return People(world.lake, for_people(world.settings, tmp_path_factory.mktemp("home")))


def test_only_random_answers_count(people: People) -> None:
    """Chi, who took the newest first, is nowhere; ana and ben differ in four of forty: kappa 0.8, alpha alike."""
    with people.state.reading() as sql:
        found = agreeing(sql, {})

    assert [(one.first, one.second) for one in found.people] == [("ana", "ben")]
    assert found.people[0].found.value == pytest.approx(0.8)
    assert (found.people[0].found.only_first, found.people[0].found.only_second) == (2, 2)
    assert found.everybody.items == 40
    assert found.everybody.value == pytest.approx(0.8, abs=0.01)


def test_a_judge_is_held_against_most_people(people: People) -> None:
    """Where ana and ben differ there is no majority: 36 remain, of which the judge praises five that are bad."""
    with people.state.reading() as sql:
        (judge,) = agreeing(sql, {}).judges

    assert (judge.first, judge.found.items, judge.found.only_first, judge.found.only_second) == ("judge:j", 36, 5, 0)


def test_reviews_of_the_gate_count_too(people: People) -> None:
    """What two people said of the same answer to a request; who could not tell said nothing."""
    pairs = {("i1", "yes"): {"ana": 1.0, "ben": 0.0}, ("i2", "no"): {"ana": 1.0, "ben": None}}
    with people.state.reading() as sql:
        found = agreeing(sql, pairs)

    assert found.people[0].found.items == 41
    assert found.everybody.items == 41


def test_a_difference_is_adjudicated(people: People) -> None:
    """The newest differences are listed; a word on one is an event with why and who said what, and leaves the list."""
    with people.state.reading() as sql:
        before = [one.item for one in agreeing(sql, {}).differing]
    item = before[0]
    chi = people.client("chi")
    form = {
        "csrf": people.app.token_of("chi"),
        "item": item,
        "id": fresh_id(),
        "verdict": "good",
        "reason": "It helps.",
    }
    answer = chi.post("/review/adjudications", data=form)
    again = chi.post("/review/adjudications", data=form)
    (event,) = people.state.outbox.feedback()

    assert len(before) == 4 + 5
    assert (answer.status_code, again.status_code) == (303, 303)
    assert (event.source, event.value, event.label) == ("reviewer:chi", 1.0, "adjudicated")
    assert (event.text or "").startswith("It helps. (ana: ")
    assert "judge:j: " in (event.text or "")
    assert item not in chi.get("/review/agreement").text


@pytest.mark.parametrize(
    "changed",
    [{"reason": " "}, {"verdict": "maybe"}, {"item": event_id(99_999)}, {"item": "x"}, {"id": "x"},
     {"reason": "x" * 3_000}],
)  # fmt: skip
def test_what_is_no_decision_is_refused(people: People, changed: dict[str, str]) -> None:
    """With a sentence, and no event."""
    before = len(people.state.outbox.feedback())
    form = {"csrf": people.app.token_of("ben"), "item": event_id(0), "id": fresh_id(), "verdict": "bad", "reason": "no"}
    answer = people.client("ben").post("/review/adjudications", data={**form, **changed})

    assert answer.status_code == 422
    assert len(people.state.outbox.feedback()) == before


def test_a_reader_reads_and_decides_nothing(people: People, tmp_path: Path) -> None:
    """The page is theirs; its forms are not."""
    rea = people.client("rea")
    form = {"csrf": people.app.token_of("rea"), "item": event_id(0), "id": fresh_id(), "verdict": "bad", "reason": "no"}

    assert "κ" in rea.get("/review/agreement").text
    assert "/review/adjudications" not in rea.get("/review/agreement").text
    assert rea.post("/review/adjudications", data=form).status_code == 403


def test_whoever_is_forgotten_leaves_the_page_at_once(people: People) -> None:
    """With the fold of their wish, not when the tables are next rewritten."""
    with people.state.reading() as sql:
        newest = agreeing(sql, {}).differing[-1]
    theirs = next(asked(n) for n in range(40) if asked(n).id == newest.item)
    assert newest.item in people.client("rea").get("/review/agreement").text
    happened(people.state.lake, Erasure(id=fresh_id(), time=AS_OF, subject=str(theirs.user_id)))
    people.state.refresh()

    assert newest.item not in people.client("rea").get("/review/agreement").text
