"""WORDS. The vocabulary of the flywheel, without I/O, clock or environment.

Owns: events, records, topics, tables, the codec, settings and errors. Imports nothing else of ours.
Start with `schemas/events.py`.
"""
