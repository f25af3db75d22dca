"""Files that people bring are read row by row, or refused in one sentence with file, line and cause."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.curate.guards import of_files
from schemas.errors import FlywheelError, InputFileError
from streams.files import objects_of, rows_of, split
from streams.replay import Replayed, replay

Q, R = {"question": "line one\u2028line two"}, {"question": "réponse\x0b\x85\x1c?"}
LINES = f"{json.dumps(Q, ensure_ascii=False)}\n{json.dumps(R, ensure_ascii=False)}\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", LINES.encode()),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.encode()),
        ("a.jsonl", LINES.replace("\n", "\r\n").encode() + b"\r\n \r\n"),
        ("a.jsonl", LINES.rstrip().replace("\n", "\r").encode()),
        ("a.jsonl", json.dumps([Q, R], indent=1).encode()),
        ("a.json", b"\xef\xbb\xbf" + json.dumps([Q, R]).encode()),
    ],
    ids=["lf", "bom", "crlf", "cr", "array over lines", "array"],
)
def test_json_is_read_in_every_dress(tmp_path: Path, name: str, data: bytes) -> None:
    """Two rows, whatever ends the lines; what ends no line is part of the text."""
    path = tmp_path / name
    path.write_bytes(data)

    assert [value for _, value in rows_of(path)] == [Q, R]
    assert [guard.text for guard in of_files([str(path)])] == [Q["question"], R["question"]]


CSV = 'id;question;note\r\n1;"Wo ist ""es""?\r\nUnd wann?";x\r\n\r\n2;Ja, wo?;\r\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV.replace("\r\n", "\n")),
        ("a.csv", CSV.replace(";", ",").replace("Ja, wo?", '"Ja, wo?"')),
        ("a.tsv", CSV.replace(";", "\t")),
    ],
    ids=["semicolons", "bom", "commas", "tabs"],
)
def test_a_spreadsheet_is_read_whatever_it_writes(tmp_path: Path, name: str, text: str) -> None:
    """Quoted line ends are text, rows are numbered by the line that they begin in."""
    path = tmp_path / name
    path.write_text(text, newline="")

    guards = of_files([str(path)])

    assert [guard.text for guard in guards] == ['Wo ist "es"?\nUnd wann?', "Ja, wo?"]
    assert [guard.name for guard in guards] == [f"{name}:2", f"{name}:5"]


def test_parquet_is_read_under_any_name(tmp_path: Path) -> None:
    """A chat column as Arrow structs, with parts."""
    chat = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"role": "assistant", "content": None}]
    for name in ("a.parquet", "a.bin"):
        pq.write_table(pa.Table.from_pylist([{"messages": chat}]), tmp_path / name)
        assert [guard.text for guard in of_files([str(tmp_path / name)])] == ["hi"]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image"}]}]},
        {"messages": [{"role": "system", "content": "no"}, {"role": "user", "parts": [{"text": "hi"}]}]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "no"}]},
        [{"from": "human", "value": "hi"}],
        [{"type": "human", "content": "hi"}],
        {"prompt": [{"role": "user", "content": "hi"}], "chosen": []},
        {"question": None, "messages": ["hi"]},
        "hi",
    ],
    ids=str,
)
def test_a_chat_of_any_dialect_is_a_guard(tmp_path: Path, row: Any) -> None:
    """What the user says in it."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row))

    assert [guard.text for guard in of_files([str(path)])] == ["hi"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b'{"question": "a"}\n{"question": ', "a.jsonl:2 is no JSON"),
        ("a.jsonl", b'{"question": "a"}\n\n{"question": 5}', "a.jsonl:3 has none of the fields"),
        ("a.jsonl", b'{"question": "\xff"}', "a.jsonl:1 is no JSON"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl"),
        ("a.jsonl", b'{"messages": [{"role": "user", "content": [{"type": "image"}]}]}', "a.jsonl:1 has no message"),
        ("a.jsonl", b'{"messages": [{"who": "user"}, 7, null]}', "a.jsonl:1 has no message"),
        ("a.jsonl", b'{"messages": "hi"}', "a.jsonl:1 has none of the fields"),
        ("a.jsonl", b"\xff\xfe{\x00", "a.jsonl is UTF-16"),
        ("a.jsonl", b"\x1f\x8b\x08", "a.jsonl is compressed"),
        ("a.txt", b"fine\nnot \xe9", "a.txt:2 is no UTF-8"),
        ("a.csv", b"who,what\n1,2\n", "a.csv:1 has none of the columns"),
        ("a.csv", b"question,x\na,b\nc\n", "a.csv:3 has 1 fields"),
        ("a.csv", b'question,x\n"a,b\n', "a.csv"),
        ("a.parquet", b"PAR1 and no more", "a.parquet cannot be read as Parquet"),
        ("a.parquet", b"{}", "a.parquet is no Parquet"),
        ("a.json", b"{", "a.json is no JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    """File, line and cause; never a traceback."""
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(InputFileError) as found:
        of_files([str(path)])

    assert said in str(found.value)
    assert "\n" not in str(found.value).strip()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["jsonl", "json", "csv", "tsv", "txt", "parquet"]))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str) -> None:
    """Whatever is brought, it is rows or a sentence."""
    path = tmp_path_factory.mktemp("files") / f"a.{suffix}"
    path.write_bytes(data)
    with suppress(FlywheelError):
        of_files([str(path)])


def test_a_line_ends_where_it_ends() -> None:
    """By LF, CRLF, or CR where there is no other; by nothing else that Python calls a line."""
    assert split("a\u2028b\x0bc\x85d\r\ne".encode()) == ["a\u2028b\x0bc\x85d".encode(), b"e"]
    assert split(b"\xef\xbb\xbfa\rb") == [b"a", b"b"]
    assert split(b"a\rb\n") == [b"a\rb", b""]


class Filled(msgspec.Struct, frozen=True):
    """A line that a person fills in."""

    id: str
    chat: list[dict[str, Any]]
    reply: str
    score: float | None = None
    skip: bool = False


FILLED = Filled("1", [{"role": "user", "content": "Hi"}], "one\u2028two; three", 0.5)
BLANK = Filled("2", [], "x")


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "bom.jsonl", "crlf.jsonl", "a.csv", "narrow.csv", "a.parquet"])
def test_what_people_fill_in_comes_back_from_any_tool(tmp_path: Path, name: str) -> None:
    """JSON lines as editors save them, a spreadsheet's CSV with all columns or those that matter, Parquet."""
    path, rows = tmp_path / name, [msgspec.to_builtins(one) for one in (FILLED, BLANK)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        columns = ["id", "reply", "score"] if name == "narrow.csv" else list(rows[0])
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=";")
            writer.writeheader()
            writer.writerows([{**row, "chat": json.dumps(row["chat"])} for row in rows])
    else:
        end = "\r\n" if name.startswith("crlf") else "\n"
        text = end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end
        path.write_text(text, encoding="utf-8-sig" if name.startswith("bom") else "utf-8", newline="")

    found = [one for _, one in objects_of(path, Filled, {"chat": []})]

    wanted = [FILLED, BLANK]
    if name == "narrow.csv":
        wanted = [msgspec.structs.replace(one, chat=[]) for one in wanted]
    assert found == wanted


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b"\xff\xfe{", "UTF-16"),
        ("a.jsonl", b"\n{\n", "line 2"),
        ("a.jsonl", b"[" * 100_000, "nested too deep"),
        ("a.csv", b"id,reply,score\nx,r,good\n", "line 2"),
        ("a.csv", b"who,what\n1,2\n", "none of the columns"),
    ],
)
def test_what_was_filled_in_wrongly_is_one_sentence(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    """File, line and cause."""
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(InputFileError, match=said):
        list(objects_of(path, Filled, {"chat": []}))


class Producer:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send_bytes(self, *sent: Any) -> None:
        self.sent.append(sent)

    def flush(self) -> None:
        """Nothing waits."""


ERASURE = '{"id": "01890a5d-ac96-774b-bcce-b302099a8057", "time": "2026-01-05T09:00:00Z", "subject": "a\u2028b"}'


@pytest.mark.parametrize(
    ("data", "sent", "bad"),
    [
        (f"\ufeff{ERASURE}\n".encode(), 1, []),
        (f"{ERASURE}\r\n\r\n{ERASURE}".encode(), 2, []),
        (f"{ERASURE}\nid,time\n".encode(), 1, [2]),
        (b"\xff\n" + b"[" * 100_000, 0, [1, 2]),
    ],
    ids=["bom", "crlf", "csv", "noise"],
)
def test_a_replayed_file_is_read_in_every_dress(tmp_path: Path, data: bytes, sent: int, bad: list[int]) -> None:
    """What is an event is sent as it is, and what is none is named by its line."""
    path, producer = tmp_path / "a.jsonl", Producer()
    path.write_bytes(data)

    found: Replayed = replay(path, producer, "llm.erasure.v1")  # type: ignore[arg-type]

    named = sorted(number for fault in found.faults.values() for number in fault.numbers)
    assert (found.sent, found.bad, named) == (sent, len(bad), bad)
    assert all(value.startswith(b"{") for _, _, value, _ in producer.sent)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"PAR1", "is Parquet"), (b'\xef\xbb\xbf [{"id": 1}]', "holds a JSON array"), (b"\xfe\xff", "UTF-16")],
)
def test_a_file_without_an_event_a_line_is_one_sentence(tmp_path: Path, data: bytes, said: str) -> None:
    """Rather than as many as it has lines."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)

    with pytest.raises(InputFileError, match=said):
        replay(path, Producer(), None)  # type: ignore[arg-type]
