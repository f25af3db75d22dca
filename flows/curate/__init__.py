"""Clusters and outcomes into datasets that a trainer can trust. Read `flow.py` first: read, think, publish.

examples    lake rows → examples, or the named reason why not
split       whose examples are eval, whose are train
dedup       which texts are one text
leaks       which train examples resemble an eval row
build       the whole of it: examples → the rows of each kind
shapes      examples → rows as trainers and the eval runner take them
folder      rows → an immutable folder in the Hugging Face layout
card        its README.md
"""
