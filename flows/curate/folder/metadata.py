"""A dataset version in the words of others: Croissant for search engines, OpenLineage for lineage graphs. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

PRODUCER = "urn:llm-flywheel:curate"
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
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context of Croissant 1.0, whole: readers hold it against their own."""
FACETS = "https://openlineage.io/spec/facets/"


def croissant(manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> dict[str, Any]:
    """Croissant 1.0 JSON-LD of a version: its files with their hashes, and the columns of each config."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest["name"],
        "description": f"Built by llm-flywheel from production interactions as of {manifest['as_of']}.",
        "version": f"1.0.0+{manifest['version']}",  # a semantic version, as Croissant asks for
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
            if version >= 0  # a table that was not there yet was not read
        ],
        "outputs": [
            {
                "namespace": "llm-flywheel.datasets",
                "name": manifest["name"],
                "facets": {"version": _version(manifest["version"])},
                "outputFacets": {
                    "outputStatistics": _facet(
                        "1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=sum(manifest["rows"].values())
                    )
                },
            }
        ],
    }


def _version(version: str) -> dict[str, Any]:
    return _facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=version)


def _facet(version: str, name: str, **values: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}{version}/{name}.json#/$defs/{name}", **values}


def _records(config: str, file: str, schemas: Mapping[str, pa.Schema]) -> dict[str, Any]:
    number = file.rpartition("/")[2].split("-")[2]
    name = config if number == "00000" else f"{config}-{number}"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [_field(f"{name}/{field.name}", field, file) for field in schemas[config]],
    }


def _field(name: str, field: pa.Field, file: str, column: str | None = None) -> dict[str, Any]:
    """A column, or, where `column` says of which, a field of the structs in its list."""
    described: dict[str, Any] = {"@type": "cr:Field", "@id": name, "name": name}
    kind = field.type
    if column is None and pa.types.is_list(kind):
        described["repeated"] = True
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return described | {"subField": [_field(f"{name}/{part.name}", part, file, field.name) for part in kind]}
    source: dict[str, Any] = {"fileObject": {"@id": file}, "extract": {"column": column or field.name}}
    if column:
        source["transform"] = {"jsonPath": field.name}
    return described | {"dataType": _data_type(kind), "source": source}


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    if pa.types.is_floating(kind):
        return "sc:Float"
    if pa.types.is_timestamp(kind):
        return "sc:DateTime"
    return "sc:Text"
