"""Splits and merges of clusters proposed by a run, what people do to clusters, and both carried out.

proposals    what a fresh clustering of the members says about the living clusters
by_mode      splits of a topic by how its failures fail
certainty    how likely such a proposal is right
inside       what a cluster holds, and moving failures from one into another
accepted     accepted proposals carried out: members move, a cluster becomes an alias
pinned       clusters that a person defined by words or examples: which failures are in them
acts         what people do of their own accord: rename, merge, split, refuse, undo, ignore, reopen, assign, pin, unpin
taken_back   a split or merge undone
by_hand      those acts carried out
by_itself    proposals that a run accepts without a person
"""
