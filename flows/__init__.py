"""WORK. The turns of the wheel, one folder a stage.

    cluster     interactions and feedback  → outcomes, failures, clusters
    curate      outcomes and clusters      → dataset versions, frozen eval sets
    evaluate    eval set and two models    → scores, comparison
    trainer     dataset version            → trained model (a command of one's own, optional)
    promote     comparison and policy      → verdict, ledger row, decision event
    maintain    tables                     → compacted, vacuumed, audited tables

Each stage is pure modules, one `stage.py`, and one thin `flow.py` in Prefect's dress. Stages never import one another.
What they share:

    run             what an execution reads, and its id; `context` its settings and lake
    ledger          decisions as a hash chain, signed by `seal`; `registry` who serves, `announce` tells Kafka
    versions        dataset versions; `evalset` which of them decides; `evaluations` what was compared,
                    `opinions` what people said of answers, `agreement` how far they agree
    store           files that machines share, in an object store or on a shared disk
    cost            what the newest turn cost
    training        which dataset, settings and libraries made a model; `bases` which models it was made from; `trained`
                    the folders of trainings, `enlist` registers one's model, `command_line` programs that are not ours
    redact          personal data and secrets → placeholders
    embed           text to vectors, by `encoders` too, `embedded` in Spark's workers where Spark is asked
    statistics      the gate's formulas; `extend` code of one's own
    outbound        calls to endpoints, to allowed `addresses`
    names           the name of a cluster wherever its id stands; `pins` what pinned ones are defined by, `topic` what
                    was asked
    visible         strangers' text made harmless; `terminal`, `markdown` where it is shown; `svg` draws
    testing         doubles and worlds, for tests of one's own

and what puts them together: `turn`, `erase`, `erasures`, `serve`, `deploy` (Prefect; `run_process`: whose a run is),
`prefect_api`, `prefect_books` (who is in them, out of them), `signin`, `rollback_watch`, `stack` (all processes of
`flywheel up`), `cli` with `commands`.
"""
