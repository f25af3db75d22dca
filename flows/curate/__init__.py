"""Clusters and outcomes into datasets that a trainer can trust. Read `flow.py` first: read, think, publish.

make        the stage itself: read, think, publish (`flow.py` puts it under Prefect)
examples    lake rows → examples, or the named reason why not
redact      personal data and secrets → placeholders (recognisers, validators)
split       whose examples are eval, whose are train
dedup       which texts are one text
leaks       which train examples resemble an eval row, or a guard (guards: frozen sets, benchmark files)
build       the whole of it: examples → what each kind holds
shapes      examples → rows as trainers and the eval runner take them
folder      rows → an immutable folder in the Hugging Face layout
card        its README.md; describe: its Croissant, its OpenLineage event
versions    which versions there are, and what each is worth now (staleness, freeze, erase)
trace       a row → the Kafka offsets that it came from
export      rows → lines for hosted fine-tuning; push: the folder → the Hub, an object store
"""
