-- Who may come in. A key that has expired or was revoked stays.

CREATE TABLE access_key (
  num     INTEGER PRIMARY KEY,
  id      BLOB    NOT NULL UNIQUE,
  tenant  INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  hash    BLOB    NOT NULL UNIQUE, -- SHA-256 of the token, which is not kept
  scopes  TEXT    NOT NULL,        -- a JSON array
  topics  TEXT    NOT NULL,        -- a JSON array of patterns; []: every topic
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,        -- 0: never
  used    INTEGER NOT NULL,        -- 0: not yet
  revoked INTEGER NOT NULL         -- 0: not
) STRICT;
