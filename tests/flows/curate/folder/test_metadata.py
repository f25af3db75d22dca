"""A version in the words of others, as their own tools read it. docs/datasets.md says how to have these tools here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.curate.folder.folder import Folder, write
from flows.curate.folder.metadata import FACETS, PRODUCER, open_lineage
from tests.support.examples import FACTS, example, pair, parts, verdict

CALL = {"id": "1", "function": {"name": "refund", "arguments": {"order": 7}}}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Every training config, with tool calls."""
    calling = example(
        8, "q 8", tools=json.dumps([{"type": "function", "function": {"name": "refund"}}]),
        answer=json.dumps([{"role": "assistant", "content": None, "tool_calls": [CALL]}]),
    )  # fmt: skip
    rows = {**parts([pair(1), pair(2)]), ("guardrail", "train"): [verdict(9)]}
    return write(tmp_path, "all-training", {**rows, ("sft", "train"): [pair(1), calling]}, FACTS)


def test_croissant_names_every_column_of_every_file(folder: Folder) -> None:
    """Lists are repeated fields, the structs in them have subfields, each leaf says where it is read from."""
    described = json.loads((folder.path / "croissant.json").read_text())

    columns = {r["@id"]: [field["name"].split("/")[1] for field in r["field"]] for r in described["recordSet"]}
    assert columns == {
        path.name.split("-")[0]: pq.read_schema(path).names for path in folder.path.glob("data/*.parquet")
    }
    (messages,) = [f for r in described["recordSet"] for f in r["field"] if f["@id"] == "sft/messages"]
    assert messages["repeated"] is True
    assert [part["source"]["transform"] for part in messages["subField"]][:2] == [
        {"jsonPath": "role"},
        {"jsonPath": "content"},
    ]


def test_mlcroissant_reads_every_row(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLCommons' own reader: no error, no warning, and all rows of all configs."""
    croissant = pytest.importorskip("mlcroissant", reason="needs `pip install mlcroissant[parquet]`")
    monkeypatch.chdir(folder.path)

    data = croissant.Dataset(jsonld="croissant.json")

    issues = data.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    counts = {records.id: sum(1 for _ in data.records(records.id)) for records in data.metadata.record_sets}
    assert {f"{config}/train": count for config, count in counts.items()} == folder.rows


def test_the_lineage_event_is_what_the_openlineage_client_writes(folder: Folder) -> None:
    """Built from the same facts by OpenLineage's own types, an event is the same but for empty facets."""
    event = open_lineage(folder.manifest)

    assert without_nothing(event) == without_nothing(theirs(event))
    assert event["inputs"], "the tables that were read"


def test_a_table_that_was_not_there_is_no_input(folder: Folder) -> None:
    """Only what was read has a version."""
    event = open_lineage({**folder.manifest, "versions": {"interactions": 3, "erasures": -1}})

    assert [table["name"] for table in event["inputs"]] == ["interactions"]
    facet = event["inputs"][0]["facets"]["version"]
    assert facet["_schemaURL"].startswith(FACETS)
    assert facet["_producer"] == PRODUCER


def theirs(event: dict[str, Any]) -> dict[str, Any]:
    """The event, rebuilt with the types that OpenLineage generates from its JSON Schema."""
    client = pytest.importorskip("openlineage.client.event_v2", reason="needs `pip install openlineage-python`")
    from openlineage.client import generated, serde  # noqa: PLC0415 only where it is there

    def version(dataset: dict[str, Any]) -> dict[str, Any]:
        known = dataset["facets"]["version"]["datasetVersion"]
        facet = generated.dataset_version_dataset.DatasetVersionDatasetFacet
        return {"version": facet(datasetVersion=known, producer=PRODUCER)}

    (output,) = event["outputs"]
    rows = output["outputFacets"]["outputStatistics"]["rowCount"]
    statistics = generated.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
    rebuilt = client.RunEvent(
        eventType=client.RunState[event["eventType"]],
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=client.Run(**event["run"]),
        job=client.Job(**event["job"]),
        inputs=[client.InputDataset(i["namespace"], i["name"], facets=version(i)) for i in event["inputs"]],
        outputs=[
            client.OutputDataset(
                output["namespace"],
                output["name"],
                facets=version(output),
                outputFacets={"outputStatistics": statistics(rowCount=rows, producer=PRODUCER)},
            )
        ],
    )
    found: dict[str, Any] = json.loads(serde.Serde.to_json(rebuilt))
    return found


def without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nothing(item) for key, item in value.items() if item not in ({}, None)}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value
