-- The event log, who is owed what of it, and what became of that.
--
-- Times are milliseconds since 1970, UTC. Ids are the 16 bytes of a UUID. A tenant stands on every row that a request
-- can reach.

-- What the engine must not forget when the log is empty.
CREATE TABLE meta (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  epoch       INTEGER NOT NULL, -- upper bits of the cursors given out now
  next_cursor INTEGER NOT NULL, -- given to the next event
  last_time   INTEGER NOT NULL, -- of the newest event: times never fall
  trimmed     INTEGER NOT NULL, -- highest cursor that retention removed
  floor       INTEGER NOT NULL  -- every delivery at or below has a row, or was never owed
) STRICT;
INSERT INTO meta VALUES (1, 0, 1, 0, 0, 0);

-- A topic stands here while the log holds events of it.
CREATE TABLE topic (
  num         INTEGER PRIMARY KEY,
  tenant      INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  events      INTEGER NOT NULL,
  last_cursor INTEGER NOT NULL,
  last_time   INTEGER NOT NULL,
  UNIQUE (tenant, name)
) STRICT;

-- The payload comes last: a row is read up to the last column that is asked for.
CREATE TABLE event (
  cursor        INTEGER PRIMARY KEY,
  tenant        INTEGER NOT NULL,
  topic         INTEGER NOT NULL, -- topic.num
  time          INTEGER NOT NULL,
  id            BLOB    NOT NULL,
  owed          INTEGER NOT NULL, -- matches that were enabled
  size          INTEGER NOT NULL, -- of the payload
  content_type  TEXT    NOT NULL,
  partition_key TEXT    NOT NULL,
  traceparent   TEXT    NOT NULL,
  attributes    TEXT,             -- a JSON object; NULL: not a CloudEvent
  matches       BLOB    NOT NULL, -- 17 bytes each: the webhook's id, 1 if it was disabled
  payload       BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_id ON event (id);
CREATE INDEX event_topic ON event (topic, cursor);

-- The first receipt for each idempotency key. Keys are kept as hashes: they are of any length.
CREATE TABLE idempotency (
  tenant      INTEGER NOT NULL,
  hash        BLOB    NOT NULL,
  fingerprint BLOB    NOT NULL,
  time        INTEGER NOT NULL,
  cursor      INTEGER NOT NULL,
  event       BLOB    NOT NULL,
  topic       TEXT    NOT NULL,
  webhooks    INTEGER NOT NULL,
  PRIMARY KEY (tenant, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (time, cursor);

-- A deleted webhook stays, invisible, until the log holds no event from before its end.
CREATE TABLE webhook (
  num              INTEGER PRIMARY KEY,
  id               BLOB    NOT NULL UNIQUE,
  tenant           INTEGER NOT NULL,
  version          INTEGER NOT NULL,
  enabled          INTEGER NOT NULL,
  disabled_reason  TEXT    NOT NULL,
  deleted          INTEGER NOT NULL,
  line             INTEGER NOT NULL, -- how many lines were drawn; see delivery.line
  canceled_through INTEGER NOT NULL,
  canceled_reason  TEXT    NOT NULL,
  canceled_at      INTEGER NOT NULL,
  created          INTEGER NOT NULL,
  updated          INTEGER NOT NULL,
  secret           TEXT    NOT NULL,
  config           TEXT    NOT NULL  -- the other settings, as JSON
) STRICT;

-- One event on its way to one webhook, from its first settlement or spill on. Its first attempt stands in the row.
--
-- line is webhook.line as it was when the delivery last became pending. A pending row with a lower one was pending when a
-- line was drawn, and so is canceled, whether or not it was rewritten yet.
CREATE TABLE delivery (
  cursor        INTEGER NOT NULL,
  webhook       INTEGER NOT NULL, -- webhook.num
  tenant        INTEGER NOT NULL,
  line          INTEGER NOT NULL,
  state         INTEGER NOT NULL, -- event.State
  reason        TEXT    NOT NULL,
  attempts      INTEGER NOT NULL,
  step          INTEGER NOT NULL,
  due           INTEGER NOT NULL, -- 0 unless pending
  ended         INTEGER NOT NULL, -- 0 while pending
  last_status   INTEGER NOT NULL,
  last_outcome  INTEGER NOT NULL, -- event.Outcome
  first_number  INTEGER NOT NULL, -- 0: no attempt yet
  first_at      INTEGER NOT NULL,
  first_micros  INTEGER NOT NULL,
  first_status  INTEGER NOT NULL,
  first_outcome INTEGER NOT NULL,
  first_answer  BLOB,
  PRIMARY KEY (cursor, webhook)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_webhook ON delivery (webhook, cursor);
CREATE INDEX delivery_due ON delivery (webhook, line, due, cursor) WHERE state = 0;
CREATE INDEX delivery_failed ON delivery (tenant, cursor) WHERE state = 2;

-- The attempts after the first.
CREATE TABLE attempt (
  cursor  INTEGER NOT NULL,
  webhook INTEGER NOT NULL, -- webhook.num
  number  INTEGER NOT NULL,
  tenant  INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  micros  INTEGER NOT NULL,
  status  INTEGER NOT NULL,
  outcome INTEGER NOT NULL,
  answer  BLOB,
  PRIMARY KEY (cursor, webhook, number)
) STRICT, WITHOUT ROWID;
