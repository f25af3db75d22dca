"""Dataset version into a trained model, by a command of one's own (optional: `[train]`).

stage       the stage itself: which version, run, publish (`flow.py` puts it under Prefect)
command     the command at work: told what to do, watched, bounded
output      what it has made, looked at before anybody believes it
"""
