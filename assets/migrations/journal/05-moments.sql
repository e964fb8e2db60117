-- Kept moments are read back before an older one is given up: `digest` is of `slices` as they were meant, `proved_at` is
-- when they were read back and found so. Moments of before had no digest; they were read by whoever asked for them.
ALTER TABLE generations ADD COLUMN digest BLOB;
ALTER TABLE generations ADD COLUMN proved_at INTEGER;
UPDATE generations SET proved_at = at;

-- When the last starts began that have shown nothing yet: a JSON array of milliseconds, emptied by a start that works.
ALTER TABLE sessions ADD COLUMN tries TEXT NOT NULL DEFAULT '[]';
