"""An object store that fails in every way that a network knows: each event is in the lake once all the same."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from streams.lake.append import Span, Writer
from streams.lake.audit import audit
from streams.lake.files import filesystem
from streams.lake.maintain import compact, delete_rows
from streams.lake.query import read
from tests.support import store
from tests.support.kafka import Ingest, running, send
from tests.support.lake import COMMITTED, rows
from tests.support.s3 import S3
from tests.support.waiting import eventually

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


def test_what_is_erased_leaves_the_store_though_the_answer_is_lost(s3: S3) -> None:
    """The commit was made, nobody said so: the old file is deleted all the same."""
    bucket = s3.bucket()
    calm = s3.lake(bucket)
    Writer(calm, "interactions").land(rows([0, 1], user="ann"), {COMMITTED: Span(None, 2)})
    before = calm.open("interactions").file_uris()
    with store.hurtful(s3.url, "unanswered") as url:
        lake = s3.lake(bucket, AWS_ENDPOINT_URL=url, timeout=f"{store.PATIENCE_S}s")
        gone = delete_rows(lake, "interactions", pc.field("user_id") == "ann")
        assert store.hurt(url)["commit"] >= 1

    assert len(gone) == len(before) == 1
    assert read(calm, "interactions").num_rows == 0
    assert not filesystem(calm, "interactions").get_file_info(gone[0]).is_file
