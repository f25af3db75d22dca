"""Who may write to the lake may compute a whole new ledger: it is found, and nobody is told of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake

from flows import ledger
from flows.announce import announce_pending
from flows.seal import Seal, seal_of
from schemas.errors import LedgerBroken
from schemas.events import Candidate
from schemas.records import make_candidate
from schemas.settings import Settings
from streams.keyring import signer_of
from streams.lake import Lake
from tests.support.promotion import Told

APP = "support-bot"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def model(name: str) -> Candidate:
    return make_candidate(name, "http://127.0.0.1:1/v1")


def begun(lake: Lake, seal: Seal | None, *names: str) -> None:
    """A ledger of a first champion and of candidates that wait."""
    first, *others = names
    ledger.bootstrap(lake, APP, model(first), "it is what we have", time=NOW, seal=seal)
    for name in others:
        ledger.register(lake, APP, model(name), time=NOW, seal=seal)


def overwritten(lake: Lake, rows: list[dict[str, Any]]) -> None:
    """The ledger as somebody leaves it who may write to the lake, its last committed row too."""
    schema = lake.open("ledger").to_pyarrow_table().schema
    mark = CommitProperties(app_transactions=[Transaction(ledger.app_id(APP), len(rows) - 1)])
    shutil.rmtree(lake.uri("ledger"))
    write_deltalake(
        lake.uri("ledger"), pa.Table.from_pylist(rows, schema=schema), mode="overwrite", commit_properties=mark
    )


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A home whose key signs."""
    return Settings(home=str(tmp_path / "home"))


@pytest.fixture
def three(lake: Lake, home: Settings) -> Lake:
    """Three rows, signed and seen."""
    begun(lake, seal_of(home), "a", "b", "c")
    return lake


def test_a_sound_ledger_holds(three: Lake, home: Settings) -> None:
    """As often as it is looked at, also by another home that trusts this one's key."""
    other = Settings(home=f"{home.home}-2", trusted_keys=(signer_of(home).public_key,))

    assert [ledger.verify(three, APP, seal_of(home)) for _ in range(2)] == [3, 3]
    assert ledger.verify(three, APP, seal_of(other)) == 3
    with pytest.raises(LedgerBroken, match="row 0 is signed by nobody trusted"):
        ledger.verify(three, APP, seal_of(Settings(home=f"{home.home}-3")))


@pytest.mark.parametrize("forger", [None, "another home"], ids=["unsigned", "signed by another key"])
def test_a_chain_that_was_computed_anew_is_found(
    three: Lake, home: Settings, tmp_path: Path, forger: str | None
) -> None:
    """Every hash fits, the end is marked, nothing was announced: the signatures are wrong from the first row on."""
    forged = Lake(tmp_path / "forged")
    begun(forged, seal_of(Settings(home=str(tmp_path / forger))) if forger else None, "a", "b", "evil", "d")
    overwritten(three, forged.open("ledger").to_pyarrow_table().sort_by("sequence").to_pylist())
    assert ledger.verify(three, APP) == 4

    with pytest.raises(LedgerBroken, match="row 0 is signed by nobody trusted"):
        ledger.verify(three, APP, seal_of(home))


def test_the_first_row_that_was_changed_is_named(three: Lake, home: Settings, tmp_path: Path) -> None:
    """What stands before it keeps its signatures; from the changed row on the hashes are others."""
    forged = Lake(tmp_path / "forged")
    begun(forged, None, "a", "b", "evil")
    true = three.open("ledger").to_pyarrow_table().sort_by("sequence").to_pylist()
    false = forged.open("ledger").to_pyarrow_table().sort_by("sequence").to_pylist()
    overwritten(three, [*true[:2], {**false[2], "signature": true[2]["signature"]}])
    assert ledger.verify(three, APP) == 3

    with pytest.raises(LedgerBroken, match="row 2 is signed by nobody trusted"):
        ledger.verify(three, APP, seal_of(home))


def test_an_end_that_was_cut_is_found(three: Lake, home: Settings) -> None:
    """Every row that is left is signed: what is missing was seen by this home, and its anchor lies outside the lake."""
    true = three.open("ledger").to_pyarrow_table().sort_by("sequence").to_pylist()
    overwritten(three, true[:2])
    assert ledger.verify(three, APP) == 2

    with pytest.raises(LedgerBroken, match="row 2 is missing"):
        ledger.verify(three, APP, seal_of(home))


def test_an_end_that_the_key_itself_rewrote_is_found(three: Lake, home: Settings, tmp_path: Path) -> None:
    """Even with the key, on another machine: row 2 was another one when it was seen here."""
    thief = Seal(signer_of(home), seal_of(home)._trust, tmp_path / "thief")
    forged = Lake(tmp_path / "forged")
    begun(forged, thief, "a", "b", "evil", "d")
    overwritten(three, forged.open("ledger").to_pyarrow_table().sort_by("sequence").to_pylist())

    with pytest.raises(LedgerBroken, match="row 2 had the hash"):
        ledger.verify(three, APP, seal_of(home))


def test_nobody_is_told_of_a_row_that_nobody_signed(three: Lake, home: Settings) -> None:
    """Whoever may write to the lake cannot have a decision announced: it would be signed on its way out."""
    told = Told()
    assert announce_pending(three, APP, told, seal_of(home)) == 3
    ledger.register(three, APP, model("evil"), time=NOW)

    with pytest.raises(LedgerBroken, match="row 3 is signed by nobody trusted, so nobody is told"):
        announce_pending(three, APP, told, seal_of(home))
    assert [decision.candidate.model for decision in told] == ["a", "b", "c"]


def rows_of(lake: Lake) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lake.open("ledger").to_pyarrow_table().sort_by("sequence").to_pylist()
    return found


def test_rows_from_before_signatures_are_vouched_for_by_the_first_signed_one(lake: Lake, home: Settings) -> None:
    """Until there is one nothing vouches for them; its hash is over theirs, so that none of them can change."""
    begun(lake, None, "a", "b")
    with pytest.raises(LedgerBroken, match="none of the 2 ledger rows is signed"):
        ledger.verify(lake, APP, seal_of(home))

    for name in ("c", "d"):
        ledger.register(lake, APP, model(name), time=NOW, seal=seal_of(home))

    assert (ledger.verify(lake, APP, seal_of(home)), ledger.unsigned(lake, APP)) == (4, 2)
    other = Settings(home=f"{home.home}-2", trusted_keys=(signer_of(home).public_key,))
    assert ledger.verify(lake, APP, seal_of(other)) == 4


@pytest.mark.parametrize("gone", [(0,), (2,), (0, 1, 2)], ids=str)
def test_a_signature_that_was_taken_off_is_found(three: Lake, home: Settings, gone: tuple[int, ...]) -> None:
    """A home knows where its signatures begin: what was signed never passes for a row from before."""
    stripped = [row | ({"signature": None} if row["sequence"] in gone else {}) for row in rows_of(three)]
    overwritten(three, stripped)

    with pytest.raises(LedgerBroken, match=f"row {gone[0]} is signed by nobody trusted"):
        ledger.verify(three, APP, seal_of(home))


def test_after_the_first_signature_no_row_is_without(three: Lake, home: Settings) -> None:
    """Also for a home that has never seen this ledger: only a beginning may be from before signatures."""
    other = Settings(home=f"{home.home}-2", trusted_keys=(signer_of(home).public_key,))
    overwritten(three, [row | ({"signature": None} if row["sequence"] == 1 else {}) for row in rows_of(three)])

    with pytest.raises(LedgerBroken, match="row 1 is signed by nobody trusted"):
        ledger.verify(three, APP, seal_of(other))


def test_the_next_decision_vouches_for_no_other_chain(three: Lake, home: Settings, tmp_path: Path) -> None:
    """A chain computed anew without signatures is not made one from before signatures by a signed row at its end."""
    forged = Lake(tmp_path / "forged")
    begun(forged, None, "a", "b", "evil", "d")
    overwritten(three, rows_of(forged))

    ledger.register(three, APP, model("e"), time=NOW, seal=seal_of(home))

    with pytest.raises(LedgerBroken, match="row 0 is signed by nobody trusted"):
        ledger.verify(three, APP, seal_of(home))


def test_an_anchor_from_before_notes_where_signatures_begin(three: Lake, home: Settings) -> None:
    """An older version of this program noted only the newest row; the next look notes the rest."""
    (anchor,) = (home.home_path / "ledgers").glob("*.json")
    anchor.write_bytes(anchor.read_bytes().replace(b',"signed_from":0', b""))
    assert b"signed_from" not in anchor.read_bytes()

    assert ledger.verify(three, APP, seal_of(home)) == 3

    assert b'"signed_from":0' in anchor.read_bytes()
