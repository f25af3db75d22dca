"""An object store that fails in every way that a network knows: each event is in the lake once all the same."""

from __future__ import annotations

import pytest

from streams.lake.audit import audit
from streams.lake.maintain import compact
from streams.lake.query import read
from tests.faults import store
from tests.faults.test_faults import running, send
from tests.integration.conftest import S3, Ingest, eventually

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("fault", store.FAULTS)
def test_a_store_that_fails_on_the_way_loses_and_doubles_nothing(ingest: Ingest, s3: S3, fault: str) -> None:
    """503, cut connections, torn answers, requests that arrive late, and commits whose answer is lost."""
    bucket = s3.bucket()
    calm, sent = s3.lake(bucket), set[str]()
    with store.hurtful(s3.url, fault) as url:
        lake = s3.lake(bucket, AWS_ENDPOINT_URL=url, timeout=f"{store.PATIENCE_S}s", max_retries="2")
        with running(ingest, lake):
            for n in range(4):
                sent.update(send(ingest, 50 * n, 50 * n + 50))
                eventually(lambda: read(calm, "interactions").num_rows >= len(sent), 120)
        struck = store.hurt(url)
    compact(calm, "interactions", 2**20)

    ids = read(calm, "interactions")["id"].to_pylist()
    assert (len(ids), set(ids)) == (len(sent), sent)
    assert audit(calm).incidents == ()
    assert struck["commit"] >= 2
    assert struck.total() > struck["commit"]
