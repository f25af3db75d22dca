"""The pages, one module each: read the state, ask the index, fill a template.

overview        whether the wheel turns, in one sentence, and what waits
failures        the inbox of clusters, and one of them
acts            what a reviewer does to a cluster
conversations   search by words and by meaning, and one conversation whole
agreement       how far people and judges agree, and who decides where they do not
review          queues of questions, one at a time, and what people answer
datasets        versions, rows, differences, and from a row to Kafka
golden          eval items by hand
evaluations     candidates against champions, and a person's word on them
ledger          decisions, their chain, the watch over the champion
usage           tokens, cost, latency
alerts          what was wrong, and who was told
setup           the settings
sign_in         signing in and out, where a provider says who people are
"""

from ui.pages import (
    acts,
    agreement,
    alerts,
    conversations,
    datasets,
    evaluations,
    failures,
    golden,
    ledger,
    overview,
    review,
    setup,
    sign_in,
    usage,
)

ROUTERS = tuple(
    part.router
    for part in (
        overview,
        failures,
        acts,
        conversations,
        review,
        agreement,
        datasets,
        golden,
        evaluations,
        ledger,
        usage,
        alerts,
        setup,
        sign_in,
    )
)

__all__ = ["ROUTERS"]
