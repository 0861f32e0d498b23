-- Who shares the gateway. AUTOINCREMENT: a number is never given out twice, so that what a deleted tenant has left can be
-- nobody else's. A deleted one stays until all of that is removed.
CREATE TABLE tenant (
  num               INTEGER PRIMARY KEY AUTOINCREMENT,
  name              TEXT    NOT NULL,
  version           INTEGER NOT NULL,
  events_per_second INTEGER NOT NULL, -- quotas; 0: no bound
  stored_bytes      INTEGER NOT NULL,
  webhooks          INTEGER NOT NULL,
  streams           INTEGER NOT NULL,
  used              INTEGER NOT NULL, -- bytes of its events: the sum that storedSize gives for each
  created           INTEGER NOT NULL,
  updated           INTEGER NOT NULL,
  deleted           INTEGER NOT NULL  -- 0: it is there
) STRICT;
CREATE UNIQUE INDEX tenant_name ON tenant (name) WHERE deleted = 0;
INSERT INTO tenant VALUES (1, 'default', 1, 0, 0, 0, 0,
  (SELECT ifnull(sum(size + ifnull(octet_length(attributes), 0) + length(matches) + 160), 0) FROM event),
  unixepoch() * 1000, unixepoch() * 1000, 0);

-- What a deleted tenant has left is looked for by these. Of its events it is by their topics.
CREATE INDEX webhook_tenant ON webhook (tenant);
CREATE INDEX access_key_tenant ON access_key (tenant);
