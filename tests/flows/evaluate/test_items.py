"""The eval set as the runner sees it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.curate.folder.folder import write as write_dataset
from flows.evaluate.answers import Answer
from flows.evaluate.items import read_items
from flows.evaluate.scorers.structured import tool_calls
from schemas.errors import FileDamaged, InputFileError
from schemas.records import Example
from tests.support.examples import FACTS

CALL = {"id": "c1", "type": "function", "function": {"name": "refund", "arguments": {"order": 7}}}
MESSAGES = pa.list_(
    pa.struct([
        ("role", pa.string()),
        ("content", pa.string()),
        ("tool_calls", pa.list_(pa.string())),
        ("tool_call_id", pa.string()),
    ])
)  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]], messages: pa.DataType, shard: int = 0) -> Path:
    """Rows as a shard of an eval set."""
    file = folder / "data" / f"eval-test-{shard:05d}-of-00002.parquet"
    file.parent.mkdir(exist_ok=True)
    texts = ("item_id", "reference", "slice", "unit", "rubric")
    fields = [("messages", messages), ("tools", pa.list_(pa.string())), *((name, pa.string()) for name in texts)]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), file)
    return file


def row(n: int, messages: Any, **fields: Any) -> dict[str, Any]:
    return {"item_id": f"i{n}", "messages": messages, "reference": "yes", "unit": f"u{n}", "slice": "c1", **fields}


def test_rows_become_items_in_order(tmp_path: Path) -> None:
    """All shards, in the order of their names; what a column lacks is empty, and an item without unit is its own."""
    message = [{"role": "user", "content": "hello"}]
    plain = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    write(tmp_path, [row(2, message, slice=None, unit=None, reference=None)], plain, shard=1)
    write(tmp_path, [row(0, message, rubric="Be kind."), row(1, message)], plain)

    first, second, third = read_items(tmp_path)

    assert (first.item_id, first.messages, first.reference) == ("i0", tuple(message), "yes")
    assert (first.rubric, second.rubric) == ("Be kind.", None)
    assert (third.item_id, third.slice, third.unit, third.reference) == ("i2", "", "i2", None)


@pytest.mark.parametrize("form", ["arrow", "text"])
def test_tool_calls_survive(tmp_path: Path, form: str) -> None:
    """A conversation with tools arrives as it was, without the nulls that Arrow adds."""
    chat: list[dict[str, Any]] = [
        {"role": "user", "content": "refund it"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "done", "tool_call_id": "c1"},
    ]
    tool = {"type": "function", "function": {"name": "refund"}}
    stored = [{**m, "tool_calls": [json.dumps(c) for c in m.get("tool_calls", [])] or None} for m in chat]
    if form == "text":
        write(tmp_path, [row(0, json.dumps(chat), tools=[json.dumps(tool)])], pa.string())
    else:
        write(tmp_path, [row(0, stored, tools=[json.dumps(tool)])], MESSAGES)

    (item,) = read_items(tmp_path)

    assert item.messages == tuple(chat)
    assert item.tools == (tool,)


def test_a_folder_without_an_eval_set_is_named(tmp_path: Path) -> None:
    """A training dataset is no eval set."""
    with pytest.raises(InputFileError, match="holds no eval set"):
        read_items(tmp_path)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """A file with another sum than the recorded one is refused; one with the right sum is read."""
    file = write(tmp_path, [row(0, "[]")], pa.string())
    name, right = f"data/{file.name}", hashlib.sha256(file.read_bytes()).hexdigest()

    assert read_items(tmp_path, {name: right})
    with pytest.raises(FileDamaged, match="not the recorded"):
        read_items(tmp_path, {name: "0" * 64})


@pytest.mark.parametrize("messages", ["{", '["text"]', "5", '[{"content": "x"}]'])
def test_a_row_that_is_no_item_is_numbered(tmp_path: Path, messages: str) -> None:
    """Whoever made the file learns which row is wrong."""
    write(tmp_path, [row(0, "[]"), row(1, messages)], pa.string())

    with pytest.raises(InputFileError, match="row 1 "):
        read_items(tmp_path)


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    """A half-written file is an error about that file."""
    write(tmp_path, [], pa.string()).write_bytes(b"PAR1")

    with pytest.raises(InputFileError, match="cannot be read as Parquet"):
        read_items(tmp_path)


def test_what_curate_writes_is_what_evaluate_reads(tmp_path: Path) -> None:
    """Across the two stages, which meet only on disk: prompts, tools, slices, units, sums, and calls as reference."""
    tool = {"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}
    prompt: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "refund it"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "done", "tool_call_id": "c1"},
        {"role": "user", "content": "and again"},
    ]
    answers = ({"role": "assistant", "content": "Done."}, {"role": "assistant", "content": "", "tool_calls": [CALL]})
    examples = [
        Example(f"i-{n}", f"unit-{n}", json.dumps(prompt), json.dumps([answer]), "refund it", "accepted",
                cluster_id="c-1", tools=json.dumps([tool]))
        for n, answer in enumerate(answers)
    ]  # fmt: skip
    folder = write_dataset(tmp_path, "all-eval", {("eval", "test"): examples}, FACTS)

    text, calls = read_items(folder.path, folder.manifest["files"])

    assert text.messages == calls.messages == tuple(prompt)
    assert (text.reference, text.slice, text.unit, text.tools) == ("Done.", "c-1", "unit-0", (tool,))
    assert tool_calls().mark(calls, Answer(tool_calls=(CALL,))).score == 1.0  # type: ignore[attr-defined]
