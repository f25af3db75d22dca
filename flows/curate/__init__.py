"""Clusters and outcomes into datasets that a trainer can trust.

stage       the stage itself: read, think, publish (`flow.py` puts it under Prefect)
examples    lake rows → examples, or the named reason why not
turns       earlier turns that failed: they are not taught along
sample      the requests that decide: held back from training until they are judged
redact      personal data and secrets → placeholders
split       whose examples are eval, whose are train
dedup       which texts are one text (wording: and not merely alike)
leaks       which train examples resemble an eval row, or a guard (guards: frozen sets, benchmark files)
build       the whole of it: examples → what each kind holds
folder      rows → an immutable folder in the Hugging Face layout
versions    which versions there are, what each is worth now, where its rows came from
forget      a person out of all of these
"""
