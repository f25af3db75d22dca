"""What a form says: the body that the guard has read, bounded and checked, as names and values.

Go on to `pages/evaluations.py`.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

FIELDS = 64
"""More than any form of ours has."""


def number_of(text: str | None) -> int:
    """A number that an address names; 0 where it is none. Digits beyond the sixteenth say nothing."""
    return int(text[:16]) if text and text.isdecimal() else 0


def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name; `python-multipart` is not needed for them."""
    body: bytes = request.state.body
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=FIELDS))
