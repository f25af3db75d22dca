"""Live rates and alerts from the stream (Faust): minutes after the fact, never the truth.

app           the Faust app: joins feedback to interactions, keeps windows, raises alerts
rates         failure rates by model and prompt version in sliding windows
canary        the watch over a new champion: is it worse than what it replaced
users         who counts in it, when: each user once, a fixed time after a request
watching      both, as a log of changes feeds them
sequential    the anytime-valid test behind it
shelf         tables that are kept through restarts
headers       records whose header names are no UTF-8
web           its web server: who may ask, and none of Faust's own pages
report        its numbers as a page, as JSON and for Prometheus
"""
