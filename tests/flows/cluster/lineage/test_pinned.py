"""Pinned clusters: what a person defined by words or by examples, beside the found ones and without moving anything."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.forget import forget
from flows.cluster.lineage.acts import Acts, decisions_of
from flows.cluster.lineage.pinned import MOST_PINNED, Definition, pinned_id
from schemas.errors import UsageError
from schemas.normalise import words
from schemas.records import Cluster
from streams.lake.query import read, stored_rows
from tests.support.growing import grows

APPLICATION = "support-bot"
EACH = 40
PATTERN = ".* (a+)+$ %_ [a-z] '; DROP TABLE outcomes"


@dataclass(frozen=True)
class Days:
    """Two homes: before anything is pinned, and after the run that saw to it."""

    before: Path
    after: Path
    ids: dict[str, str]
    """What is pinned, by the names below."""


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Days:
    """Forty failures of each of four topics, every fifth of them urgent, and 400 fine ones; then pinned."""
    home = tmp_path_factory.mktemp("first") / "home"
    world = make.World(home)
    for n, topic in enumerate(make.topics):
        rows = [make.asked(1000 * n + i, text_of(make, topic, i)) for i in range(EACH)]
        world.happened(*rows, *[make.said(row) for row in rows])
    world.happened(*[make.asked(50_000 + n, "thanks, all is well") for n in range(400)])
    world.run(days=0.9)
    then = tmp_path_factory.mktemp("second") / "home"
    shutil.copytree(home, then)
    world = make.World(then)
    ids = pin_all(world, make)
    world.happened(*later(make, 60_000, 0, f"tell me about this: {PATTERN}", 1))
    world.happened(*later(make, 60_001, 0, "a" * 100_000, 1))
    world.run(days=1)
    return Days(home, then, ids)


def pin_all(world: Any, make: Any) -> dict[str, str]:
    said = {"All urgent": "urgently", "Refunds": "Refund", "Urgent refunds": "refund URGENTLY", "Pattern": PATTERN}
    ids = {name: acts(world, make).pin(name, saying=saying).cluster_id for name, saying in said.items()}
    examples = [make.event_id(i) for i in range(1, 6)]
    return {**ids, "Like": acts(world, make).pin("Like", interactions=examples).cluster_id}


@pytest.fixture
def world(days: Days, make: Any, tmp_path: Path) -> Any:
    """A world of its own, where something is pinned."""
    shutil.copytree(days.after, tmp_path / "home")
    return make.World(tmp_path / "home")


def text_of(make: Any, topic: str, i: int) -> str:
    return str(make.phrase(topic, 5 * i)) + (" URGENTLY!" if i % 5 == 0 else "")


def acts(world: Any, make: Any) -> Acts:
    return Acts(world.lake, world.settings, "ann", make.start)


def pinned(world: Any) -> dict[str, Cluster]:
    return {cluster.cluster_id: cluster for cluster in world.clusters() if cluster.pinned}


def members(world: Any, cluster: str) -> set[str]:
    rows = read(world.lake, "pinned_members").to_pylist()
    return {row["interaction_id"] for row in rows if row["cluster_id"] == cluster}


def later(make: Any, first: int, day: int, text: str, count: int) -> list[Any]:
    """Failures of a day, each of somebody else."""
    at = make.start + timedelta(days=day)
    rows = [make.asked(first + n, text, time=at + timedelta(minutes=n)) for n in range(count)]
    return [*rows, *[make.said(row) for row in rows]]


def said_of(world: Any) -> str:
    """All that the tables about clusters say."""
    tables = ("pinned_members", "cluster_decisions", "clusters", "cluster_members")
    return json.dumps([read(world.lake, name).to_pylist() for name in tables], default=str)


def flywheel(world: Any, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["--home", world.settings.home, "cluster", *arguments])
    assert done.exit_code == 0, (done.exception, done.output)
    return done.stdout


def test_words_take_what_there_is_and_nothing_moves(days: Days, make: Any) -> None:
    """All urgent failures, of whatever topic; homes and found clusters are as without it; an event says who."""
    before, after = make.World(days.before), make.World(days.after)
    urgent = {make.event_id(1000 * n + i) for n in range(4) for i in range(0, EACH, 5)}
    one = days.ids["All urgent"]

    assert members(after, one) == urgent
    assert after.homes().items() >= before.homes().items()
    assert {each.cluster_id for each in before.clusters()} == {c.cluster_id for c in after.clusters() if not c.pinned}
    told = [event for event in after.events() if event.cluster_id == one]
    assert [(event.event, event.details.accepted_by) for event in told] == [("pinned", "ann")]
    assert [event for event in after.events() if event.event in {"split", "merged"} and one in event.other_ids] == []


def test_a_pinned_cluster_is_counted_as_a_found_one_is(days: Days, make: Any) -> None:
    """The rate is over all traffic; trend, modes, segments, status and example are there; it is not news."""
    one = pinned(make.World(days.after))[days.ids["All urgent"]]

    assert (one.name, one.size, one.size_total, one.status) == ("All urgent", 32, 32, "steady")
    assert one.trend[-1][1:] == (32, 562)
    assert one.rate == pytest.approx(32 / 562)
    assert one.rate_low is not None
    assert one.rate_high is not None
    assert one.rate_low < 32 / 562 < one.rate_high
    assert sum(mode.size_total for mode in one.modes) == 32
    assert one.segments["request_model"]["bot-1"][:2] == (32, 562)
    assert "urgently" in (one.medoid_text or "").lower()


def test_a_failure_may_be_in_several(days: Days, make: Any) -> None:
    """Overlap counts in each, once; interactions are counted once however many pinned clusters there are."""
    world = make.World(days.after)
    found = pinned(world)
    urgent, refunds, both = (days.ids[name] for name in ("All urgent", "Refunds", "Urgent refunds"))

    assert members(world, both) == members(world, urgent) & members(world, refunds)
    assert found[both].size_total == len(members(world, both))
    assert 0 < found[both].size_total < found[refunds].size_total
    assert {one.trend[-1][2] for one in found.values()} == {562}
    assert {part[1] for one in found.values() for part in one.segments["request_model"].values()} == {562}


def test_examples_take_what_is_like_them(days: Days, make: Any) -> None:
    """Five failures of one topic take most of it, and nothing of another."""
    inside = members(make.World(days.after), days.ids["Like"])
    own = {make.event_id(i) for i in range(EACH)}

    assert {make.event_id(i) for i in range(1, 6)} <= inside
    assert len(inside) > EACH / 2
    assert inside <= own


def test_the_bound_of_examples_is_how_like_they_are_to_each_other() -> None:
    """Each to its nearest: .8, .8 and .6, on average .733; without examples nothing is taken, of one its own words."""
    at = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    one = Definition("p", frozenset(), at)
    two = [frozenset({"a"}), frozenset({"b"})]

    assert one.like == pytest.approx((0.8 + 0.8 + 0.6) / 3)
    assert list(one.takes(two, np.array([[0.96, 0.28], [-0.6, 0.8]], np.float32))) == [True, True]
    assert list(one.takes(two, np.array([[0.6, -0.8], [-0.8, 0.6]], np.float32))) == [False, False]
    assert not Definition("p", frozenset(), np.zeros((0, 0))).takes(two, np.zeros((2, 2), np.float32)).any()
    assert list(Definition("p", frozenset(), at[:1]).takes(two, at[:2].astype(np.float32))) == [True, False]


def test_a_definition_is_words_and_no_pattern(days: Days, make: Any) -> None:
    """What would be a pattern elsewhere finds who says it; a page shows it inert; the example of one person is kept."""
    world = make.World(days.after)
    one = days.ids["Pattern"]

    assert members(world, one) == {make.event_id(60_000)}
    assert pinned(world)[one].medoid_text is None  # of one person: fewer than `least_people`
    assert "a" * 500 not in flywheel(world, "show", one)


def test_the_cost_of_a_definition_is_that_of_reading() -> None:
    """Four times the text, of letters and signs without a blank, is some four times the cost."""
    small, large = ("ab" * n + "+" * n + " a" * n + "\u0301" * n for n in (50_000, 200_000))

    assert grows(lambda text: frozenset(words("a")) <= frozenset(words(text)), small, large, 9)


def test_it_takes_what_comes_and_is_renamed_closed_and_ended(days: Days, world: Any, make: Any) -> None:
    """Seven times as many: growing. Nobody is in it twice, judged anew or not; what is pinned again has all."""
    urgent, refunds, both, like = (days.ids[name] for name in ("All urgent", "Refunds", "Urgent refunds", "Like"))
    size = pinned(world)[both].size_total
    world.happened(*later(make, 70_000, 1, "urgently: where is my refund", 240))
    first_topic = next(iter(make.topics))
    known = [make.asked(i, text_of(make, first_topic, i)) for i in range(0, EACH, 5)]
    world.happened(*[make.said(row, kind="correction", value=None, text="so") for row in known])
    fine = make.start + timedelta(days=1, hours=1)
    world.happened(*[make.asked(80_000 + n, "fine", time=fine) for n in range(400)])
    act = acts(world, make)
    act.unpin(both[:6], "nobody asks any more")
    act.rename(refunds[:7], "Money back")
    act.ignore(like, "known")
    same = act.pin("At once", saying="URGENTLY!")
    world.run(days=2)
    first = pinned(world)
    acts(world, make).pin("Urgent refunds", saying="urgently refund")
    acts(world, make).reopen(like)
    world.run(days=3)
    second = pinned(world)

    assert same.cluster_id == urgent
    assert (first[urgent].size, first[urgent].status, first[urgent].name) == (240, "growing", "At once")
    assert first[urgent].pinned == same.decision_id
    assert first[urgent].size_total == 272
    assert both not in first
    assert first[refunds].name == "Money back"
    assert first[like].ignored is not None
    assert second[like].ignored is None
    assert second[both].size_total == size + 240
    rows = [row for row in stored_rows(world.lake, "pinned_members") if row["cluster_id"] == urgent]
    assert len(rows) == len({row["interaction_id"] for row in rows}) == 272
    anew = [row["interaction_id"] for row in stored_rows(world.lake, "outcomes")]
    assert all(anew.count(row.id) > 1 for row in known)


def test_what_defines_nothing_or_moves_into_it_is_refused(days: Days, world: Any, make: Any) -> None:
    """Nothing is written, and each refusal says what to do; of so many, one has to end first."""
    act, home = acts(world, make), days.ids["All urgent"]
    known = len(decisions_of(world.lake, APPLICATION))
    found = next(one.cluster_id for one in world.clusters() if not one.pinned)
    for wrong, says in (
        (lambda: act.pin(" ", saying="x"), "a name has 1 to 120"),
        (lambda: act.pin("x"), "by words that they say"),
        (lambda: act.pin("x", saying="a", interactions=["b"]), "not both"),
        (lambda: act.pin("x", saying="!!"), "no word"),
        (lambda: act.pin("x", saying="x" * 201), "words has 1 to 200"),
        (lambda: act.pin("x", saying="ann@example.com"), "personal data"),
        (lambda: act.pin("x", interactions=["a", "b"]), "3 examples or more"),
        (lambda: act.pin("x", interactions=["a", "b", "c"]), "no failures"),
        (lambda: act.pin("x", interactions=[str(n) for n in range(201)]), "at most 200"),
        (lambda: act.merge(found, [home]), "is pinned"),
        (lambda: act.split(home, saying="refund"), "is pinned"),
        (lambda: act.assign(home, [make.event_id(0)]), "is pinned"),
        (lambda: act.unpin(found), "0 pinned clusters match"),
        (lambda: act.unpin(""), "0 pinned clusters match"),
        (lambda: act.rename("p", "x"), f"{len(days.ids)} pinned clusters match"),
    ):
        with pytest.raises(UsageError, match=says):
            wrong()
    assert len(decisions_of(world.lake, APPLICATION)) == known

    for n in range(MOST_PINNED - len(days.ids)):
        act.pin(f"n{n}", saying=f"word{n}")
    act.pin("again", saying="word3")
    with pytest.raises(UsageError, match="no more may be"):
        act.pin("more", saying="more")
    Acts(world.lake, world.settings, "ann", make.start + timedelta(seconds=1)).unpin(pinned_id("word3", ()))
    act.pin("more", saying="more")


def test_a_killed_run_and_the_same_acts_give_the_same(
    days: Days, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies after it published members, and is started again, ends as one that nobody killed."""

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    shutil.copytree(days.before, tmp_path / "home")
    world = make.World(tmp_path / "home")
    assert pin_all(world, make) == days.ids
    world.happened(*later(make, 60_000, 0, f"tell me about this: {PATTERN}", 1))
    world.happened(*later(make, 60_001, 0, "a" * 100_000, 1))
    with monkeypatch.context() as patch:
        patch.setattr("flows.cluster.stage.catalogue", die)
        with pytest.raises(Killed):
            world.run(days=1)
    world.run(days=1)

    unharmed = make.World(days.after)
    assert len(stored_rows(world.lake, "pinned_members")) == len(stored_rows(unharmed.lake, "pinned_members"))
    for id_, one in pinned(unharmed).items():
        again = pinned(world)[id_]
        assert (again.size_total, again.trend, again.modes) == (one.size_total, one.trend, one.modes)
        assert members(world, id_) == members(unharmed, id_)


def test_an_erased_person_leaves_it(world: Any, make: Any) -> None:
    """Their failures and examples go; words that they alone said define nothing any more, and are kept nowhere."""
    theirs = [make.asked(90_000 + n, "my card zanzibar xylophone", user_id="zoe") for n in range(3)]
    world.happened(*theirs, *[make.said(row) for row in theirs])
    own = acts(world, make).pin("Zanzibar cards", saying="zanzibar").cluster_id
    world.run(days=2)
    before = pinned(world)[own]
    like = acts(world, make).pin("Alike", interactions=[*(row.id for row in theirs), make.event_id(1)]).cluster_id

    forget(world.lake, world.settings, {row.id for row in theirs}, {"user:zoe"})
    left = said_of(world)
    world.happened(*later(make, 95_000, 2, "somebody says zanzibar", 1))
    world.run(days=3)

    assert (before.size_total, before.medoid_text) == (3, None)
    assert not any(row.id in left for row in theirs)
    assert "anzibar" not in left + said_of(world)
    assert pinned(world)[own].size_total == 0
    assert make.event_id(1) in members(world, like)


def test_commands_pin_show_and_unpin(days: Days, world: Any, make: Any) -> None:
    """`list` marks it, `show` says what defines it and who said so, `--json` has it; `unpin` ends it."""
    id_ = days.ids["All urgent"]
    listed = " ".join(flywheel(world, "list").split())
    shown = " ".join(flywheel(world, "show", id_).split())
    plain = {one["cluster_id"]: one for one in json.loads(flywheel(world, "list", "--json"))}
    flywheel(world, "report")
    (report,) = (Path(world.settings.home) / "reports").glob("*.html")
    like = [f"--like={make.event_id(i)}" for i in range(1, 4)]
    said = " ".join(flywheel(world, "pin", "\x1b[2J\u202eLike", *like, "--by", "ann").split())
    gone = " ".join(flywheel(world, "unpin", id_, "--reason", "done", "--by", "bob").split())

    assert "(pinned)" in listed
    assert "All urgent (pinned)" in report.read_text()
    assert "is pinned, called 'All urgent', with the failures that say 'urgently', says ann" in shown
    assert plain[id_]["pinned"]
    assert plain[id_]["size_total"] == 32
    assert "like 3 examples, says ann. The next run carries it out." in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "is pinned no longer, says bob, since: done" in gone
    assert id_ in flywheel(world, "diff")
