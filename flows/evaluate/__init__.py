"""Eval set and models into scores and a paired comparison.

stage         the stage itself: read, think, publish (`flow.py` puts it under Prefect)
items         the eval set → items
plan          who is compared with whom, on which eval set
endpoint      one request to an OpenAI-compatible server, with its limits
pace          how many requests a slow one is sent at a time
sse           the bytes of an event stream as events
calls         tool calls from the deltas of a stream
failures      errors of endpoints, by name
answers       what came back, or the named reason why nothing did
server        a candidate's own command: started for an evaluation, stopped after it
runner        all items through all models, with budget, retries and limits
journal       what was paid for, kept across kills
scorers       how good is an answer: text, structure, judge
freshness     requests that neither model can have been trained on
compare       paired differences where scores can be believed: overall, by slice, latency, cost
disagreements where two answers differ, in the order of their review
reviewed      the estimator: reviews of a random prefix, guesses as control variates
sampled       a comparison that reviews decide
reviews       what people are shown, and what they say
reviewing     reviews and the lake: shown, kept, told to Kafka, once
power         what a comparison could have found
selftest      the runner against itself: A/A
report        the comparison for people
forget        answers and scores of a person's items, removed
"""
