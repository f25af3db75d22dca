"""How a failure failed: its mode, beside its topic, which is what was asked (`flows/topic.py`).

calls        what an agent's calls show: a tool that failed, a loop, a goal that was given up
edits        what a person changed where they corrected an answer
modes        the mode of a failure, from all of these and its reasons

Pure, each in one linear pass; imports nothing of the other folders of this stage.
"""
