"""What people say of answers, and what it is worth to a comparison."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.evaluate.labels import Question, _id, read_answers, record
from flows.evaluate.stage import evaluate, to_label
from flows.evaluations import evaluation_of
from schemas.errors import InputFileError, NotEnoughData
from schemas.events import to_json
from streams.lake.query import read


@pytest.fixture
def judged(bench: Any) -> Any:
    """A bench whose judge passes every answer of the candidate, right or wrong, and fails all others."""

    def reply(body: dict[str, Any]) -> str:
        if body["model"] != "judge":
            return f"{bench.answer(body)} ({body['model']})"
        question = json.loads(body["messages"][-1]["content"])
        return json.dumps({"token": question["token"], "grade": "pass" if "(new)" in question["reply"] else "fail"})

    bench.endpoint.reply = reply
    how = msgspec.structs.replace(
        bench.settings.evaluate, scorer="judge", judge_endpoint=bench.endpoint.url, judge_model="judge"
    )
    bench.settings = msgspec.structs.replace(bench.settings, evaluate=how)
    bench.freeze(120)
    bench.enlist()
    return bench


def right(question: Question) -> float:
    """What an honest person says: whether the reply has the number of the question."""
    return float(f"Answer {question.conversation[-1]['content'].removeprefix('question ')}!" in question.reply)


def file_of(path: Path, questions: list[Question], say: Any) -> Path:
    """The questions with their scores filled in."""
    filled = [msgspec.structs.replace(question, score=say(question)) for question in questions]
    path.write_text("".join(to_json(question) + "\n" for question in filled))
    return path


def test_labels_correct_a_judge_that_takes_sides(judged: Any, tmp_path: Path) -> None:
    """[evaluate, label, evaluate]: the second comparison holds the truth that the first one missed, at no new call."""
    first = evaluate(judged.lake, judged.settings, judged.as_of)
    assert first.difference == 1.0  # the truth is 0.5: the champion knows every other answer
    calls = len(judged.endpoint.seen)
    asked = to_label(judged.lake, judged.settings, first.evaluation_id, 100)
    record(judged.lake, read_answers(file_of(tmp_path / "f", asked, right)), "ann")

    second = evaluate(judged.lake, judged.settings, judged.as_of)

    comparison = evaluation_of(judged.lake, judged.application, second.evaluation_id).comparison
    assert len(judged.endpoint.seen) == calls
    assert second.evaluation_id != first.evaluation_id
    assert comparison.overall.low < 0.5 < comparison.overall.high
    assert comparison.overall.high < 0.9
    assert comparison.judge["labels"] == 100
    assert comparison.judge["uncorrected_difference"] == 1.0


def test_questions_are_blind_and_the_same_each_time(judged: Any) -> None:
    """Nothing names the model, the order tells nothing, and a larger draw holds the smaller one."""
    evaluation_id = evaluate(judged.lake, judged.settings, judged.as_of).evaluation_id

    few = to_label(judged.lake, judged.settings, evaluation_id, 10)
    more = to_label(judged.lake, judged.settings, evaluation_id, 20)

    assert few == to_label(judged.lake, judged.settings, evaluation_id, 10)
    assert (len(few), len(more)) == (20, 40)
    assert {question.item_id for question in few} < {question.item_id for question in more}
    assert set(msgspec.to_builtins(few[0])) == {
        "id", "item_id", "conversation", "reply", "rubric", "reference", "score",
    }  # fmt: skip
    news = ["(new)" in question.reply for question in more]
    assert news not in ([True, False] * 20, [False, True] * 20, sorted(news), sorted(news, reverse=True))


def test_the_same_file_twice_is_recorded_once(judged: Any, tmp_path: Path) -> None:
    """And an answer that was left out is not recorded at all."""
    evaluation_id = evaluate(judged.lake, judged.settings, judged.as_of).evaluation_id
    asked = to_label(judged.lake, judged.settings, evaluation_id, 10)
    path = file_of(tmp_path / "f", asked, lambda question: None if question.id == asked[0].id else 1.0)

    counts = [record(judged.lake, read_answers(path), "ann") for _ in range(2)]

    rows = [row for row in read(judged.lake, "scores").to_pylist() if row["scorer"] == "human:ann"]
    assert counts == [19, 19]
    assert len(rows) == 19


@pytest.mark.parametrize(
    ("change", "why"),
    [({"score": 2}, "<= 1"), ({"score": "good"}, "float"), ({"reply": "edited"}, "reply was changed")],
)
def test_a_wrong_line_is_named(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    """Which line, and what is wrong with it; nothing of the file is taken."""
    good = {"id": "3867c023adf79635", "item_id": "i", "conversation": [], "reply": "r", "rubric": "", "score": 1}
    path = tmp_path / "f"
    path.write_text(json.dumps({**good, **change}) + "\n")

    with pytest.raises(InputFileError, match=f"line 1.*{why}"):
        read_answers(path)


def test_nothing_scored_is_nothing_to_label(judged: Any) -> None:
    """Where the judge was away, people have nothing to measure it by."""
    how = msgspec.structs.replace(judged.settings.evaluate, judge_endpoint="http://127.0.0.1:9/v1")
    settings = msgspec.structs.replace(judged.settings, evaluate=how)
    summary = evaluate(judged.lake, settings, judged.as_of + timedelta(hours=1))
    assert set(summary.unscored["candidate"]) <= {"judge_unreachable", "judge_endpoint_down"}

    with pytest.raises(NotEnoughData, match="nothing to label"):
        to_label(judged.lake, settings, summary.evaluation_id, 10)


ASKED = Question("", "item-1", [{"role": "user", "content": "Hi"}], "one\u2028two, three", "rubric", None, 0.5)


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "bom.jsonl", "crlf.jsonl", "a.csv", "full.csv", "a.parquet"])
def test_labels_come_back_from_any_tool(tmp_path: Path, name: str) -> None:
    """JSON lines as editors save them, a spreadsheet's CSV with the columns that matter, Parquet."""
    question = msgspec.structs.replace(ASKED, id=_id("item-1", ASKED.reply))
    blank = msgspec.structs.replace(question, score=None)
    path, rows = tmp_path / name, [msgspec.to_builtins(one) for one in (question, blank)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        columns = list(rows[0]) if name == "full.csv" else ["id", "item_id", "reply", "score"]
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=";")
            writer.writeheader()
            writer.writerows([{**row, "conversation": json.dumps(row["conversation"])} for row in rows])
    else:
        end = "\r\n" if name.startswith("crlf") else "\n"
        text = end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end
        path.write_text(text, encoding="utf-8-sig" if name.startswith("bom") else "utf-8", newline="")

    (read_,) = read_answers(path)

    assert (read_.item_id, read_.reply, read_.score) == ("item-1", "one\u2028two, three", 0.5)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b"\xff\xfe{", "UTF-16"),
        ("a.jsonl", b"\n{\n", "line 2"),
        ("a.jsonl", b"[" * 100_000, "nested too deep"),
        ("a.csv", b"id,item_id,reply,score\nx,i,r,good\n", "line 2"),
        ("a.csv", b"who,what\n1,2\n", "none of the columns"),
    ],
)
def test_a_file_of_labels_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    """File, line and cause."""
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(InputFileError, match=said):
        read_answers(path)
