"""The registry in MLflow: aliases `champion` and `challenger` kept in step with the ledger, for tools that look there.

A projection, never the truth: each call makes MLflow say what the ledger says. MLflow's own aliases go to the last
writer, so the compare-and-set is ours: an alias that somebody else moved is not moved back, it is told.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from flows.addresses import check_host
from flows.ledger import fold
from flows.outbound import allowed
from flows.registry import Registry
from schemas.errors import LedgerConflict, LedgerError, UsageError
from schemas.events import Candidate, to_json
from schemas.secrets import without_userinfo
from schemas.settings import Settings
from streams.lake import Lake

ALIASES = ("champion", "challenger")


def mirror(registry: Registry, uri: str, name: str, declared: Collection[str] = ()) -> dict[str, str | None]:
    """Make the registered model `name` say who serves and who waits; returns alias → version.

    Each candidate is one model version, tagged with what it is. The model's tags say what was mirrored last; a call
    with an older ledger changes nothing. Raises LedgerConflict where an alias was moved by somebody else, LedgerError
    where MLflow does not answer, UsageError where it is not installed, EndpointError where a server may not be called:
    `declared` are the private hosts that may be, beside one that `uri` names by its address.
    """
    _bounded(uri, declared)
    try:
        # lazy: MLflow takes seconds to import, and is an extra
        from mlflow import MlflowClient  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "gate.mlflow_uri is set, but MLflow is missing: pip install 'llm-flywheel[registry]'"
        ) from error
    try:
        return _mirror(MlflowClient(uri, uri), registry, name)
    except MlflowException as error:
        raise LedgerError(
            f"MLflow at {without_userinfo(uri)} refused ({error.error_code}): the ledger stands, its mirror does not"
        ) from error


def keep_in_step(lake: Lake, settings: Settings) -> dict[str, str | None]:
    """Mirror the ledger where `gate.mlflow_uri` asks for it; raises as `mirror` does."""
    if not settings.gate.mlflow_uri:
        return {}
    uri, name = settings.gate.mlflow_uri.reveal(), settings.gate.mlflow_model
    return mirror(fold(lake, settings.application), uri, name, settings.evaluate.private_endpoints)


def _bounded(uri: str, declared: Collection[str]) -> None:
    """Hold MLflow's own client to the bounds of `flows/outbound.py`; it stays, since its URI may name a database."""
    if not uri.startswith(("http://", "https://")):
        return
    check_host(urlsplit(uri).hostname or "", allowed(uri, declared))
    os.environ["MLFLOW_ALLOW_HTTP_REDIRECTS"] = "false"  # its only way to be told
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


def _mirror(client: Any, registry: Registry, name: str) -> dict[str, str | None]:
    model = _model(client, name)
    aliases = {alias: str(version) for alias, version in model.aliases.items()}
    if int(model.tags.get("flywheel.rows", 0)) > len(registry.decisions):
        return {alias: aliases.get(alias) for alias in ALIASES}
    wanted = {
        alias: None if candidate is None else _version(client, name, candidate)
        for alias, candidate in zip(ALIASES, (registry.champion, next(reversed(registry.waiting), None)), strict=True)
    }
    for alias, version in wanted.items():
        _refuse_foreign(name, alias, aliases.get(alias), model.tags.get(f"flywheel.{alias}") or None, version)
    for alias, version in wanted.items():
        if version is None and alias in aliases:
            client.delete_registered_model_alias(name, alias)
        elif version is not None and aliases.get(alias) != version:
            client.set_registered_model_alias(name, alias, version)
        client.set_registered_model_tag(name, f"flywheel.{alias}", version or "")
    client.set_registered_model_tag(name, "flywheel.rows", str(len(registry.decisions)))
    client.set_registered_model_tag(name, "flywheel.head", registry.head)
    return wanted


def _refuse_foreign(name: str, alias: str, found: str | None, mirrored: str | None, wanted: str | None) -> None:
    """An alias is ours to move where we put it, where it is missing, or where it is right already (a crash between)."""
    if found not in {mirrored, wanted, None}:
        raise LedgerConflict(
            f"MLflow model {name}: alias {alias} was moved to version {found} by somebody else (the ledger put it at "
            f"{mirrored or 'none'}, wants {wanted or 'none'}); move it back there, or delete it"
        )


def _model(client: Any, name: str) -> Any:
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Mirror of the llm-flywheel ledger: do not move its aliases.")
    return client.get_registered_model(name)


def _version(client: Any, name: str, candidate: Candidate) -> str:
    found = client.search_model_versions(f"name = '{name}' and tags.`flywheel.candidate` = '{candidate.id}'")
    if found:
        return str(found[0].version)
    tags = {
        "flywheel.candidate": candidate.id,
        "flywheel.model": candidate.model,
        "flywheel.prompt_version": candidate.prompt_version or "",
        "flywheel.parameters": to_json(candidate.parameters),
        "flywheel.dataset": candidate.dataset or "",
    }
    return str(client.create_model_version(name, source=candidate.endpoint, tags=tags).version)
