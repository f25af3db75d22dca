"""The clusters as one self-contained HTML file: map, trends, examples, reasons, and what promotions did.

No script, no font and no image from anywhere: it opens offline and can be mailed. All text of strangers is escaped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
from markupsafe import Markup

from flows import svg
from flows.cluster.lineage.accepted import proposals_of
from flows.cluster.lineage.by_itself import waiting_by_itself
from flows.cluster.modes.modes import said
from flows.cluster.standing import by_itself
from flows.cluster.state import MEMBERS, PINNED, TABLES, clusters_of, events_of, sql
from flows.cluster.summary import Summary
from flows.run import Finished, Run, runs
from flows.store import REPORTS, store_of
from flows.visible import one_line
from schemas.records import Cluster
from schemas.settings import ClusterSettings, Settings
from schemas.trend import Part
from streams.lake import Lake
from streams.lake.query import query

_HERE = Path(__file__).parent
EXAMPLES = 5
WIDTH, HEIGHT, MARGIN = 900.0, 460.0, 90.0
LOOKS = {"new": "harm", "growing": "harm", "regressed": "harm", "resolved": "quiet", "shrinking": "quiet"}
"""Status → how its dot looks: what needs a decision, what is over."""
LONGEST = 32
"""Characters of a name on the map."""
LABELLED = 15
"""Dots of the map with a name beside them: the largest ones."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A cluster on the page."""

    cluster: Cluster
    trend: Markup
    """Drawn."""
    segments: dict[str, dict[str, Part]]
    """Those with more than one value."""
    examples: list[str]


def html(lake: Lake, run: Finished, how: ClusterSettings) -> str:
    """The report of a finished cluster run (its row of `runs`)."""
    every = clusters_of(lake, run.run_id)
    living = [cluster for cluster in every if not cluster.alias_of]
    examples = examples_of(lake, run, EXAMPLES, how.least_people)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_HERE), autoescape=True, trim_blocks=True)
    environment.filters["said"] = said
    environment.tests["by_itself"] = by_itself
    environment.filters["percent"] = lambda value: "no traffic" if value is None else f"{value:.2%}"
    return environment.get_template("report.html").render(
        run=run,
        first=runs(lake, "cluster", run.application)[0].run_id == run.run_id,
        summary=run.told(Summary),
        cards=[_card(cluster, examples.get(cluster.cluster_id, [])) for cluster in living],
        names={cluster.cluster_id: cluster.name for cluster in every},
        proposals=proposals_of(lake, run),
        certain=waiting_by_itself(lake, run, how.accept_from),
        map=Markup(svg.dots(map_of(lake, run.application, living), "Clusters by likeness")),  # noqa: S704 escaped there
        drawn=Markup(svg.CSS),  # noqa: S704 ours
        events=events_of(lake, run.run_id),
    )


def write(lake: Lake, run: Finished, folder: Path, how: ClusterSettings) -> Path:
    """The report as a file named for its run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"clusters-{run.run_id[:12]}.html"
    path.write_text(html(lake, run, how), encoding="utf-8")
    return path


def publish(lake: Lake, run: Finished, settings: Settings) -> tuple[Path, str]:
    """The report below the home, and its URL: where the settings name a store it is sent there before it is seen here.

    Pages that are no longer in the store go from here: an erasure, on whatever machine, has removed them.
    """
    folder = settings.home_path / REPORTS
    if (store := store_of(settings)) is None:
        page = write(lake, run, folder, settings.cluster)
        return page, page.as_uri()
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as scratch:
        fresh = write(lake, run, Path(scratch), settings.cluster)
        name = f"{REPORTS}/{fresh.name}"
        store.send(fresh, name)
        kept = set(store.files(REPORTS))
        for old in folder.glob("*.html"):
            if f"{REPORTS}/{old.name}" not in kept:
                old.unlink(missing_ok=True)
        return fresh.replace(folder / fresh.name), f"{store.url}/{name}"


def _card(cluster: Cluster, examples: list[str]) -> Card:
    return Card(
        cluster=cluster,
        trend=Markup(svg.bars([(part, whole) for _, part, whole in cluster.trend], 0, "Failure rate by window")),  # noqa: S704
        segments={column: values for column, values in cluster.segments.items() if len(values) > 1},
        examples=examples,
    )


def examples_of(
    lake: Lake, run: Run, count: int, least_people: int, which: Sequence[Path] = (MEMBERS, PINNED)
) -> dict[str, list[str]]:
    """The newest distinct failures of each cluster of so many people, found and pinned ones or `which`."""
    parameters = {"application": run.application, "count": count, "people": least_people, "unseen": ""}
    found: dict[str, list[str]] = {}
    names = ("outcomes", "cluster_members", "pinned_members")
    for homes in which:
        asked = sql(Path(__file__).with_name("examples.sql"), homes)
        for row in query(lake, asked, lake.versions(names), parameters).to_pylist():
            found.setdefault(row["cluster_id"], []).append(row["text"])
    return found


def map_of(lake: Lake, application: str, clusters: list[Cluster], link: str = "#") -> list[svg.Dot]:
    """Where each cluster is drawn: the two main directions in which the clusters' centroids differ.

    `link` stands before a cluster's id in its address.
    """
    table = query(
        lake,
        sql(Path(__file__).with_name("report.sql")),
        lake.versions(TABLES),
        {"application": application, "unseen": ""},
    )
    clusters = [cluster for cluster in clusters if not cluster.pinned]  # its failures lie wherever their clusters do
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
    return [_dot(by_id[id_], at[i, 0], at[i, 1], named_from, link) for i, id_ in enumerate(ids)]


def _dot(cluster: Cluster, x: float, y: float, named_from: int, link: str) -> svg.Dot:
    radius = 4 + 1.6 * float(np.sqrt(cluster.size_total)) ** 0.8
    words = one_line(" / ".join(cluster.name.split(" / ")[:2]))[:LONGEST]
    return svg.Dot(
        float(x), float(y), radius,
        text=words if cluster.size_total >= named_from else "",
        title=f"{one_line(cluster.name)}: {cluster.status}, {cluster.size_total} ever",
        look=LOOKS.get(cluster.status, ""),
        href=link + cluster.cluster_id,
    )  # fmt: skip


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
