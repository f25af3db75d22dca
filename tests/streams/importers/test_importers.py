"""Each export becomes the same events, however often it is imported; what is no event is counted by its reason."""

from __future__ import annotations

import gzip
import json
import resource
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_flywheel.ids import interaction_id
from schemas.codec import decode
from schemas.errors import InputFileError, UsageError
from streams.importers import table
from streams.importers.importer import FORMATS, Imported, import_history
from streams.importers.made import REASONS, Options, time_of
from streams.replay import Line

TIME = "2026-03-01T10:00:00+00:00"


class Sink(list[Line]):
    """Where events go; each must be one that the archiver takes."""

    def events(self, type_name: str) -> list[dict[str, Any]]:
        """Those of a type, as plain values."""
        return [
            msgspec.json.decode(line.value)
            for line in self
            if line.topic.event_type == type_name and decode(line.value, type_name)
        ]

    @property
    def interactions(self) -> list[dict[str, Any]]:
        """All interactions."""
        return self.events("llm.interaction.v1")

    @property
    def feedback(self) -> list[dict[str, Any]]:
        """All feedback."""
        return self.events("llm.feedback.v1")


def imported(format_: str, path: Path, **options: Any) -> tuple[Sink, Imported]:
    """What an export gives; imported twice, it gives the same."""
    sinks = [Sink(), Sink()]
    results = [import_history(format_, path, Options(application="bot", **options), sink.append) for sink in sinks]
    assert [line.value for line in sinks[0]] == [line.value for line in sinks[1]]
    assert results[0] == results[1]
    assert set(results[0].left) <= REASONS.keys() | {"invalid_field", "invalid_json", "invalid_csv", "too_large"}
    return sinks[0], results[0]


def lines(path: Path, *rows: Any) -> Path:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


GENERATION = {
    "id": "obs-1", "trace_id": "a" * 32, "type": "GENERATION", "name": "answer",
    "start_time": "2026-03-01 10:00:00.000", "end_time": "2026-03-01 10:00:01.500",
    "input": '[{"role": "user", "content": "Where is my parcel?"}]',
    "output": '{"role": "assistant", "content": "On its way."}', "provided_model_name": "m-1",
    "model_parameters": '{"temperature": 0.2}', "usage_details": {"input": 12, "output": 4}, "total_cost": "0.0003",
    "prompt_name": "support", "prompt_version": 3, "user_id": "u-1", "session_id": "s-1", "level": "DEFAULT",
}  # fmt: skip


def score(**fields: Any) -> dict[str, Any]:
    """A score of Langfuse's."""
    return {"id": "sc-1", "trace_id": "a" * 32, "observation_id": "obs-1", "name": "helpful", "data_type": "BOOLEAN",
            "value": 1.0, "source": "API", "timestamp": "2026-03-01T10:05:00Z", **fields}  # fmt: skip


def test_langfuse(tmp_path: Path) -> None:
    """Scores lie in a folder that sorts before the observations, and find them; spans are no calls."""
    lines(
        tmp_path / "a_scores" / "1.jsonl",
        score(),
        score(id="sc-2", name="quality", data_type="NUMERIC", value=4.0, comment="nearly"),
        score(id="sc-3", name="safe", data_type="NUMERIC", value=0.2, source="EVAL", observation_id=None),
        score(id="sc-4", name="topic", data_type="CATEGORICAL", value=None, string_value="billing"),
        score(id="sc-5", name="tone", data_type="NUMERIC", value=3.0),
        score(id="sc-6", trace_id="b" * 32, observation_id="obs-9"),
    )
    span = {**GENERATION, "id": "span-1", "type": "SPAN"}
    failed = {**GENERATION, "id": "obs-2", "trace_id": "c" * 32, "output": None, "level": "ERROR"}
    lines(tmp_path / "observations" / "1.jsonl", GENERATION, span, failed)

    sent, result = imported("langfuse", tmp_path, scales={"quality": (1, 5)})

    first, second = sent.interactions
    assert first["conversation_id"] == "s-1"
    assert (first["time"], first["duration_ms"]) == (TIME, 1500.0)
    assert (first["prompt_version"], first["cost_usd"]) == ("langfuse:support@3", 0.0003)
    assert first["input_messages"] == [{"role": "user", "content": "Where is my parcel?"}]
    assert (second["error_type"], "output_messages" in second) == ("error", False)
    about = {(f["kind"], f.get("value"), f.get("label"), f.get("source")) for f in sent.feedback}
    assert about == {
        ("thumb", 1.0, None, None),
        ("rating", 0.75, None, None),
        ("comment", None, None, None),
        ("judge", 0.2, "safe", "judge:safe"),
        ("label", None, "topic:billing", None),
    }
    assert {f["interaction_id"] for f in sent.feedback} == {first["id"]}
    assert result.left == {"not_llm": 1, "no_scale": 1, "no_target": 1}


def test_langfuse_as_its_api_writes_it_in_parquet(tmp_path: Path) -> None:
    """Camel case, timestamps as timestamps, a column of nulls."""
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": GENERATION["start_time"], "input": "Hi",
           "output": "Hello", "model": "m", "sessionId": None}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "observations.parquet")

    sent, _ = imported("langfuse", tmp_path / "observations.parquet")

    (one,) = sent.interactions
    assert (one["conversation_id"], one["request_model"]) == ("t", "m")
    assert one["output_messages"] == [{"role": "assistant", "content": "Hello"}]


def test_langsmith(tmp_path: Path) -> None:
    """Messages as LangChain dumps them, feedback on the chain around the call, a correction of its output."""
    run = {
        "id": "r-1", "trace_id": "t-1", "run_type": "llm", "start_time": "2026-03-01T10:00:00", "session_id": "project",
        "inputs": {"messages": [[{"lc": 1, "id": ["langchain", "schema", "HumanMessage"], "type": "constructor",
                                  "kwargs": {"content": "Cancel it", "type": "human"}}]]},
        "outputs": {"generations": [[{"text": "Done", "message": {"lc": 1, "id": ["x", "AIMessage"],
            "type": "constructor", "kwargs": {"content": "Done", "type": "ai"}}}]]},
        "extra": {"metadata": {"thread_id": "th-1", "ls_provider": "openai"}, "invocation_params": {"model": "m-2"}},
        "prompt_tokens": 3, "completion_tokens": 1,
    }  # fmt: skip
    chain = {"id": "t-1", "trace_id": "t-1", "run_type": "chain", "inputs": {}, "outputs": {}}
    told = {"id": "f-1", "run_id": "t-1", "key": "user_score", "score": 0, "created_at": TIME,
            "feedback_source": {"type": "api"}, "comment": "No!", "correction": {"answer": "I cannot."}}  # fmt: skip
    path = lines(tmp_path / "x.jsonl", chain, run, told, {**told, "id": "f-2", "run_id": "gone"})

    sent, result = imported("langsmith", path)

    (one,) = sent.interactions
    assert (one["conversation_id"], one["request_model"], one["provider_name"]) == ("th-1", "m-2", "openai")
    assert {(f["kind"], f.get("value"), f.get("text")) for f in sent.feedback} == {
        ("thumb", 0.0, None), ("comment", None, "No!"), ("correction", None, "I cannot."),
    }  # fmt: skip
    assert result.left == {"not_llm": 1, "no_target": 1}


def test_an_openai_batch_is_joined_with_its_input(tmp_path: Path) -> None:
    """The output file sorts first; a call that the SDK captured too has the id that all doors give it."""
    response = "chatcmpl-0123456789abcdefghij"
    body = {"id": response, "object": "chat.completion", "created": 1772359200, "model": "m-2026", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "4"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1}}  # fmt: skip
    lines(
        tmp_path / "1_output.jsonl",
        {"custom_id": "a", "response": {"status_code": 200, "body": body}, "error": None},
        {"custom_id": "b", "response": {"status_code": 500, "body": {"error": {}}, "created": 1}, "error": {"code": 1}},
        {"custom_id": "lost", "response": {"status_code": 200, "body": body}},
    )
    question = [{"role": "user", "content": "2 + 2?"}]
    lines(
        tmp_path / "2_input.jsonl",
        *({"custom_id": id_, "method": "POST", "url": "/v1/chat/completions",
           "body": {"model": "m", "messages": question, "temperature": 0}} for id_ in "ab"),
    )  # fmt: skip

    sent, result = imported("openai", tmp_path, time=TIME)

    good, bad = sent.interactions
    assert good["id"] == interaction_id("bot", response)
    assert (good["time"], good["request_parameters"]) == (TIME, {"temperature": 0})
    assert (bad["error_type"], bad["time"]) == ("500", TIME)
    assert result.left == {"no_request": 1}


def test_anthropic_batches_responses_and_plain_chats(tmp_path: Path) -> None:
    """Three forms in one file; a chat that ends with its user says nothing."""
    path = lines(
        tmp_path / "all.jsonl",
        {"custom_id": "x", "params": {"model": "c", "system": "Be brief.",
                                      "messages": [{"role": "user", "content": "Hi"}]}},
        {"custom_id": "x", "result": {"type": "succeeded", "message": {
            "id": "msg_0123456789abcdefghij", "type": "message", "role": "assistant", "model": "c",
            "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn", "usage": {"input_tokens": 2}}}},
        {"id": "resp_0123456789abcdefghij", "object": "response", "created_at": 1772359200, "model": "o", "input": "Hi",
         "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hey"}]}]},
        {"messages": [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B."}]},
        {"messages": [{"role": "assistant", "content": "B."}, {"role": "user", "content": "A?"}]},
    )  # fmt: skip

    sent, result = imported("openai", path, time=TIME)

    assert [each["request_model"] for each in sent.interactions] == ["c", "o", "unknown"]
    assert sent.interactions[0]["input_messages"][0] == {"role": "system", "content": "Be brief."}
    assert result.left == {"no_messages": 1}


def test_spans(tmp_path: Path) -> None:
    """A line of the Collector's file exporter, a row of Phoenix's, a trace of MLflow's with what was said of it."""
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Ho"}]}]',
    }.items()]  # fmt: skip
    otlp = {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [{
        "traceId": "1" * 32, "spanId": "2" * 16, "name": "chat m", "startTimeUnixNano": "1772359200000000000",
        "endTimeUnixNano": "1772359201000000000", "attributes": attributes}]}]}]}  # fmt: skip
    phoenix = {
        "context.span_id": "3" * 16, "context.trace_id": "4" * 32, "span_kind": "LLM", "start_time": TIME,
        "end_time": TIME, "status_code": "OK", "attributes.llm.model_name": "m",
        "attributes.llm.input_messages": [{"message.role": "user", "message.content": "Hi"}],
        "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "Ho"}],
    }  # fmt: skip
    mlflow = {
        "trace_id": "tr-" + "5" * 32, "trace_metadata": {"mlflow.trace.session": "s"}, "spans": [
            {"span_id": "6", "attributes": {"mlflow.spanType": '"CHAIN"'}},
            {"span_id": "7", "start_time_unix_nano": 1772359200000000000, "attributes": {
                "mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanOutputs": '{"choices": [{"message": {"role": '
                '"assistant", "content": "Ho"}}]}', "mlflow.spanInputs": '{"model": "m", "messages": [{"role": "user", '
                '"content": "Hi"}]}'}}],
        "assessments": [
            {"assessment_name": "ok", "source": {"source_type": "HUMAN", "source_id": "p"},
             "feedback": {"value": False}},
            {"assessment_name": "grounded", "source": {"source_type": "LLM_JUDGE"}, "feedback": {"value": 0.9},
             "rationale": "cited"},
            {"assessment_name": "expected", "source": {"source_type": "HUMAN"}, "expectation": {"value": "Hi there"}}],
    }  # fmt: skip

    sent, result = imported("spans", lines(tmp_path / "s.jsonl", otlp, phoenix, mlflow))

    assert [each["request_model"] for each in sent.interactions] == ["m"] * 3
    assert {each["time"][:19] for each in sent.interactions} == {TIME[:19]}
    assert [(f["kind"], f.get("value"), f.get("text")) for f in sent.feedback] == [
        ("thumb", 0.0, None), ("judge", 0.9, "cited"), ("correction", None, "Hi there"),
    ]  # fmt: skip
    assert result.left == {"not_llm": 1}


def test_chat_data_sets(tmp_path: Path) -> None:
    """Each answer with all that was said before it; a flag is a verdict on the message that it is about."""
    wild = {"conversation_hash": "h", "model": "m", "timestamp": TIME, "hashed_ip": "ip", "conversation": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}],
        "openai_moderation": [{"flagged": False}, {"flagged": False}, {"flagged": True, "categories": {"hate": True}},
                              {"flagged": False}]}  # fmt: skip
    share = {"id": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "r"}]}
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([wild, share, {"nothing": 1}]))

    sent, result = imported("chats", path, time=TIME)

    one, two, three = sent.interactions
    assert [len(each["input_messages"]) for each in (one, two, three)] == [1, 3, 1]
    assert one["time"] < two["time"]
    assert [(f["value"], f.get("label"), f["target"]) for f in sent.feedback if f["interaction_id"] == two["id"]] == [
        (0.0, "hate", "input"), (1.0, None, "output"),
    ]  # fmt: skip
    assert result.left == {"unknown_row": 1}


def test_a_table(tmp_path: Path) -> None:
    """A CSV with a byte order mark and semicolons, zipped; a cell that is neither up nor down says nothing."""
    path = tmp_path / "chats.csv.gz"
    text = "\ufeffquestion;answer;ok\nWhere?;Here.;yes\nWhen?;Now.;👎\nWho?;Me.;perhaps\n;x;1\nonly two;fields\n"
    path.write_bytes(gzip.compress(text.encode()))
    columns = table.check({"question": "input", "answer": "output", "ok": "thumb"})

    sent, result = imported("table", path, columns=columns, time=TIME)

    assert [each["value"] for each in sent.feedback] == [1.0, 0.0]
    assert len(sent.interactions) == 3
    assert result.left == {"no_value": 1, "no_messages": 1, "invalid_csv": 1}
    assert "chats.csv.gz:6" in result.named["invalid_csv"][0]
    with pytest.raises(UsageError, match="inptu"):
        table.check({"question": "inptu", "answer": "output"})


def test_a_number_that_is_not_there_is_no_rating(tmp_path: Path) -> None:
    """A table writes NaN for what was not measured; that is neither the worst rating nor somebody's name."""
    rows = [{"q": f"Why {n}?", "a": "So.", "stars": stars, "id": float("nan")}
            for n, stars in enumerate([4.0, float("nan"), None, -1.0])]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    columns = table.check({"q": "input", "a": "output", "stars": "rating", "id": "id"})

    sent, _ = imported("table", tmp_path / "x.parquet", columns=columns, time=TIME, scales={"rating": (-2, 4)})

    assert len({each["id"] for each in sent.interactions}) == 4
    assert [(each["value"], each["score"]) for each in sent.feedback] == [(1.0, 4.0), (pytest.approx(1 / 6), -1.0)]


@pytest.mark.parametrize("value", ["NaN", "-0.3", "inf"])
def test_a_judges_number_from_nowhere_is_no_verdict(tmp_path: Path, value: str) -> None:
    """Below nought, endless or no number at all, it has no place between failed and passed."""
    scored = score(data_type="NUMERIC", value=value, source="EVAL")

    sent, result = imported("langfuse", lines(tmp_path / "x.jsonl", GENERATION, scored))

    assert sent.feedback == []
    assert sum(result.left.values()) == 1


def test_scores_without_an_id_are_told_apart(tmp_path: Path) -> None:
    """By what they are about, their name and their time."""
    scored = [score(id=None, timestamp=f"2026-03-01T10:0{n}:00Z") for n in range(3)]

    sent, _ = imported("langfuse", lines(tmp_path / "x.jsonl", GENERATION, *scored))

    assert len({each["id"] for each in sent.feedback}) == 3


def test_the_last_call_of_a_trace_is_the_last_whatever_the_zone(tmp_path: Path) -> None:
    """A score on a trace is about the call that began last, not about the one whose clock was ahead."""
    early = {**GENERATION, "id": "early", "start_time": "2026-03-01T12:00:00+03:00", "output": "early"}
    late = {**GENERATION, "id": "late", "start_time": "2026-03-01T10:00:00Z", "output": "late"}

    for order in ([early, late], [late, early]):
        sent, _ = imported("langfuse", lines(tmp_path / "x.jsonl", *order, score(observation_id=None)))
        (about,) = {each["interaction_id"] for each in sent.feedback}
        (last,) = [each["id"] for each in sent.interactions if each["output_messages"][0]["content"] == "late"]
        assert about == last


@pytest.mark.parametrize("size", [1_500_000, 9_000_000])
def test_what_the_archiver_would_refuse_is_not_sent(tmp_path: Path, size: int) -> None:
    """A row longer than an event may be is left out, and those after it are not."""
    long = {**GENERATION, "id": "long", "model_parameters": {"prefix": "x" * size}}

    sent, result = imported("langfuse", lines(tmp_path / "x.jsonl", long, GENERATION))

    assert len(sent) == 1
    assert result.left == {"too_large": 1}


def test_a_conversation_longer_than_the_contract_costs_what_it_is_long(tmp_path: Path) -> None:
    """Each answer holds all that was said before: thirty thousand after ten thousand are 600 million messages."""
    turns = [{"role": "user" if n <= 10_000 else "assistant", "content": "x"} for n in range(40_000)]

    _, result = imported("chats", lines(tmp_path / "x.jsonl", {"conversation": turns, "timestamp": TIME}))

    assert result.left == {"invalid_field": 29_999}


def test_rows_without_a_time_wait_for_one(tmp_path: Path) -> None:
    """They are not dated by the clock: the same export would be other events the next day."""
    path = lines(
        tmp_path / "x.jsonl", {"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]}
    )

    _, result = imported("openai", path)

    assert result.left == {"no_time": 1}


@pytest.mark.parametrize(
    ("value", "time"),
    [(1772359200, TIME), (1772359200000, TIME), (1772359200000000000, TIME),
     ("2026-03-01T11:00:00+01:00", TIME),
     ("2026-03-01 10:00:00", TIME), (10**40, None), ("soon", None), (True, None), (float("nan"), None)],
)  # fmt: skip
def test_times_of_any_unit(value: Any, time: str | None) -> None:
    """Seconds to nanoseconds, with a zone or in UTC; what is no time is none."""
    assert time_of(value) == time


def test_files_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    """A folder without files, a broken Parquet, a file that is not there."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:-12])
    (tmp_path / "bad.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1000)[:12] + b"\xff" * 40)
    for name in ("empty", "x.parquet", "gone.jsonl", "cut.jsonl.gz", "bad.jsonl.gz"):
        path = tmp_path / name
        with pytest.raises(InputFileError, match=path.name):
            imported("openai", path)


ANY = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({
    *GENERATION, *score(), "custom_id", "body", "params", "response", "result", "messages", "choices", "output",
    "run_id", "key", "run_type", "inputs", "outputs", "extra", "spans", "resourceSpans", "context.span_id",
    "conversation",
    "conversations", "assessments", "created", "openai_moderation", "info", "trace_metadata", "events", "usage",
})  # fmt: skip


@given(rows=st.lists(st.dictionaries(st.sampled_from(KEYS), ANY, max_size=8), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_no_row_stops_an_import(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    """Anything under any key is an event that the archiver takes, or is counted with its place."""
    path = lines(tmp_path_factory.mktemp("rows") / "x.jsonl", *rows)
    for format_ in sorted(FORMATS):
        columns = {"input": "input", "output": "output"} if format_ == "table" else {}
        imported(format_, path, time=TIME, columns=columns)


def test_memory_does_not_grow_with_the_export(tmp_path: Path) -> None:
    """Forty thousand generations with scores, and ten times as many lines as are ever in memory."""
    path = tmp_path / "x.jsonl"
    with path.open("w") as file:
        for n in range(40_000):
            file.write(json.dumps({**GENERATION, "id": f"o{n}", "trace_id": f"t{n}", "input": "q " * 200}) + "\n")
    counted = [0]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    result = import_history(
        "langfuse", path, Options(application="bot"), lambda _: counted.__setitem__(0, counted[0] + 1)
    )

    assert counted[0] == result.interactions == 40_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB
