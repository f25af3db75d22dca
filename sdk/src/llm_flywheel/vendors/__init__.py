"""The model vendors' own clients.

`seam.py` is the one patch; a file a protocol says what a request, a response and a stream's chunks mean.
"""
