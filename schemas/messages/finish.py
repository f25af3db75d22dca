"""Why a model stopped, in the words of the dialects: cut short, or held back by a filter. Pure.

`flows/cluster/outcomes/rules.py` and `flows/evaluate/answers.py` ask it.
"""

from __future__ import annotations

FILTERED = frozenset({
    "content_filter", "content_filtered", "guardrail_intervened", "safety", "recitation", "blocklist",
    "prohibited_content", "spii", "image_safety",
})  # fmt: skip
"""Finish reasons of an answer that a filter held back, in lower case."""
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"})
"""Finish reasons of an answer that was cut off, in lower case."""


def is_cut(reason: object) -> bool:
    """Whether an answer with this finish reason was cut off."""
    return isinstance(reason, str) and reason.lower() in CUT
