-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again. MySQL has no IF NOT EXISTS for
-- columns and indexes, so they are looked up first.

-- What clients say of a journal: a flat JSON object of strings, or nothing.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'ALTER TABLE journals ADD COLUMN metadata VARBINARY(2048) NOT NULL DEFAULT ""')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'journals' AND column_name = 'metadata');
PREPARE change_table FROM @statement;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- What was spent on the day (days since 1970, UTC) that was last spent on, limits that differ from those
-- configured, and since when nothing leaves: where every posting locks and reads it anyway.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'ALTER TABLE accounts ADD COLUMN spent BIGINT NOT NULL DEFAULT 0, ADD COLUMN spent_day BIGINT NOT NULL DEFAULT 0, ADD COLUMN limit_single BIGINT NULL, ADD COLUMN limit_daily BIGINT NULL, ADD COLUMN frozen_at BIGINT NULL')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'accounts' AND column_name = 'frozen_at');
PREPARE change_table FROM @statement;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The same for currencies in which a user has no account yet: an account is made from it.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'ALTER TABLE users ADD COLUMN wallet_frozen_at BIGINT NULL, ADD COLUMN wallet_frozen_reason VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT ""')
  FROM information_schema.columns
  WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'wallet_frozen_at');
PREPARE change_table FROM @statement;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- The holds of a payer and of a recipient.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'ALTER TABLE holds ADD INDEX holds_from (from_user, state, hold_id), ADD INDEX holds_to (to_user, state, hold_id)')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'holds' AND index_name = 'holds_from');
PREPARE change_table FROM @statement;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- +goose Down
ALTER TABLE holds DROP INDEX holds_from, DROP INDEX holds_to;
ALTER TABLE users DROP COLUMN wallet_frozen_at, DROP COLUMN wallet_frozen_reason;
ALTER TABLE accounts DROP COLUMN spent, DROP COLUMN spent_day, DROP COLUMN limit_single, DROP COLUMN limit_daily, DROP COLUMN frozen_at;
ALTER TABLE journals DROP COLUMN metadata;
