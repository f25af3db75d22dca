"""Live rates and alerts from the stream (Faust): minutes after the fact, never the truth.

app           the Faust app: joins feedback to interactions, keeps windows, raises alerts
rates         failure rates by model and prompt version in sliding windows
canary        the watch over a new champion: is it worse than what it replaced
sequential    the anytime-valid test behind it
headers       records whose header names are no UTF-8
report        its numbers as a page, as JSON and for Prometheus
"""
