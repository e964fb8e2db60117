-- Derived from the mirror and the journal; rebuilt when missing. `doc` is a mirror row's change, or the negated change
-- of a journal shadow row.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Fed with tokens made by `store::search::tokens`, so that the `ascii` tokenizer only has to split at spaces.
CREATE VIRTUAL TABLE texts USING fts5(
    text, content = '', contentless_delete = 1, tokenize = 'ascii', prefix = '2 3'
);

-- Documents too long to be indexed whole: always looked at themselves.
CREATE TABLE overlong (doc INTEGER PRIMARY KEY);

-- Columns somebody sorted a large collection by.
CREATE TABLE columns (
    id         INTEGER PRIMARY KEY,
    source     TEXT NOT NULL,
    name       TEXT NOT NULL,
    pointer    TEXT NOT NULL,
    fed_mirror INTEGER NOT NULL DEFAULT 0,
    fed_shadow INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, name, pointer)
);
CREATE TABLE sorted (
    field INTEGER NOT NULL,
    value BLOB NOT NULL,
    key   BLOB NOT NULL,
    doc   INTEGER NOT NULL,
    PRIMARY KEY (field, value, key, doc)
) WITHOUT ROWID;
CREATE INDEX sorted_docs ON sorted (doc);
