"""Who is who in one application: what the rows of its ledger say together. Go on to `ledger.py`, which folds them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from schemas.errors import UsageError
from schemas.events import Candidate, Decision
from schemas.prompts import Examples, examples_of

EVAL_SET = "eval_set"
"""Evidence key of the eval set's name: at a registration the one that was asked for, later the one that decided."""
TRAINING = "training"
"""Evidence key of what made the model, as JSON of `flows.training.Training`."""


class Registry(Struct, frozen=True, kw_only=True):
    """Who is who in one application: the fold over its ledger."""

    application: str
    candidates: dict[str, Candidate] = {}
    """Every candidate ever registered, by id, oldest first."""
    champion: Candidate | None = None
    """Who serves now."""
    former: tuple[Candidate, ...] = ()
    """Champions before the present one, newest last: where a rollback goes."""
    decisions: tuple[Decision, ...] = ()
    """The ledger rows, oldest first."""

    @property
    def head(self) -> str:
        """Hash of the last row; empty for an empty ledger."""
        return self.decisions[-1].hash if self.decisions else ""

    @property
    def shots(self) -> Examples:
        """The examples that known prompts put before a conversation: nobody said them."""
        return examples_of(candidate.prompt_messages for candidate in self.candidates.values())

    def candidate(self, candidate_id: str) -> Candidate:
        """The candidate of an id. Raises UsageError with the known ids where there is none."""
        if candidate_id in self.candidates:
            return self.candidates[candidate_id]
        known = ", ".join(self.candidates) or "none yet; `flywheel candidate add` registers one"
        raise UsageError(f"{self.application}: no candidate {candidate_id[:64]!r}; known are {known}")

    @property
    def waiting(self) -> tuple[Candidate, ...]:
        """The candidates that nothing was decided about since they were registered, last registered last."""
        last = {decision.candidate.id: decision for decision in self.decisions}
        registered = sorted((d for d in last.values() if d.action == "registered"), key=lambda d: d.sequence)
        return tuple(d.candidate for d in registered if self.champion is None or d.candidate.id != self.champion.id)

    def status(self, candidate_id: str) -> str:
        """What was decided about a candidate last: champion, waiting, held, rolled back, former champion.

        Raises UsageError for an unknown candidate.
        """
        candidate = self.candidate(candidate_id)
        if candidate == self.champion:
            return "champion"
        last = next(d for d in reversed(self.decisions) if d.candidate.id == candidate_id)
        return {"promoted": "former champion", "registered": "waiting"}.get(last.action, last.action.replace("_", " "))

    def eval_set(self, candidate_id: str) -> str:
        """The eval set that a candidate was registered to be measured on; empty where its registration names none."""
        return self._registrations().get(candidate_id, {}).get(EVAL_SET, "")

    def training(self, candidate_id: str) -> dict[str, Any] | None:
        """What made a candidate, as its last registration says; None where that says nothing."""
        said = self._registrations().get(candidate_id, {}).get(TRAINING)
        return msgspec.json.decode(said, type=dict[str, Any]) if said else None

    def trainings(self) -> dict[str, dict[str, Any]]:
        """The same of every candidate that it is known of, by id."""
        said = {id_: evidence.get(TRAINING) for id_, evidence in self._registrations().items()}
        return {id_: msgspec.json.decode(text, type=dict[str, Any]) for id_, text in said.items() if text}

    def _registrations(self) -> dict[str, dict[str, str]]:
        """The evidence of each candidate's last registration."""
        return {d.candidate.id: d.evidence for d in self.decisions if d.action == "registered"}
