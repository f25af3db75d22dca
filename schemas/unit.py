"""The unit: the user where known, else the conversation. What is counted, capped, split and forgotten as a whole.

In the lake every table with both columns has it as the column `unit` (`streams/lake/query.py`). Go on to
`schemas/events.py`.
"""

from __future__ import annotations


def unit_of(user_id: str | None, conversation_id: str) -> str:
    """`user:NAME` where the user is known, else `conversation:ID`: no conversation can pass for a user."""
    return f"user:{user_id}" if user_id else f"conversation:{conversation_id}"
