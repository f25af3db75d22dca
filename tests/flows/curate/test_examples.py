"""What a row of the lake teaches, and what it does not: pictures nobody sees, turns that failed, empty ones."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from flows.curate.build import build
from flows.curate.examples import Found, examples_of, request_of
from flows.curate.folder.export import openai_lines
from flows.curate.folder.folder import write
from flows.evaluate.answers import Answer
from flows.evaluate.items import read_items
from flows.evaluate.scorers.auto import kind_for
from flows.evaluate.scorers.protocol import Case
from flows.evaluate.scorers.registry import scorer_of
from flows.testing.events import START
from schemas.prompts import examples_of as examples_in
from schemas.records import Item
from schemas.settings import CurateSettings, EvaluateSettings, Recipe
from tests.support.examples import FACTS

FIELDS = (
    "user_id", "system_instructions", "tool_definitions", "training_consent", "correction", "correction_id",
    "replacement_outcome", "replacement_input", "replacement_output", "replacement_consent", "replacement_origin",
    "replacement_feedback_id", "replacement_id", "prompt_version", "erased",
)  # fmt: skip


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def bot(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def row(n: int, asked: list[Any], answered: list[Any], outcome: str = "ok", **fields: Any) -> dict[str, Any]:
    """A row as `examples.sql` gives it, of one conversation unless `fields` say otherwise."""
    base = dict.fromkeys(FIELDS)
    return {
        **base,
        "interaction_id": f"i-{n}",
        "conversation_id": "c",
        "time": START,
        "request_model": "m",
        "input_messages": json.dumps(asked),
        "output_messages": json.dumps(answered),
        "outcome": outcome,
        "score": 0.9,
        "cluster_id": "",
        **fields,
    }


def found(*rows: dict[str, Any], mask: bool = True) -> Found:
    return examples_of(rows, [], "salt", True, mask=mask)


def lines(folder: Path, given: Found) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of `sft` as trainers see them, and as hosted fine-tuning does."""
    taught = [example for example in given.examples if example.origin == "accepted"]
    written = write(folder, "all-training", {("sft", "train"): taught}, FACTS)
    (file,) = written.path.glob("data/sft-*.parquet")
    return pq.read_table(file).to_pylist(), [json.loads(line) for line in openai_lines(written.path, "sft")]


PARTS = {
    "image": {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    "audio": {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    "file": {"type": "input_file", "file_id": "f"},
    "video": {"inlineData": {"mimeType": "video/mp4", "data": "AA"}},
    "unknown": {"type": "hologram", "data": "AA"},
    "hosted_tool": {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
}


@pytest.mark.parametrize("kind", PARTS)
def test_what_no_dataset_of_texts_can_hold_is_left_out_by_name(kind: str) -> None:
    """Twelve people ask the same of twelve pictures: no row, no eval item, and no duplicate of another."""
    text = {"type": "text", "text": "What do you make of this?"}
    asked = [[user([text, {**PARTS[kind], "n": n}])] for n in range(12)]
    rows = [row(n, asked[n], [bot(f"It is number {n}.")], user_id=f"u-{n}") for n in range(12)]

    made = build(found(*rows), CurateSettings(eval_share=0.5), Recipe(), START)

    assert (made.taught, made.eval) == ((), ())
    assert made.reasons() == {f"has_{kind}": 12}


def test_an_answer_that_is_a_picture_is_left_out_too() -> None:
    """But for one that a person corrected in words: the correction teaches, the picture is no rejected answer."""
    picture = [{"role": "model", "parts": [{"text": "Here."}, {"inlineData": {"mimeType": "image/png"}}]}]

    given = found(row(1, [user("Draw")], picture), row(2, [user("Say")], picture, "failed", correction="In words."))

    assert [(one.interaction_id, one.reason) for one in given.dropped] == [("i-1", "has_image")]
    assert [(one.origin, one.rejected) for one in given.examples] == [("correction", None)]


def test_an_answer_to_another_picture_is_no_better_answer() -> None:
    """Two questions that differ only by a picture are two questions."""
    better = {
        "replacement_outcome": "ok",
        "replacement_input": json.dumps([user([{"type": "text", "text": "This?"}, PARTS["image"]])]),
        "replacement_output": json.dumps([bot("A cat.")]),
        "replacement_origin": "regenerate",
    }

    (one,) = found(row(1, [user("This?")], [bot("?")], "failed", **better)).examples

    assert (one.origin, one.answer) == ("rejected", "")


HISTORY = [user("Where is it?"), bot("On the moon."), user("No, really?")]
FAILED = row(1, HISTORY[:1], [bot("On  the moon.\n")], "failed")


def test_an_earlier_turn_that_failed_is_not_taught(tmp_path: Path) -> None:
    """Trainers get the context behind it; hosted fine-tuning gets it with weight 0."""
    instruction = {"role": "developer", "content": "Be exact."}

    rows, hosted = lines(tmp_path, found(FAILED, row(2, [instruction, *HISTORY], [bot("In Oslo.")])))

    system = {"role": "system", "content": "Be exact."}
    assert rows[0]["messages"] == [system, user("No, really?"), bot("In Oslo.")]
    assert hosted == [{"messages": [system, HISTORY[0], {**HISTORY[1], "weight": 0}, HISTORY[2], bot("In Oslo.")]}]


def test_weights_open_with_datasets(tmp_path: Path) -> None:
    """The column is JSON to `load_dataset`, null where a row has nothing to mask."""
    given = found(FAILED, row(2, HISTORY, [bot("In Oslo.")]), row(3, [user("New")], [bot("Yes.")], conversation_id="d"))
    taught = [example for example in given.examples if example.origin == "accepted"]
    written = write(tmp_path, "all-training", {("sft", "train"): taught}, FACTS)

    data = load_dataset(str(written.path), "sft", split="train", cache_dir=str(tmp_path / "cache"))

    first, second = data["weighted"]
    assert [message.get("weight") for message in first] == [None, 0, None, None]
    assert second is None


def test_the_setting_cuts_it_in_every_form(tmp_path: Path) -> None:
    """`curate.failed_turns = "cut"`: no form holds the turn, and no column speaks of it."""
    rows, hosted = lines(tmp_path, found(FAILED, row(2, HISTORY, [bot("In Oslo.")]), mask=False))

    assert rows[0]["messages"] == [user("No, really?"), bot("In Oslo.")]
    assert "weighted" not in rows[0]
    assert hosted == [{"messages": [user("No, really?"), bot("In Oslo.")]}]


def test_a_turn_of_another_conversation_or_question_is_another_turn(tmp_path: Path) -> None:
    """The same words after another question, or said to somebody else, did not fail."""
    elsewhere = row(1, HISTORY[:1], [bot("On the moon.")], "failed", conversation_id="another")
    otherwise = row(2, [user("Where is the flag?")], [bot("On the moon.")], "failed")

    rows, _ = lines(tmp_path, found(elsewhere, otherwise, row(3, HISTORY, [bot("In Oslo.")])))

    assert rows[0]["messages"] == [*HISTORY, bot("In Oslo.")]


def test_a_call_that_failed_is_cut_with_what_the_tool_said(tmp_path: Path) -> None:
    """The context begins with a question, never with an answer of a tool that nobody called."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = [user("Look"), bot(None, tool_calls=[call]), {"role": "tool", "content": "x", "tool_call_id": "a"}]
    first = row(1, asked[:1], [bot("", tool_calls=[{**call, "id": None}])], "failed")

    given = found(first, row(2, asked, [bot("Done.")]), row(3, [*asked, user("And?")], [bot("Nothing.")]))
    rows, hosted = lines(tmp_path, given)

    assert [(one.interaction_id, one.reason) for one in given.dropped] == [("i-2", "failed_context")]
    assert [[m["role"] for m in one["messages"]] for one in rows] == [["user", "assistant"]]
    assert [message.get("weight") for message in hosted[0]["messages"]] == [None, 0, None, None, None]


@pytest.mark.parametrize("empty", [bot(""), bot(None), bot([{"type": "thinking", "thinking": "hm"}]), bot(" \n")])
def test_empty_turns_appear_nowhere(tmp_path: Path, empty: dict[str, Any]) -> None:
    """Neither in the context nor in the answer, in no form; what is taught begins behind them."""
    given = found(row(1, [user("One"), empty, user("Two")], [empty, bot("Three.")]))
    rows, hosted = lines(tmp_path, given)

    assert rows[0]["messages"] == hosted[0]["messages"] == [user("Two"), bot("Three.")]
    assert "assistant" not in given.examples[0].prompt


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a":' * 5000,
        "[" * 100_000,
        '{"a":' * 65 + "1" + "}" * 65,
        "[" * 900 + "]" * 900,
        "1" * 5000,
        '{"a": 1e999}',
        "NaN",
    ],
    ids=["loop", "brackets", "deep", "deeper", "digits", "huge", "nan"],
)
def test_arguments_that_no_parser_takes_are_kept_as_text(tmp_path: Path, arguments: str) -> None:
    """A model in a loop costs a row its form, and nobody a build."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    rows, hosted = lines(tmp_path, found(row(1, [user("Go")], [bot(None, tool_calls=[call])])))

    kept = json.loads(rows[0]["messages"][1]["tool_calls"][0])["function"]["arguments"]
    assert kept == {"text": arguments}
    assert json.loads(hosted[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]) == kept


TOOL = json.dumps([{"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}])
WRONG = [bot(None, tool_calls=[{"id": "x", "function": {"name": "refund", "arguments": '{"order": 1}'}}])]
RIGHT = [{"name": "refund", "arguments": {"order": 7, "currency": "EUR"}}]


@pytest.mark.parametrize(
    "said",
    [
        RIGHT,
        [{"id": "q", "type": "function", "function": {**RIGHT[0], "arguments": json.dumps(RIGHT[0]["arguments"])}}],
    ],
    ids=["flat", "openai"],
)
@pytest.mark.parametrize("tools", [TOOL, None], ids=["offered", "seen only in the answer"])
def test_a_call_is_corrected_by_a_call(tmp_path: Path, said: Any, tools: str | None) -> None:
    """It teaches the call, is preferred to the wrong one, and is what an eval item expects, by its arguments."""
    given = found(
        row(1, [user("Refund 7 in euros")], WRONG, "failed", correction=json.dumps(said), tool_definitions=tools)
    )
    (example,) = given.examples
    written = write(tmp_path, "t", {("sft", "train"): (example,), ("preference", "train"): (example,)}, FACTS)
    asked = write(tmp_path, "e", {("eval", "test"): (example,)}, FACTS)

    (sft,) = load_dataset(str(written.path), "sft", split="train")
    (pair,) = load_dataset(str(written.path), "preference", split="train")
    (item,) = read_items(asked.path)
    functions = [
        row["tool_calls"][0]["function"] for row in (sft["messages"][-1], pair["chosen"][0], pair["rejected"][0])
    ]
    assert [each["arguments"] for each in functions] == [RIGHT[0]["arguments"], RIGHT[0]["arguments"], {"order": 1}]
    assert sft["messages"][-1]["content"] == ""
    assert scored(item, {"currency": "EUR", "order": 7}) == 1.0
    assert scored(item, {"order": 7}) == 0.0


def scored(item: Item, arguments: Any) -> float | None:
    """What an answer that calls `refund` is worth, by the scorer that the item's reference asks for."""
    function = {"name": "refund", "arguments": json.dumps(arguments)}
    answer = Answer(output="", tool_calls=({"id": "theirs", "type": "function", "function": function},))
    case = Case(item, "candidate", 0, answer)
    scorer = scorer_of(EvaluateSettings(scorer=kind_for([item], EvaluateSettings())))
    (mark,) = asyncio.run(scorer.score([case], ask=None))  # type: ignore[arg-type]
    return mark.score


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('[{"name": "refund", "arguments": {"order"', "broken_call"),
        (json.dumps([{"name": "erase_all", "arguments": {}}]), "broken_call"),
        (json.dumps([{"name": "refund", "arguments": "order 7"}]), "broken_call"),
        (json.dumps([{"name": "refund", "arguments": [7]}]), "broken_call"),
        (json.dumps({"name": "refund", "arguments": {"order": 7}}), "broken_call"),
        ("Which order is it?", None),
        ("[Our terms](/terms) say so.", None),
        (json.dumps([{"name": "Paris"}]), None),
        ("[" * 100_000, None),
    ],
)
def test_what_no_tool_could_be_called_by_is_not_taught(said: str, reason: str | None) -> None:
    """Nor as a text; what a person wrote in words stays words."""
    given = found(row(1, [user("Refund")], WRONG, "failed", correction=said, tool_definitions=TOOL))

    assert [one.reason for one in given.dropped] == ([reason] if reason else [])
    assert [json.loads(one.answer) for one in given.examples] == ([] if reason else [[bot(said)]])


def test_where_no_tool_is_known_a_list_of_calls_is_a_text() -> None:
    """An application whose answers are such JSON means that JSON."""
    (example,) = found(row(1, [user("Plan")], [bot("?")], "failed", correction=json.dumps(RIGHT))).examples

    assert json.loads(example.answer) == [bot(json.dumps(RIGHT))]


SHOTS = [user("2 and 2?"), bot("4"), user("3 and 3?"), bot("6")]


def test_examples_of_a_prompt_are_no_part_of_a_conversation() -> None:
    """They were captured with it, and nobody said them: neither taught, nor counted as the same question again."""
    system = {"role": "system", "content": "In one word."}
    prompts = examples_in([[system, *SHOTS], SHOTS[:2], [system]])
    asked = [[system, *SHOTS, user("5 and 5?")], [*SHOTS[:2], user("6 and 6?")], [user("7 and 7?")], SHOTS]
    rows = [row(n, messages, [bot("ten")]) for n, messages in enumerate(asked)]

    given = examples_of(rows, [], "salt", True, shots=prompts)
    sampled = [request_of(each, "salt", prompts) for each in rows]

    texts = ["5 and 5?", "6 and 6?", "7 and 7?", "3 and 3?"]
    assert [one.text for one in given.examples] == texts
    assert [one.text for one in sampled if one] == texts
    assert json.loads(given.examples[0].prompt) == [system, user("5 and 5?")]


def test_numbers_of_any_size_survive_a_build(tmp_path: Path) -> None:
    """Four hundred digits are a number to Python and to JSON; a dataset keeps them."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"n": int("7" * 400)}}}
    rows, _ = lines(tmp_path, found(row(1, [user("Go")], [bot(None, tool_calls=[call])])))

    kept = json.loads(rows[0]["messages"][1]["tool_calls"][0])["function"]["arguments"]
    assert kept == {"n": int("7" * 400)}
