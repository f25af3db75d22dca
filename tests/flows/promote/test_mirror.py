"""MLflow follows the ledger, on a real MLflow with a database of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flows import ledger
from flows.promote.mirror import mirror
from schemas.errors import LedgerConflict, LedgerError
from schemas.records import make_candidate
from streams.lake import Lake

NOW = datetime(2026, 1, 5, tzinfo=UTC)
A, B, C = (make_candidate(name, "http://127.0.0.1:1/v1", parameters={"k": 1}) for name in "abc")
MODEL = "support bot"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that MLflow has already set up: that takes it seconds."""
    pytest.importorskip("mlflow")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/registry.db"


def promoted(lake: Lake, new: ledger.Candidate, old: ledger.Candidate) -> ledger.Registry:
    ledger.append(
        lake, "app", "promoted", new, id=ledger.decision_id(new.id), time=NOW, expected_champion=old.id,
        verdict="promote", evidence=dict.fromkeys(ledger.EVIDENCE, "hash"),
    )  # fmt: skip
    return ledger.fold(lake, "app")


def models(client: Any) -> dict[str, str]:
    """Alias → the model that it points to."""
    return {
        alias: client.get_model_version_by_alias(MODEL, alias).tags["flywheel.model"]
        for alias in client.get_registered_model(MODEL).aliases
    }


@pytest.mark.integration
def test_aliases_follow_the_ledger_and_foreign_moves_are_told(lake: Lake, uri: str) -> None:
    """Champion and challenger are where the ledger says, once each; who moved an alias by hand is not overruled."""
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(uri, uri)
    ledger.bootstrap(lake, "app", A, "first", time=NOW)
    mirror(ledger.fold(lake, "app"), uri, MODEL)
    assert models(client) == {"champion": "a"}

    ledger.register(lake, "app", B, time=NOW)
    before = ledger.fold(lake, "app")
    mirror(before, uri, MODEL)
    assert models(client) == {"champion": "a", "challenger": "b"}

    after = promoted(lake, B, A)
    assert mirror(after, uri, MODEL) == mirror(after, uri, MODEL)
    assert models(client) == {"champion": "b"}
    assert len(client.search_model_versions(f"name = '{MODEL}'")) == 2

    mirror(before, uri, MODEL)
    assert models(client) == {"champion": "b"}

    client.set_registered_model_alias(MODEL, "champion", 1)
    ledger.register(lake, "app", C, time=NOW)
    with pytest.raises(LedgerConflict, match="moved to version 1 by somebody else"):
        mirror(ledger.fold(lake, "app"), uri, MODEL)
    assert models(client) == {"champion": "a"}


@pytest.mark.integration
def test_an_mlflow_that_refuses_is_named(lake: Lake, uri: str) -> None:
    """The ledger stands whatever MLflow says."""
    ledger.bootstrap(lake, "app", A, "first", time=NOW)
    with pytest.raises(LedgerError, match="its mirror does not"):
        mirror(ledger.fold(lake, "app"), uri, "a/name:that is none")
