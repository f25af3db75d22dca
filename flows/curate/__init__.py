"""Clusters and outcomes into datasets that a trainer can trust.

stage       the stage itself: read, think, publish (`flow.py` puts it under Prefect)
examples    lake rows → examples, or the named reason why not
kept        examples that were made before and still hold
turns       earlier turns that failed: they are not taught along
sample      the requests that decide: held back from training until they are judged
contributors  no more than their share for anybody; whose rows wait in quarantine
golden      eval items that people write, edit and retire
quarantine  what waits there, for people, and who vouched for what
salt        the secret that the split is dealt with, and people are named by
split       whose examples are eval, whose are train
bands       short signatures of texts, by which those are found that may be near one another
letters     how often each letter stands in a text: what cannot be near need not be read
dedup       which texts are one text (wording: and not merely alike)
leaks       which train examples resemble an eval row, or a guard (guards: frozen sets, benchmark files)
build       the whole of it: examples → what each kind holds
folder      rows → an immutable folder in the Hugging Face layout
versions    which versions there are, what each is worth now, where its rows came from
forget      a person out of all of these
"""
