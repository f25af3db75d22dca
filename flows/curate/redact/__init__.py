"""Personal data and secrets → placeholders.

recognisers    patterns, by kind
validators     check digits and other proofs that a match is what it looks like
redact         all of them over texts, messages and tool calls
"""
