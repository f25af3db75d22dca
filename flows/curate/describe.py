"""A dataset version in the words of others: Croissant for search engines, OpenLineage for lineage graphs. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

PRODUCER = "urn:llm-flywheel"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "repeated": "cr:repeated",
    "sc": "https://schema.org/",
    "source": "cr:source",
    "subField": "cr:subField",
}
"""The JSON-LD context of Croissant 1.0, as far as it is used here."""


def croissant(manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> dict[str, Any]:
    """Croissant 1.0 JSON-LD of a version: its files with their hashes, and the columns of each config."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest["name"],
        "description": f"Built by llm-flywheel from production interactions as of {manifest['as_of']}.",
        "version": manifest["version"],
        "datePublished": manifest["as_of"],
        "license": "https://choosealicense.com/no-permission/",
        "url": PRODUCER,
        "citeAs": f"llm-flywheel dataset {manifest['name']} {manifest['sha256']}",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "encodingFormat": "application/x-parquet",
                "sha256": sha256,
            }
            for name, sha256 in manifest["files"].items()
        ],
        "recordSet": [_records(name.split("/")[-1].split("-")[0], name, schemas) for name in manifest["files"]],
    }


def open_lineage(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenLineage 2-0-2 COMPLETE event: which tables, at which versions, the dataset version was built from."""
    return {
        "eventType": "COMPLETE",
        "eventTime": manifest["as_of"],
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid.UUID(hex=manifest["run_id"][:32]))},
        "job": {"namespace": "llm-flywheel", "name": f"curate.{manifest['name']}"},
        "inputs": [
            {"namespace": "llm-flywheel.lake", "name": table, "facets": {"version": _version(str(version))}}
            for table, version in manifest["versions"].items()
        ],
        "outputs": [
            {
                "namespace": "llm-flywheel.datasets",
                "name": manifest["name"],
                "facets": {"version": _version(manifest["version"])},
                "outputFacets": {
                    "outputStatistics": {
                        "_producer": PRODUCER,
                        "_schemaURL": "https://openlineage.io/spec/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json",
                        "rowCount": sum(manifest["rows"].values()),
                    }
                },
            }
        ],
    }


def _version(version: str) -> dict[str, str]:
    url = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json"
    return {"_producer": PRODUCER, "_schemaURL": url, "datasetVersion": version}


def _records(config: str, file: str, schemas: Mapping[str, pa.Schema]) -> dict[str, Any]:
    number = file.rpartition("/")[2].split("-")[2]
    name = config if number == "00000" else f"{config}-{number}"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{field.name}",
                "name": f"{name}/{field.name}",
                "dataType": _data_type(field.type),
                "source": {"fileObject": {"@id": file}, "extract": {"column": field.name}},
            }
            for field in schemas[config]
        ],
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Text"
