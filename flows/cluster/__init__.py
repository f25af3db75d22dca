"""Interactions and feedback into outcomes, failures, and clusters that keep their name.

stage        the stage itself: read, think, publish (`flow.py` puts it under Prefect)
outcomes     feedback → ok, failed or unknown, for every interaction
placement    failures → clusters, each placed once
lineage      splits and merges: proposed, then accepted by a person
catalogue    what is said of each cluster: name, trend, closure, theme; the report
summary      what a run says of itself
state        what earlier runs concluded, folded from the lake
forget       a person out of all of these

Imports run from bottom to top: outcomes ◀ placement ◀ lineage ◀ catalogue.
"""
