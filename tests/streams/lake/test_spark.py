"""How Spark is told where a table lies."""

from __future__ import annotations

from pathlib import Path

from streams.lake import Lake
from streams.lake.spark import root_of


def test_a_folder_is_named_as_it_is_written(tmp_path: Path) -> None:
    """Spark escapes a path itself: one that is escaped already does not exist there. A bucket's address stays."""
    odd = tmp_path.resolve() / "my lake é 100%20"

    assert root_of(Lake(odd), "interactions").startswith(f"file://{odd}/")
    assert root_of(Lake("s3://bucket/a b"), "interactions").startswith("s3://bucket/a b/")
