"""How good is an answer: scorers behind one protocol.

protocol      what a scorer must offer
text          comparing texts: exact, normalised, F1, ROUGE, embeddings
structured    numbers, patterns, JSON, tool calls
judge         another model's opinion
auto          which of them an eval set's references ask for
own           scorers of a person's own, by `module:name`
registry      all by name
"""
