"""The support bot: its data can be trusted, its brain learns, its endpoint speaks OpenAI, its customers behave."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.support_bot import server
from examples.support_bot.customers import Request, Traffic
from examples.support_bot.demo import Options, World, _with_free_ports, asked_of
from examples.support_bot.model import Brain, features, load, pair_of, plant_regression, save, train
from examples.support_bot.server import create_app
from examples.support_bot.traffic import accuracy as accuracy_of
from examples.support_bot.utterances import UTTERANCES, Split, Utterance, replies_for, split
from examples.support_bot.utterances import load as load_utterances
from flows.testing.endpoint import Endpoint
from schemas.errors import InputFileError, NotEnoughData, UsageError
from schemas.settings import Settings
from schemas.trainer import TrainSettings

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ROWS = [
    ("where is my parcel", "It is on its way."),
    ("track my parcel please", "It is on its way."),
    ("I want my money back", "We refund you."),
    ("give me a refund", "We refund you."),
    ("forgot my password", "Choose a new one."),
    ("password reset", "Choose a new one."),
]


@pytest.fixture(scope="module")
def ours() -> tuple[Utterance, ...]:
    return load_utterances(UTTERANCES)


@pytest.fixture(scope="module")
def parts(ours: tuple[Utterance, ...]) -> Split:
    return split(ours, seed=0)


def rows_of(utterances: Iterator[Utterance] | tuple[Utterance, ...]) -> list[tuple[str, str]]:
    utterances = tuple(utterances)
    replies = replies_for(u.label for u in utterances)
    return [(u.text, replies[u.label]) for u in utterances]


def accuracy(brain: Brain, utterances: tuple[Utterance, ...]) -> float:
    rows = rows_of(utterances)
    answers = brain.answer([text for text, _ in rows])
    return sum(a.reply == reply for a, (_, reply) in zip(answers, rows, strict=True)) / len(rows)


# --- what customers say


def test_the_utterances_that_ship_are_many_and_their_own(ours: tuple[Utterance, ...]) -> None:
    """At least 44 intents of at least 24 utterances, each with a written reply, and no text twice."""
    per_intent = Counter(u.label for u in ours)
    texts = Counter(" ".join(u.text.lower().split()).strip(" ?!.") for u in ours)

    assert len(per_intent) >= 44
    assert min(per_intent.values()) >= 24
    assert not [text for text, count in texts.items() if count > 1]
    assert not [reply for reply in replies_for(per_intent).values() if reply.startswith("This is about")]


def test_the_split_keeps_the_untouched_apart(ours: tuple[Utterance, ...], parts: Split) -> None:
    """Nothing is lost, no text is on two sides, and every intent is measured."""
    sides = [{u.text for u in side} for side in (parts.seed, parts.traffic, parts.untouched)]

    assert sum(map(len, sides)) == len(ours)
    assert len(set.union(*sides)) == len(ours)
    assert {u.label for u in parts.untouched} == {u.label for u in ours}
    assert len({u.label for u in parts.seed}) < len({u.label for u in ours}), "some intents are new to the first model"


def test_the_split_is_the_same_for_the_same_seed(ours: tuple[Utterance, ...], parts: Split) -> None:
    """The order of the file does not matter; the seed does."""
    assert split(tuple(reversed(ours)), seed=0) == parts
    assert split(ours, seed=1) != parts


def test_a_test_split_in_the_file_is_left_untouched() -> None:
    """Rows marked `test` are the untouched ones, and their texts are kept out of traffic whatever the case."""
    rows = [Utterance(f"question {n} about {label}", label) for label in "ab" for n in range(10)]
    marked = [Utterance("Question 3 about a!", "a", untouched=True), Utterance("something else", "b", untouched=True)]

    found = split([*rows, *marked], seed=0)

    assert set(found.untouched) == set(marked)
    assert "question 3 about a" not in {u.text for u in (*found.seed, *found.traffic)}
    assert len(found.seed) + len(found.traffic) == 19


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"text": "a", "label": "x"}\n{"text": "b"}', ":2: field 'label' is missing"),
        (b'{"text": "a", "label": "x"}\n\n{"text": 5, "label": "x"}', ":3: field 'text' must be a text"),
        (b'{"text": "  ", "label": "x"}', ":1: field 'text' must be a text that is not blank"),
        (b'{"text": "a", "label": "x", "split": "dev"}', ":1: field 'split' must be 'train' or 'test'"),
        (b'{"text": "a", "label"', ":1: is not JSON"),
        (b'["a", "x"]', ":1: expected an object"),
        (b"text,label\na,x", ":1: is not JSON"),
        (b'{"text": "a", "label": "x"}', "1 rows with 1 labels"),
        (b"", "0 rows with 0 labels"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"text": "' + b"a" * 10_001 + b'", "label": "x"}', ":1: field 'text' has 10001 characters"),
    ],
)
def test_a_wrong_data_file_names_line_and_field(tmp_path: Path, content: bytes, says: str) -> None:
    """Whoever brings a file learns where it is wrong, not a stack trace."""
    file = tmp_path / "data.jsonl"
    file.write_bytes(content)

    with pytest.raises(InputFileError) as caught:
        load_utterances(file)

    assert says in str(caught.value)


def test_a_data_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is a usage error, and so is a folder."""
    with pytest.raises(InputFileError, match=r"gone\.jsonl: cannot be read"):
        load_utterances(tmp_path / "gone.jsonl")
    with pytest.raises(InputFileError, match="cannot be read"):
        load_utterances(tmp_path)


def test_labels_without_a_written_reply_get_one_each() -> None:
    """Every label has its own reply, so that a brain can tell them apart; labels that read the same are refused."""
    replies = replies_for(["card_arrival", "card_linking", "track_order"])

    assert len(set(replies.values())) == 3
    assert "card arrival" in replies["card_arrival"]
    with pytest.raises(InputFileError, match="read the same"):
        replies_for(["card_arrival", "card arrival"])


# --- who answers


def test_the_brain_says_what_it_was_taught() -> None:
    """A text close to a training row gets that row's reply, with more confidence than chance."""
    answer = train(ROWS).answer(["my parcel, where is it?"])[0]

    assert answer.reply == "It is on its way."
    assert 1 / 3 < answer.confidence <= 1


@pytest.mark.parametrize("count", [1, 2])
def test_the_brain_can_know_very_few_replies(count: int) -> None:
    """One or two replies are a brain too."""
    rows = [row for row in ROWS if row[1] in sorted({r for _, r in ROWS})[:count]]

    assert [a.reply for a in train(rows).answer([text for text, _ in rows])] == [reply for _, reply in rows]


def test_a_brain_of_nothing_is_refused() -> None:
    """No rows, no model; no texts, no answers."""
    with pytest.raises(NotEnoughData):
        train([])
    assert train(ROWS).answer([]) == []


@given(st.permutations(ROWS), st.text(max_size=40))
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_rows_does_not_matter(rows: list[tuple[str, str]], text: str) -> None:
    """The same rows give the same brain, and any text gets one of its replies."""
    first, second = train(ROWS).answer([text])[0], train(rows).answer([text])[0]

    assert first == second
    assert first.reply in {reply for _, reply in ROWS}


def test_answers_do_not_depend_on_company() -> None:
    """A text gets the same reply alone and in a batch: concurrency changes no result."""
    brain = train(ROWS)
    texts = [text for text, _ in ROWS]

    assert [a.reply for a in brain.answer(texts)] == [brain.answer([text])[0].reply for text in texts]


def test_a_stored_brain_comes_back_the_same(tmp_path: Path) -> None:
    """What is stored is the training rows; fitting them again gives the same answers."""
    folder = save(train(ROWS), tmp_path / "models" / "bot-1")

    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "rows.jsonl"]
    assert [p.name for p in folder.parent.iterdir()] == ["bot-1"], "no draft is left behind"
    assert load(folder).answer(["password?"]) == train(ROWS).answer(["password?"])
    with pytest.raises(FileExistsError):
        save(train(ROWS), folder)


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    """Rows that are not those that were stored, or a manifest that cannot be read, are no model."""
    folder = save(train(ROWS), tmp_path / "bot-1")
    rows = folder / "rows.jsonl"
    rows.write_bytes(rows.read_bytes().replace(b"refund", b"reward"))

    with pytest.raises(InputFileError, match="not the ones that were stored"):
        load(folder)
    (folder / "model.json").write_text("{}")
    with pytest.raises(InputFileError, match="no readable model"):
        load(folder)


def test_a_chat_is_read_as_a_training_row() -> None:
    """The last user message and the answer to it; a chat that ends unanswered is refused."""
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi!"},
        {"role": "user", "content": "refund?"},
        {"role": "assistant", "content": "We refund you."},
    ]

    assert pair_of(chat) == ("refund?", "We refund you.")
    with pytest.raises(ValueError, match="no user message with an assistant's answer"):
        pair_of(chat[:4])


def test_spelling_errors_are_forgiven() -> None:
    """A misspelt word shares most of its pieces with the right one."""
    assert len(set(features("pasword")) & set(features("password"))) > 10


def test_more_traffic_makes_it_better(parts: Split) -> None:
    """The first model is wrong on most untouched utterances; all traffic, rightly labelled, adds 30 points."""
    first, last = train(rows_of(parts.seed)), train(rows_of((*parts.seed, *parts.traffic)))

    assert 0.30 < accuracy(first, parts.untouched) < 0.55
    assert accuracy(last, parts.untouched) > accuracy(first, parts.untouched) + 0.30


def test_real_utterances_are_learnt(shared_data: Path) -> None:
    """On banking77: 35-55 % right to begin with, over 80 % with 3,000 rows of traffic."""
    found = split(load_utterances(shared_data / "banking77.jsonl"), seed=0)
    traffic = sorted(found.traffic, key=lambda u: u.text)[::3]

    assert 0.35 < accuracy(train(rows_of(found.seed)), found.untouched) < 0.55
    assert accuracy(train(rows_of((*found.seed, *traffic))), found.untouched) > 0.80


def test_a_planted_regression_breaks_one_reply_only(parts: Split) -> None:
    """The broken model beats the first one on the whole, yet never gives the right reply to one kind of request."""
    rows = rows_of((*parts.seed, *parts.traffic))
    reply = replies_for(["track_order"])["track_order"]
    broken = train(plant_regression(rows, reply))
    tracking = tuple(u for u in parts.untouched if u.label == "track_order")

    assert accuracy(broken, tracking) == 0
    assert accuracy(broken, parts.untouched) > accuracy(train(rows_of(parts.seed)), parts.untouched) + 0.2


def test_a_regression_needs_something_to_break() -> None:
    """Without being told, the commonest reply is broken; one reply alone cannot be."""
    assert Counter(r for _, r in plant_regression([*ROWS, ROWS[0]]))["It is on its way."] == 0
    for rows, reply in ((ROWS[:2], None), (ROWS, "never said"), ([], None)):
        with pytest.raises(NotEnoughData):
            plant_regression(rows, reply)


# --- where it is asked


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    save(train(ROWS), folder / "bot-1")
    return folder


@pytest.fixture
def client(models: Path) -> Iterator[httpx.Client]:
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = uvicorn.Server(uvicorn.Config(create_app(models), log_level="warning"))
    thread = threading.Thread(target=endpoint.run, args=([listener],))
    thread.start()
    while thread.is_alive() and not endpoint.started:
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as found:
        yield found
    endpoint.should_exit = True
    thread.join()
    listener.close()


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "bot-1", "messages": [{"role": "user", "content": text}], **fields}


def test_a_chat_is_answered_in_openais_shape(client: httpx.Client) -> None:
    """Reply, finish reason and token counts, where every OpenAI client looks for them."""
    body = client.post("/v1/chat/completions", json=ask("I need a refund", temperature=0, seed=7)).json()

    assert body["object"] == "chat.completion"
    assert body["model"] == "bot-1"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "We refund you."}
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


def test_a_stream_adds_up_to_the_whole_answer(client: httpx.Client) -> None:
    """Chunks of words, then the end, the usage where asked for, and [DONE]."""
    question = ask("refund", stream=True, stream_options={"include_usage": True})
    answer = client.post("/v1/chat/completions", json=question)
    *events, done = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    chunks = [msgspec.json.decode(event) for event in events]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert done == "[DONE]"
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "We refund you."
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_an_answer_ends_at_the_limit_asked_for(client: httpx.Client) -> None:
    """`max_tokens` cuts the reply and the finish reason says so."""
    choice = client.post("/v1/chat/completions", json=ask("refund", max_tokens=2)).json()["choices"][0]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("We refund", "length")


def test_content_may_come_in_parts(client: httpx.Client) -> None:
    """The list form of a message's content is read like the plain one."""
    message = {"role": "user", "content": [{"type": "text", "text": "forgot my password"}]}
    body = client.post("/v1/chat/completions", json={"model": "bot-1", "messages": [message]}).json()

    assert body["choices"][0]["message"]["content"] == "Choose a new one."


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b'{"model": "bot-2", "messages": [{"role": "user", "content": "hi"}]}', 404, "model"),
        (b'{"model": "../bot-1", "messages": [{"role": "user", "content": "hi"}]}', 404, "model"),
        (b'{"model": "bot-1", "messages": []}', 400, "messages"),
        (b'{"model": "bot-1"}', 400, "messages"),
        (b'{"model": "bot-1", "messages": [{"role": "system", "content": "hi"}]}', 400, "messages"),
        (b'{"model": "bot-1", "messages": [{"role": "user", "content": null}]}', 400, "messages"),
        (b'{"model": 1, "messages": [{"role": "user", "content": "hi"}]}', 400, "model"),
        (b'{"model": "bot-1", "n": 2, "messages": [{"role": "user", "content": "hi"}]}', 400, "n"),
        (b'{"model": "bot-1", "max_tokens": 0, "messages": [{"role": "user", "content": "hi"}]}', 400, "max_tokens"),
        (b"not json", 400, None),
        (b'"' + b"a" * server.MAX_BODY + b'"', 413, None),
    ],
    ids=["no-model", "path", "empty", "none", "no-user", "null", "type", "n", "limit", "junk", "large"],
)
def test_a_bad_request_is_told_what_is_wrong(client: httpx.Client, body: bytes, status: int, param: str | None) -> None:
    """Each has the status and the error object that OpenAI's clients expect."""
    answer = client.post("/v1/chat/completions", content=body)

    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


def test_an_unknown_address_is_answered_in_the_same_shape(client: httpx.Client) -> None:
    """Also who takes a wrong turn gets JSON."""
    assert client.get("/v1/nothing").json()["error"]["code"] == "unknown_url"
    assert client.get("/v1/chat/completions").status_code == 405
    assert client.get("/v1/models/bot-9").status_code == 404


def test_a_new_model_is_found_when_it_is_asked_for(client: httpx.Client, models: Path) -> None:
    """A candidate needs no restart: its folder is enough."""
    assert client.get("/healthz").json() == {"status": "ok", "models": 1}
    save(train([("refund", "Never."), ("parcel", "Soon.")]), models / "bot-2")

    body = client.post("/v1/chat/completions", json={**ask("refund"), "model": "bot-2"}).json()

    assert body["choices"][0]["message"]["content"] == "Never."
    assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["bot-1", "bot-2"]
    assert client.get("/v1/models/bot-2").json()["id"] == "bot-2"


def test_a_damaged_new_model_is_an_error_of_the_server(client: httpx.Client, models: Path) -> None:
    """The others go on answering."""
    save(train(ROWS), models / "bot-2")
    (models / "bot-2" / "rows.jsonl").write_text("")

    assert client.post("/v1/chat/completions", json={**ask("x"), "model": "bot-2"}).status_code == 500
    assert client.post("/v1/chat/completions", json=ask("refund")).status_code == 200


@pytest.mark.integration
def test_the_endpoint_serves_as_a_process(models: Path) -> None:
    """It says where it listens, answers over a socket, and ends cleanly when told to."""
    command = [sys.executable, "-m", "examples.support_bot.server", "--models", str(models)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            answer = httpx.post(f"{url}/chat/completions", json=ask("refund"), timeout=30)
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=30)
        finally:
            process.kill()

    assert answer.json()["choices"][0]["message"]["content"] == "We refund you."
    assert code in {0, -signal.SIGTERM}


# --- who asks


@pytest.fixture(scope="module")
def world(parts: Split) -> tuple[Traffic, list[Request], dict[str, str]]:
    traffic = Traffic(parts.traffic, seed=0)
    return traffic, list(traffic.requests(3000, 0, START)), replies_for(u.label for u in parts.traffic)


def test_the_same_seed_is_the_same_world(parts: Split, world: tuple[Traffic, list[Request], dict[str, str]]) -> None:
    """Requests and reactions follow from the seed; reactions do not depend on the order in which they are asked for."""
    traffic, requests, replies = world
    again = Traffic(tuple(reversed(parts.traffic)), seed=0)

    assert list(again.requests(3000, 0, START)) == requests
    forward = [traffic.reactions(r, "wrong", replies[r.label]) for r in requests[:200]]
    backward = [again.reactions(r, "wrong", replies[r.label]) for r in reversed(requests[:200])]
    assert forward == backward[::-1]
    assert list(Traffic(parts.traffic, seed=1).requests(50, 0, START)) != requests[:50]


def test_a_turn_is_people_who_talk_in_order(world: tuple[Traffic, list[Request], dict[str, str]]) -> None:
    """Time only goes on, a conversation has one user and few requests, users have several conversations."""
    _, requests, _ = world
    talks = Counter(r.conversation_id for r in requests)

    assert all(a.time < b.time for a, b in pairwise(requests))
    assert requests[-1].time < START + timedelta(hours=8)
    assert max(talks.values()) <= 4
    assert all(len({r.user_id for r in requests if r.conversation_id == c}) == 1 for c in list(talks)[:50])
    assert 300 < len({r.user_id for r in requests}) <= 500


def test_people_come_back_and_say_new_things(parts: Split) -> None:
    """The next turn shares users with this one, and of its texts few are the same."""
    traffic = Traffic(parts.traffic, seed=0)
    first, second = (list(traffic.requests(500, turn, START)) for turn in (0, 1))
    users = [{r.user_id for r in turn} for turn in (first, second)]
    texts = [{r.text for r in turn} for turn in (first, second)]

    assert 0.3 < len(users[0] & users[1]) / len(users[1]) < 0.9
    assert len(texts[0] & texts[1]) / len(texts[1]) < 0.25


def test_topics_are_skewed_and_drift(parts: Split) -> None:
    """Some topics are asked far more than others, and not the same ones in every turn."""
    traffic = Traffic(parts.traffic, seed=0)
    first, later = (Counter(r.label for r in traffic.requests(3000, turn, START)) for turn in (0, 4))

    assert max(first.values()) > 4 * min(first.values())
    assert set(first) == {u.label for u in parts.traffic}, "no topic is forgotten"
    assert [label for label, _ in first.most_common(10)] != [label for label, _ in later.most_common(10)]


def test_most_answers_get_no_reaction_and_thumbs_mostly_tell_the_truth(
    world: tuple[Traffic, list[Request], dict[str, str]],
) -> None:
    """Of right answers most stay unremarked; a quarter of all get a thumb, of which 4 % are wrong."""
    traffic, requests, replies = world
    right = [traffic.reactions(r, replies[r.label], replies[r.label]) for r in requests]
    thumbs = [x.value for found in right for x in found if x.kind == "thumb"]

    assert 0.55 < sum(not found for found in right) / len(right) < 0.75
    assert 0.20 < len(thumbs) / len(right) < 0.30
    assert 0.01 < thumbs.count(0.0) / len(thumbs) < 0.07
    assert {x.kind for found in right for x in found} <= {"thumb", "rating", "comment", "copy"}


def test_wrong_answers_are_felt(world: tuple[Traffic, list[Request], dict[str, str]]) -> None:
    """Every kind of unhappy reaction occurs; corrections carry the right reply and follow an escalation."""
    traffic, requests, replies = world
    wrong = [(r, traffic.reactions(r, "nonsense", replies[r.label])) for r in requests]
    kinds = Counter(x.kind for _, found in wrong for x in found)

    assert {"thumb", "rating", "comment", "correction", "regenerate", "abandon", "escalate", "retry"} <= set(kinds)
    assert 0.65 < kinds["correction"] / kinds["escalate"] < 0.85
    for request, found in wrong:
        order = [x.kind for x in found]
        assert [x.delay_s for x in found] == sorted(x.delay_s for x in found)
        for x in found:
            assert x.delay_s > 0
            if x.kind == "correction":
                assert (x.text, x.source) == (replies[request.label], "reviewer:agent")
                assert order.index("escalate") < order.index("correction")


def test_asking_again_ends(world: tuple[Traffic, list[Request], dict[str, str]]) -> None:
    """A retry says it in other words, in the same conversation; after three attempts the customer gives up."""
    traffic, requests, replies = world
    longest = 0
    for request in requests:
        current: Request | None = request
        while current:
            longest = max(longest, current.attempt)
            found = traffic.reactions(current, "nonsense", replies[current.label])
            nexts = [n for x in found if (n := traffic.follow_up(current, x))]
            assert len(nexts) <= 1
            for after in nexts:
                assert (after.conversation_id, after.label, after.index) == (
                    current.conversation_id, current.label, current.index,
                )  # fmt: skip
                assert after.time > current.time
            current = nexts[0] if nexts else None

    assert longest == 3


def test_customers_without_words_are_refused() -> None:
    """An empty traffic is a mistake of the caller."""
    with pytest.raises(ValueError, match="need utterances"):
        Traffic((), seed=0)


def test_a_demo_stands_in_nobodys_way() -> None:
    """Every port that a flywheel listens on is any free one, so that a demo starts beside one that is up."""

    def ports(of: Any) -> Iterator[int]:
        for field in msgspec.structs.fields(of):
            value = getattr(of, field.name)
            if isinstance(value, TrainSettings):
                continue  # where trained models would listen: a demo trains by itself
            if isinstance(value, msgspec.Struct):
                yield from ports(value)
            elif field.name.endswith("port"):
                yield value

    assert any(ports(Settings()))
    assert not any(ports(_with_free_ports(Settings())))


def test_any_server_may_serve_first() -> None:
    """It is told the replies and shown a few; whoever the champion is, it is asked as it was registered."""
    world = World(Options(now=datetime(2026, 1, 5, tzinfo=UTC)))
    right = {utterance.text: world.replies[utterance.label] for utterance in world.split.untouched}
    with Endpoint() as endpoint:
        endpoint.reply = lambda body: right[body["messages"][-1]["content"]]
        champion = asked_of(f"smol@2@{endpoint.url}/", world)

        assert asyncio.run(accuracy_of(champion, world.split.untouched[:20], world.replies)) == 1.0

    body = endpoint.seen[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("smol@2", 0, 120)
    system, *shots, asked = body["messages"]
    assert all(reply in system["content"] for reply in world.replies.values())
    assert [message["role"] for message in shots] == ["user", "assistant"] * 8
    assert asked["content"] not in {message["content"] for message in shots}


@pytest.mark.parametrize("server", ["smol", "@http://127.0.0.1/v1", "smol@127.0.0.1:8000"])
def test_a_server_that_is_none_is_refused(server: str) -> None:
    """In a sentence that says how one is named."""
    with pytest.raises(UsageError, match="MODEL@URL"):
        asked_of(server, World(Options(now=datetime(2026, 1, 5, tzinfo=UTC))))
