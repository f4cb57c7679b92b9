-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again. MySQL has no IF EXISTS for
-- indexes, so they are looked up first.

CREATE TABLE IF NOT EXISTS revoked_tokens (
  token_id   VARBINARY(64) NOT NULL,
  client_id  VARBINARY(64) NOT NULL,
  revoked_at BIGINT       NOT NULL,
  actor      VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  until_at   BIGINT       NOT NULL,
  PRIMARY KEY (token_id),
  KEY revoked_tokens_until (until_at)
);

CREATE TABLE IF NOT EXISTS leases (
  duty     VARBINARY(64) NOT NULL,
  holder   VARBINARY(64) NOT NULL,
  until_at BIGINT       NOT NULL,
  PRIMARY KEY (duty)
);

-- The time before which records of a kind have been trimmed.
CREATE TABLE IF NOT EXISTS trims (
  kind      VARBINARY(32) NOT NULL,
  before_at BIGINT       NOT NULL,
  PRIMARY KEY (kind)
);

-- The sessions that nobody has ended, of a user or a slot, beside any number of ended ones.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'CREATE INDEX sessions_open ON sessions (user_id, ended_at, product, terminal)')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'sessions' AND index_name = 'sessions_open');
PREPARE change_index FROM @statement;
EXECUTE change_index;
DEALLOCATE PREPARE change_index;

SET @statement = (SELECT IF(COUNT(*) = 0, 'DO 0', 'DROP INDEX sessions_slot ON sessions')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'sessions' AND index_name = 'sessions_slot');
PREPARE change_index FROM @statement;
EXECUTE change_index;
DEALLOCATE PREPARE change_index;

-- The unused tokens of a session or a family, beside any number of used ones.
SET @statement = (SELECT IF(COUNT(*) > 0, 'DO 0',
  'CREATE INDEX refresh_tokens_unused ON refresh_tokens (session_id, used_at, family_id)')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'refresh_tokens' AND index_name = 'refresh_tokens_unused');
PREPARE change_index FROM @statement;
EXECUTE change_index;
DEALLOCATE PREPARE change_index;

SET @statement = (SELECT IF(COUNT(*) = 0, 'DO 0', 'DROP INDEX refresh_tokens_session ON refresh_tokens')
  FROM information_schema.statistics
  WHERE table_schema = DATABASE() AND table_name = 'refresh_tokens' AND index_name = 'refresh_tokens_session');
PREPARE change_index FROM @statement;
EXECUTE change_index;
DEALLOCATE PREPARE change_index;

-- +goose Down
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id, family_id);
DROP INDEX refresh_tokens_unused ON refresh_tokens;
CREATE INDEX sessions_slot ON sessions (user_id, product, terminal, ended_at);
DROP INDEX sessions_open ON sessions;
DROP TABLE IF EXISTS trims;
DROP TABLE IF EXISTS leases;
DROP TABLE IF EXISTS revoked_tokens;
