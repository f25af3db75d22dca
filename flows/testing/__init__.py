"""Doubles for tests of your own scorers, embedders, recognisers and dataset kinds; ours use the same.

events        interactions and feedback, numbered and valid, and a lake in which they have happened
world         a lake that is ready for a dataset
endpoint      a model endpoint that does what it is told
scoring       a scorer by itself
bench         a lake that is ready for an evaluation
hostile       texts that are slow to read, and what reads texts
"""
