"""Every way to call a vendor's client, each saying its own name.

Run by tests/sdk/test_vendors.py in an environment of its own, as `vendor_calls.py VENDOR ENDPOINT SPOOL STATE`; prints
what the application got, by name. With `off` for the spool nothing is captured.
"""

# ruff: noqa: PLC0415, T201  the clients are there in some environments only; its output is its result

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import llm_flywheel as fly

GOT: dict[str, Any] = {}
URL = sys.argv[2]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def ask(name: str, **more: Any) -> dict[str, Any]:
    """A request that says its name."""
    return {"model": "m1", "messages": [{"role": "user", "content": name}], **more}


def took(name: str, value: Any) -> None:
    """What the application got from a call."""
    GOT[name] = value


def failing(name: str, call: Callable[[], Any]) -> None:
    """A call that raises in the application's face."""
    try:
        call()
        took(name, "no error")
    except Exception as error:
        took(name, type(error).__name__)


async def afailing(name: str, call: Any) -> None:
    """The same, awaited."""
    try:
        await call
        took(name, "no error")
    except Exception as error:
        took(name, type(error).__name__)


def openai_sync() -> None:
    """Chat completions."""
    import httpx_or as httpx
    import openai
    from pydantic import BaseModel

    class Day(BaseModel):
        day: str

    client = openai.OpenAI(api_key="k", base_url=URL + "/v1", max_retries=0)
    chat = client.chat.completions
    took("create", chat.create(**ask("create", temperature=0.5, seed=7, user="u-9")).choices[0].message.content)
    took("two", len(chat.create(**ask("two", n=2)).choices))
    took("extra", chat.create(**ask("extra"), extra_body={"top_k": 3}).choices[0].message.content)
    reply = chat.create(**ask("tool please", tools=[TOOL]))
    took("tool please", reply.choices[0].message.tool_calls[0].function.arguments)
    messages = [{"role": "user", "content": "tool please"}, reply.choices[0].message]
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": "tool result"})
    took("tool result", chat.create(model="m1", messages=messages, tools=[TOOL]).choices[0].message.content)
    stream = chat.create(**ask("stream"), stream=True)
    ids = {fly.last_id() for chunk in stream if (chunk.choices, True)[1]}
    took("stream", [type(stream).__name__, len(ids)])
    usage = chat.create(**ask("stream usage"), stream=True, stream_options={"include_usage": True})
    took("stream usage", "".join(c.choices[0].delta.content or "" for c in usage if c.choices))
    calls = chat.create(**ask("stream tool please", tools=[TOOL]), stream=True)
    took("stream tool please", len([*calls]))
    with chat.create(**ask("closed early"), stream=True) as stream:
        next(stream), next(stream)
    took("closed early", True)
    stream = chat.create(**ask("left alone"), stream=True)
    next(stream)
    del stream
    gc.collect()
    chat.create(**ask("never read"), stream=True)
    gc.collect()
    took("cut stream", len([*chat.create(**ask("cut stream"), stream=True)]))
    failing("explode", lambda: [*chat.create(**ask("explode"), stream=True)])
    failing("boom", lambda: chat.create(**ask("boom")))
    failing("boom stream", lambda: chat.create(**ask("boom stream"), stream=True))
    failing("busy", lambda: chat.create(**ask("busy")))
    took(
        "busy again",
        client.with_options(max_retries=5).chat.completions.create(**ask("busy again")).choices[0].message.content,
    )
    failing("slow", lambda: client.with_options(timeout=0.2).chat.completions.create(**ask("slow")))
    failing(
        "refused",
        lambda: openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9/v1", max_retries=0).chat.completions.create(
            **ask("refused")
        ),
    )
    raw = chat.with_raw_response.create(**ask("raw"))
    took("raw", [raw.parse().choices[0].message.content, json.loads(raw.text)["object"]])
    raw = chat.with_raw_response.create(**ask("raw stream"), stream=True)
    took("raw stream", len([*raw.parse()]))
    with chat.with_streaming_response.create(**ask("streamed body")) as body:
        took("streamed body", body.json()["object"])
    with chat.with_streaming_response.create(**ask("streamed parse")) as body:
        took("streamed parse", body.parse().choices[0].message.content)
    with chat.with_streaming_response.create(**ask("streamed lines"), stream=True) as body:
        took("streamed lines", sum(line.startswith("data:") for line in body.iter_lines()))
    with chat.with_streaming_response.create(**ask("streamed unread")) as body:
        took("streamed unread", body.status_code)
    parse = getattr(chat, "parse", None) or client.beta.chat.completions.parse
    took("parse", parse(**ask("parse"), response_format=Day).choices[0].message.parsed.day)
    helper = getattr(chat, "stream", None) or client.beta.chat.completions.stream
    with helper(**ask("helper")) as events:
        took("helper", [*events][-1].type)
    took("raw post", client.post("/chat/completions", cast_to=httpx.Response, body=ask("raw post")).json()["object"])
    took("not chat", [client.embeddings.create(model="m", input="not chat").model, [*client.models.list()]])


def openai_responses() -> None:
    """The Responses API."""
    import openai

    client = openai.OpenAI(api_key="k", base_url=URL + "/v1", max_retries=0)
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}
    took("response", client.responses.create(model="m1", input="response", instructions="Be kind.").output_text)
    items: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "response tool please"}]}]
    reply = client.responses.create(model="m1", input=items, tools=[tool])
    took("response tool please", reply.output[0].arguments)
    items += [reply.output[0], {"type": "function_call_output", "call_id": "call_1", "output": "response result"}]
    took("response result", client.responses.create(model="m1", input=items, tools=[tool]).output_text)
    took("response stream", len([*client.responses.create(model="m1", input="response stream", stream=True)]))
    took("response cut", len([*client.responses.create(model="m1", input="response cut", stream=True)]))
    with client.responses.stream(model="m1", input="response helper") as events:
        took("response helper", [*events][-1].type)
    failing("response boom", lambda: client.responses.create(model="m1", input="response boom"))
    took("background", client.responses.create(model="m1", input="background", background=True).status)


async def openai_async() -> None:
    """Awaited."""
    import openai

    client = openai.AsyncOpenAI(api_key="k", base_url=URL + "/v1", max_retries=0)
    chat = client.chat.completions
    async with fly.conversation("async-talk", user_id="u-1"):
        took("acreate", (await chat.create(**ask("acreate"))).choices[0].message.content)
        fly.thumb(up=True)
    stream = await chat.create(**ask("astream"), stream=True)
    took("astream", [type(stream).__name__, len([chunk async for chunk in stream])])
    stream = await chat.create(**ask("aclosed early"), stream=True)
    async for _ in stream:
        break
    await stream.close()
    stream = await chat.create(**ask("aleft alone"), stream=True)
    del stream
    gc.collect()
    async with (getattr(chat, "stream", None) or client.beta.chat.completions.stream)(**ask("ahelper")) as events:
        took("ahelper", [event.type async for event in events][-1])
    await afailing("aboom", chat.create(**ask("aboom")))
    await afailing("acancelled", asyncio.wait_for(chat.create(**ask("acancelled slow")), 0.2))
    raw = await chat.with_raw_response.create(**ask("araw"))
    took("araw", json.loads(raw.text)["object"])
    async with chat.with_streaming_response.create(**ask("astreamed lines"), stream=True) as body:
        took("astreamed lines", len([line async for line in body.iter_lines() if line.startswith("data:")]))
    async with chat.with_streaming_response.create(**ask("astreamed body")) as body:
        took("astreamed body", (await body.json())["object"])
    took("aresponse", (await client.responses.create(model="m1", input="aresponse")).output_text)
    replies = await asyncio.gather(*(chat.create(**ask(f"gather {n}")) for n in range(10)))
    took("gather", len(replies))
    await client.close()


def anthropic_sync() -> None:
    """Messages."""
    import anthropic

    client = anthropic.Anthropic(api_key="k", base_url=URL, max_retries=0)
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}

    def ask_(name: str, **more: Any) -> dict[str, Any]:
        return ask(name, max_tokens=99, **more)

    talk = client.messages
    took("create", talk.create(**ask_("create", system="Be kind.", metadata={"user_id": "u-9"})).content[0].text)
    reply = talk.create(**ask_("tool please", tools=[tool], system=[{"type": "text", "text": "Be brief."}]))
    took("tool please", reply.content[1].input)
    messages = [
        {"role": "user", "content": "tool please"}, {"role": "assistant", "content": reply.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "tool result"}]},
    ]  # fmt: skip
    took("tool result", talk.create(model="m1", max_tokens=99, messages=messages, tools=[tool]).content[0].text)
    stream = talk.create(**ask_("stream"), stream=True)
    took("stream", [type(stream).__name__, len([*stream])])
    took("stream tool please", len([*talk.create(**ask_("stream tool please", tools=[tool]), stream=True)]))
    with talk.stream(**ask_("helper")) as events:
        took("helper", "".join(events.text_stream))
    with talk.stream(**ask_("helper tool please", tools=[tool])) as events:
        took("helper tool please", events.get_final_message().stop_reason)
    with talk.stream(**ask_("closed early")) as events:
        next(iter(events.text_stream))
    took("cut stream", len([*talk.create(**ask_("cut stream"), stream=True)]))
    failing("explode", lambda: [*talk.create(**ask_("explode"), stream=True)])
    failing("boom", lambda: talk.create(**ask_("boom")))
    failing("slow", lambda: client.with_options(timeout=0.2).messages.create(**ask_("slow")))
    took("raw", json.loads(talk.with_raw_response.create(**ask_("raw")).http_response.text)["type"])
    with talk.with_streaming_response.create(**ask_("streamed body")) as body:
        took("streamed body", body.json()["type"])
    took("beta", client.beta.messages.create(**ask_("beta"), betas=["x"]).content[0].text)


async def anthropic_async() -> None:
    """Awaited."""
    import anthropic

    client = anthropic.AsyncAnthropic(api_key="k", base_url=URL, max_retries=0)
    talk = client.messages
    took("acreate", (await talk.create(**ask("acreate", max_tokens=9))).content[0].text)
    stream = await talk.create(**ask("astream", max_tokens=9), stream=True)
    took("astream", [type(stream).__name__, len([event async for event in stream])])
    async with talk.stream(**ask("ahelper", max_tokens=9)) as events:
        took("ahelper", await events.get_final_text())
    await afailing("aboom", talk.create(**ask("aboom", max_tokens=9)))
    await client.close()


def wrapped(vendor: str) -> None:
    """One client alone, and its copies; other clients of the same kind are left alone."""
    import importlib

    module = importlib.import_module(vendor)
    kind = module.OpenAI if vendor == "openai" else module.Anthropic
    options = {"api_key": "k", "base_url": URL + ("/v1" if vendor == "openai" else ""), "max_retries": 0}
    client, other = fly.wrap(fly.wrap(kind(**options))), kind(**options)

    def call(of: Any, name: str) -> Any:
        talk = of.chat.completions if vendor == "openai" else of.messages
        return talk.create(**ask(name, max_tokens=9))

    call(client, "wrapped")
    call(client.with_options(timeout=5), "wrapped copy")
    call(other, "not wrapped")
    fly.instrument(vendor)
    call(client, "wrapped once")
    call(kind(**options), "instrumented")


def main() -> None:
    """All calls of a vendor."""
    vendor, _, spool, state = sys.argv[1:]
    if spool == "off":
        fly.instrument = lambda *_: []
    else:
        assert fly.init("app", f"file://{spool}", state_dir=state)
    sys.modules["httpx_or"] = __import__("httpx2" if find_spec("httpx2") else "httpx")
    wrapped(vendor)
    versions = fly.instrument(vendor)
    if vendor == "openai":
        openai_sync()
        openai_responses()
        asyncio.run(openai_async())
    else:
        anthropic_sync()
        asyncio.run(anthropic_async())
    assert spool == "off" or fly.flush(), fly.stats()
    print(json.dumps({"versions": versions, "got": GOT, "stats": fly.stats()}))


if __name__ == "__main__":
    main()
