"""A store takes no name that leads elsewhere, shows no half file, and says what to do where it cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.store import Store, store_at, store_of
from schemas.errors import FlywheelError, UsageError
from schemas.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder that is not there yet."""
    return store_at(f"{(tmp_path / 'shared').as_uri()}/", {})


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A file here."""
    path = tmp_path / "page"
    path.write_bytes(b"words")
    return path


@pytest.mark.parametrize(
    "name", ["..", "a/../../b", "/etc/passwd", "a//b", ".hidden", "a/.hidden", "", "a b", "ä", "a\n", "a/", "~", "-r"]
)
def test_a_name_that_leads_elsewhere_is_refused(store: Store, page: Path, name: str) -> None:
    """By whatever door it comes."""
    for ask in (
        lambda: store.send(page, name), lambda: store.bring(name, page), lambda: store.files(name),
        lambda: store.remove(name),
    ):  # fmt: skip
        with pytest.raises(FlywheelError, match="no name of a file"):
            ask()
    assert page.read_bytes() == b"words"


def test_a_file_is_sent_once_and_brought_as_it_must_be(store: Store, page: Path, tmp_path: Path) -> None:
    """Again it is not written; other bytes than those asked for are none; what was removed is nowhere."""
    to = tmp_path / "to"
    store.send(page, "reports/a.html")
    there = tmp_path / "shared" / "reports" / "a.html"
    first = there.stat().st_ino
    store.send(page, "reports/a.html")

    assert there.stat().st_ino == first
    assert store.bring("reports/a.html", to)
    assert to.read_bytes() == b"words"
    assert not store.bring("reports/a.html", to, sha256="0" * 64)
    assert store.files("reports") == ["reports/a.html"]
    assert store.files("datasets") == []
    page.write_bytes(b"other")
    store.send(page, "reports/a.html")
    assert there.read_bytes() == b"other"
    for _ in range(2):
        store.remove("reports")
    assert store.files("reports") == []
    assert not store.bring("reports/a.html", to)


def test_a_file_that_broke_off_is_not_seen(store: Store, page: Path, tmp_path: Path) -> None:
    """What a killed process has half written has no name that a reader asks for."""
    store.send(page, "a")
    (tmp_path / "shared" / "b").mkdir()

    with pytest.raises(FlywheelError, match="cannot be written"):
        store.send(page, "b")  # a folder is in the way: the last step fails

    assert [name for name in store.files("b") if not name.startswith("b/.")] == []
    assert not store.bring("b", tmp_path / "to")


@pytest.mark.parametrize("url", ["ftp://x", "s3://", "file://", "file://relative", "/a/folder", "gs://b"])
def test_what_is_no_store_is_said(url: str) -> None:
    """With the ways to write one."""
    with pytest.raises(UsageError, match=r"s3://BUCKET/PREFIX or file:///FOLDER"):
        store_at(url, {})


def test_settings_without_one_have_none() -> None:
    """By default nothing is asked of any store."""
    assert store_of(Settings()) is None
