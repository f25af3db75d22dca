"""LiteLLM's proxy: every call captured, and the champion followed, by one callback in the proxy's own process.

    # config.yaml of the proxy
    model_list:
      - {model_name: champion, litellm_params: {model: openai/gpt-5-mini, api_key: os.environ/CHAMPION_API_KEY}}
    litellm_settings:
      callbacks: ["llm_flywheel.litellm.logger"]

Applications ask for the model `champion`; a promotion takes hold between two calls, with no database and no restart.
FLYWHEEL_APPLICATION, FLYWHEEL_URL and FLYWHEEL_TRUSTED_KEYS say the rest, as for `llm_flywheel.init`. The id of an
interaction is made of the response's, so that a call that the application's own SDK captures too is one event.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from llm_flywheel import client, feedback
from llm_flywheel.champion import Champion
from llm_flywheel.counts import log
from llm_flywheel.plain import get
from llm_flywheel.prompts import with_prompt
from llm_flywheel.turn import Turn
from llm_flywheel.vendors import anthropic_messages, openai_chat, openai_responses

CALLS = frozenset({
    "completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses", "anthropic_messages",
})  # fmt: skip
"""Call types that are one call to a model; embeddings, images and the rest are none."""
ALIAS = "champion"
KEY = "CHAMPION_API_KEY"
"""The variable that holds the key of the champion's endpoint."""
AGAIN_S = 30.0
"""Before a move that failed is tried again."""
NO_PARAMETERS = frozenset({"user", "tools", "stream", "stream_options", "extra_body", "metadata"})
REDACTED = "redacted-by-litellm"
PASSED, FAILED = frozenset({"success"}), frozenset({"guardrail_intervened", "blocked"})
"""What LiteLLM says of a guardrail that could decide; any other status has measured nothing."""


def capture(payload: Mapping[str, Any]) -> str | None:
    """Send one call, LiteLLM's `standard_logging_object`; its interaction's id, None where it is none.

    A request that the proxy itself refused never reached a model, and is none.
    """
    failed = payload.get("status") == "failure"
    error = payload.get("error_information") or {}
    if payload.get("call_type") not in CALLS or not payload.get("messages"):
        return None
    if failed and not get(error, "llm_provider"):
        return None
    turn = Turn(_request(payload))
    if failed:
        turn.end(str(get(error, "error_class") or get(error, "error_code") or "error"))
    else:
        _answered(turn, payload)
        turn.end()
    for each in payload.get("guardrail_information") or []:
        _verdict(each, turn)
    return turn.id


def _request(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The event's fields as they are known before the answer."""
    said = get(payload.get("metadata"), "requester_metadata") or {}
    began, ended = _seconds(payload.get("startTime")), _seconds(payload.get("endTime"))
    first = _seconds(payload.get("completionStartTime")) if payload.get("stream") else None
    parameters = payload.get("model_parameters") or {}
    messages = payload["messages"]
    fields = {
        "time": datetime.fromtimestamp(began, timezone.utc).isoformat() if began else None,
        "conversation_id": payload.get("trace_id"),
        "user_id": payload.get("end_user"),
        "request_model": payload.get("model_group") or payload.get("model"),
        "provider_name": payload.get("custom_llm_provider"),
        "prompt_version": get(said, "prompt_version"),
        "variant": get(said, "variant"),
        "input_messages": messages if isinstance(messages, list) else [{"role": "user", "content": messages}],
        "tool_definitions": get(parameters, "tools"),
        "request_parameters": {name: each for name, each in dict(parameters).items() if name not in NO_PARAMETERS},
        "duration_ms": (ended - began) * 1000 if began and ended else None,
        "time_to_first_chunk_ms": (first - began) * 1000 if began and first else None,
        "cost_usd": payload.get("response_cost") or None,
        "litellm_call_id": payload.get("litellm_call_id"),
        "litellm_model_id": payload.get("model_id"),
        "training_consent": False if _is_redacted(messages) else get(said, "training_consent"),
    }
    return {name: each for name, each in fields.items() if each not in (None, "")}


def _answered(turn: Turn, payload: Mapping[str, Any]) -> None:
    """The answer in whichever form the client asked for."""
    reply = payload.get("response") or {}
    if get(reply, "output") is not None:
        openai_responses.answered(turn, reply)
    elif get(reply, "type") == "message":
        anthropic_messages.answered(turn, reply)
    else:
        openai_chat.answered(turn, reply)
    # To the client the model is called by its alias; the deployment's own name says which it was.
    turn.set(response_model=str(payload.get("model") or "").rpartition("/")[2] or None)


def _verdict(guardrail: Any, turn: Turn) -> None:
    status, name = str(get(guardrail, "guardrail_status")), str(get(guardrail, "guardrail_name") or "litellm")
    if status in PASSED | FAILED:
        feedback.guardrail(name, status in PASSED, interaction=turn.id)


def _is_redacted(messages: Any) -> bool:
    """Whether LiteLLM was told to log no messages."""
    return isinstance(messages, list) and any(get(each, "content") == REDACTED for each in messages)


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


class Follower:
    """Moves an alias of the proxy's router to whoever is champion."""

    def __init__(self, champion: Champion, alias: str = ALIAS) -> None:
        self._champion, self._alias = champion, alias
        self._moved: dict[str, Any] = {}
        self._not_before = 0.0

    def follow(self, router: Any) -> bool:
        """Before a call is routed, in the proxy's own loop: whether the alias was moved. Never raises."""
        current = self._champion.current
        if current is self._moved or router is None or not current.get("id") or time.monotonic() < self._not_before:
            return False
        try:
            self._move(router, current)
        except Exception as error:
            log.error("llm_flywheel: the alias %s stays where it is: %r", self._alias, error)
            self._not_before = time.monotonic() + AGAIN_S
            return False
        self._moved = current
        return True

    def prompted(self, data: Any) -> None:
        """Put the champion's prompt before the messages of a request to the alias."""
        prompt = self._moved.get("prompt_messages")
        if prompt and get(data, "model") == self._alias and isinstance(data.get("messages"), list):
            data["messages"] = with_prompt(data["messages"], prompt)

    def _move(self, router: Any, champion: dict[str, Any]) -> None:
        from litellm.types.router import Deployment, LiteLLM_Params, ModelInfo

        serving = str(champion["id"])
        parameters = LiteLLM_Params(
            **{**(champion.get("parameters") or {}), "model": f"openai/{champion['model']}",
               "api_base": champion["endpoint"], "api_key": os.environ.get(KEY) or "none"},
        )  # fmt: skip
        before = [str(get(each["model_info"], "id")) for each in router.model_list if each["model_name"] == self._alias]
        router.upsert_deployment(
            Deployment(model_name=self._alias, litellm_params=parameters, model_info=ModelInfo(id=serving))
        )
        for each in before:
            if each != serving:
                router.delete_deployment(id=each)
        log.warning("llm_flywheel: %s is %s now", self._alias, champion["model"])


def make_logger(alias: str = ALIAS) -> Any:
    """LiteLLM's callback: begins to capture, by the environment, and to follow the champion."""
    from litellm.integrations.custom_logger import CustomLogger

    if client.client() is None:
        client.init()
    follower = Follower(Champion(), alias)

    class FlywheelLogger(CustomLogger):  # type: ignore[misc,unused-ignore]
        """See the module."""

        async def async_pre_call_hook(self, *_: Any, data: Any = None, **__: Any) -> Any:
            """Called before each request is routed: the alias follows the champion."""
            from litellm.proxy import proxy_server

            follower.follow(proxy_server.llm_router)
            follower.prompted(data)
            return data

        async def async_log_success_event(self, kwargs: Any, *_: Any, **__: Any) -> None:
            """A call has been answered, a streamed one to its end."""
            _captured(kwargs)

        async def async_log_failure_event(self, kwargs: Any, *_: Any, **__: Any) -> None:
            """A call has failed."""
            _captured(kwargs)

    return FlywheelLogger()


def _captured(kwargs: Any) -> None:
    try:
        capture(kwargs["standard_logging_object"])
    except Exception as error:
        client.failed(error)


_made: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    """`logger`, made when LiteLLM asks for it: importing this module neither needs LiteLLM nor connects to anything."""
    if name != "logger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _made:
        _made[name] = make_logger()
    return _made[name]
