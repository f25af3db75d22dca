"""The index: what pages list, count and search, as a SQLite file that may be deleted at any time.

fold        commits of the lake ▶ rows, each commit once
rows        columns of a table of the lake ▶ values of a row
store       the file itself: opened, read, thrown away
scope       filters ▶ where to look, and how many that leaves
search      words and meanings ▶ interactions
lists       the questions that pages ask
"""
