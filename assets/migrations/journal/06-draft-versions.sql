-- Which text of a draft the journal holds: a step is appended to the text it was made on, or refused. Two windows can type
-- in the same draft. Beside the drafts, whose rows are large. No rowid: what salvage finds on lost pages is told apart by
-- its shape, and a version without its draft means nothing.
CREATE TABLE draft_versions (
    draft   INTEGER PRIMARY KEY REFERENCES drafts (id) ON DELETE CASCADE,
    version INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO draft_versions (draft, version) SELECT id, updated_at * 1048576 FROM drafts;
