"""The events: what happens in production, and what the flywheel decides.

Each event is one small frozen value. Field names are OpenTelemetry GenAI attribute names without their prefix
(`gen_ai.request.model` is `request_model`). Old consumers survive new producers: unknown fields are kept by the codec.
Go on to `schemas/codec.py` for bytes ⇄ event and to `schemas/records.py` for what is concluded from events.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.kinds import KINDS, Kind
from schemas.secrets import encoded
from schemas.unit import unit_of

MAX_TEXT = 1_000_000
"""Characters in one text field: with a 1 MiB event limit nothing longer can arrive whole."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
"""An identifier that somebody else made: never part of a path or a table name."""
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
"""Held by `check_id`, which says which field is wrong; UUIDv7 recommended: ids that grow with time cluster in files."""
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Instant = Annotated[datetime, Meta(tz=True)]
"""An RFC 3339 time with its offset; a time without one is refused."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
"""A JSON-safe count: beyond 2^53 producers in other languages lose digits."""
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Score = Annotated[float, Meta(ge=-1e15, le=1e15)]


UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_is_uuid = re.compile(UUID).fullmatch
YEARS = range(1970, 9999)
"""Years of an event's time: beyond them some tool or other cannot write the date."""


def check_id(value: str, field: str = "id") -> None:
    """Raise ValueError unless `value` is a UUID in canonical lower-case form (UUIDv7 recommended)."""
    if not _is_uuid(value):
        raise ValueError(f"{field} must be a UUID in lower-case canonical form, got {value[:64]!r}")


def check_head(event: Any) -> None:
    """Raise ValueError unless the event's id is a UUID and its time one that every tool can write."""
    check_id(event.id)
    if event.time.year not in YEARS:
        raise ValueError(f"time must lie between the years 1970 and 9998, got {event.time.year}")


class Headed(Struct, frozen=True, kw_only=True):
    """What all events have in common: an `id` and a `time`, checked when the value is made."""

    def __post_init__(self) -> None:
        """Refuse what a type cannot say."""
        check_head(self)


class ToolFunction(Struct, frozen=True, omit_defaults=True):
    """The function that a tool call names."""

    name: str
    arguments: str = ""
    """JSON text as OpenAI sends it."""


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """A call that the model asks for, in OpenAI's form."""

    function: ToolFunction
    id: str | None = None
    type: str | None = "function"


class Message(Struct, frozen=True, omit_defaults=True):
    """One message, in any of the dialects that `schemas/messages` reads.

    Nothing in it is a reason to refuse an interaction but that it cannot be told whose it is: what a dialect has
    beyond these fields is kept, and so is what these fields hold.
    """

    role: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    content: Text | bool | float | list[Any] | dict[str, Any] | None = None
    """Text, or parts: OpenAI's, Anthropic's, Bedrock's, or plain texts."""
    parts: Any = None
    """OpenTelemetry's (`{"type": "text", "content": …}`) or Gemini's (`{"text": …}`)."""
    name: Any = None
    tool_calls: Any = None
    """OpenAI's (see `ToolCall`) or LangChain's (`{"name", "args", "id"}`)."""
    tool_call_id: Any = None
    refusal: Any = None
    function_call: Any = None
    """OpenAI's single call of old: `{"name", "arguments"}`."""
    audio: Any = None
    type: Any = None
    """What the item is, where it has no role: the Responses API's `function_call`, …; LangChain's `human`, …"""
    call_id: Any = None
    arguments: Any = None
    input: Any = None
    output: Any = None
    """With `call_id`, `arguments` and `input`: of items of the Responses API."""
    message: Any = None
    """The message itself, where it comes wrapped: a choice, or OpenInference's."""
    message_role: Any = msgspec.field(default=None, name="message.role")
    """OpenInference's attributes, flat."""
    data: Any = None
    kwargs: Any = None
    """LangChain's, dumped."""

    def __post_init__(self) -> None:
        """Refuse a message that is nobody's."""
        if not any((self.role, self.type, self.parts, self.message, self.message_role)):
            raise ValueError("role is missing (docs/contracts.md has the forms that are read)")


class PlainMessage(Struct, frozen=True):
    """What nearly every message is: text under a role, or calls with their arguments as text. See `schemas/rows.py`."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: Text | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None


class RoledMessage(Struct, frozen=True):
    """What most other messages are: under a role, in parts, or with calls in any form. See `schemas/rows.py`."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: Text | bool | float | list[Any] | dict[str, Any] | None = None
    parts: Any = None
    name: Any = None
    tool_calls: Any = None
    tool_call_id: Any = None
    refusal: Any = None
    function_call: Any = None
    audio: Any = None


class Interaction(Headed, frozen=True, kw_only=True, omit_defaults=True):
    """One request to an LLM application and its response."""

    id: Id
    """UUID made by the producer (UUIDv7 recommended); the same id twice is one event."""
    time: Instant
    """When the request began."""
    application: Name
    """The name under which all that one application does and hears is counted."""
    conversation_id: Name
    """Interactions that belong together; the Kafka key."""
    user_id: Name | None = None
    """The person, pseudonymous if you can; the unit of train/eval splits and of erasure."""
    operation_name: str | None = "chat"
    """What was asked for: `chat`, `text_completion`, `generate_content`, …"""
    provider_name: str | None = None
    """Who serves the model: `openai`, `anthropic`, …"""
    request_model: Name
    """The model that was asked for."""
    response_model: str | None = None
    """The model that answered, where the provider says so."""
    response_id: str | None = None
    """The id that the provider's response carries; the interaction's own id may be made of it."""
    prompt_version: str | None = None
    """Which version of the prompt was in use, in words of your own."""
    variant: str | None = None
    """The arm of an A/B test or canary that served this request."""
    input_messages: Annotated[list[Message], Meta(min_length=1, max_length=10_000)]
    """The conversation up to the request, oldest first, in any of the dialects."""
    output_messages: Annotated[list[Message], Meta(max_length=10_000)] | None = []
    """What was answered, a message a choice. Empty when the request failed."""
    system_instructions: Text | list[Any] | None = None
    """The system prompt, where it is no message: text, or OpenTelemetry's parts, archived as their text, and as they
    came in `extra`."""
    tool_definitions: list[dict[str, Any]] | None = None
    """The tools that the model could call, best in OpenAI's form."""
    request_parameters: dict[str, Any] | None = None
    """temperature, top_p, max_tokens, seed, …"""
    finish_reasons: Annotated[list[str | None], Meta(max_length=100)] | None = []
    """Why each choice ended: `stop`, `length`, `tool_calls`, …"""
    error_type: str | None = None
    """Set when the request failed: an HTTP status, an exception's name, `timeout`."""
    input_tokens: Count | None = None
    """Tokens of the request, as the provider counts them."""
    output_tokens: Count | None = None
    """Tokens of the response, as the provider counts them."""
    duration_ms: Amount | None = None
    """Milliseconds from the request to the end of the response."""
    time_to_first_chunk_ms: Amount | None = None
    """Milliseconds from the request to the first part of a streamed response."""
    cost_usd: Amount | None = None
    """What the request cost, in US dollars."""
    training_consent: bool | None = None
    """False: never in a dataset. None: the setting `curate.consent` decides."""
    trace_id: str | None = None
    """The distributed trace that the request was part of: W3C's, 32 hexadecimal digits in lower case."""
    span_id: str | None = None
    """The request's own span in that trace: 16 hexadecimal digits in lower case."""
    parent_span_id: str | None = None
    """The span that made the request: that of an agent's step, of a chain or of a web request."""


class Feedback(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Anything that says how good one interaction was."""

    id: Id
    """UUID made by the producer (UUIDv7 recommended); the same id twice is one event."""
    time: Instant
    """When it was said, done or measured."""
    application: Name
    """The application of the interaction that it is about."""
    conversation_id: Name
    """The conversation of that interaction; the Kafka key. Where it is not known, the interaction's id."""
    interaction_id: Id
    """The interaction that it is about. May arrive before the interaction itself, or days later."""
    kind: Kind
    """What was said, done or found; it decides which other fields are needed."""
    source: Name = "user"
    """Who says it: `user`, `judge:NAME`, `guardrail:NAME`, `reviewer:NAME`, `rule:NAME`."""
    user_id: Name | None = None
    """The person who said it, under the same name as in the interaction."""
    value: Annotated[float, Meta(ge=0, le=1)] | None = None
    """0 is bad, 1 is good. thumb: 0 or 1. rating: `(stars - 1) / (max - 1)`. Verdicts: 1 passes, 0 fails."""
    label: str | None = None
    """kind `label`: its name; guardrails: the category; escalate: the queue; reviewer: `random` where it was asked
    blind and in random order, `adjudicated` where others' words were seen."""
    text: Text | None = None
    """comment: what was said. correction: the answer as it should have been, or the calls of tools, as a JSON list of
    `{"name", "arguments"}`. Verdicts: the reason."""
    replaced_by: Id | None = None
    """regenerate, retry: the id of the interaction that answered instead."""
    supersedes: Id | None = None
    """The id of an earlier feedback event that this one replaces: of the same `source` and user, on the same
    interaction; else it replaces nothing."""
    retracts: Id | None = None
    """The id of an earlier feedback event that is taken back; this event says nothing itself."""
    score: Score | None = None
    """The number as its source measured it, on its own scale: a guard's probability, a judge's 7 of 10. Kept to be
    looked at; only `value` decides."""
    target: str | None = None
    """What a verdict is about: `input`, `output`, `retrieval`, `tool_call`, …; the output where nothing is said."""
    action: str | None = None
    """What was done about it: `allow`, `block`, `modify`, `escalate`, …"""

    @property
    def speaker(self) -> tuple[str, str]:
        """Source and unit: only the same ones, on the same interaction, may supersede or retract what they said."""
        return self.source, unit_of(self.user_id, self.conversation_id)

    def __post_init__(self) -> None:
        """Refuse what a type cannot say."""
        check_head(self)
        check_id(self.interaction_id, "interaction_id")
        for field in ("replaced_by", "supersedes", "retracts"):
            if (value := getattr(self, field)) is not None:
                check_id(value, field)
        if self.retracts is not None:
            return
        needs = KINDS[self.kind].needs
        if needs == "value" and self.value is None:
            raise ValueError(f"value is required for kind {self.kind!r}: a number from 0 (bad) to 1 (good)")
        if self.kind == "thumb" and self.value not in {0.0, 1.0}:
            raise ValueError(f"value of a thumb must be 0 or 1, got {self.value}")
        if needs == "text" and not (self.text or "").strip():
            raise ValueError(f"text is required for kind {self.kind!r}")
        if needs == "label" and not self.label:
            raise ValueError(f"label is required for kind {self.kind!r}")


class Erasure(Headed, frozen=True, kw_only=True, omit_defaults=True):
    """A person's wish to be forgotten."""

    id: Id
    """UUID made by the producer; the same id twice is one event."""
    time: Instant
    """When it was asked for: what the person says afterwards is a new start."""
    subject: Name
    """The `user_id` whose rows are to go."""
    application: str | None = None
    """None: in every application."""
    requested_by: str | None = None
    """Who passed the wish on."""
    reason: str | None = None
    """Why, in their words; kept with the erasure."""


class Candidate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Model + prompt version + parameters + endpoint that wants to become champion."""

    id: Name
    """Content hash of the fields below (see `schemas.records.candidate_id`)."""
    model: Name
    """Its name at the endpoint."""
    endpoint: Name
    """Base URL of an OpenAI-compatible API, up to and with `/v1`."""
    prompt_version: str | None = None
    """The version of the prompt that it is served with."""
    prompt_messages: Annotated[list[dict[str, Any]], Meta(max_length=1000)] = []
    """What that version says before the conversation: a system message, and examples of how to answer."""
    parameters: dict[str, Any] = {}
    """Sent with each request: temperature, top_p, …"""
    dataset: str | None = None
    """The dataset version that it was trained on, where known."""


class Decision(Headed, frozen=True, kw_only=True, omit_defaults=True):
    """One row of the promotion ledger, announced on `llm.decisions`."""

    id: Id
    """UUID of the row; the same id twice is one decision."""
    time: Instant
    """When it was decided."""
    application: Name
    """Whose champion it is; the Kafka key."""
    action: Literal["registered", "promoted", "held", "rolled_back"]
    """What was decided."""
    candidate: Candidate
    """Whom the decision is about."""
    champion: Candidate | None = None
    """Who serves from now on: each decision is enough for a listener that knows nothing else."""
    verdict: str = ""
    """promote, block or inconclusive; empty for a registration."""
    reasons: list[str] = []
    """Each of the gate's questions with its answer, in sentences."""
    evidence: dict[str, str] = {}
    """Hashes and ids of what was decided on: dataset, scores, comparison, policy, code."""
    decided_by: str = "flywheel"
    """The gate (`flywheel`), or the person who decided."""
    sequence: Count = 0
    """Position in the application's ledger, from 0."""
    previous_hash: str = ""
    """`hash` of the application's row before this one."""
    hash: str = ""
    """SHA-256 over the row without this field, chained to `previous_hash`."""
    former: Candidate | None = None
    """Who served before the champion was promoted: applications may keep a share of their users there, for the watch
    to compare with. None: there is nobody to compare with, as after a first champion and after a rollback."""


class Alert(Headed, frozen=True, kw_only=True, omit_defaults=True):
    """What triage and the web app raise on `llm.alerts`."""

    id: Id
    """UUID of the alert; the same id twice is one alert."""
    time: Instant
    """The end of what was looked at."""
    application: Name
    """The application that is concerned; the Kafka key."""
    rule: Name
    """The rule that fired, e.g. `failure_rate`."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """How soon somebody should look; `info` ends an alert."""
    message: str
    """What happened, in a sentence."""
    model: str | None = None
    """Only this model is concerned; None: any."""
    prompt_version: str | None = None
    """Only this prompt version is concerned; None: any."""
    variant: str | None = None
    """Only this variant is concerned; None: any."""
    cluster_id: str | None = None
    """Only this cluster of failures is concerned; None: any."""
    values: dict[str, float] = {}
    """The numbers behind the message."""


Event = Interaction | Feedback | Erasure | Decision | Alert
EVENT_TYPES: dict[str, type[Event]] = {
    "llm.interaction.v1": Interaction,
    "llm.feedback.v1": Feedback,
    "llm.erasure.v1": Erasure,
    "llm.decision.v1": Decision,
    "llm.alert.v1": Alert,
}


def event_type(event: Event) -> str:
    """The CloudEvents type of an event value."""
    return next(name for name, cls in EVENT_TYPES.items() if isinstance(event, cls))


def to_json(value: Any) -> str:
    """Canonical JSON text: keys sorted, no spaces, UTC times; the same value gives the same bytes."""
    return msgspec.json.encode(value, order="sorted", enc_hook=encoded).decode()
