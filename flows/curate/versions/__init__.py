"""What happens to dataset versions once they are built (which there are is `flows/versions.py`).

staleness    whether what it was built from has changed since
freeze       an eval set that no later build touches
trace        a row → the Kafka offsets that it came from
taught       a model → the dataset, rows and offsets behind its training
withdraw     rows of an erased person leave every version
lost         a version whose files are gone for good
stored       versions in the store that machines share
push         a version → the Hub, an object store
"""
