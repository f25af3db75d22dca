"""Ids of events: one that grows with time, and one that every door makes alike from the model's response.

`interaction_id` is part of the contract (docs/contracts.md); `schemas/json/interaction_ids.json` holds test vectors.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
import uuid

NAMESPACE = uuid.UUID("0f2b6c1e-5a0d-5c5e-9d0b-6f6c7957e3a1")
"""The namespace of interaction ids; never changes."""
LONG = 20
"""Bytes. Providers' response ids are longer and never repeat (OpenAI's 38, Anthropic's 28, Gemini's 23, a UUID's 36);
some local servers draw `chatcmpl-` and a number below a thousand, or count from one at each start."""


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""A random digit with its two upper bits set to the variant of RFC 9562."""


_count = itertools.count()
_seed = bytearray(os.urandom(32))


def _reseed() -> None:
    """A forked child must not repeat its parent's numbers."""
    _seed[:] = os.urandom(32)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed)


def new_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 that nobody can guess.

    They are a keyed BLAKE2 of clock and counter. The operating system's randomness would be asked without the
    interpreter's lock, which another thread may then keep for 5 ms.
    """
    now = time.time_ns()
    ms = f"{now // 1_000_000:012x}"
    random = hashlib.blake2b(b"%d %d" % (now, next(_count)), key=_seed, digest_size=10).hexdigest()
    return f"{ms[:8]}-{ms[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"


def interaction_id(application: str, response_id: str, created: float | None = None) -> str:
    """The id of the interaction that a response belongs to: a UUIDv5 over application and response id.

    `created` is the response's own time of creation, in whole seconds of Unix time (a fraction is cut off). It counts
    only where the response id is shorter than 20 bytes. Raises ValueError where no id can be made: the application or
    the response id is empty, or the response id is short and `created` unknown.
    """
    if not application or not response_id:
        raise ValueError("an interaction id needs an application and a response id")
    parts = [application, response_id]
    if len(response_id.encode("utf-8", "replace")) < LONG:
        if created is None:
            raise ValueError(f"{response_id!r} is too short to be unique: its `created` is needed too")
        parts.append(str(int(created)))
    name = "\n".join(parts).encode("utf-8", "replace").decode()
    return str(uuid.uuid5(NAMESPACE, name))


def span_interaction_id(application: str, trace_id: str, span_id: str) -> str:
    """The id of the interaction that a span tells of, where its response has no id that is unique."""
    return str(uuid.uuid5(NAMESPACE, f"{application}\n{trace_id}\n{span_id}"))


def is_id(value: object) -> bool:
    """Whether a value is a UUID in canonical lower-case form."""
    try:
        return str(uuid.UUID(str(value))) == value
    except ValueError:
        return False
