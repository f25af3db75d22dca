"""Both engines give the same answers: the same rows, of the same types, in the same order, whatever is NULL."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flows.cluster.outcomes.changes import OTHERS
from flows.cluster.state import MEMBERS, Now
from flows.cluster.state import sql as with_homes
from flows.run import Run
from flows.testing.events import START
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.query import NEEDS, VIEWS, query
from tests.support import nulls, spark

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    path.relative_to(ROOT).as_posix(): path for room in ("flows", "streams") for path in (ROOT / room).rglob("*.sql")
}
LATER = START + timedelta(days=3)
PARAMETERS: dict[str, Any] = {
    "least": 2,
    "application": "support-bot", "as_of": START + timedelta(days=8), "before": LATER, "below": "80000000", "cap": 2,
    "cluster": "k1", "consent": True, "control": "a", "count": 2, "each": 3, "embedder": "e", "established": 1,
    "end": START + timedelta(days=8),
    "feedback": "f1", "first": START, "hashes": ["h1", "h2", "nowhere"], "how": "now", "id": "i4",
    "last": START + timedelta(days=2),
    "ids": ["i1", "i2", "i3", *(f"f{n}" for n in range(60))], "interaction": "i1", "most": 20, "other": "i2",
    "outcome_run": "r1",
    "people": 1, "placed": ["i5", "i6"], "reason": "", "share": 0.5, "since": LATER, "slow_ms": 0.3, "started": START,
    "topic": "llm.interactions", "treatment": "b", "unseen": "", "wait_us": 10**11,
}  # fmt: skip
IDS = pa.table({"id": [f"i{n}" for n in range(9)] + ["f1"]})
PLACES = {"topic_id": ["", "t1", "t2"] * 2, "number": pa.array([0, 0, 0, 1, 1, 1], pa.int32())}
ELSEWHERE = pa.Table.from_pylist(
    [{"interaction_id": f"z{n}", "unit": "user:ann", "asked": START} for n in range(4)], schema=OTHERS
)
PAIRS = pa.Table.from_pylist(
    [{"interaction_id": "i1", "unit": unit, "asked": START.replace(hour=0) + timedelta(days=day)}
     for day in range(9) for unit in ("user:ann", "user:böb")], schema=OTHERS,
)  # fmt: skip
TABLES_OF: dict[str, dict[str, pa.Table]] = {
    "audit": {
        "audited": pa.table({**PLACES, "first": [0, 4, 8, 0, 4, 8]}),
        "starts": pa.table({**PLACES, "first": [0, 4, 8, 0, 4, 8]}),
        "committed": pa.table({**PLACES, "after": [300] * 6}),
    },
    "crowded": {"others": ELSEWHERE, "now": PAIRS},
    "heard_so": {"combinations": pa.table({"voices": ["v1", "v3"]})},
    "judged_on": {"pairs": PAIRS},
    "messages": {"wanted": IDS},
    "resting_on": {"ids": IDS, "units": pa.table({"unit": ["user:ann", ""]})},
    "signals": {"elsewhere": ELSEWHERE},
    "taught": {"taught": IDS},
    "experiment": {"arms": pa.table({"arm": ["a", "b"]})},
}
"""What a query is given beside the lake's tables."""
OF_FILE: dict[str, dict[str, Any]] = {
    "newcomers": {"since": START + timedelta(hours=2)},
    "old_lists": {"before": START + timedelta(days=9)},
}
DUCKDBS = re.compile(
    r"\b(?:unnest|epoch_us|epoch|nfc_normalize|list_contains|quantile_\w+|string_agg|arg_max|arg_min|UNION ALL BY NAME|"
    r"QUALIFY|FILTER|HUGEINT|VARCHAR|TIMESTAMPTZ|TIMESTAMP WITH TIME ZONE|GROUP BY ALL)\b|\* EXCLUDE|::",
    re.IGNORECASE,
)
AT_HOME = sorted(name for name, path in FILES.items() if "{homes}" in path.read_text())
VIEW_FILES = {*VIEWS, *(f"newest_{name}" for name in NEEDS)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("nulls") / "lake")
    nulls.fill(lake)
    return lake


@pytest.fixture(scope="module")
def on_spark(filled: Lake) -> Lake:
    return filled.asked_by(spark.needed())


def answer(lake: Lake, path: Path) -> pa.Table:
    """What a query finds, given all that it could ask for."""
    text, name = with_homes(path), path.stem
    if name in VIEW_FILES:
        text = f"SELECT * FROM {name.removeprefix('newest_')}"
    tables = {**TABLES_OF.get(name, {}), **_before(lake, text), **_stored(lake, text)}
    known = [table for table in TABLES if re.search(rf"\b(stored_)?{table}\b", text) and table not in tables]
    known += ["interactions", "feedback", "erasures"]
    known_values = PARAMETERS | OF_FILE.get(name, {})
    asked = re.sub(r"--.*", "", text)
    given = {key: value for key, value in known_values.items() if re.search(rf"\${key}\b", asked)}
    return query(lake, text, lake.versions(dict.fromkeys(known)), given, after_erasure="accept", tables=tables)


def _before(lake: Lake, text: str) -> dict[str, pa.Table]:
    """`before`, where it is a table: the newest outcomes."""
    if not re.search(r"FROM before\b", text):
        return {}
    plain = Lake(lake.root)
    return {"before": query(plain, "SELECT * FROM outcomes", plain.versions(["outcomes"]))}


def _stored(lake: Lake, text: str) -> dict[str, pa.Table]:
    """What the audit looks at."""
    plain = Lake(lake.root)
    names = {"stored_rows": "interactions", "stored_letters": "dead_letters"}
    return {
        name: query(
            plain,
            f"SELECT * EXCLUDE unit FROM stored_{table}"
            if table == "interactions"
            else f"SELECT * FROM stored_{table}",
            plain.versions([table]),
        )
        for name, table in names.items()
        if name in text
    }


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_query_uses_what_one_engine_alone_knows(name: str) -> None:
    """Names and spellings of DuckDB's own; what stands for them says `streams/lake/engine.py`."""
    text = re.sub(r"--.*", "", FILES[name].read_text())

    assert not DUCKDBS.findall(text)


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_query_has_an_answer_where_anything_may_be_null(name: str, filled: Lake) -> None:
    """The lake has rows for each, so that equal answers of two engines say something."""
    assert len(answer(filled, FILES[name]))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(FILES))
def test_both_engines_answer_alike(name: str, filled: Lake, on_spark: Lake) -> None:
    """Rows, types and order; where a query asks for no order, its rows and types."""
    same(FILES[name], answer(filled, FILES[name]), answer(on_spark, FILES[name]))


def same(path: Path, expected: pa.Table, found: pa.Table) -> None:
    """Fail where two answers to a query differ."""
    assert [(f.name, _type(f)) for f in found.schema] == [(f.name, _type(f)) for f in expected.schema]
    if "ORDER BY" in path.read_text().splitlines()[-1]:
        assert found.to_pylist() == expected.to_pylist()
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, expected.to_pylist()))


def _type(field: pa.Field) -> str:
    """What it holds; a list whatever its items are called."""
    return f"list of {field.type.value_type}" if pa.types.is_list(field.type) else str(field.type)


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("name", AT_HOME)
def test_homes_that_are_found_once_are_those_that_each_query_finds(name: str, placed: bool, filled: Lake) -> None:
    """Of all runs, and of those before one that has placed some; that one's count where they are to."""
    path, given = FILES[name], {key: value for key, value in PARAMETERS.items() if key not in {"application", "unseen"}}
    run = Run(run_id="r1", stage="cluster", application="support-bot", as_of=LATER, versions={}, settings_hash="",
              code_version="")  # fmt: skip
    now = Now(filled, run, placed=placed)

    with now.with_homes(placed=placed) as once:
        assert once.at_home is not None
        assert once.ask(path, **given).equals(now.ask(path, **given))
        assert once.ask(MEMBERS).equals(now.ask(MEMBERS))
        with now.with_homes(placed=not placed) as other:
            assert not other.ask(MEMBERS).equals(once.ask(MEMBERS))
