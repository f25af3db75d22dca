"""Dataset versions: which there are, what each is worth now, where its rows came from.

versions     the table of versions, and the folders behind it
staleness    whether what it was built from has changed since
freeze       an eval set that no later build touches
trace        a row → the Kafka offsets that it came from
withdraw     rows of an erased person leave every version
push         a version → the Hub, an object store
"""
