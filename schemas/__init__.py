"""WORDS. The vocabulary of the flywheel, without I/O, clock or environment; imports nothing of ours but the SDK's ids.

events           what applications and the flywheel say; `codec` bytes ⇄ events, `rows` bytes → rows, faster
messages         chat messages of every dialect, read as one
kinds            what each kind of feedback says; `unit` who is counted as one
records          what flows conclude; `tables` and `topics` where all of it lies
normalise        the form in which two texts are compared
signing          who signed a decision
settings         every knob; `loading` from a file and the environment, `secrets` never shown, `kafka_options` allowed
errors           every error, with its exit code

Start with `schemas/events.py`.
"""
