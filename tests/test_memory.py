"""Where Arrow becomes Python objects, ten times as large: in named places, each with what bounds it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OBJECTS = re.compile(r"\bto_py(?:list|dict)\(|\bto_pandas\(")
BATCH = "a batch of what streams past"
NEW = "what is new, or what it touches"
ASKED = "what somebody has named: an id, a page, a file"
SAMPLE = "a sample of fixed size"
FEW = "what grows with decisions, runs and versions, not with traffic"
WINDOW = "the windows that trends look at"
THEIRS = "what one erasure forgets"
FILES = "the log of a table: one entry a file"
EVAL = "an eval set, which is capped"
PLACES = {  # file → what bounds it
    "flows/cluster/audit.py": f"{SAMPLE}, a day",
    "flows/cluster/catalogue/modes.py": "the names of modes",
    "flows/cluster/catalogue/population.py": WINDOW,
    "flows/cluster/catalogue/report.py": SAMPLE,
    "flows/cluster/covered.py": SAMPLE,
    "flows/cluster/forget.py": THEIRS,
    "flows/cluster/lineage/accepted.py": FEW,
    "flows/cluster/lineage/acts.py": ASKED,
    "flows/cluster/lineage/inside.py": "one cluster that somebody splits or merges",
    "flows/cluster/lineage/pinned.py": BATCH,
    "flows/cluster/outcomes/changes.py": "days",
    "flows/cluster/outcomes/coverage.py": SAMPLE,
    "flows/cluster/outcomes/judging.py": NEW,
    "flows/cluster/outcomes/own.py": BATCH,
    "flows/cluster/placement/placing.py": f"{NEW}; {SAMPLE}",
    "flows/cluster/placement/reembed.py": f"{SAMPLE}; {BATCH}",
    "flows/cluster/placement/texts.py": NEW,
    "flows/cluster/placement/trial.py": SAMPLE,
    "flows/cluster/unname.py": FEW,
    "flows/curate/folder/export.py": BATCH,
    "flows/curate/folder/fit.py": BATCH,
    "flows/curate/golden.py": ASKED,
    "flows/curate/guards.py": BATCH,
    "flows/curate/quarantine.py": "people who are new, and corrections that wait for a reviewer",
    "flows/curate/stage.py": SAMPLE,
    "flows/curate/versions/staleness.py": BATCH,
    "flows/curate/versions/taught.py": ASKED,
    "flows/curate/versions/trace.py": ASKED,
    "flows/curate/versions/withdraw.py": ASKED,
    "flows/embedded.py": BATCH,
    "flows/evaluate/freshness.py": BATCH,
    "flows/evaluate/items.py": EVAL,
    "flows/evaluate/reviewing.py": EVAL,
    "flows/maintain/status.py": "dead letters, counted by reason",
    "flows/maintain/superseded.py": NEW,
    "flows/opinions.py": EVAL,
    "flows/promote/experiment.py": FEW,
    "flows/promote/variants.py": FEW,
    "flows/redact/work.py": BATCH,
    "flows/versions.py": FEW,
    "streams/dead_letters.py": "dead letters that are sent again",
    "streams/files.py": ASKED,
    "streams/importers/rows.py": BATCH,
    "streams/lake/append.py": "offsets between two commits",
    "streams/lake/forget.py": THEIRS,
    "streams/lake/maintain.py": FILES,
    "streams/lake/parts.py": f"{FILES}; {NEW}",
    "streams/lake/query.py": ASKED,
    "streams/lake/retire.py": "a day that is retired, one file of dead letters, partitions",
    "streams/lake/rows.py": BATCH,
}


def test_objects_are_made_of_bounded_tables_alone() -> None:
    """Whoever makes them elsewhere says here what bounds them; all of history is read in batches."""
    files = (path for room in ("flows", "streams") for path in (ROOT / room).rglob("*.py"))
    found = {path.relative_to(ROOT).as_posix() for path in files if OBJECTS.search(path.read_text())}

    assert found == PLACES.keys()
