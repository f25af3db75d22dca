"""A small support assistant that the flywheel can improve: its data, its brain, its endpoint and its customers.

Begin with `utterances.py` (what customers say), then `model.py` (who answers), `server.py` (where it is asked) and
`customers.py` (how they react). Nothing of these imports `streams` or `flows`: it is an application like any other. The
wheel has the folder as `flows.support_bot`.
"""
