"""Where a message ends and its signature begins.

A signature says who asks and never what: nothing is grouped, named or compared by it. The same closings tell
`recognisers.py` that a name stands below them.
"""

from __future__ import annotations

import re

CLOSINGS = (
    "best",
    "best regards",
    "best wishes",
    "kind regards",
    "warm regards",
    "regards",
    "sincerely",
    "cheers",
    "yours",
    "yours sincerely",
    "yours faithfully",
    "yours truly",
    "mit freundlichen Grüßen",
    "grüße",
    "viele Grüße",
    "liebe Grüße",
    "cordialement",
    "bien cordialement",
    "saludos",
    "saludos cordiales",
    "atentamente",
    "atenciosamente",
    "met vriendelijke groet",
)
"""What people close a letter with, alone on its line."""
THANKS = ("thanks", "thank you", "many thanks", "danke", "merci", "gracias")
"""What may close a letter, and may open one."""
SHORT_LINES, SHORT = 5, 60
"""Lines below a thanks, and characters of each, that are a signature: what is longer is the letter itself."""
_CLOSING = frozenset(closing.casefold() for closing in CLOSINGS)
_DEVICE = re.compile(r"(?i)(?:sent from my|von meinem|envoyé de mon|enviado desde mi) ")


def any_of(phrases: tuple[str, ...]) -> str:
    """A pattern of the phrases, with or without a capital at the head."""
    return "|".join(f"[{phrase[0].upper()}{phrase[0]}]{phrase[1:]}" for phrase in sorted(phrases, key=len)[::-1])


def unsigned(text: str) -> str:
    """The text without its signature; as it is where it has none, or is nothing else. Takes linear time."""
    lines = text.split("\n")
    last = max((number for number, line in enumerate(lines) if line.strip()), default=0)
    for number, line in enumerate(lines):
        if number and _signs(line.strip(), lines, number, last) and (kept := "\n".join(lines[:number])).strip():
            return kept
    return text


def _signs(line: str, lines: list[str], number: int, last: int) -> bool:
    """Whether a line begins a signature; `last` is the last that is not blank."""
    if len(line) > SHORT:
        return False
    said = line.rstrip(" ,.!").casefold()
    if said in _CLOSING or line == "--" or _DEVICE.match(line):
        return True
    if said in THANKS:
        return len(lines) - number - 1 <= SHORT_LINES and all(len(one) <= SHORT for one in lines[number + 1 :])
    name = line.lstrip("-–— ")
    return name != line and name[:1].isupper() and len(name.split()) <= 3 and number >= last
