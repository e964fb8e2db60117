-- An op is claimed and settled without a temporary table and without copies of the pages it stands on, which together cost
-- as much as the writing itself. A list of more than two words is such a table, made again for every row that is looked at,
-- and a question for one of the words does not find its index by it. A statement that may be given up half-way keeps
-- copies, by its triggers too, unless it says FAIL: what it did goes with the request that made it. An upsert cannot say
-- so, but without NOT NULL nothing in it can fail.
DROP INDEX ops_need_a_person;
CREATE INDEX ops_need_a_person ON ops (state, collection, place, seq)
    WHERE state = 'auth' OR state = 'held' OR state = 'rejected' OR state = 'conflict' OR state = 'in_doubt';

DROP TRIGGER ops_counted_in;
DROP TRIGGER ops_counted_over;
DROP TRIGGER ops_counted_out;
CREATE TABLE op_counts_anew (
    collection INTEGER,
    state      TEXT,
    n          INTEGER,
    PRIMARY KEY (collection, state)
) WITHOUT ROWID;
INSERT INTO op_counts_anew SELECT collection, state, n FROM op_counts;
DROP TABLE op_counts;
ALTER TABLE op_counts_anew RENAME TO op_counts;
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

DROP TRIGGER shadow_removed;
DROP TRIGGER shadow_counted_out;
CREATE TRIGGER shadow_removed AFTER DELETE ON shadow BEGIN
    INSERT OR IGNORE INTO shadow_gone VALUES (old.change);
    UPDATE OR FAIL shadow_counts SET
        records = records - 1, created = created - (old.marks & 2) / 2, deleted = deleted - (old.marks & 4) / 4
    WHERE collection = old.collection;
END;
