"""What people do to clusters: recorded once, carried out by the next run, held by all later ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.forget import forget
from flows.cluster.lineage.acts import Acts, decisions_of
from schemas.errors import UsageError
from schemas.records import Cluster, Member
from streams.lake.append import append
from streams.lake.query import read, stored_rows
from streams.lake.rows import from_row, to_table

APPLICATION = "support-bot"


def text_of(make: Any, topic: str, i: int) -> str:
    """The i-th way to ask about a topic; every fifth is urgent."""
    return str(make.phrase(topic, 5 * i)) + (" urgently" if i % 5 == 0 else "")


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Path:
    """A home after a run, where each of the four topics is a cluster of forty failures."""
    home = tmp_path_factory.mktemp("first") / "home"
    world = make.World(home)
    for n, topic in enumerate(make.topics):
        rows = [make.asked(1000 * n + i, text_of(make, topic, i)) for i in range(40)]
        world.happened(*rows, *[make.said(row) for row in rows])
    world.run()
    stored = read(world.lake, "cluster_members").to_pylist()
    members = {row["interaction_id"]: from_row(Member, row) for row in stored}
    homes = [members[make.event_id(1000 * n)].cluster_id for n in range(4)]
    assert len(set(homes)) == 4
    moved = [
        replace(members[make.event_id(1000 * n + i)], cluster_id=homes[n], moves=1) for n in range(4) for i in range(40)
    ]
    new = to_table("cluster_members", moved, application=APPLICATION, run_id=stored[0]["run_id"])
    append(world.lake, "cluster_members", new, {})
    return home


@pytest.fixture
def world(first_day: Path, make: Any, tmp_path: Path) -> Any:
    """A world of its own after that day."""
    return after(first_day, make, tmp_path / "home")


def after(first_day: Path, make: Any, home: Path) -> Any:
    shutil.copytree(first_day, home)
    return make.World(home)


def more(world: Any, make: Any, first: int, topic: str, count: int) -> None:
    """Further failures of a topic."""
    rows = [make.asked(first + i, text_of(make, topic, i)) for i in range(count)]
    world.happened(*rows, *[make.said(row) for row in rows])


def planted(world: Any, make: Any) -> dict[str, str]:
    """Topic → cluster."""
    homes = world.homes()
    return {topic: homes[make.event_id(1000 * n)] for n, topic in enumerate(make.topics)}


def ids_of(make: Any, topic: str, count: int) -> list[str]:
    first = 1000 * list(make.topics).index(topic)
    return [make.event_id(first + i) for i in range(count)]


def acts(world: Any, make: Any, by: str = "ann") -> Acts:
    return Acts(world.lake, world.settings, by, make.start)


def seen(world: Any) -> dict[str, Cluster]:
    """The newest run's clusters by id."""
    return {cluster.cluster_id: cluster for cluster in world.clusters()}


def test_a_name_that_a_person_gave_stays(world: Any, make: Any) -> None:
    """The next run carries it out and says who; a split that a person makes later does not rename it either."""
    topics = planted(world, make)

    act = acts(world, make).rename(topics["refund"], "  Money   back ", "that is what support calls it")
    before = seen(world)[topics["refund"]].name
    world.run(days=2)
    told = [event for event in world.events() if event.event == "renamed"]
    acts(world, make).split(topics["refund"], saying="urgently")
    world.run(days=3)

    assert before != "Money back"
    refunds = seen(world)[topics["refund"]]
    assert (refunds.name, refunds.named, refunds.size_total) == ("Money back", act.decision_id, 32)
    assert [(event.cluster_id, event.details.accepted_by, event.details.decision) for event in told] == [
        (topics["refund"], "ann", act.decision_id)
    ]
    child = next(cluster for cluster in seen(world).values() if cluster.parent_id == topics["refund"])
    assert (child.named, child.name == "Money back", child.size_total) == (None, False, 8)


def test_merged_by_hand_stays_one(world: Any, make: Any) -> None:
    """The first named keeps id and name, whatever is larger; new failures of the other kind land in it for good."""
    topics = planted(world, make)
    more(world, make, 5000, "card", 20)

    acts(world, make).merge(topics["refund"], [topics["card"], topics["parcel"]], "one team answers all three")
    world.run(days=2)
    more(world, make, 6000, "card", 20)
    world.run(days=3)

    clusters, homes = seen(world), world.homes()
    assert {clusters[topics[gone]].alias_of for gone in ("card", "parcel")} == {topics["refund"]}
    assert {homes[make.event_id(n)] for n in (0, 1000, 5000, 6000, 6019)} == {topics["refund"]}
    assert clusters[topics["refund"]].size_total == 160
    assert not [event for event in world.events() if event.event == "split" and event.details.proposed is not True]


def test_what_is_assigned_is_pinned_and_teaches(world: Any, make: Any) -> None:
    """Two failures that a person moved stay where they are, and what is asked in the same words follows them."""
    topics = planted(world, make)
    moved = ids_of(make, "card", 2)
    text = text_of(make, "card", 0)

    acts(world, make).assign(topics["password"], moved, "it is the password of the card")
    world.run(days=2)
    world.happened(*[row for n in range(7000, 7010) for row in _asked_again(make, n, text)])
    world.run(days=3)
    acts(world, make).split(topics["password"], saying="stolen")  # the words are theirs, but they are pinned
    homes = world.homes()

    assert {homes[id_] for id_ in moved} == {topics["password"]}
    assert {homes[make.event_id(n)] for n in range(7000, 7010)} == {topics["password"]}
    assert homes[ids_of(make, "card", 3)[-1]] == topics["card"]
    world.run(days=4)
    homes = world.homes()
    assert {homes[id_] for id_ in moved} == {topics["password"]}
    assert homes[make.event_id(7000)] not in {topics["password"], topics["card"]}


def _asked_again(make: Any, n: int, text: str) -> tuple[Any, Any]:
    row = make.asked(n, text)
    return row, make.said(row)


def test_a_split_by_hand_takes_words_and_named_failures(world: Any, make: Any) -> None:
    """All that say the words leave, with the failures that are named; the new cluster has the act's name and id."""
    topics = planted(world, make)
    named = [id_ for id_ in ids_of(make, "refund", 40) if "urgently" not in _text(world, id_)][:3]

    act = acts(world, make).split(topics["refund"], "URGENTLY!", named, name="Refund at once")
    world.run(days=2)
    first = seen(world)
    world.run(days=3)

    child = next(cluster for cluster in first.values() if cluster.parent_id == topics["refund"])
    assert (child.name, child.named, child.size_total) == ("Refund at once", act.decision_id, 11)
    inside = {id_ for id_, home in world.homes().items() if home == child.cluster_id}
    assert set(named) < inside
    assert all("urgently" in _text(world, id_) for id_ in inside - set(named))
    assert seen(world)[child.cluster_id].size_total == 11


def _text(world: Any, interaction_id: str) -> str:
    return str(world.outcomes()[interaction_id]["text"])


def test_acts_that_make_no_sense_are_refused(world: Any, make: Any) -> None:
    """Nothing is written by an act that cannot be carried out, and each refusal says what to do."""
    topics = planted(world, make)
    act, card = acts(world, make), topics["card"]

    for wrong, says in (
        (lambda: act.rename("nothing", "x"), "0 clusters match"),
        (lambda: act.rename(card, " \n "), "a name has 1 to 120"),
        (lambda: act.rename(card, "x" * 121), "a name has 1 to 120"),
        (lambda: act.ignore(card, "  "), "a reason has 1 to 1000"),
        (lambda: act.merge(card, []), "two clusters or more"),
        (lambda: act.merge(card, [card[:8]]), "each once"),
        (lambda: act.split(card), "none of the 40"),
        (lambda: act.split(card, saying="card"), "all of the 40"),
        (lambda: act.split(card, saying="!!"), "no word"),
        (lambda: act.split(card, saying="call 555-867-5309 or mail ann@example.com"), "personal data"),
        (lambda: act.split(card, interactions=ids_of(make, "refund", 1)), "does not hold"),
        (lambda: act.assign(card, []), "name the failures"),
        (lambda: act.assign(card, ["gone"]), "no failures"),
        (lambda: act.assign(card, [str(n) for n in range(201)]), "at most 200"),
        (lambda: act.reopen(card), "is open"),
    ):
        with pytest.raises(UsageError, match=says):
            wrong()
    assert decisions_of(world.lake, APPLICATION) == []

    act.merge(topics["refund"], [card])
    world.run(days=2)
    with pytest.raises(UsageError, match="was merged into"):
        act.rename(card, "Cards")


def test_the_same_act_twice_is_one_and_again_later_is_another(world: Any, make: Any) -> None:
    """Whoever repeats what was said last changes nothing; going back to an old name is an act of its own."""
    topics = planted(world, make)
    first = acts(world, make).rename(topics["card"], "Cards")

    again = acts(world, make, "bob").rename(topics["card"][:7], "Cards")
    other = acts(world, make).rename(topics["card"], "Bank cards")
    back = acts(world, make).rename(topics["card"], "Cards")
    world.run(days=2)

    assert again == first
    assert len({first.decision_id, other.decision_id, back.decision_id}) == len(decisions_of(world.lake, APPLICATION))
    done = {event.details.decision for event in world.events() if event.event == "renamed"}
    assert done == {first.decision_id, other.decision_id, back.decision_id}


def test_ignored_until_it_grows(world: Any, make: Any) -> None:
    """As much as before stays closed; five times as many people open it again, and an event says on what evidence."""
    topics = planted(world, make)
    world.happened(*[make.asked(50_000 + n, "thanks, all is well") for n in range(440)])
    act = acts(world, make).ignore(topics["card"], "the bank's own fault")
    world.happened(*_day(make, 1, 20))
    world.run(days=2)
    closed = seen(world)[topics["card"]].ignored
    world.happened(*_day(make, 2, 20))
    world.run(days=3)
    still = seen(world)[topics["card"]].ignored
    world.happened(*_day(make, 3, 150))
    world.run(days=4)

    assert closed is not None
    assert closed.decision == act.decision_id
    assert closed.before[-1] == (20, 300)
    assert still is not None
    assert still.looks == 1
    assert seen(world)[topics["card"]].ignored is None
    (told,) = [event for event in world.events() if event.event == "reopened"]
    assert told.cluster_id == topics["card"]
    assert isinstance(told.details.size, int)
    assert told.details.size > 100  # of 150: some wait for others of their kind
    assert [one.reason for one in decisions_of(world.lake, APPLICATION)] == ["the bank's own fault"]


def _day(make: Any, day: int, failures: int) -> list[Any]:
    """A day of 300 requests, some of which are about cards and fail."""
    rows = [make.asked(86_400 * day + 60 * n, text_of(make, "card", n)) for n in range(failures)]
    fine = [make.asked(86_400 * day + 60 * n + 1, "thanks, all is well") for n in range(300 - failures)]
    return [*rows, *fine, *[make.said(row) for row in rows]]


def test_only_a_person_closes_and_a_person_may_open(world: Any, make: Any) -> None:
    """Reopened by hand, it is open in the next run; no run ever closes it again by itself."""
    topics = planted(world, make)
    acts(world, make).ignore(topics["card"], "known")
    world.run(days=2)
    acts(world, make).reopen(topics["card"], "not known after all")
    world.run(days=3)

    assert seen(world)[topics["card"]].ignored is None


def test_a_split_or_merge_ends_ignoring(world: Any, make: Any) -> None:
    """What was closed is no longer the same."""
    topics = planted(world, make)
    for topic in ("card", "refund"):
        acts(world, make).ignore(topics[topic], "known")
    world.run(days=2)
    acts(world, make).split(topics["card"], saying="urgently")
    acts(world, make).merge(topics["refund"], [topics["parcel"]])
    world.run(days=3)

    assert all(cluster.ignored is None for cluster in world.clusters())


@pytest.mark.parametrize("said", [("rename", "merge", "ignore", "assign", "split"), ("split", "reopen", "assign")])
def test_any_acts_in_any_order_replay_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, first_day: Path, make: Any, said: tuple[str, ...]
) -> None:
    """The same log and the same acts give the same clusters; every failure has one home that lives."""
    ends = []
    for _ in range(2):
        world = after(first_day, make, tmp_path_factory.mktemp("world") / "home")
        topics = planted(world, make)
        for n, what in enumerate(said):
            _try(acts(world, make), what, n, topics, make)
        more(world, make, 9000, "refund", 10)
        summary = world.run(days=2)
        clusters = seen(world)
        living = {id_ for id_, cluster in clusters.items() if not cluster.alias_of}
        assert set(world.homes().values()) <= living
        assert sum(cluster.size_total for cluster in clusters.values()) + summary.unclustered == 170
        ends.append((world.homes(), {id_: (one.name, one.alias_of, one.ignored) for id_, one in clusters.items()}))

    assert ends[0] == ends[1]


def _try(act: Acts, what: str, n: int, topics: dict[str, str], make: Any) -> None:
    doing = {
        "rename": lambda: act.rename(topics["card"], f"Cards {n}"),
        "merge": lambda: act.merge(topics["refund"], [topics["parcel"]]),
        "split": lambda: act.split(topics["refund"], saying="urgently"),
        "ignore": lambda: act.ignore(topics["card"], "known"),
        "reopen": lambda: (act.ignore(topics["card"], "known"), act.reopen(topics["card"])),
        "assign": lambda: act.assign(topics["parcel"], ids_of(make, "password", 2 + n)),
    }
    doing[what]()


def test_killed_before_it_is_finished_a_run_carries_acts_out_once(
    world: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies after it moved failures, and is started again, ends as one that nobody killed."""
    topics = planted(world, make)
    acts(world, make).assign(topics["parcel"], ids_of(make, "card", 3))
    acts(world, make).split(topics["refund"], saying="urgently")

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("flows.cluster.stage.catalogue", die)
        with pytest.raises(Killed):
            world.run(days=2)
    world.run(days=2)
    homes = world.homes()
    more(world, make, 9000, "card", 3)
    world.run(days=3)

    assert world.homes().items() >= homes.items()
    assert {homes[id_] for id_ in ids_of(make, "card", 3)} == {topics["parcel"]}
    rows = [row for row in stored_rows(world.lake, "cluster_members") if row["assigned_by"] == "person"]
    assert len({(row["interaction_id"], row["moves"]) for row in rows}) == 3
    assert [event for event in world.events() if event.event in {"assigned", "split"}] == []


def test_an_erased_person_leaves_acts(world: Any, make: Any) -> None:
    """Their pinned failures go, from the members and from the act; a name in their own words goes too."""
    topics = planted(world, make)
    own = world.failures(8000, "card", 1, user_id="zoe")[0]
    world.happened(make.asked(8001, "my card zanzibar xylophone", user_id="zoe"))
    row = make.asked(8002, "my card zanzibar xylophone", user_id="zoe")
    world.happened(row, make.said(row))
    world.run(days=2)
    acts(world, make).assign(topics["card"], [own.id, row.id, *ids_of(make, "parcel", 1)], "zanzibar")
    acts(world, make).rename(topics["card"], "Zanzibar cards")
    world.run(days=3)

    forget(world.lake, world.settings, {own.id, row.id}, {"user:zoe"})

    assert own.id not in world.homes()
    assert row.id not in world.homes()
    everything = json.dumps(
        [read(world.lake, name).to_pylist() for name in ("cluster_decisions", "clusters", "cluster_members")],
        default=str,
    )
    assert own.id not in everything
    assert row.id not in everything
    assert "anzibar" not in everything
    assert ids_of(make, "parcel", 1)[0] in everything


def test_commands_say_who_when_and_why(world: Any, make: Any) -> None:
    """Each command records what it says and tells that the next run carries it out; `show` lists all of them."""
    topics = planted(world, make)

    def flywheel(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["--home", world.settings.home, "clusters", *arguments])
        assert done.exit_code == 0, (done.exception, done.output)
        return done.stdout

    said = [
        flywheel("rename", topics["card"][:8], "Cards", "--by", "ann"),
        flywheel("ignore", topics["card"], "--reason", "the bank's fault", "--by", "ann"),
        flywheel("merge", topics["refund"], topics["parcel"], "--reason", "one team", "--by", "ann"),
        flywheel("split", topics["password"], "--saying", "urgently", "--by", "ann"),
        flywheel("assign", topics["card"], ids_of(make, "password", 1)[0], "--by", "ann"),
    ]
    world.run(days=2)
    listed, closed = flywheel("list"), json.loads(flywheel("list", "--status", "ignored", "--json"))
    shown = " ".join(flywheel("show", topics["card"]).split())
    back = json.loads(flywheel("reopen", topics["card"], "--by", "bob", "--json"))

    assert all("The next run carries it out." in " ".join(text.split()) for text in said)
    assert "1 ignored until they grow" in " ".join(listed.split())
    assert [one["cluster_id"] for one in closed] == [topics["card"]]
    assert "ignored until it grows" in shown
    assert "says ann, since: the bank's fault" in shown
    assert (back["event"], back["decided_by"], back["cluster_id"]) == ("reopened", "bob", topics["card"])


def test_a_strangers_text_is_bounded_and_holds_nothing_personal(world: Any, make: Any) -> None:
    """Control characters do not reach a terminal, personal data are not kept, bytes that are no text are."""
    topics = planted(world, make)

    mailed = acts(world, make).rename(topics["card"], "ask ann@example.com about \udc80 cards", "\x1b[2J\u202e[/INST]")
    world.run(days=2)
    done = CliRunner().invoke(app, ["--home", world.settings.home, "cluster", "show", topics["card"]])

    assert "ann@example.com" not in (mailed.name or "")
    assert "cards" in (mailed.name or "")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
