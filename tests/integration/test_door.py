"""The HTTP door and a real Kafka: what it says that it has, is in the lake, once; what it refuses, it names."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

import llm_flywheel as fly
from flows.testing.events import event_id, feedback, interaction
from llm_flywheel.__main__ import main as sdk_command
from schemas.codec import encode
from schemas.events import Decision, Event, event_type
from schemas.records import make_candidate
from schemas.serving import DoorSettings
from schemas.settings import KafkaSettings, Settings
from streams.broker.broker import free_port
from streams.doors.tokens import Grant, May, Tokens
from streams.keyring import signer_of
from streams.producer import EventProducer
from tests.support.kafka import Ingest
from tests.support.open_door import ask, open_door
from tests.support.sdk import end
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
BATCH = "application/cloudevents-batch+json"
GOLDEN = ROOT / "tests" / "schemas" / "otel" / "golden"


def cloud(event: Event, **more: Any) -> dict[str, Any]:
    """An event as a CloudEvent."""
    return {
        "specversion": "1.0", "id": event.id, "source": "/shop", "type": event_type(event),
        "data": {**json.loads(encode(event)), **more},
    }  # fmt: skip


def batch(*events: dict[str, Any]) -> bytes:
    """A CloudEvents batch."""
    return json.dumps(events).encode()


@pytest.fixture
def door(ingest: Ingest) -> Iterator[str]:
    """An open door over empty topics."""
    with open_door(ingest.settings) as url:
        yield url


def token(ingest: Ingest, application: str = "support-bot", *may: May) -> str:
    """A new token."""
    grant = Grant(name=f"{application}-{len(may)}", application=application, **({"may": may} if may else {}))
    return Tokens(ingest.settings.home_path).make(grant).reveal()


def test_what_is_acknowledged_is_in_the_lake(ingest: Ingest, door: str) -> None:
    """In all three forms; the same twice is there once."""
    events = [interaction(n) for n in range(4)]
    said = feedback(1, events[0])
    one = json.dumps(cloud(said)).encode()
    lines = b"\n".join(json.dumps(cloud(each)).encode() for each in events[2:]) + b"\n"

    assert ask(f"{door}/v1/events", batch(*map(cloud, events[:2])), BATCH)[:2] == (200, {"accepted": 2, "rejected": []})
    for _ in range(2):
        assert ask(f"{door}/v1/events", one, "application/cloudevents+json")[0] == 200
    assert ask(f"{door}/v1/events", gzip.compress(lines), "application/x-ndjson", content_encoding="gzip")[0] == 200

    ingest.archive()
    rows = ingest.ask("SELECT id, conversation_id FROM interactions")
    assert {row["id"] for row in rows} == {event.id for event in events}
    assert {row["id"] for row in ingest.ask("SELECT id FROM feedback")} == {said.id}


def test_a_bad_event_is_named_and_becomes_a_dead_letter(ingest: Ingest, door: str) -> None:
    """Its neighbours arrive; its bytes lie among the dead letters, under the reason that its sender was told."""
    good, bad = interaction(1), cloud(interaction(2), time="yesterday")

    status, answer, _ = ask(f"{door}/v1/events", batch(bad, cloud(good), {"no": "event"}), BATCH)

    assert (status, answer["accepted"]) == (200, 1)
    assert [each["index"] for each in answer["rejected"]] == [0, 2]
    assert answer["rejected"][0]["reason"].startswith("invalid_field")
    ingest.archive()
    assert [row["id"] for row in ingest.ask("SELECT id FROM interactions")] == [good.id]
    (letter,) = ingest.ask("SELECT reason, value FROM dead_letters")
    assert letter["reason"] == "invalid_field"
    assert b"yesterday" in letter["value"]


def test_each_token_sends_what_it_may_and_no_more(ingest: Ingest, door: str) -> None:
    """An application forgets nobody, decides nothing, and speaks for no other; a browser sends a user's words alone."""
    anybody = batch(cloud(interaction(1)))
    assert ask(f"{door}/v1/events", anybody, BATCH)[0] == 200
    application, browser = token(ingest), token(ingest, "support-bot", "feedback")
    assert ask(f"{door}/v1/events", anybody, BATCH)[0] == 401
    assert ask(f"{door}/v1/events", anybody, BATCH, "fly_wrong")[0] == 401

    erasure = {"type": "llm.erasure.v1", "data": {"id": event_id(9), "time": "2026-01-05T09:00:00Z", "subject": "u"}}
    decision = {"type": "llm.decision.v1", "data": {"id": event_id(8), "application": "support-bot"}}
    for event, bearer in (
        (erasure, application), (decision, application), (cloud(interaction(2, application="other")), application),
        (cloud(interaction(2)), browser), (cloud(feedback(1, interaction(2), source="reviewer:x")), browser),
    ):  # fmt: skip
        status, answer, _ = ask(f"{door}/v1/events", batch(event), BATCH, bearer)
        assert (status, "token" in answer["error"] or "not sent" in answer["error"]) == (403, True)
    mixed = ask(f"{door}/v1/events", batch(erasure, cloud(interaction(3))), BATCH, application)
    assert (mixed[0], mixed[1]["accepted"], len(mixed[1]["rejected"])) == (200, 1, 1)
    assert ask(f"{door}/v1/events", batch(cloud(feedback(1, interaction(3)))), BATCH, browser)[0] == 200
    Tokens(ingest.settings.home_path).revoke("support-bot-1")
    assert ask(f"{door}/v1/events", batch(cloud(feedback(1, interaction(3)))), BATCH, browser)[0] == 401

    ingest.archive()
    assert ingest.ask("SELECT id FROM erasures") == ingest.ask("SELECT reason FROM dead_letters") == []


def test_feedback_needs_only_what_the_client_holds(ingest: Ingest, door: str) -> None:
    """A response id, a kind and a value; the token says whose application it is."""
    bearer, response_id = token(ingest, "shop", "feedback"), "chatcmpl-CzT4kQmR8wLx2VbN6yPd1HsJ9aEua"
    said = {"response_id": response_id, "kind": "thumb", "value": 0}

    status, answer, _ = ask(f"{door}/v1/feedback", json.dumps(said).encode(), token=bearer)
    short = ask(f"{door}/v1/feedback", json.dumps([{**said, "response_id": "r-1"}, {}]).encode(), token=bearer)

    assert (status, answer["accepted"]) == (200, 1)
    assert [each["index"] for each in short[1]["rejected"]] == [0, 1]
    assert "too short to be unique" in short[1]["rejected"][0]["reason"]
    ingest.archive()
    (row,) = ingest.ask("SELECT id, application, interaction_id, conversation_id, source, value FROM feedback")
    assert row["interaction_id"] == row["conversation_id"] == fly.interaction_id("shop", response_id)
    assert (row["id"], row["application"], row["source"], row["value"]) == (answer["ids"][0], "shop", "user", 0)


def test_spans_and_log_records_become_events(ingest: Ingest, door: str) -> None:
    """OTLP in JSON and protobuf, twice; what was left out is said in the answer."""
    spans, logs = (GOLDEN / "genai.otlp.json").read_bytes(), (GOLDEN / "genai_logs.otlp.json").read_bytes()
    status, answer, _ = ask(f"{door}/v1/traces", spans)
    assert (status, answer["partialSuccess"]["rejectedSpans"]) == (200, "1")
    assert "must be told to record content" in answer["partialSuccess"]["errorMessage"]
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"a" * 16, span_id=b"b" * 8)
    for name, value in (
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.input.messages", '[{"role": "user", "parts": [{"type": "text", "content": "by protobuf"}]}]'),
    ):
        span.attributes.add(key=name).value.string_value = value
    status, content, headers = ask(f"{door}/v1/traces", request.SerializeToString(), "application/x-protobuf")
    assert (status, headers["content-type"]) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans
    for _ in range(2):
        assert ask(f"{door}/v1/logs", gzip.compress(logs), content_encoding="gzip")[0] == 200

    ingest.archive()
    rows = ingest.ask("SELECT application, input_messages, span_id FROM interactions")
    assert len(rows) == 9 + 1  # two of the calls in the log records are calls of the spans: one event each
    assert {row["application"] for row in rows} == {"garden-shop", "unknown_service"}
    assert {row["kind"] for row in ingest.ask("SELECT kind FROM feedback")} == {"thumb", "judge", "correction"}


def test_spans_are_the_tokens_applications(ingest: Ingest, door: str) -> None:
    """Whatever `service.name` says; and a token that sends no interactions sends no spans."""
    bearer, feedback_only = token(ingest, "shop"), token(ingest, "shop", "feedback")
    spans = (GOLDEN / "pydantic_ai.otlp.json").read_bytes()

    assert ask(f"{door}/v1/traces", spans, token=bearer)[0] == 200
    assert ask(f"{door}/v1/traces", spans, token=feedback_only)[0] == 403
    ingest.archive()
    assert {row["application"] for row in ingest.ask("SELECT application FROM interactions")} == {"shop"}


@pytest.mark.parametrize(
    ("path", "body", "kind", "headers", "status"),
    [
        ("events", b"[1, 2", BATCH, {}, 400),
        ("events", b"{}", "text/plain", {}, 415),
        ("events", b"[" + b"1," * 10_000 + b"1]", BATCH, {}, 413),
        ("events", b"{}", BATCH, {"content_encoding": "br"}, 415),
        ("events", b"no gzip", BATCH, {"content_encoding": "gzip"}, 400),
        ("events", gzip.compress(b"[]" * 100, mtime=0)[:-9], BATCH, {"content_encoding": "gzip"}, 400),
        ("traces", b"\x99\x99", "application/x-protobuf", {}, 400),
        ("traces", b'{"resourceSpans": 7}', "application/json", {}, 400),
        (
            "traces",
            gzip.compress(b"0" * 50_000_000, mtime=0),
            "application/x-protobuf",
            {"content_encoding": "gzip"},
            413,
        ),
        ("events", b" " * 2_000_001, BATCH, {}, 413),
        ("feedback", b"[[1]]", "application/json", {}, 400),
        ("feedback", b'{"a": 1}', BATCH, {}, 415),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_as_a_whole(
    ingest: Ingest, path: str, body: bytes, kind: str, headers: dict[str, str], status: int
) -> None:
    """With the answer that tells a sender what to do; a gzip bomb is inflated no further than a body may be long."""
    settings = Settings(
        home=ingest.settings.home, kafka=ingest.settings.kafka, door=DoorSettings(max_body_bytes=2 * 10**6)
    )
    with open_door(settings) as door:
        assert ask(f"{door}/v1/{path}", body, kind, **headers)[0] == status
        assert ask(f"{door}/v1/events", batch(cloud(interaction(1))), BATCH)[0] == 200


def test_while_kafka_is_away_the_answer_is_503(tmp_path: Path) -> None:
    """With `Retry-After`, within the time that senders wait; nothing is said to be taken."""
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}", client={})
    with open_door(Settings(home=str(tmp_path), kafka=kafka)) as door:
        began = time.monotonic()
        status, answer, headers = ask(f"{door}/v1/events", batch(cloud(interaction(1))), BATCH)
        assert (status, headers["retry-after"]) == (503, "5")
        assert "Kafka" in answer["error"]
        assert time.monotonic() - began < 20
        assert ask(f"{door}/v1/champion/support-bot")[0] == 503
        assert ask(f"{door}/ready")[0] == 503


def test_pages_of_strangers_do_not_get_in(ingest: Ingest) -> None:
    """Neither under a name of their own for this machine, nor from a browser that has them open; a named one may."""
    body, page = json.dumps({"kind": "copy"}).encode(), "https://shop.example"
    settings = Settings(home=ingest.settings.home, kafka=ingest.settings.kafka, door=DoorSettings(origins=(page,)))
    with open_door(settings) as door:
        feedback_ = f"{door}/v1/feedback"
        assert ask(feedback_, body, host="evil.example")[0] == 421
        assert ask(feedback_, body, origin="https://evil.example")[0] == 403
        assert ask(feedback_, body, sec_fetch_site="cross-site")[0] == 403
        status, _, headers = ask(feedback_, body, origin=page, sec_fetch_site="cross-site")
        assert (status, headers["access-control-allow-origin"]) == (200, page)
        assert "content-security-policy" in headers


def promoted(sequence: int, model: str) -> Decision:
    """A decision after which a model serves."""
    candidate = make_candidate(model, "http://127.0.0.1:9/v1")
    return Decision(
        id=event_id(500 + sequence), time=datetime(2026, 1, 5, tzinfo=UTC), application="support-bot",
        action="promoted", candidate=candidate, champion=candidate, sequence=sequence,
        former=make_candidate(f"before {model}", "http://127.0.0.1:9/v1"),
    )  # fmt: skip


def test_the_champion_is_told_as_it_was_signed(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """Newest decision first, 304 while it is the same, forged ones never; the SDK checks the signature and follows."""
    url = f"{door}/v1/champion/support-bot"
    eventually(lambda: ask(url)[0] == 404)
    signer = signer_of(ingest.settings)
    for sequence, model, key in ((1, "bot-1", signer), (2, "bot-2", signer), (3, "evil", None)):
        with EventProducer(ingest.settings.kafka, signer=key) as producer:
            producer.send(promoted(sequence, model))
    eventually(lambda: ask(url)[0] == 200 and ask(url)[1]["champion"]["model"] == "bot-2")

    _, _, headers = ask(url)
    assert ask(url, if_none_match=headers["etag"])[0] == 304
    champion = fly.Champion(
        "support-bot", "old", url=door, trusted_keys=signer.public_key, state_dir=tmp_path / "s", poll_s=0.1
    )
    eventually(lambda: champion.model == "bot-2")
    with EventProducer(ingest.settings.kafka, signer=signer) as producer:
        producer.send(promoted(4, "bot-4"))
    eventually(lambda: champion.model == "bot-4")
    assert champion.former["model"] == "before bot-4"
    champion.close()


def test_the_sdk_sends_through_the_door(ingest: Ingest, door: str, tmp_path: Path) -> None:
    """Interaction and feedback, by the real protocol on both sides."""
    assert fly.init("shop", door, token=token(ingest, "shop"), state_dir=tmp_path / "state")
    try:
        with fly.conversation("c-1", user_id="u-1"), fly.interaction(model="m", messages="Is it ripe?") as turn:
            turn.output("Not yet.")
        fly.thumb(up=False, comment="too slow")
        assert fly.flush(30)
    finally:
        end()

    ingest.archive()
    (row,) = ingest.ask("SELECT id, application, conversation_id FROM interactions")
    assert (row["id"], row["application"], row["conversation_id"]) == (turn.id, "shop", "c-1")
    assert sorted(row["kind"] for row in ingest.ask("SELECT kind FROM feedback")) == ["comment", "thumb"]


def test_a_door_that_is_killed_loses_and_doubles_nothing(ingest: Ingest, tmp_path: Path) -> None:
    """Kill -9 in the midst of traffic, and another door on the same port: what was not acknowledged comes again."""
    port = free_port()
    environment = {
        **os.environ, "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_DOOR_PORT": str(port), "FLYWHEEL_HOME": str(tmp_path / "home"),
    }  # fmt: skip

    def opened() -> subprocess.Popen[bytes]:
        started = subprocess.Popen([sys.executable, "-m", "streams", "door"], env=environment)
        eventually(lambda: answers(f"http://127.0.0.1:{port}/ready"))
        return started

    door = opened()
    assert fly.init("shop", f"http://127.0.0.1:{port}", state_dir=tmp_path / "state")
    made = []
    try:
        for n in range(600):
            with fly.interaction(model="m", messages=f"question {n}") as turn:
                turn.output("x")
            made.append(turn.id)
            time.sleep(0.002)
            if n in {150, 400}:
                door.kill()
                door.wait()
                door = opened()
        assert fly.flush(60)
    finally:
        end()
        door.terminate()
        door.wait(30)

    ingest.archive()
    assert sorted(row["id"] for row in ingest.ask("SELECT id FROM interactions")) == sorted(made)


def answers(url: str) -> bool:
    """Whether the door is ready."""
    try:
        return ask(url)[0] == 200
    except OSError:
        return False


def test_a_device_that_was_offline_loses_and_doubles_nothing(ingest: Ingest, tmp_path: Path) -> None:
    """A day in files, then half by `flywheel replay` and all by the door, with the door shut on the first try."""
    spool, copy = tmp_path / "spool", tmp_path / "copy.jsonl"
    assert fly.init("shop", f"file://{spool}", state_dir=tmp_path / "state")
    try:
        made = []
        for n in range(300):
            with fly.conversation(f"c-{n % 7}"), fly.interaction(model="m", messages=f"question {n}") as turn:
                turn.output("x")
            made.append(turn.id)
            fly.thumb(up=True)
        assert fly.flush(30)
    finally:
        end()
    shutil.copy(next(spool.glob("*.jsonl")), copy)
    command = [str(ROOT / ".venv/bin/flywheel"), "--home", str(tmp_path / "home"), "replay", str(copy)]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers, "PATH": "/usr/bin:/bin"}
    subprocess.run(command, check=True, timeout=120, env=environment)

    assert sdk_command(["forward", str(spool), f"http://127.0.0.1:{free_port()}"]) == 2
    with open_door(ingest.settings) as door:
        assert sdk_command(["forward", str(spool), door]) == 0

    assert not list(spool.iterdir())
    ingest.archive()
    ids = [row["id"] for row in ingest.ask("SELECT DISTINCT id FROM interactions")]
    assert sorted(ids) == sorted(made)
    assert ingest.ask("SELECT count(DISTINCT id) AS n FROM feedback") == [{"n": 300}]
