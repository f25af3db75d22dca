"""THE ROOM OF PEOPLE. One web app over lake, ledger and Kafka; it imports the flows, and nothing imports it.

    browser ─▶ guard ─▶ pages ─▶ state ─▶ index · lake · ledger
                          └─▶ outbox ─▶ Kafka

app         the pages, their files and their threads as one application
guard       who may ask what: hosts, tokens, roles, headers
sessions    cookies that prove what they say
oidc        sign-in by a provider of OpenID Connect
id_tokens   whose signature an ID token has, and what it says
html        templates, and what they may say
words       numbers, times and strangers' texts as people read them
state       what pages know of the application, each question asked once a version
metrics     what Prometheus sees of the wheel
health      whether the wheel turns: lag, runs, schedules, as last seen
index       a disposable SQLite of what pages list and search
notices     alerts on their way to people
outbox      answers that Kafka has not yet acknowledged
agreeing    how far people and judges agree, and where they do not
answers     what a reviewer says, as events
queue       a queue is an address: who is asked what next
questions   what a reviewer sees, blind
reservations  who is looking at what
saving      what a page sends, kept
forms       what a form says
talk        one conversation, read from the lake
compared    one evaluation, as its page shows it
rows_of     rows of dataset versions, and the events behind them
canary      what triage says of the newest champion
watched     the watch over that champion, as it went
wheel       is it turning: one sentence
pages       one module a page

It owns no truth: whatever a person says becomes an event on Kafka, or goes through the function behind a command.
"""
