"""The clusters as one self-contained HTML file: map, trends, examples, reasons, and what promotions did.

No script, no font and no image from anywhere: it opens offline and can be mailed. All text of strangers is escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa

from flows.cluster.lineage.accepted import proposals_of
from flows.cluster.state import TABLES, clusters_of, events_of, sql
from flows.cluster.summary import Summary
from flows.run import Finished, Run, runs
from schemas.records import Cluster, Part, Point
from streams.lake import Lake
from streams.lake.query import query

_HERE = Path(__file__).parent
EXAMPLES = 5
COLOURS = {
    "new": "#8e44ad",
    "growing": "#d35400",
    "regressed": "#c0392b",
    "steady": "#7f8c8d",
    "shrinking": "#2980b9",
    "resolved": "#27ae60",
}
GREY = "#7f8c8d"
WIDTH, HEIGHT, MARGIN = 900.0, 460.0, 90.0
LABELLED = 15
"""Dots of the map with a name beside them: the largest ones."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A cluster on the page."""

    cluster: Cluster
    points: str
    """Of the trend's line."""
    colour: str
    segments: dict[str, dict[str, Part]]
    """Those with more than one value."""
    examples: list[str]


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A cluster on the map."""

    cluster: Cluster
    x: float
    y: float
    r: float
    colour: str
    label: bool


def html(lake: Lake, run: Finished) -> str:
    """The report of a finished cluster run (its row of `runs`)."""
    every = clusters_of(lake, run.run_id)
    living = [cluster for cluster in every if not cluster.alias_of]
    examples = examples_of(lake, run, EXAMPLES)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True)
    environment.filters["percent"] = lambda value: "no traffic" if value is None else f"{value:.2%}"
    return environment.get_template("report.html").render(
        run=run,
        first=runs(lake, "cluster", run.application)[0].run_id == run.run_id,
        summary=run.told(Summary),
        cards=[_card(cluster, examples.get(cluster.cluster_id, [])) for cluster in living],
        names={cluster.cluster_id: cluster.name for cluster in every},
        proposals=proposals_of(lake, run),
        dots=_dots(lake, run.application, living),
        colours=COLOURS,
        events=events_of(lake, run.run_id),
        size=(WIDTH, HEIGHT),
    )


def write(lake: Lake, run: Finished, folder: Path) -> Path:
    """The report as a file named for its run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"clusters-{run.run_id[:12]}.html"
    path.write_text(html(lake, run), encoding="utf-8")
    return path


def spark(trend: Sequence[Point], width: float = 120, height: float = 24) -> str:
    """Points of an SVG polyline of rates, oldest first; windows without traffic are left out."""
    rates = [(i, failures / served) for i, (_, failures, served) in enumerate(trend) if served]
    top = max((rate for _, rate in rates), default=0.0) or 1.0
    step = width / max(len(trend) - 1, 1)
    return " ".join(f"{i * step:.1f},{height - 2 - rate / top * (height - 4):.1f}" for i, rate in rates)


def _card(cluster: Cluster, examples: list[str]) -> Card:
    return Card(
        cluster=cluster,
        points=spark(cluster.trend),
        colour=COLOURS.get(cluster.status, GREY),
        segments={column: values for column, values in cluster.segments.items() if len(values) > 1},
        examples=examples,
    )


def examples_of(lake: Lake, run: Run, count: int) -> dict[str, list[str]]:
    """The newest distinct failures of each cluster."""
    parameters = {"application": run.application, "run_id": run.run_id, "count": count}
    names = ("outcomes", "cluster_members")
    found: dict[str, list[str]] = {}
    for row in query(lake, sql(Path(__file__).with_name("examples.sql")), lake.versions(names), parameters).to_pylist():
        found.setdefault(row["cluster_id"], []).append(row["text"])
    return found


def _dots(lake: Lake, application: str, clusters: list[Cluster]) -> list[Dot]:
    """Where each cluster is drawn: the two main directions in which the clusters' centroids differ."""
    table = query(
        lake, sql(Path(__file__).with_name("report.sql")), lake.versions(TABLES), {"application": application}
    )
    by_id = {cluster.cluster_id: cluster for cluster in clusters}
    ids, centroids = _centroids(table, by_id.keys())
    if not ids:
        return []
    centred = centroids - centroids.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T if len(axes) > 1 else np.zeros((len(ids), 2))
    reach = np.maximum(np.ptp(flat, axis=0), 1e-9)
    ranks = flat.argsort(axis=0, kind="stable").argsort(axis=0) / max(len(ids) - 1, 1)
    spread = ((flat - flat.min(axis=0)) / reach + ranks) / 2  # half by place, half by rank: a crowd can be read
    at = spread * [WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN] + MARGIN
    named_from = sorted((cluster.size_total for cluster in clusters), reverse=True)[:LABELLED][-1]
    return [
        Dot(
            cluster=by_id[id_],
            x=round(float(at[i, 0]), 1),
            y=round(float(at[i, 1]), 1),
            r=round(4 + 1.6 * float(np.sqrt(by_id[id_].size_total)) ** 0.8, 1),
            colour=COLOURS.get(by_id[id_].status, GREY),
            label=by_id[id_].size_total >= named_from,
        )
        for i, id_ in enumerate(ids)
    ]


def _centroids(table: pa.Table, wanted: Collection[str]) -> tuple[list[str], Any]:
    """Clusters and their mean vectors, in the space of the embedder that most rows have."""
    if not len(table):
        return [], np.zeros((0, 0))
    embedders = table["embedder"].to_pylist()
    main = max(sorted(set(embedders)), key=embedders.count)
    where: dict[str, list[int]] = {}
    for i, (id_, embedder) in enumerate(zip(table["cluster_id"].to_pylist(), embedders, strict=True)):
        if embedder == main and id_ in wanted:
            where.setdefault(id_, []).append(i)
    vectors = table["vector"].to_numpy()
    return list(where), np.array([np.mean(np.stack(vectors[inside]), axis=0) for inside in where.values()])
