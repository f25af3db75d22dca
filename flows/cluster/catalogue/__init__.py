"""What is said of each cluster: name, trend, closure, theme; and the report for people.

population    who the members are: interactions, times, models, users
naming        name and typical example of each
terms         the words that most of its people share
llm_names     names by a language model, where one is set
trends        new, growing, shrinking, resolved, regressed; with statistics
closure       what each promotion did to it
measured      both, of clusters and of parts of them
modes         how a cluster's failures failed: each mode counted for itself
ignoring      clusters that a person closed until they grow
abuse         a cluster that few sources make
themes        clusters grouped for reading
catalogue     all of it into clusters and their events
differences   what changed between two runs
report        the HTML page
"""
