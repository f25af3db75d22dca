"""The unit: the user where known, else the conversation. What is counted, capped, split and forgotten as a whole.

In the lake every table with both columns has it as the column `unit` (`streams/lake/query.py`). One name has one
spelling here, so that who is forgotten under one is forgotten under all. Go on to `schemas/events.py`.
"""

from __future__ import annotations

import unicodedata

BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What `str.strip` takes for space."""


def unit_of(user_id: str | None, conversation_id: str) -> str:
    """`user:NAME` where the user is known, else `conversation:ID`: no conversation can pass for a user."""
    name = spelled(user_id or "")
    return f"user:{name}" if name else f"conversation:{spelled(conversation_id)}"


def spelled(name: str) -> str:
    """One spelling for one name: Unicode NFC, without space around it; with a NUL in it, as it is."""
    if "\0" in name:
        return name.strip(BLANKS)
    return unicodedata.normalize("NFC", name).strip(BLANKS)
