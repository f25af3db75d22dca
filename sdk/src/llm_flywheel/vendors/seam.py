"""The vendor seam: one patch of `openai._base_client` and `anthropic._base_client` catches every call that they make.

Both clients come from one generator: every method of theirs, its helpers and raw variants end in `APIClient.request`.
That is private, so whatever is not as expected is left alone, and counted (`dropped_unsupported`).
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple, TypeVar

from llm_flywheel import client
from llm_flywheel.counts import log
from llm_flywheel.plain import get
from llm_flywheel.turn import Turn, error_name
from llm_flywheel.vendors import anthropic_messages, openai_chat, openai_responses
from llm_flywheel.vendors.stream import Watch

VENDORS = ("openai", "anthropic")
ROUTES: dict[str, Any] = {
    "/chat/completions": openai_chat,
    "/responses": openai_responses,
    "/v1/messages": anthropic_messages,
}
"""Path of a POST → the protocol that is spoken there."""
PROVIDERS = {
    "AzureOpenAI": "azure.ai.openai", "AsyncAzureOpenAI": "azure.ai.openai",
    "AnthropicBedrock": "aws.bedrock", "AsyncAnthropicBedrock": "aws.bedrock",
    "AnthropicVertex": "gcp.vertex_ai", "AsyncAnthropicVertex": "gcp.vertex_ai",
}  # fmt: skip
"""Client class → `gen_ai.provider.name`; any other is its module's name."""
T = TypeVar("T")
Method = Callable[..., Any]


class Call(NamedTuple):
    """A request under way."""

    turn: Turn
    protocol: Any
    streamed: bool


def instrument(*vendors: str) -> list[str]:
    """Capture every call of the openai and anthropic clients from now on; which were found, with their versions.

    Without names, those that are installed (which imports them). Twice does no harm; what it does not know it leaves
    alone and says so in the log.
    """
    done = []
    for vendor in vendors or VENDORS:
        try:
            if importlib.util.find_spec(vendor) is None:
                if vendors:
                    log.warning("llm_flywheel: %s is not installed", vendor)
                continue
            base = importlib.import_module(f"{vendor}._base_client")
            for kind in (base.SyncAPIClient, base.AsyncAPIClient):
                if not hasattr(kind.request, "_flywheel"):
                    kind.request = _watched(kind.request, _is_async(kind))
            done.append(f"{vendor} {importlib.import_module(vendor).__version__}")
        except Exception as error:
            log.warning("llm_flywheel: this %s client is of a kind that is not known: %r", vendor, error)
    return done


def wrap(vendor_client: T) -> T:
    """Capture the calls of this one client, and of copies made of it; returns it."""
    try:
        ours: Any = vendor_client
        if hasattr(ours.request, "_flywheel"):
            return vendor_client
        ours.request = MethodType(_watched(type(ours).request, _is_async(type(ours))), ours)
        for name in ("copy", "with_options"):
            setattr(ours, name, _wrapping(getattr(ours, name)))
    except Exception as error:
        log.warning("llm_flywheel: a client of a kind that is not known stays as it is: %r", error)
    return vendor_client


def _wrapping(method: Method) -> Method:
    @functools.wraps(method)
    def made(*args: Any, **options: Any) -> Any:
        return wrap(method(*args, **options))

    return made


def _is_async(kind: type) -> bool:
    """By the class: an async method behind a decorator is no coroutine function."""
    return any(base.__name__ == "AsyncAPIClient" for base in kind.__mro__)


def _watched(original: Method, is_async: bool) -> Method:
    @functools.wraps(original)
    def request(self: Any, *args: Any, **options: Any) -> Any:
        call = _begin(self, args, options)
        try:
            reply = original(self, *args, **options)
        except BaseException as error:
            _failed(call, error)
            raise
        _answered(call, reply)
        return reply

    @functools.wraps(original)
    async def arequest(self: Any, *args: Any, **options: Any) -> Any:
        call = _begin(self, args, options)
        try:
            reply = await original(self, *args, **options)
        except BaseException as error:
            _failed(call, error)
            raise
        _answered(call, reply)
        return reply

    watched: Any = arequest if is_async else request
    watched._flywheel = True  # noqa: SLF001 - our own mark
    return watched  # type: ignore[no-any-return]


def _begin(vendor: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Call | None:
    """The call, if it is of a kind that we know. `args` are `(cast_to, options, …)`."""
    try:
        if client.application() is None:
            return None
        options = given["options"] if "options" in given else args[1]
        protocol = ROUTES.get(str(options.url).partition("?")[0])
        if protocol is None or str(options.method).lower() != "post":
            return None
        body = options.json_data
        if not isinstance(body, dict):
            client.count("dropped_unsupported", f"a request body of {type(body).__name__}")
            return None
        body = {**body, **(get(options, "extra_json") or {})}
        fields = {name: each for name, each in protocol.request(_given(body)).items() if each not in (None, {}, [])}
        name = type(vendor).__name__
        fields["provider_name"] = PROVIDERS.get(name) or type(vendor).__module__.partition(".")[0]
        return Call(_turn(fields, protocol), protocol, bool(body.get("stream")))
    except Exception as error:
        client.failed(error)
        return None


def _turn(fields: dict[str, Any], protocol: Any) -> Turn:
    return Turn(fields, protocol.finish)


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """Without what the caller left out: the clients' sentinels for it."""
    return {name: each for name, each in body.items() if type(each).__name__ not in {"NotGiven", "Omit"}}


def _failed(call: Call | None, error: BaseException) -> None:
    if call is not None:
        call.turn.end(error_name(error))


def _answered(call: Call | None, reply: Any) -> None:
    """Take down a response; one that is still to be read is watched."""
    if call is None:
        return
    try:
        response = _unread(reply)
        if response is not None:
            Watch(*call).attach(response)
            return
        call.protocol.answered(call.turn, _whole(reply))
        if call.protocol is openai_responses and get(call.turn.event, "finish_reasons") == []:
            _background(call, reply)
            return
        call.turn.end()
    except Exception as error:
        client.failed(error)
        call.turn.end()


def _background(call: Call, reply: Any) -> None:
    """A response that the server goes on with: what it will say is fetched by a call that knows nothing of this one."""
    if get(reply, "status") in {"queued", "in_progress"}:
        client.count("dropped_unsupported", "a response in the background")
    else:
        call.turn.end()


def _unread(reply: Any) -> Any:
    """The HTTP response behind a reply, if its body is still to be read; None where the reply is whole."""
    response = get(reply, "http_response") or get(reply, "response") or reply
    if not hasattr(response, "iter_bytes") or not hasattr(response, "is_stream_consumed"):
        return None
    return None if hasattr(response, "_content") else response


def _whole(reply: Any) -> Any:
    """A reply as the protocol reads it: the client's object, or the JSON of a raw response."""
    response = get(reply, "http_response") or reply
    return json.loads(response._content) if hasattr(response, "_content") else reply  # noqa: SLF001 - read already
