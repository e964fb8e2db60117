-- Copies of what the server holds. Can be thrown away and pulled again.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE collections (
    id         INTEGER PRIMARY KEY,
    source     TEXT NOT NULL,
    name       TEXT NOT NULL,
    rows       INTEGER NOT NULL DEFAULT 0,
    checkpoint TEXT,
    last_pull  INTEGER,
    UNIQUE (source, name)
);

-- `change` is new with every new content of a record and never reused: the search index follows it, and journal rows
-- computed on a base name it. `body` is the server's own text.
CREATE TABLE records (
    change      INTEGER PRIMARY KEY,
    collection  INTEGER NOT NULL,
    key         BLOB NOT NULL,
    id          TEXT NOT NULL,
    revision    TEXT,
    received_at INTEGER NOT NULL,
    body        TEXT NOT NULL
);
CREATE UNIQUE INDEX records_in_order ON records (collection, key);

-- Changes that stand no longer; the search index drops them.
CREATE TABLE gone (change INTEGER PRIMARY KEY);

-- A sweep has seen a row if the row was written since its start, or is named in `seen`.
CREATE TABLE sweeps (
    collection INTEGER NOT NULL,
    sweep      INTEGER NOT NULL,
    after      INTEGER NOT NULL,
    PRIMARY KEY (collection, sweep)
) WITHOUT ROWID;
CREATE TABLE seen (
    collection INTEGER NOT NULL,
    sweep      INTEGER NOT NULL,
    key        BLOB NOT NULL,
    PRIMARY KEY (collection, sweep, key)
) WITHOUT ROWID;

CREATE TABLE sync_status (
    source TEXT PRIMARY KEY,
    at     INTEGER NOT NULL,
    body   TEXT NOT NULL
) WITHOUT ROWID;
