"""Splits and merges of clusters proposed by a run, what people do to clusters, and both carried out.

proposals    what a fresh clustering of the members says about the living clusters
by_mode      splits of a topic by how its failures fail
inside       what a cluster holds, and moving failures from one into another
accepted     accepted proposals carried out: members move, a cluster becomes an alias
pinned       clusters that a person defined by words or examples: which failures are in them
acts         what people do of their own accord: rename, merge, split, ignore, reopen, assign, pin, unpin
by_hand      those acts carried out
"""
