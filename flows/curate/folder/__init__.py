"""A dataset version on disk: an immutable folder in the Hugging Face layout.

shapes      kinds of dataset: examples → rows as trainers and the eval runner take them
own         kinds of a person's own, by `module:name`
disk        the folder itself: hidden while it is written, revealed whole, checked, removed
brought     a version that lies in the store, here
folder      rows → Parquet files, written whole or not at all
shards      where a file ends and the next begins, and which an earlier version has already
card        its README.md
metadata    its Croissant and its OpenLineage event
opened      what `datasets` reads from it, compared with what was written
export      rows → lines for hosted fine-tuning
recipes     a folder → the config of a trainer
fit         rows → lengths by a tokenizer, and what a chat template drops
"""
