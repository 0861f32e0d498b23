-- Secrets of webhooks can be sealed: see package seal.

ALTER TABLE webhook ADD COLUMN sealed BLOB; -- the settings that are secret; NULL: they are in secret and config

-- 1: secrets were stored in plain, so that copies may be left in the file where nothing points to any more.
ALTER TABLE meta ADD COLUMN plain INTEGER NOT NULL DEFAULT 1;
