"""Alerts on their way to people: what triage raises on Kafka, and what only the web app sees.

    Kafka's alerts ─┐
    rules ──────────┴─▶ book ─▶ notifier ─▶ webhooks

rules     what is wrong now, as triage cannot see it: pure
book      every alert once, who was told, and who waits: on disk
shapes    an alert as a webhook's body and headers, signed
notifier  the thread that looks, and tells

An alert that is written down reaches its places, or the page says which it did not reach, and why.
"""
