"""Personal data and secrets → placeholders.

protocol       what a recogniser must offer
matching       the form of a text in which patterns look
recognisers    ours: patterns, by kind
validators     check digits and other proofs that a match is what it looks like
own            a person's own, by `module:name`
redact         all of them over texts, messages and tool calls
"""
