-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again. MySQL has no IF NOT EXISTS for
-- columns, so they are looked up first.

-- What a reversal undoes, or the hold that a capture, void or expiry closes.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'ALTER TABLE journals ADD COLUMN original_id VARBINARY(32) NOT NULL DEFAULT ""')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'journals' AND column_name = 'original_id');
PREPARE change_table FROM @statement;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

CREATE TABLE IF NOT EXISTS holds (
  hold_id    VARBINARY(32) NOT NULL,
  account_id VARBINARY(80) NOT NULL,
  from_user  VARBINARY(32) NOT NULL,
  to_user    VARBINARY(32) NOT NULL,
  amount     BIGINT       NOT NULL,
  currency   CHAR(3)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state      VARBINARY(16) NOT NULL,
  captured   BIGINT       NOT NULL,
  closed_by  VARBINARY(32) NOT NULL,
  created_at BIGINT       NOT NULL,
  expires_at BIGINT       NOT NULL,
  closed_at  BIGINT       NULL,
  PRIMARY KEY (hold_id),
  KEY holds_due (state, expires_at)
);

-- The reversals of a journal, each with the sum of all up to it: unique, so that no two take the same part.
CREATE TABLE IF NOT EXISTS reversals (
  original_id VARBINARY(32) NOT NULL,
  total       BIGINT       NOT NULL,
  reversal_id VARBINARY(32) NOT NULL,
  PRIMARY KEY (original_id, total)
);

-- +goose Down
DROP TABLE IF EXISTS reversals;
DROP TABLE IF EXISTS holds;
ALTER TABLE journals DROP COLUMN original_id;
