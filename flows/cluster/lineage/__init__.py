"""Splits and merges of clusters: proposed by a run, carried out when a person accepts.

proposals    what a fresh clustering of the members says about the living clusters
accepted     accepted proposals carried out: members move, a cluster becomes an alias
"""
