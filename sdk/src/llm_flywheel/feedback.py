"""Feedback, one function a kind: what a person said, what a person did, what a guard or judge found.

Each is about the last interaction of this conversation, or about the one that is named: by its id (`interaction=`), or
by what a client still holds of the model's response (`response_id=`, and `created=` where that id is short). Each
returns the feedback's own id (None where it was dropped); keep it to take it back with `retract`, or to replace it with
`supersedes=`. Never raises, never sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_flywheel import client, context
from llm_flywheel.events import FEEDBACK, now
from llm_flywheel.ids import interaction_id, new_id
from llm_flywheel.plain import plain


def thumb(up: bool, *, comment: str | None = None, **about: Any) -> str | None:
    """A thumb up or down; a comment beside it is an event of its own."""
    said = _say("thumb", value=1.0 if up else 0.0, **about)
    if comment:
        _say("comment", text=comment, **{name: each for name, each in about.items() if name != "supersedes"})
    return said


def rating(stars: float, *, of: int = 5, **about: Any) -> str | None:
    """1 to `of` stars."""
    return _say("rating", value=(stars - 1) / (of - 1) if of > 1 else None, **about)


def comment(text: str, **about: Any) -> str | None:
    """What was said about it."""
    return _say("comment", text=text, **about)


def correction(text: str = "", *, tool_calls: Sequence[Any] | None = None, **about: Any) -> str | None:
    """The answer as it should have been: words, or calls of tools, `[{"name": "refund", "arguments": {"order": 7}}]`.

    Calls may be in OpenAI's form too, as its client has them; they travel as JSON in the event's text.
    """
    return _say("correction", text=text if tool_calls is None else tool_calls, **about)


def label(name: str, **about: Any) -> str | None:
    """A word out of your list: `wrong`, `off_topic` and so on."""
    return _say("label", label=name, **about)


def regenerate(old: str | None = None, new: str | None = None, **about: Any) -> str | None:
    """Somebody asked for another answer than `old`, and got `new` (ids of interactions)."""
    return _say("regenerate", **_about(old, about), replaced_by=new)


def retry(old: str | None = None, new: str | None = None, **about: Any) -> str | None:
    """Somebody asked the same again in other words."""
    return _say("retry", **_about(old, about), replaced_by=new)


def copy(**about: Any) -> str | None:
    """Somebody took the answer with them."""
    return _say("copy", **about)


def abandon(**about: Any) -> str | None:
    """Somebody left without an answer that helped."""
    return _say("abandon", **about)


def escalate(queue: str | None = None, **about: Any) -> str | None:
    """It was handed to a person."""
    return _say("escalate", label=queue, **about)


def guardrail(
    name: str,
    passed: bool,
    *,
    category: str | None = None,
    text: str | None = None,
    score: float | None = None,
    target: str | None = None,
    action: str | None = None,
    **about: Any,
) -> str | None:
    """A guardrail's verdict. Where it could not measure, say nothing.

    `score` is its own number, `target` what it looked at (`input`, `output`), `action` what it did (`block`, `modify`).
    """
    return _say(
        "guardrail", source=f"guardrail:{name}", value=float(passed), label=category, text=text,
        score=score, target=target, action=action, **about,
    )  # fmt: skip


def judge(name: str, score: float, *, text: str | None = None, **about: Any) -> str | None:
    """A judging model's score from 0 (bad) to 1 (good)."""
    return _say("judge", source=f"judge:{name}", value=score, text=text, **about)


def rule(name: str, passed: bool, *, text: str | None = None, **about: Any) -> str | None:
    """A rule's verdict: valid JSON, a forbidden word and so on."""
    return _say("rule", source=f"rule:{name}", value=float(passed), text=text, **about)


def reviewer(name: str, score: float, *, text: str | None = None, **about: Any) -> str | None:
    """An expert's score from 0 (bad) to 1 (good)."""
    return _say("reviewer", source=f"reviewer:{name}", value=score, text=text, **about)


def retract(feedback_id: str, kind: str = "thumb", **about: Any) -> str | None:
    """Take back an earlier feedback event of this kind, about the same interaction."""
    return _say(kind, retracts=feedback_id, **about)


def _about(old: str | None, about: dict[str, Any]) -> dict[str, Any]:
    return {**about, "interaction": old} if old is not None else about


def _say(
    kind: str,
    *,
    interaction: str | None = None,
    response_id: str | None = None,
    created: float | None = None,
    conversation: str | None = None,
    user_id: str | None = None,
    supersedes: str | None = None,
    **fields: Any,
) -> str | None:
    try:
        application = client.application()
        if application is None:
            return None
        if interaction is None and response_id is not None:
            interaction = interaction_id(application, response_id, created)
        place = _place(interaction, conversation, user_id)
        if place is None:
            client.count("dropped_no_target")
            return None
        weight = [300]
        event = plain(
            {
                "id": new_id(), "time": now(), "application": application, "interaction_id": place.interaction_id,
                "conversation_id": place.conversation_id, "user_id": place.user_id, "kind": kind,
                "supersedes": supersedes, **fields,
            },
            weight,
        )  # fmt: skip
        return str(event["id"]) if client.emit(FEEDBACK, event, weight[0]) else None
    except ValueError as error:
        client.count("dropped_no_target", error)
    except Exception as error:
        client.failed(error)
    return None


def _place(interaction: str | None, conversation: str | None, user_id: str | None) -> context.Place | None:
    """The interaction that is meant, its conversation and its user; what is not told is what is remembered of it."""
    within = context.current()
    known = context.last() if interaction is None else context.place_of(interaction)
    if known is None and interaction is None:
        return None
    found = known.interaction_id if known else str(interaction)
    around = within.id if within is not None else None
    place = conversation or (known.conversation_id if known else around) or found
    who = user_id or (known.user_id if known else None) or (within.fields.get("user_id") if within else None)
    return context.Place(found, str(place), who)
