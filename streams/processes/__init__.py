"""Supervision of child processes: started, kept running, stopped in order, never left over.

supervise    the supervisor: children with a readiness answer, restarts with back-off
launch       a child dies with its parent, also when that is killed
orphans      pid files, the lock of a folder, and the sweep of what an earlier life left running
"""
