-- What tokens are signed with. It is filled in when the schema is: see tokenSecret.

ALTER TABLE meta ADD COLUMN token_secret BLOB NOT NULL DEFAULT x'';
