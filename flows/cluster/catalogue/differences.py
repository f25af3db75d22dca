"""What changed between two runs: clusters that came, or whose status is not the same steady one in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.records import Cluster
from schemas.trend import ClusterStatus


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One cluster in two runs."""

    cluster_id: str
    name: str
    status: ClusterStatus
    """In the later run."""
    before: float | None
    """Failures per interaction; None without traffic, or where the earlier run did not have the cluster."""
    after: float | None


def differences(old: Sequence[Cluster], new: Sequence[Cluster]) -> list[Difference]:
    """The clusters of the later run that are new in it, or were not steady in one of the two."""
    before = {cluster.cluster_id: cluster for cluster in old}
    return [
        Difference(
            cluster_id=cluster.cluster_id,
            name=cluster.name,
            status=cluster.status,
            before=before[cluster.cluster_id].rate if cluster.cluster_id in before else None,
            after=cluster.rate,
        )
        for cluster in new
        if cluster.cluster_id not in before or {cluster.status, before[cluster.cluster_id].status} != {"steady"}
    ]
