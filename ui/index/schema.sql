-- The index: a fold over commits of the lake. Numbers for what repeats, 16 bytes for ids, no name of a person.
CREATE TABLE upto (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dim (
    n INTEGER PRIMARY KEY, model TEXT NOT NULL, prompt TEXT NOT NULL, variant TEXT NOT NULL,
    first INTEGER, last INTEGER,  -- between which interactions all that it answered lie: they are walked, not indexed
    UNIQUE (model, prompt, variant)
);
CREATE TABLE cluster (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE interaction (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    time INTEGER NOT NULL,       -- milliseconds since 1970, UTC
    arrived INTEGER NOT NULL,    -- its ingest day, in days since 1970: where the lake has it
    conversation INTEGER NOT NULL,  -- a hash of 48 bits: whoever asks compares the name itself in the lake
    unit INTEGER NOT NULL,       -- a hash
    dim INTEGER NOT NULL,
    outcome INTEGER NOT NULL,    -- 0 unknown, 1 ok, 2 failed; 3: no run has judged it yet
    error TEXT,
    duration INTEGER,
    tokens_in INTEGER,
    tokens_out INTEGER,
    cost INTEGER,                -- billionths of a dollar
    ask TEXT NOT NULL,
    reply TEXT NOT NULL
);  -- no row of it ever grows: pages that are full stay whole
CREATE TABLE home (              -- where runs placed what failed
    n INTEGER PRIMARY KEY,       -- of the interaction
    cluster INTEGER,
    text INTEGER                 -- the vector of what was asked, where there is one
);
CREATE INDEX by_hour ON interaction (time / 3600000);  -- four bytes a row less than the time itself
CREATE INDEX by_outcome ON interaction (outcome) WHERE outcome = 2;  -- each goes on with n: newest first for nothing
CREATE INDEX by_cluster ON home (cluster);
CREATE INDEX by_text ON home (text) WHERE text IS NOT NULL;
CREATE INDEX by_conversation ON interaction (conversation & 2147483647);
CREATE INDEX by_unit ON interaction (unit & 2147483647);  -- four bytes of it find it, all of it are compared
CREATE TABLE feedback (
    n INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    interaction BLOB NOT NULL,   -- may come before the interaction itself
    time INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    value REAL,
    label TEXT,
    text TEXT,                   -- its beginning
    takes BLOB,                  -- what it supersedes or retracts
    retracts INTEGER NOT NULL,
    stands INTEGER NOT NULL
);
CREATE INDEX by_interaction ON feedback (interaction);
CREATE INDEX by_taken ON feedback (takes) WHERE takes IS NOT NULL;
CREATE INDEX by_review ON feedback (time) WHERE source LIKE 'reviewer:%';
CREATE INDEX by_judge ON feedback (kind) WHERE kind = 'judge';
CREATE TABLE forgotten (unit INTEGER PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE vector (n INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, embedder TEXT NOT NULL, value BLOB NOT NULL);
CREATE TABLE day (            -- what was asked on a day (UTC) of one model, prompt version and variant
    day INTEGER NOT NULL, dim INTEGER NOT NULL, served INTEGER NOT NULL, judged INTEGER NOT NULL,
    failed INTEGER NOT NULL, errors INTEGER NOT NULL, tokens_in INTEGER, tokens_out INTEGER, cost INTEGER,
    measured INTEGER NOT NULL, priced INTEGER NOT NULL,
    PRIMARY KEY (day, dim)
) WITHOUT ROWID;
CREATE TABLE hour (
    hour INTEGER NOT NULL, dim INTEGER NOT NULL, served INTEGER NOT NULL, judged INTEGER NOT NULL,
    failed INTEGER NOT NULL, PRIMARY KEY (hour, dim)
) WITHOUT ROWID;
CREATE TABLE cluster_hour (
    cluster INTEGER NOT NULL, hour INTEGER NOT NULL, dim INTEGER NOT NULL, failed INTEGER NOT NULL,
    PRIMARY KEY (cluster, hour, dim)
) WITHOUT ROWID;
CREATE TABLE latency (        -- buckets of a quarter of a doubling, see `rows.BUCKETS`
    day INTEGER NOT NULL, dim INTEGER NOT NULL, bucket INTEGER NOT NULL, served INTEGER NOT NULL,
    PRIMARY KEY (day, dim, bucket)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (
    ask, reply, content = 'interaction', content_rowid = 'n', detail = 'none', columnsize = 0, tokenize = 'unicode61'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');  -- a view of it: each word that there is
