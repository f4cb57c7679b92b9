-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again.
-- Identifiers are VARBINARY: no collation makes two identities one. (The _bin collations that MySQL and
-- MariaDB have in common ignore trailing spaces.) Texts for people are utf8mb4.
-- Times are microseconds since 1970, UTC. Amounts are minor units.

CREATE TABLE IF NOT EXISTS users (
  user_id       VARBINARY(32) NOT NULL,
  username      VARBINARY(128) NOT NULL,
  password_hash VARBINARY(512) NOT NULL,
  credential    BIGINT       NOT NULL,
  created_at    BIGINT       NOT NULL,
  updated_at    BIGINT       NOT NULL,
  disabled_at   BIGINT       NULL,
  banned_at     BIGINT       NULL,
  banned_until  BIGINT       NULL,
  ban_reason    VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (user_id),
  UNIQUE KEY users_username (username)
);

CREATE TABLE IF NOT EXISTS clients (
  client_id        VARBINARY(64) NOT NULL,
  name             VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  kind             VARBINARY(16) NOT NULL,
  secret           VARBINARY(512) NOT NULL,
  old_secret       VARBINARY(512) NOT NULL,
  old_secret_until BIGINT       NULL,
  settings         TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version          BIGINT       NOT NULL,
  created_at       BIGINT       NOT NULL,
  updated_at       BIGINT       NOT NULL,
  disabled_at      BIGINT       NULL,
  tokens_from      BIGINT       NULL,
  PRIMARY KEY (client_id)
);

CREATE TABLE IF NOT EXISTS slots (
  product  VARBINARY(64) NOT NULL,
  terminal VARBINARY(16) NOT NULL,
  user_id  VARBINARY(32) NOT NULL,
  version  BIGINT      NOT NULL,
  PRIMARY KEY (user_id, product, terminal)
);

CREATE TABLE IF NOT EXISTS sessions (
  session_id    VARBINARY(32) NOT NULL,
  user_id       VARBINARY(32) NOT NULL,
  product       VARBINARY(64) NOT NULL,
  terminal      VARBINARY(16) NOT NULL,
  mode          VARBINARY(16) NOT NULL,
  version       BIGINT       NOT NULL,
  client_id     VARBINARY(64) NOT NULL,
  scope         VARBINARY(1024) NOT NULL,
  device_id     VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  device_name   VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  address       VARBINARY(45) NOT NULL,
  user_agent    VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  session_data  TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  created_at    BIGINT       NOT NULL,
  last_seen_at  BIGINT       NOT NULL,
  expires_at    BIGINT       NOT NULL,
  idle_at       BIGINT       NOT NULL,
  access_jti    VARBINARY(64) NOT NULL,
  access_kid    VARBINARY(64) NOT NULL,
  access_iat    BIGINT       NOT NULL,
  access_exp    BIGINT       NOT NULL,
  access_until  BIGINT       NOT NULL,
  ended_at      BIGINT       NULL,
  end_reason    VARBINARY(32) NULL,
  end_actor     VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  end_terminal  VARBINARY(16) NULL,
  end_device    VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  PRIMARY KEY (session_id),
  KEY sessions_slot (user_id, product, terminal, ended_at),
  KEY sessions_expiry (expires_at)
);

CREATE TABLE IF NOT EXISTS refresh_tokens (
  token_hash    BINARY(32)   NOT NULL,
  session_id    VARBINARY(32) NOT NULL,
  family_id     VARBINARY(32) NOT NULL,
  client_id     VARBINARY(64) NOT NULL,
  scope         VARBINARY(1024) NOT NULL,
  kid           VARBINARY(64) NOT NULL,
  issued_at     BIGINT       NOT NULL,
  expires_at    BIGINT       NOT NULL,
  access_jti    VARBINARY(64) NOT NULL,
  access_kid    VARBINARY(64) NOT NULL,
  access_iat    BIGINT       NOT NULL,
  access_exp    BIGINT       NOT NULL,
  used_at       BIGINT       NULL,
  next_hash     BINARY(32)   NULL,
  PRIMARY KEY (token_hash),
  KEY refresh_tokens_session (session_id, family_id),
  KEY refresh_tokens_expiry (expires_at)
);

CREATE TABLE IF NOT EXISTS session_events (
  event_id     VARBINARY(32) NOT NULL,
  number       BIGINT       NOT NULL,
  subject      VARBINARY(16) NOT NULL,
  subject_key  VARBINARY(64) NOT NULL,
  user_id      VARBINARY(32) NOT NULL,
  product      VARBINARY(64) NOT NULL,
  terminal     VARBINARY(16) NOT NULL,
  ended_at     BIGINT       NOT NULL,
  end_reason   VARBINARY(32) NOT NULL,
  end_actor    VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  end_terminal VARBINARY(16) NULL,
  end_device   VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  until_at     BIGINT       NOT NULL,
  PRIMARY KEY (event_id),
  KEY session_events_number (number, event_id),
  KEY session_events_until (until_at, event_id)
);

CREATE TABLE IF NOT EXISTS feed (
  feed_id     INT    NOT NULL,
  last_number BIGINT NOT NULL,
  PRIMARY KEY (feed_id)
);
INSERT IGNORE INTO feed (feed_id, last_number) VALUES (1, 0);

CREATE TABLE IF NOT EXISTS signing_keys (
  key_id     VARBINARY(64) NOT NULL,
  key_use    VARBINARY(8) NOT NULL,
  algorithm  VARBINARY(16) NOT NULL,
  sealed     VARBINARY(8192) NOT NULL,
  -- after_key is the key that was the newest of its use when this one was added ('' for none): unique,
  -- so that of several processes that add one at once a single one wins.
  after_key  VARBINARY(64) NOT NULL,
  created_at BIGINT      NOT NULL,
  active_at  BIGINT      NOT NULL,
  retired_at BIGINT      NULL,
  PRIMARY KEY (key_id),
  UNIQUE KEY signing_keys_after (key_use, after_key)
);

CREATE TABLE IF NOT EXISTS audit (
  audit_id   VARBINARY(32) NOT NULL,
  at         BIGINT       NOT NULL,
  action     VARBINARY(64) NOT NULL,
  result     VARBINARY(64) NOT NULL,
  actor      VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  user_id    VARBINARY(32) NOT NULL,
  client_id  VARBINARY(64) NOT NULL,
  session_id VARBINARY(32) NOT NULL,
  address    VARBINARY(45) NOT NULL,
  detail     TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (audit_id),
  KEY audit_at (at)
);

CREATE TABLE IF NOT EXISTS accounts (
  account_id VARBINARY(80) NOT NULL,
  user_id    VARBINARY(32) NOT NULL,
  currency   CHAR(3)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance    BIGINT      NOT NULL,
  held       BIGINT      NOT NULL,
  version    BIGINT      NOT NULL,
  fence      BIGINT      NOT NULL,
  created_at BIGINT      NOT NULL,
  PRIMARY KEY (account_id),
  KEY accounts_user (user_id),
  -- A last wall, not the one that holds: TiDB ignores it by default.
  CONSTRAINT accounts_no_overdraft CHECK (user_id = '' OR (balance >= held AND held >= 0))
);

CREATE TABLE IF NOT EXISTS journals (
  journal_id VARBINARY(32) NOT NULL,
  kind       VARBINARY(16) NOT NULL,
  from_user  VARBINARY(32) NOT NULL,
  to_user    VARBINARY(32) NOT NULL,
  amount     BIGINT       NOT NULL,
  currency   CHAR(3)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  memo       VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  reference  VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  client_id  VARBINARY(64) NOT NULL,
  actor      VARBINARY(32) NOT NULL,
  session_id VARBINARY(32) NOT NULL,
  created_at BIGINT       NOT NULL,
  PRIMARY KEY (journal_id)
);

CREATE TABLE IF NOT EXISTS entries (
  account_id    VARBINARY(80) NOT NULL,
  sequence      BIGINT       NOT NULL,
  journal_id    VARBINARY(32) NOT NULL,
  kind          VARBINARY(16) NOT NULL,
  amount        BIGINT       NOT NULL,
  currency      CHAR(3)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance_after BIGINT       NOT NULL,
  counterparty  VARBINARY(32) NOT NULL,
  memo          VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at    BIGINT       NOT NULL,
  PRIMARY KEY (account_id, sequence),
  KEY entries_journal (journal_id)
);

CREATE TABLE IF NOT EXISTS answers (
  client_id    VARBINARY(64) NOT NULL,
  user_id      VARBINARY(32) NOT NULL,
  idem_key     VARBINARY(64) NOT NULL,
  request_hash BINARY(32)   NOT NULL,
  journal_id   VARBINARY(32) NOT NULL,
  code         VARBINARY(64) NOT NULL,
  body         TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  created_at   BIGINT       NOT NULL,
  PRIMARY KEY (user_id, client_id, idem_key),
  KEY answers_created (created_at)
);

-- +goose Down
DROP TABLE IF EXISTS answers;
DROP TABLE IF EXISTS entries;
DROP TABLE IF EXISTS journals;
DROP TABLE IF EXISTS accounts;
DROP TABLE IF EXISTS audit;
DROP TABLE IF EXISTS signing_keys;
DROP TABLE IF EXISTS feed;
DROP TABLE IF EXISTS session_events;
DROP TABLE IF EXISTS refresh_tokens;
DROP TABLE IF EXISTS sessions;
DROP TABLE IF EXISTS slots;
DROP TABLE IF EXISTS clients;
DROP TABLE IF EXISTS users;
