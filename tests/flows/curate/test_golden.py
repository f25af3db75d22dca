"""Golden examples: what people write every later eval set asks; it is never taught, and goes with its person."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from flows import erase
from flows.curate import golden
from flows.curate.golden import MOST, REASON_CHARS, TEXT_CHARS, Book, Written, acts, living, written
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.evaluate.items import read_items
from flows.testing.events import interaction
from flows.testing.world import AS_OF, World
from flows.versions import versions
from schemas.errors import UsageError
from schemas.events import Erasure, Interaction
from schemas.records import GOLDEN
from schemas.settings import Recipe
from streams.lake.query import stored_rows
from tests.support.examples import questions

HOUR = timedelta(hours=1)
ASKED = Written(
    "How do I reset the frobnicator of my account?", "Hold its button for ten seconds.", "polite", "devices"
)


def book(world: World, by: str = "ana", hours: int = 0) -> Book:
    return Book(world.lake, world.settings, by, AS_OF + hours * HOUR)


def standing(world: World) -> list[tuple[int, str, str]]:
    return [(one.version, one.event, written(one).asked) for one in living(acts(world.lake, "support-bot"))]


def built(world: World, hours: int = 0) -> dict[str, Any]:
    return curate(world.lake, world.settings, AS_OF + hours * HOUR)


def rows(summary: dict[str, Any], part: str) -> list[dict[str, Any]]:
    return [
        row for path in Path(summary[part]["path"]).glob("data/*.parquet") for row in pq.read_table(path).to_pylist()
    ]


def by_hand(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (row["messages"][0]["content"], row["reference"], row["slice"])
        for row in rows(summary, "eval")
        if row["source"] == GOLDEN
    ]


def asks(n: int, text: str, **fields: Any) -> Interaction:
    return interaction(n, user_id=f"user-{n}", input_messages=[{"role": "user", "content": text}], **fields)


@pytest.fixture
def judged(world: World) -> World:
    """Forty questions, all answered well, that resemble nothing."""
    world.judged({one.id: "ok" for one in questions(world, 40)})
    return world


def test_an_item_is_added_edited_and_retired_and_frozen_sets_stay(judged: World) -> None:
    """[add, build, freeze, edit, build, retire, build]: each set is another version, the earlier stay."""
    before = built(judged)
    one = book(judged).add(ASKED, "nobody asks it, and it matters")
    first = built(judged)
    frozen = freeze(judged.lake, judged.settings, AS_OF + HOUR, "holdout", "all")
    held = {path: path.read_bytes() for path in frozen.folder(judged.settings).rglob("*.parquet")}
    book(judged, "ben", 1).edit(one.item_id[:6], replace(ASKED, reference="Call us."))
    second = built(judged, 2)
    book(judged, "ana", 3).retire(one.item_id, "the device is gone")
    third = built(judged, 4)

    assert by_hand(before) == []
    assert by_hand(first) == [(ASKED.asked, ASKED.reference, "devices")]
    assert by_hand(second) == [(ASKED.asked, "Call us.", "devices")]
    assert by_hand(third) == []
    assert third["eval"]["version"] == before["eval"]["version"]
    assert len({summary["eval"]["version"] for summary in (before, first, second)}) == 3
    assert held == {path: path.read_bytes() for path in held}
    assert {one.status for one in versions(judged.lake, "support-bot")} == {"current"}
    (item,) = [item for item in read_items(Path(first["eval"]["path"])) if item.source == GOLDEN]
    assert (item.reference, item.rubric, item.interaction_id) == (ASKED.reference, "polite", "")
    assert item.unit == item.item_id
    (row,) = [row for row in rows(first, "eval") if row["source"] == GOLDEN]
    assert (row["origin"], row["feedback_id"]) == (GOLDEN, f"golden:{one.item_id}@1")
    assert [(act.event, act.version, act.decided_by) for act in acts(judged.lake, "support-bot")] == [
        ("added", 1, "ana"), ("edited", 2, "ben"), ("retired", 3, "ana")
    ]  # fmt: skip


def test_what_resembles_it_is_not_taught_and_the_same_question_is_not_asked_twice(world: World) -> None:
    """[equal, nearly equal, reordered | unlike] of train; of eval, the mined item with the same words gives way."""
    texts = [ASKED.asked, ASKED.asked.replace("reset", "resett"), "my account frobnicator of the how do I reset?", "Hi"]
    events = [asks(n, text) for n, text in enumerate(texts)]
    world.happened(*events)
    world.judged({event.id: "ok" for event in events})
    sides = {}
    for share in (0.0, 1.0):
        world.settings = replace(world.settings, curate=replace(world.settings.curate, eval_share=share))
        sides[share] = [built(world, 2 * int(share))]
        book(world).add(ASKED)
        sides[share].append(built(world, 2 * int(share) + 1))
        one = living(acts(world.lake, "support-bot"))[0]
        book(world, hours=1).retire(one.item_id, "for the next round")

    without, beside = sides[0.0]
    taught = {
        row["messages"][0]["content"] for row in rows(beside, "training") if "label" not in row and "messages" in row
    }
    assert without["training"]["sft_rows"] >= 3
    assert (taught, beside["training"]["sft_rows"]) == ({"Hi"}, 1)
    assert beside["dropped"]["eval_exact"] == 1
    alone, beside = sides[1.0]
    assert beside["eval"]["eval_rows"] == alone["eval"]["eval_rows"]
    assert beside["dropped"]["duplicate_in_eval"] == 1


def test_no_recipe_and_no_limit_leaves_it_out(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe for other origins, and an eval set that is full: what people wrote is there, every item of it."""
    monkeypatch.setattr("flows.curate.build.MOST_ITEMS", 2)
    world = make_world(eval_share=1.0, recipes={"all": Recipe(origins=("correction",), clusters=())})
    world.judged({one.id: "ok" for one in questions(world, 20)})
    for n in range(5):
        book(world).add(Written(f"golden question {n} of a kind", "an answer"))

    summary = built(world)

    assert len(by_hand(summary)) == summary["eval"]["eval_rows"] == 5


def test_the_same_act_twice_is_one_and_a_kill_loses_nothing(judged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whomever; killed before or after its row is there, the same command again leaves one row."""
    publish = golden.publish

    def killed(*arguments: Any) -> None:
        publish(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(golden, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        book(judged).add(ASKED)
    monkeypatch.undo()
    first = book(judged, "ben", 1).add(ASKED)
    assert (first.decided_by, len(acts(judged.lake, "support-bot"))) == ("ana", 1)

    for hours in (2, 3):
        book(judged, hours=hours).edit(first.item_id, replace(ASKED, asked="Otherwise?"))
    other = book(judged, hours=4).add(ASKED)
    for hours in (5, 6):
        book(judged, hours=hours).retire(first.item_id, "gone")
    again = book(judged, hours=7).add(replace(ASKED, asked="Otherwise?"))

    assert len({first.item_id, other.item_id, again.item_id}) == 3
    assert len(acts(judged.lake, "support-bot")) == len(stored_rows(judged.lake, "golden")) == 5
    assert sorted(standing(judged)) == [(1, "added", ASKED.asked), (1, "added", "Otherwise?")]
    assert built(judged, 8) == built(judged, 8)


def test_two_people_at_once_do_not_overwrite_each_other_unseen(judged: World) -> None:
    """An edit of a version that was edited since is refused, and so is one of a retired item."""
    one = book(judged).add(ASKED)
    book(judged, hours=1).edit(one.item_id, replace(ASKED, reference="A."), version=1)

    with pytest.raises(UsageError, match="version 2 since"):
        book(judged, "ben", 2).edit(one.item_id, replace(ASKED, reference="B."), version=1)
    book(judged, hours=3).retire(one.item_id, "gone")
    with pytest.raises(UsageError, match="is retired"):
        book(judged, hours=4).edit(one.item_id, replace(ASKED, reference="C."))


def test_a_conversation_is_asked_as_it_was_written(judged: World) -> None:
    """A JSON list of messages with instructions and earlier turns; a text that begins with a bracket is a text."""
    chat = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello [1]"},
        {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And now?"},
    ]  # fmt: skip
    one = book(judged).add(Written(json.dumps(chat, indent=1), "Nothing."))
    for text in ("[urgent] where is it", "[1, 2]", "[]", '[{"a": 1}]'):
        assert written(book(judged).add(Written(text, "Here."))).asked == text

    assert json.loads(one.messages) == chat
    assert json.loads(written(one).asked) == chat
    items = {
        len(item.messages): item for item in read_items(Path(built(judged)["eval"]["path"])) if item.source == GOLDEN
    }
    assert list(items[4].messages) == chat


def test_what_is_typed_is_without_personal_data_and_commands_nothing(judged: World) -> None:
    """Addresses become placeholders; escapes and overrides are written out; saved anew it is the same."""
    hostile = "mail eve@example.com \x1b[2J \u202e\r\nnext line \ud800"
    one = book(judged, f"ana \x1b[2J\u202e {'x' * 500}").add(Written(hostile, hostile, hostile, hostile), hostile)

    stored = str(stored_rows(judged.lake, "golden"))
    assert "eve@" not in stored
    assert not {"\x1b", "\u202e", "\r"} & set(
        "".join((*written(one).__reduce__()[1], one.decided_by, one.reason or ""))
    )
    assert "\nnext line" in one.reference
    assert len(one.decided_by) <= 200
    assert book(judged, hours=1).edit(one.item_id, written(one)) == one


@pytest.mark.parametrize(
    ("item", "more", "why"),
    [
        (replace(ASKED, asked=" \n"), {}, "1 to 16000"),
        (replace(ASKED, asked="x" * (TEXT_CHARS + 1)), {}, "1 to 16000"),
        (replace(ASKED, reference=""), {}, "1 to 16000"),
        (replace(ASKED, slice="x" * 121), {}, "a slice"),
        (replace(ASKED, asked='[{"role": "system", "content": "x"}]'), {}, "message of the user"),
        (replace(ASKED, asked="[" * 5_000), {}, "too deep"),
        (
            replace(ASKED, asked='[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]'),
            {},
            "no chat can ask",
        ),
        (ASKED, {"reason": "x" * (REASON_CHARS + 1)}, "a reason"),
        (ASKED, {"interaction_id": "nobody's"}, "unknown, or without consent"),
        (ASKED, {"interaction_id": "x" * 300}, "at most 200"),
    ],
)
def test_what_cannot_be_asked_is_refused(judged: World, item: Written, more: dict[str, str], why: str) -> None:
    """Nothing, too much, no question, a picture, too deep, a source that is none: nothing is written."""
    with pytest.raises(UsageError, match=why):
        book(judged).add(item, **more)

    assert acts(judged.lake, "support-bot") == []


def test_there_is_an_end_to_how_many_stand(judged: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retiring one makes room."""
    assert MOST == 1_000
    monkeypatch.setattr(golden, "MOST", 1)
    one = book(judged).add(ASKED)
    with pytest.raises(UsageError, match="stand already"):
        book(judged).add(replace(ASKED, asked="Another?"))
    book(judged, hours=1).retire(one.item_id, "room")
    book(judged, hours=2).add(replace(ASKED, asked="Another?"))

    assert standing(judged) == [(1, "added", "Another?")]


@pytest.mark.parametrize("wished", [False, True], ids=["command", "event"])
def test_an_item_goes_with_the_person_it_came_from(judged: World, wished: bool) -> None:
    """All its versions, from the lake and from every set; others' items, and those made from nothing, stay."""
    source, other = (asks(n, f"a question of person {n}") for n in (900, 901))
    judged.happened(source, other)
    one = book(judged).add(Written("secret of person 900", "an answer"), interaction_id=source.id)
    book(judged, hours=1).edit(one.item_id, Written("secret of person 900, again", "an answer"))
    book(judged).add(Written("from somebody else", "an answer"), interaction_id=other.id)
    book(judged).add(ASKED)
    first = by_hand(built(judged, 2))
    freeze(judged.lake, judged.settings, AS_OF + 2 * HOUR, "holdout", "all")

    if wished:
        wish = {"id": "00000000-0000-4000-8000-000000000001", "time": AS_OF + 3 * HOUR, "subject": "user-900"}
        judged.happened(Erasure(**wish, reason="asked", requested_by="dpo"))
    else:
        erase.carry_out(judged.lake, judged.settings, "user-900", AS_OF + 3 * HOUR)
    last = built(judged, 400)

    assert len(first) == 3
    assert sorted(asked for asked, _, _ in by_hand(last)) == sorted(("from somebody else", ASKED.asked))
    assert "secret" not in str(stored_rows(judged.lake, "golden"))
    left = [path for path in judged.settings.datasets_path.rglob("*.parquet") if "secret" in str(pq.read_table(path))]
    assert left == []
    assert sorted(asked for _, _, asked in standing(judged)) == sorted(("from somebody else", ASKED.asked))
    with pytest.raises(UsageError, match="unknown, or without consent"):
        book(judged, hours=401).add(Written("anew", "an answer"), interaction_id=source.id)


def test_whoever_did_not_agree_is_not_asked_of(judged: World) -> None:
    """An interaction without consent is no source; one that its item came from is not taught."""
    closed, open_ = asks(900, "x y z", training_consent=False), asks(901, "something else entirely")
    judged.happened(closed, open_)
    judged.judged({open_.id: "ok"}, as_of=AS_OF + HOUR)
    with pytest.raises(UsageError, match="without consent"):
        book(judged).add(ASKED, interaction_id=closed.id)

    book(judged).add(ASKED, interaction_id=open_.id)
    summary = built(judged, 2)

    assert open_.id not in {row["interaction_id"] for row in rows(summary, "training")}
    (row,) = [row for row in rows(summary, "eval") if row["source"] == GOLDEN]
    assert (row["interaction_id"], bool(row["unit"])) == (open_.id, True)
