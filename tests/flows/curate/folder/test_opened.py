"""No version is seen that `datasets` reads other than it was written."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest

from flows.curate.folder.disk import hidden_folder, manifest_of, reveal
from flows.curate.folder.folder import Folder, write
from flows.curate.folder.opened import opens
from schemas.errors import FlywheelError
from tests.support.examples import FACTS, example, pair, parts

FIRST = "path: data/sft-train-*.parquet"


@pytest.fixture
def version(tmp_path: Path) -> Folder:
    """A version with three configs."""
    return write(tmp_path / "root", "all-training", parts([pair(n) for n in range(3)]), FACTS)


def test_a_version_is_opened_without_a_network_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection is tried; no cache is left; progress bars are as they were."""

    def connect(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", connect)
    datasets.enable_progress_bars()

    folder = write(tmp_path / "root", "all-training", parts([pair(n) for n in range(3)]), FACTS)

    assert not datasets.are_progress_bars_disabled()
    assert {path.name for path in folder.path.parent.iterdir()} == {folder.version, ".lock"}
    assert {path.name for path in folder.path.iterdir()} == {"README.md", "croissant.json", "manifest.json", "data"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            FIRST,
            "path: data/preference-train-*.parquet",
            "reads sft/train other than it was written: the columns",
        ),
        (FIRST, "path: data/sft-train-*.parquett", "cannot open sft/train of it"),
        ("config_name: sft", "config_name: chat", "cannot open sft/train of it"),
        ("split: train\n    path: data/kto", "split: test\n    path: data/kto", "cannot open kto/train of it"),
        ("---\nlicense", "license", "cannot open sft/train of it"),
    ],
    ids=["another config's rows", "no files", "another name", "another split", "no front matter"],
)
def test_a_card_that_misleads_is_noticed(version: Folder, tmp_path: Path, old: str, new: str, says: str) -> None:
    """The front matter is what the library goes by: each way in which it can be wrong."""
    card = (version.path / "README.md").read_text()
    assert old in card
    (version.path / "README.md").write_text(card.replace(old, new))

    with pytest.raises(FlywheelError) as caught:
        opens(version.path, version.manifest, tmp_path / "scratch")

    assert says in str(caught.value)
    assert not (tmp_path / "scratch").exists()


def test_rows_that_the_library_adds_or_alters_are_noticed(version: Folder, tmp_path: Path) -> None:
    """A stray file that the card's pattern takes in; values that come back in another order."""
    own = version.path / "data" / "sft-train-00000-of-00001.parquet"
    rows = pq.read_table(own)
    for name, table in (("more", rows), ("order", rows.take([2, 1, 0]))):
        folder = tmp_path / name
        shutil.copytree(version.path, folder)
        stray = folder / "elsewhere" / own.name
        stray.parent.mkdir()
        pq.write_table(table, stray)
        pattern = {"more": "'**/sft-train-*.parquet'", "order": "elsewhere/sft-train-*.parquet"}[name]
        card = (folder / "README.md").read_text()
        (folder / "README.md").write_text(card.replace(FIRST, f"path: {pattern}"))

    with pytest.raises(FlywheelError, match="6 rows of 3"):
        opens(tmp_path / "more", version.manifest, tmp_path / "scratch")
    with pytest.raises(FlywheelError, match="column 'messages' in rows 0 to 2"):
        opens(tmp_path / "order", version.manifest, tmp_path / "scratch")


def test_what_cannot_be_opened_is_never_visible(version: Folder, tmp_path: Path) -> None:
    """The rename does not happen, and the hidden folder goes as it came."""
    root = tmp_path / "other"
    with hidden_folder(root, "x") as hidden:
        shutil.copytree(version.path, hidden, dirs_exist_ok=True)
        (hidden / "README.md").write_text("no card")

        with pytest.raises(FlywheelError, match="cannot open"):
            reveal(hidden, root / version.version)

    assert {path.name for path in root.iterdir()} == {".lock"}


def test_tool_calls_and_texts_of_all_kinds_come_back(tmp_path: Path) -> None:
    """JSON columns, nothing, no text, and characters that need escaping; more rows than one comparison takes."""
    tools = '[{"type": "function", "function": {"name": "refund"}}]'
    rows = [
        example(1, "q", tools=tools),
        example(2, "\u2028 \x00 😀 \\ \" ' </s>", feedback_id=None, score=None),
        example(3, ""),
        *(example(n, f"question {n}") for n in range(4, 10_050)),
    ]

    folder = write(tmp_path / "root", "all-training", {("sft", "train"): rows}, FACTS)

    assert folder.rows == {"sft/train": 10_049}
    opens(folder.path, manifest_of(folder.path), tmp_path / "scratch")
