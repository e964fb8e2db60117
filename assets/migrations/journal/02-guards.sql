-- After an op in doubt was settled its first request may still be under way: until then nothing may bring back what
-- that request was made on. Rows go when the record was read after their time.
CREATE TABLE guards (
    id           INTEGER PRIMARY KEY,
    collection   INTEGER NOT NULL REFERENCES collections (id),
    key          BLOB NOT NULL,
    record       TEXT NOT NULL,
    precondition TEXT NOT NULL,
    content      TEXT,
    until        INTEGER NOT NULL,
    UNIQUE (collection, key, precondition)
);
