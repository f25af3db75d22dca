"""Failures into clusters: each is placed once, by its nearest neighbours, and never re-labelled.

texts          what is embedded of a failure, and what is embedded already
graph          exact nearest neighbours, shared-neighbour weights
communities    the graph into communities (Leiden, then a vote of neighbours)
sample         communities of any number of rows
identity       which cluster a new failure belongs to, or that it is a new one
placing        the whole of it: new failures → members, new clusters, vectors
trial          what another embedder would make of a team's failures, changing nothing
reembed        its vectors, made before it is used
"""
