-- A key typed in a draft is one row on one page: which text it makes stands with the edit, and the number of the row is the
-- draft's and its place in it, so that neither an index nor a list of the numbers given is written beside it.
-- `draft_versions` tells which text the snapshot is. An edit goes with its draft, by whoever removes that: a reference
-- would look through all of them.
CREATE TABLE draft_edits_by_draft (
    id      INTEGER PRIMARY KEY,
    draft   INTEGER NOT NULL,
    version INTEGER NOT NULL,
    edit    TEXT NOT NULL
);
INSERT INTO draft_edits_by_draft (id, draft, version, edit)
    SELECT (e.draft << 32) + row_number() OVER (PARTITION BY e.draft ORDER BY e.id), e.draft,
           coalesce(v.version, 0) + 1 - row_number() OVER (PARTITION BY e.draft ORDER BY e.id DESC), e.edit
    FROM draft_edits e LEFT JOIN draft_versions v ON v.draft = e.draft;
UPDATE draft_versions SET version = version - (SELECT count(*) FROM draft_edits e WHERE e.draft = draft_versions.draft);
DROP TABLE draft_edits;
ALTER TABLE draft_edits_by_draft RENAME TO draft_edits;

-- Which text each draft is, with all its edits.
CREATE VIEW draft_texts (draft, version) AS
    SELECT v.draft, coalesce(
        (SELECT e.version FROM draft_edits e WHERE e.id > v.draft << 32 AND e.id < (v.draft + 1) << 32
         ORDER BY e.id DESC LIMIT 1),
        v.version)
    FROM draft_versions v;
