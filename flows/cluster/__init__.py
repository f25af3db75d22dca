"""Interactions and feedback into outcomes, failures, and clusters that keep their name.

stage        the stage itself: judge, place, describe, each published before the next (`flow.py` puts it under Prefect)
modes        how an answer failed, beside what was asked
outcomes     feedback → ok, failed or unknown, for every interaction
placement    failures → clusters, each placed once
lineage      splits and merges, proposed and accepted; and what people do to clusters by hand
catalogue    what is said of each cluster: name, trend, closure, theme; the report
covered      who was judged at all, of what trends look at
audit        a random few of all interactions, which people are asked about
audited      the failure rate that their answers give, with its interval
summary      what a run says of itself
state        what earlier runs concluded, folded from the lake
standing     the splits and merges that stand, and which clusters people have touched
unname       their words out of names, unless others say them too
forget       a person out of all of these

Imports run from bottom to top: modes ◀ outcomes ◀ placement ◀ lineage ◀ catalogue.
"""
