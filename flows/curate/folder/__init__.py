"""A dataset version on disk: an immutable folder in the Hugging Face layout.

shapes      examples → rows as trainers and the eval runner take them
folder      rows → Parquet files, written whole or not at all
card        its README.md
metadata    its Croissant and its OpenLineage event
export      rows → lines for hosted fine-tuning
"""
