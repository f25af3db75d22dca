"""Whether a cost grows with what is read, told by ratios: no clock says the same twice on a busy machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

TRIES = 5
NOISE_S = 0.015
"""A reader that takes less for the smaller text is measured against this: clocks are not finer on a busy machine."""


def grows(read_text: Callable[[str], Any], small: str, large: str, most: float) -> bool:
    """Whether the larger text costs at most so many times the CPU of the smaller one, in one of some tries.

    Each try measures both: others use the machine and its caches too, and not during one of the two alone.
    """
    return any(seconds(read_text, large) <= most * max(seconds(read_text, small), NOISE_S) for _ in range(TRIES))


def seconds(read_text: Callable[[str], Any], text: str) -> float:
    """CPU seconds that a reader takes for a text."""
    began = time.process_time()
    read_text(text)
    return time.process_time() - began
