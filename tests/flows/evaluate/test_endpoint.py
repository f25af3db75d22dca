"""One request: what is sent, what comes back, and how failures are met."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest
from aiohttp import web

import llm_flywheel as fly
from flows.evaluate.answers import Answer
from flows.evaluate.endpoint import Client, Request, _retry_after, make_request, without
from flows.testing.endpoint import Endpoint
from schemas.errors import SettingsError
from schemas.events import Candidate
from schemas.messages import to_chat
from schemas.prompts import messages_of
from schemas.records import make_candidate
from schemas.settings import EvaluateSettings

HELLO = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]


def ask(settings: EvaluateSettings, *candidates: Candidate) -> list[Answer]:
    """The answers of some candidates, one after the other, over one client."""

    async def main() -> list[Answer]:
        async with Client(settings, seed=1) as client:
            return [await client.ask(make_request(c, HELLO, settings=settings)) for c in candidates]

    return asyncio.run(main())


def in_turn(*replies: Any) -> Any:
    """A reply function that gives each reply once, and the last one for ever."""
    waiting = list(replies)
    return lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def test_the_candidate_is_what_is_asked_for(endpoint: Any, quick: EvaluateSettings) -> None:
    """Model, parameters and messages travel as the OpenAI API has them; the prompt's name as a header."""
    endpoint.reply = lambda _: "hi"
    candidate = endpoint.candidate("m-1", prompt_version="v2", parameters={"temperature": 0, "model": "other"})

    (answer,) = ask(quick, candidate)

    assert answer.text == "hi"
    assert answer.duration_ms is not None
    assert answer.time_to_first_chunk_ms is None
    assert endpoint.seen == [{"model": "m-1", "temperature": 0, "messages": HELLO}]
    assert endpoint.headers[0]["x-prompt-version"] == "v2"


def test_arguments_of_earlier_calls_travel_as_text(quick: EvaluateSettings) -> None:
    """Items keep objects, the API takes text; what is text already is left as it is."""
    calls = [{"id": "c", "function": {"name": "f", "arguments": given}} for given in ({"b": 1, "a": 2}, "{odd")]
    candidate = make_candidate("m", "http://127.0.0.1:1/v1")

    body = make_request(candidate, [{"role": "assistant", "content": "", "tool_calls": calls}], settings=quick).body

    sent = json.loads(body)["messages"][0]["tool_calls"]
    assert [call["function"]["arguments"] for call in sent] == ['{"a":2,"b":1}', "{odd"]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_prompt_version_replaces_instructions_under_either_name(quick: EvaluateSettings, role: str) -> None:
    """A candidate is asked under its own instructions alone, whatever the old ones were called."""
    settings = msgspec.structs.replace(quick, prompts={"v2": "New."})
    candidate = make_candidate("m", "http://127.0.0.1:1/v1", prompt_version="v2")
    asked = [{"role": role, "content": "Old."}, {"role": "user", "content": "Hi"}]

    for messages in (asked, to_chat(asked)):
        sent = json.loads(make_request(candidate, messages, settings=settings).body)["messages"]
        assert sent == [{"role": "system", "content": "New."}, {"role": "user", "content": "Hi"}]


def test_a_prompt_version_replaces_the_system_message(endpoint: Any, quick: EvaluateSettings) -> None:
    """Where the settings hold a prompt version's text, the item is asked under that text."""
    settings = msgspec.structs.replace(quick, prompts={"v2": "Be brief."})

    ask(settings, endpoint.candidate(prompt_version="v2"), endpoint.candidate(prompt_version="v3"))

    first, second = (body["messages"] for body in endpoint.seen)
    assert first == [{"role": "system", "content": "Be brief."}, HELLO[1]]
    assert second == HELLO


FEW = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "2 and 2?"},
    {"role": "assistant", "content": "4"},
]


def test_a_prompt_version_may_bring_examples(endpoint: Any, quick: EvaluateSettings) -> None:
    """Instructions, examples, and then what was said: to whoever is asked, by the runner or by an application."""
    settings = msgspec.structs.replace(quick, prompts={"few": FEW})
    registered = endpoint.candidate(prompt_version="few", prompt_messages=FEW, parameters={"temperature": 0})

    ask(settings, endpoint.candidate(prompt_version="few", parameters={"temperature": 0}), registered)

    by_settings, by_itself = endpoint.seen
    assert by_settings == by_itself == fly.request(msgspec.to_builtins(registered), HELLO)
    assert by_itself["messages"] == [*FEW, HELLO[1]]


def test_what_a_candidate_was_registered_with_stands(endpoint: Any, quick: EvaluateSettings) -> None:
    """Settings that say something else by now change nobody; with other messages it is another candidate."""
    settings = msgspec.structs.replace(quick, prompts={"few": "Be brief."})
    registered = endpoint.candidate(prompt_version="few", prompt_messages=FEW[1:])

    ask(settings, registered)

    assert endpoint.seen[0]["messages"] == [HELLO[0], *FEW[1:], HELLO[1]]
    assert registered.id != endpoint.candidate(prompt_version="few", prompt_messages=FEW).id
    assert make_candidate("m", "http://a/v1").id == make_candidate("m", "http://a/v1", prompt_messages=[]).id


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ([], "each entry is a message"),
        ([{"role": "user"}, {}], "each entry is a message"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "each entry is a message"),
        ([{"role": "system", "content": "x" * 70_000}], "give fewer examples"),
        ([{"role": "user", "content": "2 and 2?"}], "must be answered"),
    ],
)
def test_a_prompt_that_is_none_is_refused(said: Any, wrong: str) -> None:
    """In a sentence that names the setting."""
    with pytest.raises(SettingsError, match=wrong):
        messages_of({"few": said}, "few")


def test_the_key_names_everything_that_is_sent(quick: EvaluateSettings) -> None:
    """Equal calls have one key; another model, prompt, parameter, endpoint or sample has another."""

    def request(sample: int = 0, endpoint: str = "http://127.0.0.1/v1", **fields: Any) -> Request:
        candidate = make_candidate(fields.pop("model", "m"), endpoint, **fields)
        return make_request(candidate, HELLO, settings=quick, sample=sample)

    different = [
        request(),
        request(sample=1),
        request(endpoint="http://127.0.0.1/v2"),
        request(model="n"),
        request(prompt_version="v"),
        request(parameters={"temperature": 1}),
    ]
    assert request().key == request(endpoint="http://127.0.0.1/v1/").key
    assert len({one.key for one in different}) == len(different)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (web.Response(status=429), "rate_limited"),
        (web.Response(status=409), "rate_limited"),
        (web.Response(status=500, text="x" * 10_000), "server_error"),
        (web.Response(text="<html>", content_type="text/html"), "not_json"),
        (ConnectionError(), "unreachable"),
    ],
    ids=["429", "409", "500", "html", "hangs-up"],
)
def test_what_may_pass_is_tried_again(endpoint: Any, quick: EvaluateSettings, reply: Any, reason: str) -> None:
    """As many tries as the settings say, then the reason; one good answer in between is the answer."""
    again = (lambda: web.Response(status=reply.status, body=reply.body)) if isinstance(reply, web.Response) else None
    endpoint.reply = lambda _: again() if again else reply
    (answer,) = ask(quick, endpoint.candidate())
    assert (answer.unscored, answer.tries, len(endpoint.seen)) == (reason, 3, 3)
    assert len(answer.detail) <= 200

    endpoint.reply = in_turn(again() if again else reply, "ok")
    (answer,) = ask(quick, endpoint.candidate())
    assert (answer.text, answer.tries) == ("ok", 2)


def test_every_try_of_a_request_has_its_key(endpoint: Any, quick: EvaluateSettings) -> None:
    """A gateway that honours `Idempotency-Key` can tell a second try from a second question."""
    endpoint.reply = lambda body: web.Response(status=500) if body["model"] == "down" else "ok"
    down, up = endpoint.candidate("down"), endpoint.candidate("up")

    ask(quick, down, up, up)

    keys = [headers["idempotency-key"] for headers in endpoint.headers]
    expected = [make_request(c, HELLO, settings=quick).key for c in (down, down, down, up, up)]
    assert keys == expected
    assert list(endpoint.paid) == expected[-1:]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (web.Response(status=400), "refused"),
        (web.Response(status=401), "refused"),
        (web.Response(status=302, headers={"location": "http://169.254.169.254/"}), "redirect"),
        ({"choices": None}, "malformed_answer"),
        (web.Response(body=b"x" * 2000), "too_large"),
    ],
    ids=["400", "401", "redirect", "malformed", "too-large"],
)
def test_what_cannot_pass_is_tried_once(endpoint: Any, quick: EvaluateSettings, reply: Any, reason: str) -> None:
    """The same request would fail the same way, perhaps for money; a redirect is never followed."""
    endpoint.reply = lambda _: reply

    (answer,) = ask(msgspec.structs.replace(quick, max_response_bytes=1000), endpoint.candidate())

    assert (answer.unscored, len(endpoint.seen)) == (reason, 1)


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        ("key sk-secret-1 is wrong", "key *** is wrong"),
        ("key sk-secr", "key ***"),
        ("key sk-secret-1, sk-se", "key ***, ***"),
        ("no key", "no key"),
        ("", ""),
    ],
)
def test_a_key_is_taken_out_of_what_was_seen(seen: str, kept: str) -> None:
    """Whole, or the beginning of it where an excerpt ends."""
    assert without("sk-secret-1", seen) == kept


def test_a_compressed_answer_is_not_unpacked(endpoint: Any, quick: EvaluateSettings) -> None:
    """Nobody asked for compression; ten bytes that become a gigabyte are ten bytes of nonsense."""
    endpoint.reply = lambda _: web.Response(body=b"\x1f\x8b" + b"0" * 10, headers={"content-encoding": "gzip"})

    assert ask(quick, endpoint.candidate())[0].unscored == "not_json"


def test_slowness_is_a_timeout(endpoint: Any, quick: EvaluateSettings) -> None:
    """An answer that does not come in time is none."""
    endpoint.delay_s = 1.0

    (answer,) = ask(msgspec.structs.replace(quick, timeout_s=0.1, tries=1), endpoint.candidate())

    assert (answer.unscored, answer.output) == ("timeout", None)


def test_nobody_at_home_is_unreachable(quick: EvaluateSettings) -> None:
    """A closed port, and a name that does not exist."""
    answers = ask(quick, make_candidate("m", "http://127.0.0.1:9/v1"), make_candidate("m", "http://nobody.invalid/v1"))

    assert [answer.unscored for answer in answers] == ["unreachable", "unreachable"]


def test_an_undeclared_private_name_is_forbidden_at_the_connection(endpoint: Any, quick: EvaluateSettings) -> None:
    """A name is checked by the address that it leads to at that moment."""
    settings = msgspec.structs.replace(quick, private_endpoints=())

    (answer,) = ask(settings, make_candidate("m", f"http://localhost:{endpoint.port}/v1"))

    assert (answer.unscored, endpoint.seen) == ("forbidden_address", [])


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 429, "message": "upstream is rate limited"}},
        {"choices": [{"error": {"code": 502}, "message": {"content": ""}, "finish_reason": "error"}]},
        {"error": "the engine is overloaded, try again"},
    ],
    ids=str,
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_inside_a_200_is_tried_again(
    endpoint: Any, quick: EvaluateSettings, body: dict[str, Any], stream: bool
) -> None:
    """A gateway that answered is not the model that answered: the third try is, and no empty answer is scored."""
    bad = Endpoint.sse(body) if stream else web.json_response(body)
    endpoint.reply = in_turn(bad, web.Response(body=bad.body, content_type=bad.content_type), "hi")

    (answer,) = ask(quick, endpoint.candidate())

    assert (answer.text, answer.tries, len(endpoint.seen)) == ("hi", 3, 3)


@pytest.mark.parametrize("headers", [{"retry-after": "0.2"}, {"retry-after-ms": "200"}, {"retry-after": " 0 "}])
def test_a_wait_in_any_form_is_no_failed_try(endpoint: Any, quick: EvaluateSettings, headers: dict[str, str]) -> None:
    """Three times told to come back, with two tries to spend: it waits, and the fourth time is answered."""
    endpoint.reply = in_turn(*(web.Response(status=429, headers=headers) for _ in range(3)), "hi")

    (answer,) = ask(msgspec.structs.replace(quick, tries=2), endpoint.candidate())

    assert (answer.text, len(endpoint.seen)) == ("hi", 4)


def test_retry_after_holds_back_every_request_to_the_endpoint(endpoint: Any, quick: EvaluateSettings) -> None:
    """[429 for a second, then ok]: whoever comes next waits as well, up to the longest wait that is allowed."""
    endpoint.reply = in_turn(web.Response(status=429, headers={"retry-after": "1"}), "ok")
    begin = time.monotonic()

    async def main() -> list[Answer]:
        settings = msgspec.structs.replace(quick, retry_after_max_s=0.5)
        async with Client(settings, seed=1) as client:
            first = asyncio.create_task(client.ask(make_request(endpoint.candidate(), HELLO, settings=settings)))
            await asyncio.sleep(0.2)
            late = await client.ask(make_request(endpoint.candidate("n"), HELLO, settings=settings))
            return [await first, late]

    answers = asyncio.run(main())

    assert [(answer.text, answer.tries) for answer in answers] == [("ok", 1), ("ok", 1)]
    assert len(endpoint.seen) == 3
    assert time.monotonic() - begin >= 0.5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        (None, None),
        ("-5", None),
        ("1.5", 1.5),
        (" 0.25 ", 0.25),
        ("1,5", None),
        ("inf", None),
        ("nan", None),
        ("1e3", None),
        ("1.5.5", None),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", 0.0),
        ("Wed Oct 21 07:28:00 2015", 0.0),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    """Seconds or a date; anything else is as if it were not there."""
    assert _retry_after(value) == seconds


def test_whoever_is_asked_now_and_then_is_not_silent_between(endpoint: Any, quick: EvaluateSettings) -> None:
    """A judge that waited for others' answers and is late once is asked again: only what is unanswered is silence."""
    settings = msgspec.structs.replace(quick, timeout_s=0.3, tries=2, give_up_after=10**6)

    endpoint.reply = lambda _: "ok"

    async def main() -> list[str | None]:
        async with Client(settings, seed=1) as client:
            first = await client.ask(make_request(endpoint.candidate(), HELLO, settings=settings))
            await asyncio.sleep(0.7)
            endpoint.delay_s = 60.0
            asyncio.get_running_loop().call_later(0.2, setattr, endpoint, "delay_s", 0.0)
            second = await client.ask(make_request(endpoint.candidate(), HELLO, settings=settings, sample=1))
            return [first.unscored, second.unscored, second.text]

    assert asyncio.run(main()) == [None, None, "ok"]


def test_an_endpoint_that_always_fails_is_given_up(endpoint: Any, quick: EvaluateSettings) -> None:
    """After enough failures in a row nothing more is sent to it; another endpoint is asked as before."""
    endpoint.reply = lambda body: "ok" if body["model"] == "good" else web.Response(status=500)
    bad = [make_candidate("bad", endpoint.url.replace("127.0.0.1", "localhost"))] * 5
    settings = msgspec.structs.replace(quick, give_up_after=2, tries=2)

    answers = ask(settings, *bad, endpoint.candidate("good"))

    assert [answer.unscored for answer in answers] == ["server_error"] * 2 + ["endpoint_down"] * 3 + [None]
    assert len(endpoint.seen) == 5
    assert answers[2].tries == 0


def test_a_stream_gives_the_time_to_the_first_token(endpoint: Any, quick: EvaluateSettings) -> None:
    """The same answer as without, and the time that a user waits for its beginning."""
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in ("Hel", "lo")]
    usage = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    endpoint.reply = lambda _: endpoint.sse(*chunks, usage, "[DONE]")

    (answer,) = ask(msgspec.structs.replace(quick, stream=True), endpoint.candidate())

    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("Hello", 4, 2)
    assert answer.time_to_first_chunk_ms is not None
    assert answer.duration_ms is not None
    assert 0 < answer.time_to_first_chunk_ms <= answer.duration_ms
    assert endpoint.seen[0]["stream_options"] == {"include_usage": True}


def test_a_server_that_does_not_stream_is_understood(endpoint: Any, quick: EvaluateSettings) -> None:
    """A whole answer to a request for a stream is an answer, without a time to the first token."""
    endpoint.reply = lambda _: "whole"

    (answer,) = ask(msgspec.structs.replace(quick, stream=True), endpoint.candidate())

    assert (answer.text, answer.time_to_first_chunk_ms) == ("whole", None)


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "unreachable"),
        (b"\x00\xff" * 100, "unreachable"),
        (OK + b"x: " + b"y" * 100_000 + b"\r\n\r\n", "unreachable"),
        (OK + b"content-length: 100\r\n\r\n{}", "unreachable"),
        (OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "unreachable"),
        (OK + b"content-length: 2\r\n\r\n{}", "malformed_answer"),
        (OK + b"content-length: 99999999999\r\n\r\n" + b" " * 5000, "too_large"),
        (b"HTTP/1.1 429 X\r\nretry-after: 9e99\r\ncontent-length: 0\r\n\r\n", "rate_limited"),
        (b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n", "server_error"),
        (b"", "unreachable"),
    ],
    ids=["ssh", "noise", "header", "short", "chunk", "no-choices", "long", "odd-retry-after", "odd-status", "silence"],
)
def test_what_hardly_is_http_is_named_too(quick: EvaluateSettings, raw: bytes, reason: str) -> None:
    """A port may belong to anything; whatever bytes it sends make a reason, never an exception."""

    async def main() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        settings = msgspec.structs.replace(quick, tries=2, max_response_bytes=1000)
        candidate = make_candidate("m", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        async with server, Client(settings, seed=1) as client:
            return await client.ask(make_request(candidate, HELLO, settings=settings))

    assert asyncio.run(main()).unscored == reason
