PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES('mirror_identity','1795943780584-3a35863021a38425fc991851170227eb');
CREATE TABLE collections (
    id     INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    name   TEXT NOT NULL,
    UNIQUE (source, name)
);
INSERT INTO collections VALUES(1,'office','tasks');
CREATE TABLE sessions (
    name       TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    closed_at  INTEGER
, tries TEXT NOT NULL DEFAULT '[]') WITHOUT ROWID;
INSERT INTO sessions VALUES('default',3,1795943793000,NULL,'[1795943793000]');
INSERT INTO sessions VALUES('work',1,1795943793000,1795943794000,'[]');
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
INSERT INTO slices VALUES(1,'default','screen',1,3,1795943793500,'{"focus":"records"}');
INSERT INTO slices VALUES(2,'default','records',1,3,1795943793500,'{"filter":"is:changed"}');
INSERT INTO slices VALUES(3,'work','screen',1,3,1795943793500,'{"focus":"outbox"}');
CREATE TABLE generations (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    session    TEXT NOT NULL,
    generation INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    at         INTEGER NOT NULL,
    saved_at   INTEGER,
    slices     TEXT NOT NULL
, digest BLOB, proved_at INTEGER);
INSERT INTO generations VALUES(1,'default',2,'start',1795943793000,1795943792900,'[{"name":"screen","version":1,"body":"{}"}]',NULL,1795943793000);
INSERT INTO generations VALUES(2,'default',3,'pause',1795943793500,1795943793400,'[{"name":"records","version":1,"body":"{}"}]',X'0d7fdb16dd5cb956cb98100c24939fa64c87d1ca5c0cd52d215151271b6ab9a4',1795943793600);
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
INSERT INTO drafts VALUES(1,1,X'027431','t1','document','half a "title','{"title":"old"}','r1',NULL,NULL,1795943792000);
INSERT INTO drafts VALUES(2,1,X'027435','t5','new','{',NULL,NULL,NULL,NULL,1795943792100);
INSERT INTO drafts VALUES(3,1,X'027432','t2','field:/title','field text','{"title":"old"}',NULL,NULL,NULL,1795943792200);
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
, confirmed_as TEXT);
INSERT INTO ops VALUES(1,'01a22697-51be-7854-856f-1972b5163966',1,1,X'027431','t1','create','queued',1,NULL,NULL,0,1795943780798,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'','[{"pointer":"","to":{"title":"Grüße 田中 👩‍👩‍👧"}}]','{"title":"Grüße 田中 👩‍👩‍👧"}',NULL,NULL,NULL);
INSERT INTO ops VALUES(2,'01a22697-52ce-75fc-8f86-0ee83d5018cd',1,1,X'027432','t2','create','queued',2,NULL,NULL,0,1795943781070,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'','[{"pointer":"","to":{"title":"two","n":12345678901234567890123}}]','{"title":"two","n":12345678901234567890123}',NULL,NULL,NULL);
INSERT INTO ops VALUES(3,'01a22697-53ce-7468-ba8d-98bbd739cfad',1,1,X'027432','t2','update','queued',3,2,NULL,0,1795943781326,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'','[{"pointer":"/title","from":"two","to":"two again"},{"pointer":"/n","from":12345678901234567890123}]','{"title":"two again"}','{"title":"two","n":12345678901234567890123}',NULL,NULL);
INSERT INTO ops VALUES(4,'01a22697-5452-703b-b86a-4f2618dd2baf',1,1,X'027433','t3','create','discarded',4,NULL,NULL,0,1795943781458,NULL,NULL,1795943781799,0,NULL,NULL,NULL,NULL,'','[{"pointer":"","to":{"title":"dropped"}}]','{"title":"dropped"}',NULL,NULL,NULL);
INSERT INTO ops VALUES(5,'01a22697-552e-72ca-bf7b-ec56a7a30b59',1,1,X'027434','t4','create','held',5,NULL,NULL,0,1795943781678,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'','[{"pointer":"","to":{"title":"held"}}]','{"title":"held"}',NULL,NULL,NULL);
INSERT INTO ops VALUES(6,'01a22697-0000-7000-8000-000000000006',1,1,X'02666c69676874','flight','update','in_flight',6,NULL,NULL,1,1795943790000,NULL,NULL,NULL,0,'r1','hash','{"revision":"r1"}',NULL,'ann','[{"pointer":"/title","from":"old","to":"flight"}]','{"title":"flight"}','{"title":"old"}','{"title":"flight"}',NULL);
INSERT INTO ops VALUES(7,'01a22697-0000-7000-8000-000000000007',1,1,X'02646f756274','doubt','update','in_doubt',7,NULL,NULL,1,1795943790000,NULL,NULL,NULL,1,'r1','hash','{"revision":"r1"}',NULL,'ann','[{"pointer":"/title","from":"old","to":"doubt"}]','{"title":"doubt"}','{"title":"old"}','{"title":"doubt"}',NULL);
INSERT INTO ops VALUES(8,'01a22697-0000-7000-8000-000000000008',1,1,X'02636c617368','clash','update','conflict',8,NULL,NULL,1,1795943790000,NULL,NULL,NULL,0,'r1',NULL,NULL,NULL,'ann','[{"pointer":"/title","from":"old","to":"clash"}]','{"title":"clash"}','{"title":"old"}',NULL,NULL);
INSERT INTO ops VALUES(9,'01a22697-0000-7000-8000-000000000009',1,1,X'02636c617368','clash','update','blocked',9,8,NULL,0,1795943790000,NULL,NULL,NULL,0,'r1',NULL,NULL,NULL,'ann','[{"pointer":"/title","from":"old","to":"clash"}]','{"title":"clash"}','{"title":"old"}',NULL,NULL);
INSERT INTO ops VALUES(10,'01a22697-0000-7000-8000-000000000010',1,1,X'0272656675736564','refused','update','rejected',10,NULL,NULL,1,1795943790000,NULL,NULL,NULL,0,'r1',NULL,NULL,'{"at":1795943790500,"status":403,"message":"Permission denied"}','ann','[{"pointer":"/title","from":"old","to":"refused"}]','{"title":"refused"}','{"title":"old"}',NULL,NULL);
INSERT INTO ops VALUES(11,'01a22697-0000-7000-8000-000000000011',1,1,X'0261757468','auth','update','auth',11,NULL,NULL,0,1795943790000,NULL,NULL,NULL,0,'r1',NULL,NULL,NULL,'ann','[{"pointer":"/title","from":"old","to":"auth"}]','{"title":"auth"}','{"title":"old"}',NULL,'bob');
INSERT INTO ops VALUES(12,'01a22697-0000-7000-8000-000000000012',1,1,X'02646f6e65','done','update','acked',12,NULL,NULL,1,1795943790000,NULL,NULL,1795943791000,0,'r1',NULL,NULL,NULL,'ann','[{"pointer":"/title","from":"old","to":"done"}]','{"title":"done"}','{"title":"old"}',NULL,NULL);
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
INSERT INTO shadow VALUES(1,1,X'027431','t1',2,1,1,1,NULL,1795943780798,0,'{"title":"Grüße 田中 👩‍👩‍👧"}');
INSERT INTO shadow VALUES(3,1,X'027432','t2',2,2,2,1,NULL,1795943781326,0,'{"title":"two again"}');
INSERT INTO shadow VALUES(5,1,X'027434','t4',10,5,5,0,NULL,1795943781678,0,'{"title":"held"}');
CREATE TABLE shadow_gone (change INTEGER PRIMARY KEY);
CREATE TABLE shadow_counts (
    collection INTEGER PRIMARY KEY,
    records    INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    deleted    INTEGER NOT NULL
);
INSERT INTO shadow_counts VALUES(1,3,3,0);
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
INSERT INTO conflicts VALUES(1,1,X'02636c617368','clash',8,1795943790600,0,'r2',NULL,NULL,'{"title":"old"}','{"title":"clash"}','{"title":"theirs"}');
INSERT INTO conflicts VALUES(2,1,X'02646f6e65','done',12,1795943790600,0,'r2',1795943791000,'mine','{"title":"old"}','{"title":"done"}','{"title":"theirs"}');
CREATE TABLE vault_blobs (
    hash BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    body BLOB NOT NULL
);
INSERT INTO vault_blobs VALUES(X'f14a02d21e446e27478f9680bdf470b007808cb776356e4fed3e6e3caa8cf47e',19,X'28b52ffd20139900007b227469746c65223a2264726f70706564227d');
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
INSERT INTO vault VALUES(1,1,X'027433','t3','discarded',1795943781799,NULL,X'f14a02d21e446e27478f9680bdf470b007808cb776356e4fed3e6e3caa8cf47e');
CREATE TABLE activity (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    severity TEXT NOT NULL,
    topic    TEXT NOT NULL,
    text     TEXT NOT NULL,
    hint     TEXT
);
INSERT INTO activity VALUES(1,1795943781742,'info','outbox','change #5 held',NULL);
INSERT INTO activity VALUES(2,1795943781799,'info','outbox','change #4 discarded','the vault keeps them');
INSERT INTO activity VALUES(3,1795943794000,'warning','sync','the link is slow','wait');
CREATE TABLE requests (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    body TEXT NOT NULL
);
INSERT INTO requests VALUES(1,1795943780828,'"outbox_changed"');
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
INSERT INTO guards VALUES(1,1,X'02646f756274','doubt','{"revision":"r1"}','{"title":"old"}',1795943999000);
CREATE TABLE switches (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO switches VALUES('forced_offline',1795943795000);
CREATE TABLE spent (
    day        INTEGER NOT NULL,
    source     TEXT NOT NULL,
    collection TEXT NOT NULL,
    sent       INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    PRIMARY KEY (day, source, collection)
) WITHOUT ROWID;
INSERT INTO spent VALUES(20786,'office','tasks',10,20);
CREATE TABLE accounts (
    source    TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    since     INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO accounts VALUES('office','ann',1795943700000);
CREATE TABLE steps (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    what     TEXT NOT NULL,
    seqs     TEXT NOT NULL,
    last_seq INTEGER NOT NULL,
    ended_at INTEGER,
    rows     TEXT NOT NULL
);
INSERT INTO steps VALUES(1,1795943781742,'hold','[5]',5,NULL,'[{"table":"ops","id":5,"before":{"state":"queued"},"after":{"state":"held","attempts":0}}]');
INSERT INTO steps VALUES(2,1795943781799,'discard','[4]',5,NULL,'[{"table":"ops","id":4,"before":{"state":"queued","settled_at":null},"after":{"state":"discarded","attempts":0,"settled_at":1795943781799}}]');
CREATE TABLE draft_versions (
    draft   INTEGER PRIMARY KEY REFERENCES drafts (id) ON DELETE CASCADE,
    version INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO draft_versions VALUES(1,1883183557640191998);
INSERT INTO draft_versions VALUES(2,1883183557745049599);
INSERT INTO draft_versions VALUES(3,1883183557849907200);
CREATE TABLE IF NOT EXISTS "draft_edits" (
    id      INTEGER PRIMARY KEY,
    draft   INTEGER NOT NULL,
    version INTEGER NOT NULL,
    edit    TEXT NOT NULL
);
INSERT INTO draft_edits VALUES(4294967297,1,1883183557640191999,'[1,"x"]');
INSERT INTO draft_edits VALUES(4294967298,1,1883183557640192000,'[2,"y"]');
INSERT INTO draft_edits VALUES(8589934593,2,1883183557745049600,'[1,"z"]');
CREATE TABLE IF NOT EXISTS "op_counts" (
    collection INTEGER,
    state      TEXT,
    n          INTEGER,
    PRIMARY KEY (collection, state)
) WITHOUT ROWID;
INSERT INTO op_counts VALUES(1,'acked',1);
INSERT INTO op_counts VALUES(1,'auth',1);
INSERT INTO op_counts VALUES(1,'blocked',1);
INSERT INTO op_counts VALUES(1,'conflict',1);
INSERT INTO op_counts VALUES(1,'discarded',1);
INSERT INTO op_counts VALUES(1,'held',1);
INSERT INTO op_counts VALUES(1,'in_doubt',1);
INSERT INTO op_counts VALUES(1,'in_flight',1);
INSERT INTO op_counts VALUES(1,'queued',3);
INSERT INTO op_counts VALUES(1,'rejected',1);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('generations',2);
INSERT INTO sqlite_sequence VALUES('ops',12);
INSERT INTO sqlite_sequence VALUES('shadow',5);
INSERT INTO sqlite_sequence VALUES('conflicts',2);
INSERT INTO sqlite_sequence VALUES('vault',1);
INSERT INTO sqlite_sequence VALUES('activity',3);
INSERT INTO sqlite_sequence VALUES('requests',1);
INSERT INTO sqlite_sequence VALUES('steps',2);
CREATE INDEX generations_of_session ON generations (session, id);
CREATE INDEX drafts_requested ON drafts (id) WHERE commit_requested IS NOT NULL;
CREATE INDEX ops_pending ON ops (collection, key, place, seq) WHERE settled_at IS NULL;
CREATE INDEX ops_in_order ON ops (place, seq) WHERE settled_at IS NULL;
CREATE INDEX ops_in_flight ON ops (seq) WHERE state = 'in_flight';
CREATE INDEX ops_settled ON ops (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX ops_undoes ON ops (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX shadow_ready ON shadow (collection, head_place) WHERE head_ready = 1;
CREATE INDEX shadow_waiting ON shadow (collection, head_next_at) WHERE head_ready = 1 AND head_next_at IS NOT NULL;
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
CREATE INDEX conflicts_open ON conflicts (collection, key) WHERE resolved_at IS NULL;
CREATE INDEX conflicts_of_op ON conflicts (seq);
CREATE INDEX conflicts_resolved ON conflicts (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX vault_of_record ON vault (collection, key, id);
CREATE INDEX vault_by_time ON vault (at);
CREATE INDEX vault_by_hash ON vault (hash);
CREATE INDEX steps_open ON steps (id) WHERE ended_at IS NULL;
CREATE VIEW draft_texts (draft, version) AS
    SELECT v.draft, coalesce(
        (SELECT e.version FROM draft_edits e WHERE e.id > v.draft << 32 AND e.id < (v.draft + 1) << 32
         ORDER BY e.id DESC LIMIT 1),
        v.version)
    FROM draft_versions v;
CREATE INDEX ops_need_a_person ON ops (state, collection, place, seq)
    WHERE state = 'auth' OR state = 'held' OR state = 'rejected' OR state = 'conflict' OR state = 'in_doubt';
CREATE TRIGGER ops_counted_in AFTER INSERT ON ops BEGIN
    INSERT OR FAIL INTO op_counts VALUES (new.collection, new.state, 1)
    ON CONFLICT (collection, state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER ops_counted_over AFTER UPDATE OF state ON ops WHEN old.state <> new.state BEGIN
    UPDATE OR FAIL op_counts SET n = n - 1 WHERE collection = old.collection AND state = old.state;
    INSERT OR FAIL INTO op_counts VALUES (new.collection, new.state, 1)
    ON CONFLICT (collection, state) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER ops_counted_out AFTER DELETE ON ops BEGIN
    UPDATE OR FAIL op_counts SET n = n - 1 WHERE collection = old.collection AND state = old.state;
END;
CREATE TRIGGER shadow_removed AFTER DELETE ON shadow BEGIN
    INSERT OR IGNORE INTO shadow_gone VALUES (old.change);
    UPDATE OR FAIL shadow_counts SET
        records = records - 1, created = created - (old.marks & 2) / 2, deleted = deleted - (old.marks & 4) / 4
    WHERE collection = old.collection;
END;
COMMIT;
PRAGMA user_version=9;
