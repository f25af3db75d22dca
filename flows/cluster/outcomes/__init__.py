"""Feedback into outcomes: ok, failed (with reasons) or unknown, for every interaction.

signals        what each kind of feedback says, and how sure it is to begin with
rules          our own rules over the answer (refusal, truncated, invalid JSON …)
reliability    how far each source is trusted, fitted on interactions that several judged
outcomes       all voices on one interaction into its outcome
coverage       who was judged at all, and what that does to the failure rate
"""
