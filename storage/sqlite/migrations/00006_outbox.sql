-- +goose Up
-- How far each destination of ledger events has come in the sealed chain, and who delivers for it.
CREATE TABLE outbox (
  destination TEXT NOT NULL,
  number INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  holder TEXT NOT NULL,
  until_at INTEGER NOT NULL,
  taken_at INTEGER NOT NULL,
  failing_at INTEGER NULL,
  PRIMARY KEY (destination)
) STRICT, WITHOUT ROWID;

-- Events before that number which the destination has not taken.
CREATE TABLE outbox_deliveries (
  destination TEXT NOT NULL,
  number INTEGER NOT NULL,
  journal_id TEXT NOT NULL,
  from_user TEXT NOT NULL,
  to_user TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  last_at INTEGER NULL,
  fault TEXT NOT NULL,
  dead_at INTEGER NULL,
  PRIMARY KEY (destination, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_deliveries_dead ON outbox_deliveries (dead_at);

CREATE TABLE webhooks (
  webhook_id TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  events TEXT NOT NULL,
  secret BLOB NOT NULL,
  old_secret BLOB NOT NULL,
  old_until INTEGER NULL,
  disabled_at INTEGER NULL,
  disabled_why TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (webhook_id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE webhooks;
DROP TABLE outbox_deliveries;
DROP TABLE outbox;
