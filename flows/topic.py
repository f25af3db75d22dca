"""What was asked: the request, with the turns before it where it is short.

"Yes please" is no topic: of an answer to it that went wrong, what went wrong is what was asked before. Go on to
`flows/cluster/outcomes/own.py`, which asks for it, and to `pins.py`.
"""

from __future__ import annotations

from schemas.messages import Chat
from schemas.normalise import words

FEW = 4
"""Words below which a request is short. Of real requests to a bank 1 % are (banking77), of an airline's agent 20 %."""
TURNS = 4
"""User turns that a topic holds at most, the request among them."""
CHARS = 1_000
"""Of each turn before the request."""


def topic(chat: Chat) -> str:
    """What was asked, as one text; turns stand on lines of their own, oldest first. Empty where nobody asked."""
    asked = [text for message in chat if message["role"] == "user" and (text := message.get("content") or "")]
    if not asked:
        return ""
    kept = asked[-1:]
    for before in reversed(asked[-TURNS:-1]):
        if _many(kept[0]):
            break
        kept.insert(0, before[:CHARS])
    return "\n".join(kept)


def _many(text: str) -> bool:
    return len(words(text[:CHARS])) >= FEW
