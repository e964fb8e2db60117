-- Rows of `records` that are gone on the server, seen at `at`, and stay here while edits of theirs are pending.
CREATE TABLE vanished (
    change INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL
);
