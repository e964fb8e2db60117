-- What the user did to the queue, with the columns as they were before, so that every step can be taken back.
-- `last_seq` is the newest op then: an edit made later is taken back first.
CREATE TABLE steps (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    what     TEXT NOT NULL,
    seqs     TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    ended_at INTEGER,
    rows     TEXT NOT NULL
);
CREATE INDEX steps_open ON steps (id) WHERE ended_at IS NULL;
