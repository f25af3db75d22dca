"""The commands of `flywheel`, one file a noun; `flows/cli.py` puts them together.

A command reads its settings from the context, calls a plain function of a stage, and shows the result: it decides
nothing.
"""
