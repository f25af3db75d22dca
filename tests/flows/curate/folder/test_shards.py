"""Files of several: the same rows are the same files whatever was built before, and what stays is linked."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.curate.folder import shards
from flows.curate.folder.disk import check
from flows.curate.folder.folder import Folder, write
from flows.curate.folder.shards import SIZES, Sizes, borders
from schemas.errors import FlywheelError
from schemas.records import Example
from tests.support.examples import FACTS, example, pair

SMALL = Sizes(least=3_000, more=1_500, most=9_000, group=4)
"""Files of some fourteen rows, in groups of four."""
ROWS = [example(n, f"question {n}") for n in range(120)]


def built(root: Path, rows: Sequence[Example], **how: Any) -> Folder:
    """A version of the rows, in files of some fourteen."""
    return write(root, "all-training", {("sft", "train"): rows}, FACTS, sizes=how.pop("sizes", SMALL), **how)


def data(folder: Folder) -> dict[str, bytes]:
    """Its files, by name."""
    return {path.name: path.read_bytes() for path in sorted((folder.path / "data").iterdir())}


def places(*folders: Folder) -> list[set[int]]:
    """Of each the files on disk that it consists of."""
    return [{path.stat().st_ino for path in (folder.path / "data").iterdir()} for folder in folders]


def all_of(folder: Folder) -> dict[str, bytes]:
    """Everything that lies in it, by name."""
    found = (path for path in folder.path.rglob("*") if path.is_file())
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in found}


def parted(rows: Sequence[Example], sizes: Sizes = SMALL) -> list[tuple[str, ...]]:
    """Which rows lie in which file."""
    ends = borders(rows, sizes)
    return [tuple(row.interaction_id for row in rows[a:b]) for a, b in zip([0, *ends], ends, strict=False)]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_the_same_rows_are_the_same_files_whatever_was_built_before(gone: list[int], chance: random.Random) -> None:
    """Alone, after versions that share rows with it, in any order of these, all files and the manifest are equal."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for n, row in enumerate(ROWS[:60]) if n not in gone]
        changed = [msgspec.structs.replace(row, copies=2) if n % 41 == 7 else row for n, row in enumerate(rows)]
        others: list[Sequence[Example]] = [ROWS[:60], rows[:40], rows[20:], changed]
        chance.shuffle(others)
        for before in others:
            built(Path(folder, "after"), before)

        after, alone = built(Path(folder, "after"), rows), built(Path(folder, "alone"), rows)

        assert all_of(after) == all_of(alone)


def test_rows_that_are_added_leave_earlier_files_as_they_are() -> None:
    """All but the last: what lies in a file is decided by the rows in it and the one behind it."""
    for many in range(60, 100, 7):
        assert parted(ROWS[:many])[:-1] == parted(ROWS)[: len(parted(ROWS[:many])) - 1]


def test_a_row_that_goes_early_costs_its_own_file_and_seldom_more() -> None:
    """Each of the first thirty of 600, taken out alone: on average two of some 43 files are new, never a quarter."""
    rows = [example(n, f"question {n}") for n in range(600)]
    whole = set(parted(rows))
    fresh = [len(set(parted(rows[:n] + rows[n + 1 :])) - whole) for n in range(30)]

    assert len(whole) > 30
    assert sum(fresh) / len(fresh) <= 3
    assert max(fresh) <= len(whole) / 4


def test_files_have_their_sizes_and_a_small_config_is_one() -> None:
    """Between the least and the most, but for the last; by the product's own sizes thousands of rows are one file."""
    sizes = [sum(256 + len(row.prompt) + len(row.answer) for row in ROWS[a:b]) for a, b in _spans(borders(ROWS, SMALL))]

    assert all(SMALL.least <= size <= SMALL.most for size in sizes[:-1])
    assert borders(ROWS) == [len(ROWS)]
    assert borders([]) == [0]
    never = Sizes(least=3_000, more=2**60, most=9_000)
    assert max(b - a for a, b in _spans(borders(ROWS, never))) <= 9_000 / 300, "where no hash says so, the most does"
    assert SIZES.least < SIZES.most


def _spans(ends: list[int]) -> Iterable[tuple[int, int]]:
    return zip([0, *ends], ends, strict=False)


def test_what_stays_is_linked_and_what_is_new_is_written(tmp_path: Path) -> None:
    """The version of more rows consists of the older one's files but for the last, and says of all what they hold."""
    old, new = built(tmp_path, ROWS[:95]), built(tmp_path, ROWS)
    before, after = places(old, new)

    assert len(before & after) == len(before) - 1 >= 5
    assert check(new.path)["files"].keys() == {f"data/{name}" for name in new.manifest["shards"]}
    assert new.rows == {"sft/train": 120}


def test_a_config_of_one_file_is_written_by_itself(tmp_path: Path) -> None:
    """As ever: under its name, in no other version's file, and the manifest says nothing of shards."""
    one, other = (write(tmp_path, name, {("sft", "train"): ROWS[:5]}, FACTS) for name in ("all", "other"))

    assert list(data(one)) == ["sft-train-00000-of-00001.parquet"]
    assert data(one) == data(other)
    assert not set.intersection(*places(one, other))
    assert "shards" not in one.manifest


def test_files_are_read_in_order(tmp_path: Path) -> None:
    """`datasets` opens a version of more than ten files, new and linked, with its rows as they were given."""
    rows = [example(n, f"question {n}") for n in range(200)]
    built(tmp_path, rows[:150])
    folder = built(tmp_path, rows)
    assert len(data(folder)) > 10

    loaded = load_dataset(str(folder.path), "sft", split="train", cache_dir=str(tmp_path / "cache"))

    assert loaded["interaction_id"] == [row.interaction_id for row in rows]


def test_rows_of_another_kind_or_form_are_not_taken(tmp_path: Path) -> None:
    """`completion` has the ids of `sft`; tools, turns that failed and other groups change the columns or the bytes."""
    built(tmp_path, ROWS)
    tool = json.dumps([{"type": "function", "function": {"name": "refund"}}])
    shapes: list[tuple[str, list[Example], Sizes]] = [
        ("completion", ROWS, SMALL),
        ("sft", [*ROWS, example(900, "q", tools=tool)], SMALL),
        ("sft", [*ROWS, example(900, "q", failed=(0,))], SMALL),
        ("sft", ROWS, msgspec.structs.replace(SMALL, group=5)),
    ]
    for number, (kind, rows, sizes) in enumerate(shapes):
        folder = write(tmp_path, f"shape-{number}", {(kind, "train"): rows}, FACTS, sizes=sizes)
        (schema,) = {str(pq.read_schema(path)) for path in (folder.path / "data").iterdir()}
        others = [path for path in tmp_path.glob("[!.]*/data/*") if folder.path not in path.parents]

        assert not {path.stat().st_ino for path in others} & places(folder)[0], schema


def test_what_another_writer_wrote_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade of the code or of Arrow all files are written once more; the rows are the same version."""
    old = built(tmp_path, ROWS)
    monkeypatch.setattr(shards, "WRITER", ["of tomorrow"])

    new = built(tmp_path / "later", ROWS)
    more = built(tmp_path, [*ROWS, example(900, "one more")])

    assert new.version == old.version
    assert not set.intersection(*places(old, more))


def test_a_file_that_is_damaged_or_gone_is_written_anew(tmp_path: Path) -> None:
    """Its recorded SHA-256 is held against its bytes; what is still whole beside it is linked."""
    old = built(tmp_path, ROWS[:95])
    whole = data(built(tmp_path / "other", ROWS))
    damaged, gone, *rest = sorted((old.path / "data").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"x" * 9)
    gone.unlink()

    new = built(tmp_path, ROWS)

    assert data(new) == whole
    assert check(new.path)
    assert len(places(new)[0] & {path.stat().st_ino for path in rest}) == len(rest) - 1
    with pytest.raises(FlywheelError, match=damaged.name):
        check(old.path)


def test_a_manifest_that_is_old_or_broken_is_passed_over(tmp_path: Path) -> None:
    """One that does not know of shards, one that is no JSON, one that is another thing: the build is as without."""
    for number, text in enumerate(["{}", "no JSON", '{"shards": 7}', '{"shards": {"a": {}}}']):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "manifest.json").write_text(text)

    assert all_of(built(tmp_path, ROWS)) == all_of(built(tmp_path / "alone", ROWS))


def test_a_hidden_folder_lends_nothing(tmp_path: Path) -> None:
    """What a killed build left, or a withdrawal is removing, has no files for others."""
    old = built(tmp_path, ROWS)
    hidden = old.path.rename(tmp_path / f".building-withdrawn-{old.version}")

    new = built(tmp_path, ROWS)

    assert not places(new)[0] & {path.stat().st_ino for path in (hidden / "data").iterdir()}


def test_a_version_that_goes_leaves_the_others_whole(tmp_path: Path) -> None:
    """The other has all its bytes, and lends them on."""
    old, new = built(tmp_path, ROWS[:95]), built(tmp_path, ROWS)
    shutil.rmtree(old.path)

    again = built(tmp_path, ROWS[:95])

    assert check(new.path)
    assert len(set.intersection(*places(new, again))) >= 5


def test_where_there_are_no_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without them, or a file that has as many as it may: the same bytes, in a file of their own."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMLINK, "too many links")

    old = built(tmp_path, ROWS[:95])
    monkeypatch.setattr(os, "link", refuse)

    new = built(tmp_path, ROWS)

    assert not set.intersection(*places(old, new))
    assert all_of(new) == all_of(built(tmp_path / "alone", ROWS))


def test_the_same_rows_again_change_nothing(tmp_path: Path) -> None:
    """A version that is there is left as it is, and a damaged one is named: not even its own files mend it."""
    folder = built(tmp_path, ROWS)
    assert built(tmp_path, ROWS).manifest == folder.manifest
    first = min((folder.path / "data").iterdir())
    first.write_bytes(b"damaged")

    with pytest.raises(FlywheelError, match=first.name):
        built(tmp_path, ROWS)


def test_kinds_that_make_two_rows_an_example_count_rows(tmp_path: Path) -> None:
    """`kto` has the good and the bad answer of each; linked files count as written ones do."""
    rows = [pair(n) for n in range(60)]
    parts = {("kto", "train"): rows}
    write(tmp_path, "first", parts, FACTS, sizes=SMALL)

    folder = write(tmp_path, "second", parts, FACTS, sizes=SMALL)

    assert folder.rows == {"kto/train": 120}
    assert len(folder.manifest["shards"]) > 3


KILLED = """
import os, sys
from pathlib import Path
import msgspec
from flows.curate.folder.folder import write
from flows.curate.folder.shards import Sizes
from schemas.records import Example
rows, facts, sizes = msgspec.json.decode(sys.argv[2], type=tuple[list[Example], dict, Sizes])
link, left = os.link, [3]
def slow(*paths):
    left[0] -= 1
    if not left[0]:
        print("half-way", flush=True)
        sys.stdin.read()
    link(*paths)
os.link = slow
write(Path(sys.argv[1]), "all-training", {("sft", "train"): rows}, facts, sizes=sizes)
"""


def test_killed_half_way_it_leaves_nothing_that_is_seen(tmp_path: Path) -> None:
    """SIGKILL between two links: the old version is whole, and the next build is as without."""
    old = built(tmp_path, ROWS[:95])
    given = msgspec.json.encode((ROWS, FACTS, SMALL)).decode()
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half-way\n"
    linked = [path for path in tmp_path.glob(".building-*/data/*") if path.stat().st_nlink == 2]
    child.send_signal(signal.SIGKILL)
    child.communicate()

    assert len(linked) == 2
    assert [path.name for path in tmp_path.glob("[!.]*")] == [old.version]
    assert check(old.path)
    assert all_of(built(tmp_path, ROWS)) == all_of(built(tmp_path / "alone", ROWS))


def test_only_the_newest_versions_are_asked(tmp_path: Path) -> None:
    """So that a thousand versions cost a build no more than 64."""
    old = built(tmp_path, ROWS)
    for number in range(64):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "manifest.json").write_text("{}")
    os.utime(old.path / "manifest.json", ns=(0, time.time_ns() - 10**12))

    new = built(tmp_path, [*ROWS, example(900, "one more")])

    assert not set.intersection(*places(old, new))
