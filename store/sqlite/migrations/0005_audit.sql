-- Who changed what. An entry is written in the transaction of the change, and is never changed; it goes when retention says
-- so, and then the oldest go. The triggers are against mistakes of the gateway's own: whoever can write to the file can
-- drop them.

CREATE TABLE audit (
  num        INTEGER PRIMARY KEY AUTOINCREMENT, -- without a gap, but for the oldest
  id         BLOB    NOT NULL UNIQUE,
  tenant     INTEGER NOT NULL,
  time       INTEGER NOT NULL,
  actor      TEXT    NOT NULL, -- event.ActorKind
  actor_id   TEXT    NOT NULL,
  actor_name TEXT    NOT NULL,
  address    TEXT    NOT NULL, -- '': none
  request    TEXT    NOT NULL, -- '': none
  action     TEXT    NOT NULL, -- event.AuditAction
  subject    TEXT    NOT NULL,
  changes    TEXT    NOT NULL  -- a JSON array
) STRICT;
CREATE INDEX audit_tenant ON audit (tenant, time);
CREATE INDEX audit_subject ON audit (tenant, subject, time);
CREATE INDEX audit_age ON audit (time);

-- Entries before this time may be removed. It never goes back.
CREATE TABLE audit_retention (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  time INTEGER NOT NULL
) STRICT;
INSERT INTO audit_retention VALUES (1, 0);

CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit
  WHEN OLD.time >= coalesce((SELECT time FROM audit_retention), 0) BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- INSERT OR REPLACE would remove an entry without asking the trigger above.
CREATE TRIGGER audit_insert BEFORE INSERT ON audit
  WHEN EXISTS (SELECT 1 FROM audit WHERE num = NEW.num OR id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_retention_update BEFORE UPDATE ON audit_retention
  WHEN NEW.one <> OLD.one OR NEW.time < OLD.time BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_retention_delete BEFORE DELETE ON audit_retention BEGIN
  SELECT RAISE(ABORT, 'the audit log is append-only');
END;
