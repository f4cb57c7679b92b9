-- +goose Up
-- What a reversal undoes, or the hold that a capture, void or expiry closes.
ALTER TABLE journals ADD COLUMN original_id TEXT NOT NULL DEFAULT '';

CREATE TABLE holds (
  hold_id TEXT NOT NULL,
  account_id TEXT NOT NULL,
  from_user TEXT NOT NULL,
  to_user TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  captured INTEGER NOT NULL,
  closed_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  closed_at INTEGER NULL,
  PRIMARY KEY (hold_id)
) STRICT;
CREATE INDEX holds_due ON holds (state, expires_at);

-- The reversals of a journal, each with the sum of all up to it: unique, so that no two take the same part.
CREATE TABLE reversals (
  original_id TEXT NOT NULL,
  total INTEGER NOT NULL,
  reversal_id TEXT NOT NULL,
  PRIMARY KEY (original_id, total)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE reversals;
DROP TABLE holds;
ALTER TABLE journals DROP COLUMN original_id;
