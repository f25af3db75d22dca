"""Rolls a champion back: who served before it serves again, in the ledger and then on Kafka.

By hand (`flywheel champion rollback`) and by the watch over a new champion (`flows/rollback_watch.py`).
"""

from __future__ import annotations

from datetime import datetime

from flows import ledger
from flows.announce import Announce, announce_pending
from flows.seal import Seal
from schemas.events import Decision
from streams.lake import Lake


def roll_back(
    lake: Lake,
    application: str,
    candidate_id: str,
    reason: str,
    evidence: dict[str, str],
    as_of: datetime,
    announce: Announce,
    seal: Seal,
) -> Decision:
    """Take a champion back: who served before it serves again.

    `evidence` names what showed the need (the alert's id, its numbers): the same evidence twice is one rollback.
    Raises LedgerConflict where somebody else serves by now, LedgerError where there is nobody to go back to.
    """
    decision = ledger.append(
        lake,
        application,
        "rolled_back",
        ledger.fold(lake, application).candidate(candidate_id),
        id=ledger.decision_id("rolled_back", application, candidate_id, *sorted(map(str, evidence.items()))),
        time=as_of,
        expected_champion=candidate_id,
        reasons=[reason],
        evidence=evidence,
        seal=seal,
    )
    announce_pending(lake, application, announce, seal)
    return decision
