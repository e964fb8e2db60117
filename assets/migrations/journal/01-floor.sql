-- What exists only here: session rows, drafts, the outbox, conflicts, the vault, the activity log.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE collections (
    id     INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    name   TEXT NOT NULL,
    UNIQUE (source, name)
);

-- Screen state. `generation` is the writer's: an older writer never wins.
CREATE TABLE sessions (
    name       TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    closed_at  INTEGER
) WITHOUT ROWID;

CREATE TABLE slices (
    id         INTEGER PRIMARY KEY,
    session    TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    saved_at   INTEGER NOT NULL,
    body       TEXT NOT NULL,
    UNIQUE (session, name)
);

-- Earlier moments of a session, each a whole: one per start, more by promotion.
CREATE TABLE generations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    session    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    at         INTEGER NOT NULL,
    saved_at   INTEGER,
    slices     TEXT NOT NULL
);
CREATE INDEX generations_of_session ON generations (session, id);

-- A draft is a snapshot plus the edits appended since.
CREATE TABLE drafts (
    id               INTEGER PRIMARY KEY,
    collection       INTEGER NOT NULL REFERENCES collections (id),
    key              BLOB NOT NULL,
    record           TEXT NOT NULL,
    target           TEXT NOT NULL,
    snapshot         TEXT NOT NULL,
    base             TEXT,
    base_revision    TEXT,
    commit_requested TEXT,
    commit_op        TEXT,
    updated_at       INTEGER NOT NULL,
    UNIQUE (collection, key, target)
);
CREATE INDEX drafts_requested ON drafts (id) WHERE commit_requested IS NOT NULL;

CREATE TABLE draft_edits (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    draft INTEGER NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
    edit  TEXT NOT NULL
);
CREATE INDEX draft_edits_of_draft ON draft_edits (draft, id);

-- The outbox. Pending means `settled_at IS NULL`. `place` is the order of sending: the op's own number, except for an
-- op that took the place of another (rebased, resolved).
CREATE TABLE ops (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    op_id           TEXT NOT NULL UNIQUE,
    format          INTEGER NOT NULL DEFAULT 1,
    collection      INTEGER NOT NULL REFERENCES collections (id),
    key             BLOB NOT NULL,
    record          TEXT NOT NULL,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    place           INTEGER NOT NULL DEFAULT 0,
    after           INTEGER,
    undoes          INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    next_attempt_at INTEGER,
    sent_at         INTEGER,
    settled_at      INTEGER,
    was_in_doubt    INTEGER NOT NULL DEFAULT 0,
    base_revision   TEXT,
    request_hash    TEXT,
    precondition    TEXT,
    last_error      TEXT,
    author          TEXT NOT NULL,
    changes         TEXT NOT NULL,
    document        TEXT,
    base            TEXT,
    sent_document   TEXT
);
CREATE INDEX ops_pending ON ops (collection, key, place, seq) WHERE settled_at IS NULL;
CREATE INDEX ops_in_order ON ops (place, seq) WHERE settled_at IS NULL;
CREATE INDEX ops_in_flight ON ops (seq) WHERE state = 'in_flight';
CREATE INDEX ops_need_a_person ON ops (state, collection, place, seq)
    WHERE state IN ('auth', 'held', 'rejected', 'conflict', 'in_doubt');
CREATE INDEX ops_settled ON ops (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX ops_undoes ON ops (undoes) WHERE undoes IS NOT NULL;

-- How many ops are in each state, so that nobody counts.
CREATE TABLE op_counts (
    collection INTEGER NOT NULL,
    state      TEXT NOT NULL,
    n          INTEGER NOT NULL,
    PRIMARY KEY (collection, state)
) WITHOUT ROWID;
CREATE TRIGGER ops_counted_in AFTER INSERT ON ops BEGIN
    INSERT INTO op_counts VALUES (new.collection, new.state, 1)
    ON CONFLICT (collection, state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER ops_counted_over AFTER UPDATE OF state ON ops WHEN old.state <> new.state BEGIN
    UPDATE op_counts SET n = n - 1 WHERE collection = old.collection AND state = old.state;
    INSERT INTO op_counts VALUES (new.collection, new.state, 1)
    ON CONFLICT (collection, state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER ops_counted_out AFTER DELETE ON ops BEGIN
    UPDATE op_counts SET n = n - 1 WHERE collection = old.collection AND state = old.state;
END;

-- Derived from `ops` and the mirror: one row per record with pending ops. Can be rebuilt at any time.
-- `change` grows with every new content (the search index follows it); `base_change` is the mirror row `document` was
-- computed on (0: none), so that a reader can tell whether it still holds.
CREATE TABLE shadow (
    change       INTEGER PRIMARY KEY AUTOINCREMENT,
    collection   INTEGER NOT NULL,
    key          BLOB NOT NULL,
    record       TEXT NOT NULL,
    marks        INTEGER NOT NULL,
    head         INTEGER NOT NULL,
    head_place   INTEGER NOT NULL,
    head_ready   INTEGER NOT NULL,
    head_next_at INTEGER,
    changed_at   INTEGER NOT NULL,
    base_change  INTEGER NOT NULL,
    document     TEXT,
    UNIQUE (collection, key)
);
CREATE INDEX shadow_ready ON shadow (collection, head_place) WHERE head_ready = 1;
CREATE INDEX shadow_waiting ON shadow (collection, head_next_at) WHERE head_ready = 1 AND head_next_at IS NOT NULL;
CREATE TABLE shadow_gone (change INTEGER PRIMARY KEY);
CREATE TRIGGER shadow_removed AFTER DELETE ON shadow BEGIN
    INSERT OR IGNORE INTO shadow_gone VALUES (old.change);
END;
CREATE TABLE shadow_counts (
    collection INTEGER PRIMARY KEY,
    records    INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    deleted    INTEGER NOT NULL
);
CREATE TRIGGER shadow_counted_in AFTER INSERT ON shadow BEGIN
    INSERT INTO shadow_counts VALUES (new.collection, 1, (new.marks & 2) / 2, (new.marks & 4) / 4)
    ON CONFLICT (collection) DO UPDATE SET
        records = records + 1, created = created + excluded.created, deleted = deleted + excluded.deleted;
END;
CREATE TRIGGER shadow_counted_over AFTER UPDATE OF marks ON shadow WHEN old.marks <> new.marks BEGIN
    UPDATE shadow_counts SET
        created = created + (new.marks & 2) / 2 - (old.marks & 2) / 2,
        deleted = deleted + (new.marks & 4) / 4 - (old.marks & 4) / 4
    WHERE collection = new.collection;
END;
CREATE TRIGGER shadow_counted_out AFTER DELETE ON shadow BEGIN
    UPDATE shadow_counts SET
        records = records - 1, created = created - (old.marks & 2) / 2, deleted = deleted - (old.marks & 4) / 4
    WHERE collection = old.collection;
END;

CREATE TABLE conflicts (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    collection      INTEGER NOT NULL REFERENCES collections (id),
    key             BLOB NOT NULL,
    record          TEXT NOT NULL,
    seq             INTEGER NOT NULL,
    detected_at     INTEGER NOT NULL,
    was_in_doubt    INTEGER NOT NULL,
    theirs_revision TEXT,
    resolved_at     INTEGER,
    resolution      TEXT,
    base            TEXT,
    mine            TEXT,
    theirs          TEXT
);
CREATE INDEX conflicts_open ON conflicts (collection, key) WHERE resolved_at IS NULL;
CREATE INDEX conflicts_of_op ON conflicts (seq);
CREATE INDEX conflicts_resolved ON conflicts (resolved_at) WHERE resolved_at IS NOT NULL;

-- Losing versions, content-addressed.
CREATE TABLE vault_blobs (
    hash BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE vault (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections (id),
    key        BLOB NOT NULL,
    record     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    revision   TEXT,
    hash       BLOB NOT NULL REFERENCES vault_blobs (hash)
);
CREATE INDEX vault_of_record ON vault (collection, key, id);
CREATE INDEX vault_by_time ON vault (at);
CREATE INDEX vault_by_hash ON vault (hash);

CREATE TABLE activity (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    severity TEXT NOT NULL,
    topic    TEXT NOT NULL,
    text     TEXT NOT NULL,
    hint     TEXT
);

-- Wishes to the sync leader, whichever process that is.
CREATE TABLE requests (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    body TEXT NOT NULL
);
