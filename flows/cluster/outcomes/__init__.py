"""Feedback into outcomes: ok, failed (with reasons) or unknown, for every interaction.

signals        what each kind of feedback says, and how sure it is to begin with
rules          our own rules over the answer (refusal, truncated, invalid JSON …)
groups         which sources are independent of each other
signs          what signs alone say, where nobody stated how it was
reliability    how far each source is trusted, fitted on interactions that several judged
outcomes       all voices on one interaction into its outcome
changes        the interactions that a run has to look at
own            the rules over interactions, where these are
judging        what has changed in outcomes, and in what was said together
coverage       who was judged at all, and what that does to the failure rate
"""
