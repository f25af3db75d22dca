"""Personal data and secrets → placeholders.

protocol       what a recogniser must offer
matching       the form of a text in which patterns look
patterns       what a pattern is, and which of them a text is worth asking for
recognisers    ours: patterns, by kind
validators     check digits and other proofs that a match is what it looks like
signature      where a message ends and its signature begins
own            a person's own, by `module:name`; the redactor that the settings describe
redact         all of them over texts, messages and tool calls
work           the same over many examples, wherever these are
"""
