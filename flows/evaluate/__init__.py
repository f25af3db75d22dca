"""Eval set and models into scores and a paired comparison.

stage         the stage itself: read, think, publish (`flow.py` puts it under Prefect)
items         the eval set → items
plan          who is compared with whom, on which eval set
addresses     which endpoints may be called
endpoint      one request to an OpenAI-compatible server, with its limits
answers       what came back, or the named reason why nothing did
runner        all items through all models, with budget, retries and limits
journal       what was paid for, kept across kills
scorers       how good is an answer: text, structure, judge
labels        people's judgements of the judge
correction    a judge's mean corrected by labels
compare       paired differences: overall, by slice, latency, cost
power         what a comparison could have found
selftest      the runner against itself: A/A
report        the comparison for people
forget        answers and scores of a person's items, removed
"""
