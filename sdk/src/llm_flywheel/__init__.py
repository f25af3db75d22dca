"""llm-flywheel for applications: capture what an LLM application does and what its users say of it.

    import llm_flywheel as fly

    fly.init("support", "kafka://localhost:9092")   # or http://…, file:///…; or from FLYWHEEL_APPLICATION, FLYWHEEL_URL
    fly.instrument()                                # every call of the openai and anthropic clients

    with fly.conversation("c-42", user_id="u-7"):
        client.chat.completions.create(...)         # captured
        fly.thumb(up=False, comment="wrong day")    # about that call

Never raises into the application, never makes it wait, loses nothing while the broker is away. The standard library
alone. Go on to `client.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_flywheel.client import flush, init, stats
from llm_flywheel.context import Conversation, conversation, last_id
from llm_flywheel.feedback import (
    abandon,
    comment,
    copy,
    correction,
    escalate,
    guardrail,
    judge,
    label,
    rating,
    regenerate,
    retract,
    retry,
    reviewer,
    rule,
    thumb,
)
from llm_flywheel.ids import interaction_id, new_id
from llm_flywheel.prompts import prompt_version, request, with_prompt
from llm_flywheel.turn import Turn, interaction
from llm_flywheel.variants import variant

if TYPE_CHECKING:
    from llm_flywheel.champion import Champion
    from llm_flywheel.vendors.seam import instrument, wrap

_LATER = {"Champion": "champion", "instrument": "vendors.seam", "wrap": "vendors.seam"}
"""Imported when they are asked for: the rest is there in 30 ms."""
__all__ = [
    "Champion", "Conversation", "Turn", "abandon", "comment", "conversation", "copy", "correction", "escalate", "flush",
    "guardrail", "init", "instrument", "interaction", "interaction_id", "judge", "label", "last_id", "new_id",
    "prompt_version", "rating", "regenerate", "request", "retract", "retry", "reviewer", "rule", "stats", "thumb",
    "variant", "with_prompt", "wrap",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """What is imported late."""
    if name == "__version__":
        from importlib.metadata import version

        return version("llm-flywheel-sdk")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
