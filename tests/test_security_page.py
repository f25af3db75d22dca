"""docs/security.md: every finding has a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_each_of_the_eighteen_findings_stands_in_the_page() -> None:
    """In their order, each once."""
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(n) for n in range(1, 19)]


def test_every_test_that_the_page_names_is_there() -> None:
    """Whoever renames a test renames it here."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    missing = [
        f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]

    assert len(named) > 20
    assert missing == []
