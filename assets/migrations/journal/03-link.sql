-- What the user switched, for all processes and starts of this data dir: `forced_offline` = since when (milliseconds).
CREATE TABLE switches (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- Bytes by local day (days since 1970), source and collection ('' = none).
CREATE TABLE spent (
    day        INTEGER NOT NULL,
    source     TEXT NOT NULL,
    collection TEXT NOT NULL,
    sent       INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    PRIMARY KEY (day, source, collection)
) WITHOUT ROWID;

-- Who was signed in at each source last: the author of edits made since.
CREATE TABLE accounts (
    source    TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    since     INTEGER NOT NULL
) WITHOUT ROWID;

-- The account a user allowed to send an edit that another one made.
ALTER TABLE ops ADD COLUMN confirmed_as TEXT;

-- Where a token came from says nothing of who signs in with it.
UPDATE ops SET author = '' WHERE author LIKE 'env:%' OR author LIKE 'file:%' OR author LIKE 'command:%';
