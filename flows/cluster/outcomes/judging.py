"""What a run concludes of the interactions that it looks at: the rows of `outcomes` and `voices` that have changed.

    1. what has changed is read, and what was said of it put together        (`changes.py`, `outcomes.heard`)
    2. the counts of what was said together go on from the last run's        (`Tally`)
    3. the sources' reliability is fitted on them                            (`outcomes.fit`)
    4. where that moves a combination across a threshold, its interactions are looked at too
    5. rows that differ from the newest are what is published; often none

The increment is the whole: the outcomes and scores that readers see are those of a run that judges everything at once.
Go on to `flows/cluster/stage.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.cluster.modes.edits import edit_of
from flows.cluster.modes.modes import mode_of
from flows.cluster.outcomes.changes import Changes, Source, array_of, at, changes, everything
from flows.cluster.outcomes.outcomes import Fitted, Verdict, fit, heard, reasons_of
from flows.cluster.outcomes.own import KEPT as OF_INTERACTION
from flows.cluster.outcomes.own import Own
from flows.cluster.outcomes.reliability import Reliability
from schemas.messages import parse, text_of
from schemas.prompts import Examples
from schemas.records import Outcome, content_hash
from schemas.settings import ClusterSettings, Settings
from schemas.tables import OUTCOMES, VOICES
from streams.lake.rows import Rows, from_row
from streams.lake.spilled import Spilled

OF_HEARD = ("voices", "signals", "left_out", "speakers")
"""And from what was said of it."""
OF_MODE = ("own", "edit")
"""And of which the mode of a failure is made."""
KEPT = (*OF_INTERACTION, *OF_HEARD, *OF_MODE, "found", "text")


_ROWS = pa.schema([field for field in OUTCOMES.schema if field.name not in {"run_id", "application"}])
_BESIDE = pa.schema([
    ("against", pa.list_(pa.string())), ("pro", pa.list_(pa.string())),
    ("same", pa.bool_()), ("outcome_before", pa.string()), ("reasons_before", pa.list_(pa.string())),
    ("mode_before", pa.string()),
])  # fmt: skip
"""Beside the columns of `outcomes`: both sides' reasons, and whether all else is as it was judged last."""
_NOW = pa.schema([
    OUTCOMES.schema.field("interaction_id"), *(OUTCOMES.schema.field(name) for name in KEPT),
    OUTCOMES.schema.field("revision"), *_BESIDE,
])  # fmt: skip


@dataclass(frozen=True)
class Tally:
    """Of how many interactions each combination of voices was heard, and how many voices on these were over the cap."""

    interactions: Mapping[str, int]
    left_out: Mapping[str, int]

    @property
    def total(self) -> int:
        """All interactions."""
        return sum(self.interactions.values())


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a run has concluded."""

    rows: Spilled
    """Outcomes that are new or differ from the newest: rows of `outcomes` without a run, in an order that follows from
    the events."""
    tally: Tally
    fitted: Fitted
    moved: bool
    """Whether the tally or a verdict differs from what the last run found."""

    @property
    def reliability(self) -> Reliability:
        """How the sources fared."""
        return self.fitted.reliability

    @property
    def over_cap(self) -> int:
        """Voices left out because their unit had judged more of one day's interactions than the cap allows."""
        return sum(self.tally.left_out.values())

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The rows as records, by interaction."""
        return tuple(from_row(Outcome, row) for row in self.rows.table().sort_by("interaction_id").to_pylist())

    @property
    def failures(self) -> Rows:
        """Of the rows those that failed: interaction_id and text."""
        names = ["interaction_id", "text"]
        schema = pa.schema([_ROWS.field(name) for name in names])

        def read(size: int) -> pa.RecordBatchReader:
            batches = self.rows.batches(size)
            failed = (batch.filter(pc.equal(batch["outcome"], "failed")).select(names) for batch in batches)
            return pa.RecordBatchReader.from_batches(schema, failed)

        return Rows(read)

    def counts(self) -> Counter[str]:
        """Outcome → interactions."""
        found = Counter[str]()
        for key, count in self.tally.interactions.items():
            found[self.fitted.verdicts[key][0]] += count
        return found

    def voices(self, **shared: Any) -> pa.Table:
        """The rows of `voices`; `shared` are the columns that all of them have alike."""
        rows = [
            {
                "voices": key,
                "interactions": count,
                "left_out": self.tally.left_out[key],
                "outcome": self.fitted.verdicts[key][0],
                "score": self.fitted.verdicts[key][1],
                **shared,
            }
            for key, count in sorted(self.tally.interactions.items())
        ]
        return pa.Table.from_pylist(rows, schema=VOICES.schema)


def basis_of(code_version: str, settings: Settings, shots: Examples = ()) -> str:
    """What an outcome depends on beside the events, but for what is fitted anew in each run."""
    how = settings.cluster
    heard_by = (how.signals_off, how.failing_labels, how.feedback_cap)
    rest = [shots] if shots else []
    return content_hash([code_version, heard_by, settings.archive.after_erasure, *rest])[:32]


def judge(source: Source, settings: ClusterSettings, seen: Mapping[str, int] | None, *, again: bool) -> Judged:
    """Judge what has changed since the raw tables were at `seen`; everything where there is no earlier run.

    `again`: what was judged before was judged in another way, so that everything is judged once more.
    """
    last = Tally({}, {}), dict[str, Verdict]()
    new: pa.Array | None = None
    if seen is None or again:
        tally = last[0]
        parts = everything(source, judged_before=again)
    else:
        last = _newest(source)
        lost = _judged_once(source) != last[0].total
        tally = _counted(source) if lost else last[0]
        found = changes(source, seen, lost=lost)
        parts, new = iter([found]), found.ids
    rows = Spilled(_NOW)
    for looked_at in parts:
        some = _heard(source, looked_at, settings)
        tally = _moved(tally, some, looked_at.before.slice(0, 0) if again else looked_at.before)
        rows.add(some)
    fitted = fit(tally.interactions, settings)
    crossed = [key for key, (outcome, _) in last[1].items() if fitted.verdicts.get(key, (outcome,))[0] != outcome]
    if crossed:
        ids = source.ask("heard_so", tables={"combinations": pa.table({"voices": crossed})}, also=("outcomes",))["id"]
        rows.add(_heard(source, at(source, array_of(ids.filter(pc.invert(pc.is_in(ids, new))))), settings))
    return Judged(
        rows=_changed(rows, fitted),
        tally=tally,
        fitted=fitted,
        moved=(tally, {key: fitted.verdicts[key] for key in tally.interactions}) != last,
    )


def _newest(source: Source) -> tuple[Tally, dict[str, Verdict]]:
    """The tally and the verdicts of the newest run that found a change in them."""
    rows = source.ask("newest", also=("voices",)).to_pylist()
    return _tally(rows), {row["voices"]: (row["outcome"], row["score"]) for row in rows}


def _counted(source: Source) -> Tally:
    return _tally(source.ask("tally", also=("outcomes",)).to_pylist())


def _tally(rows: Sequence[Mapping[str, Any]]) -> Tally:
    return Tally({r["voices"]: r["interactions"] for r in rows}, {r["voices"]: r["left_out"] for r in rows})


def _judged_once(source: Source) -> int:
    return int(source.ask("judged_once", also=("outcomes",))["interactions"][0].as_py())


def _moved(known: Tally, rows: pa.Table, before: pa.Table) -> Tally:
    """The tally after these interactions are heard as they are now, no longer as they were."""
    interactions, left_out = Counter(known.interactions), Counter(known.left_out)
    were = before.filter(pc.is_in(before["interaction_id"], rows["interaction_id"]))
    for table, sign in ((were, -1), (rows, 1)):
        by_voices = table.select(["voices", "left_out"]).group_by("voices")
        for row in by_voices.aggregate([("voices", "count"), ("left_out", "sum")]).to_pylist():
            interactions[row["voices"]] += sign * row["voices_count"]
            left_out[row["voices"]] += sign * (row["left_out_sum"] or 0)
    keys = [key for key, count in interactions.items() if count > 0]
    return Tally({key: interactions[key] for key in keys}, {key: left_out[key] for key in keys})


def _heard(source: Source, looked_at: Changes, settings: ClusterSettings) -> pa.Table:
    """What was said of each interaction by now, beside how it was judged last; in batches, since messages are large."""
    signals, before = _ByInteraction(looked_at.signals), _ByInteraction(looked_at.before)
    edits, tables = _edits(source, looked_at.signals), []
    for sql, ids in (("interactions", looked_at.fresh), ("again", looked_at.known)):
        with source.stream(sql, ids, whole=looked_at.whole) as answer:
            for batch in (answer.map(Own(shots=source.shots)) if sql == "interactions" else answer).batches():
                asked = batch.to_pylist()
                was = before.rows_of([row["id"] for row in asked])
                said = signals.rows_of([row["id"] for row in asked])
                told = [
                    _now(row, said[row["id"]], next(iter(was[row["id"]]), None), edits.get(row["id"]), settings)
                    for row in asked
                ]
                tables.append(pa.Table.from_pylist(told, schema=_NOW))
    return pa.concat_tables([_NOW.empty_table(), *tables]).sort_by("interaction_id")


def _edits(source: Source, signals: pa.Table) -> dict[str, str]:
    """Interaction → what the correction of its answer changed; answers are read of the corrected ones alone."""
    corrected = pc.unique(signals["interaction_id"].filter(pc.equal(signals["kind"], "correction")))
    if not len(corrected):
        return {}
    found = {}
    with source.corrections(corrected) as answer:
        for row in answer.dicts():
            chat = parse(row["output_messages"])
            calls = next((message["tool_calls"] for message in reversed(chat) if message.get("tool_calls")), None)
            found[row["id"]] = edit_of(text_of(chat, "assistant"), calls, row["text"])
    return found


def _now(
    asked: dict[str, Any],
    said: list[dict[str, Any]],
    was: dict[str, Any] | None,
    edit: str | None,
    settings: ClusterSettings,
) -> dict[str, Any]:
    """One row of `_NOW`: what our own rules find, they find once."""
    if "own" in asked:
        found, text, shows = asked["found"], asked["text"], asked["own"]
    else:  # `again.sql` is asked of what was judged before
        found, text, shows = (was["found"] or [], was["text"], was["own"]) if was else ([], "", None)
    all_ = heard(said, found, settings)
    now = {
        **{name: asked[name] for name in OF_INTERACTION},
        **{name: getattr(all_, name) for name in OF_HEARD},
        "found": found,
        "text": text,
        "own": shows,
        "edit": edit,
    }
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in now.items()}
    return {
        **plain,
        "interaction_id": asked["id"],
        "revision": 0 if was is None or was["revision"] is None else was["revision"] + 1,
        "against": all_.against,
        "pro": all_.pro,
        "same": was is not None and all(was[name] == value for name, value in plain.items()),
        "outcome_before": was["outcome"] if was else None,
        "reasons_before": was["reasons"] if was else None,
        "mode_before": was["mode"] if was else None,
    }


def _changed(rows: Rows, fitted: Fitted) -> Spilled:
    """The rows that differ from what was published last, with their outcomes; as objects a batch of them at a time."""
    kept = Spilled(_ROWS)
    for batch in rows.batches():
        judged = (_judged(row, fitted) for row in batch.to_pylist())
        kept.add(pa.Table.from_pylist([row for row in judged if row is not None], schema=_ROWS))
    return kept


def _judged(row: dict[str, Any], fitted: Fitted) -> dict[str, Any] | None:
    outcome, score = fitted.verdicts[row["voices"]]
    reasons = list(reasons_of(row["against"], row["pro"], outcome))
    mode = mode_of(row["found"], row["own"], row["against"], row["edit"]) if outcome == "failed" else None
    if row["same"] and (outcome, reasons, mode) == (row["outcome_before"], row["reasons_before"], row["mode_before"]):
        return None
    concluded = {"outcome": outcome, "score": score, "reasons": reasons, "mode": mode}
    return {**{name: row.get(name) for name in _ROWS.names}, **concluded}


class _ByInteraction:
    """A table that is sorted by interaction: the rows on some of them."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        ids = array_of(table["interaction_id"])
        runs = pc.run_end_encode(ids)
        ends = runs.run_ends.to_pylist()
        starts = [0, *ends[:-1]]
        self._spans = dict(zip(runs.values.to_pylist(), zip(starts, ends, strict=True), strict=True)) if ends else {}

    def rows_of(self, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """Interaction → its rows."""
        spans = {id_: self._spans.get(id_, (0, 0)) for id_ in ids}
        places = [place for start, end in spans.values() for place in range(start, end)]
        rows = iter(self._table.take(places).to_pylist() if places else [])
        return {id_: [next(rows) for _ in range(end - start)] for id_, (start, end) in spans.items()}
