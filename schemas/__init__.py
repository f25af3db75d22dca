"""WORDS. The vocabulary of the flywheel, without I/O, clock or environment.

Imports nothing of ours but what it has in common with the SDK: ids, names, how a long event is cut.

events           what applications and the flywheel say; `codec` bytes ⇄ events, `rows` bytes → rows, faster
messages         chat messages of every dialect, read as one
otel             OpenTelemetry's spans and log records → events
kinds            what each kind of feedback says; `unit` who is counted as one
records          what flows conclude, `trend` what is counted of it; `acts` what people decide about clusters
tables           (with `table`, `curated`) and `topics`: where all of it lies
normalise        the form in which two texts are compared
signing          who signed a decision
reasons          the sentence beneath a field; `fields` all of them as a page
settings         every knob, with `serving`, `trainer`; `loading` from a file and the environment, `secrets` never
                 shown, `kafka_options` allowed, `prompts` what a prompt version says
errors           every error, with its exit code

Start with `schemas/events.py`.
"""
