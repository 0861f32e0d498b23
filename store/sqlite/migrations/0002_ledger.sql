-- Order among deliveries, what outlives a restart of how a webhook is doing, replays, and bounds for the delivery log.

-- In event.matches the byte after a webhook's id is flags from here on: 1, it was disabled; 2, its filter failed.

-- What a delivery waits for its turn by; 0: for nothing. Of the pending rows of one webhook that have the same line, the
-- webhook's, and the same key, all but the one with the lowest cursor are parked.
ALTER TABLE delivery ADD COLUMN order_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN parked    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN replay    INTEGER NOT NULL DEFAULT 0; -- 1: a job made it pending again
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (webhook, line, parked, due, cursor) WHERE state = 0;
CREATE INDEX delivery_order ON delivery (webhook, line, order_key, cursor) WHERE state = 0 AND order_key <> 0;

-- The delivery log: how many bytes it takes, about, and the last of the rows that its retention has looked at. Those
-- before that one which are still there were pending then.
ALTER TABLE meta ADD COLUMN log_bytes   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN log_cursor  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN log_webhook INTEGER NOT NULL DEFAULT 0; -- webhook.num
UPDATE meta SET log_bytes =
  (SELECT count(*) * 80 + ifnull(sum(length(first_answer)), 0) FROM delivery) +
  (SELECT count(*) * 60 + ifnull(sum(length(answer)), 0) FROM attempt);

-- A webhook stands here while it is not healthy.
CREATE TABLE webhook_health (
  webhook       INTEGER PRIMARY KEY, -- webhook.num
  failures      INTEGER NOT NULL,
  failing_since INTEGER NOT NULL,
  down          INTEGER NOT NULL,
  gate          INTEGER NOT NULL
) STRICT;

-- Replays. One that has ended stays for a while, to be asked about.
CREATE TABLE job (
  num        INTEGER PRIMARY KEY,
  id         BLOB    NOT NULL UNIQUE,
  tenant     INTEGER NOT NULL,
  webhook    BLOB    NOT NULL, -- webhook.id: a job outlives its webhook's row
  state      TEXT    NOT NULL, -- store.JobState
  through    INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  total      INTEGER NOT NULL,
  done       INTEGER NOT NULL,
  per_second INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  updated    INTEGER NOT NULL,
  filter     TEXT    NOT NULL  -- a JSON object
) STRICT;
CREATE INDEX job_tenant ON job (tenant, num);
CREATE INDEX job_running ON job (webhook) WHERE state = 'running';
CREATE INDEX job_ended ON job (updated) WHERE state <> 'running';
