"""A bank's assistant that is a real language model, fine-tuned by what its customers say: `make demo-lm`.

Begin with `task.py` (what is asked, and what is right), then `classifier.py` and `rules.py` (what it is held against),
`customers.py`, `models.py` (which `trainer/` trains and serves, in an environment of its own) and `demo.py`.
"""
