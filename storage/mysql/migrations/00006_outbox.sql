-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again.

-- How far each destination of ledger events has come in the sealed chain, and who delivers for it.
CREATE TABLE IF NOT EXISTS outbox (
  destination VARBINARY(32) NOT NULL,
  number      BIGINT        NOT NULL,
  epoch       BIGINT        NOT NULL,
  holder      VARBINARY(64) NOT NULL,
  until_at    BIGINT        NOT NULL,
  taken_at    BIGINT        NOT NULL,
  failing_at  BIGINT        NULL,
  PRIMARY KEY (destination)
);

-- Events before that number which the destination has not taken.
CREATE TABLE IF NOT EXISTS outbox_deliveries (
  destination VARBINARY(32)  NOT NULL,
  number      BIGINT         NOT NULL,
  journal_id  VARBINARY(32)  NOT NULL,
  from_user   VARBINARY(32)  NOT NULL,
  to_user     VARBINARY(32)  NOT NULL,
  attempts    INT            NOT NULL,
  next_at     BIGINT         NOT NULL,
  last_at     BIGINT         NULL,
  fault       VARBINARY(200) NOT NULL,
  dead_at     BIGINT         NULL,
  PRIMARY KEY (destination, number),
  KEY outbox_deliveries_dead (dead_at)
);

CREATE TABLE IF NOT EXISTS webhooks (
  webhook_id   VARBINARY(32)   NOT NULL,
  url          VARBINARY(2048) NOT NULL,
  description  VARCHAR(256)    CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  events       VARBINARY(512)  NOT NULL,
  secret       VARBINARY(128)  NOT NULL,
  old_secret   VARBINARY(128)  NOT NULL,
  old_until    BIGINT          NULL,
  disabled_at  BIGINT          NULL,
  disabled_why VARBINARY(32)   NOT NULL,
  version      BIGINT          NOT NULL,
  created_at   BIGINT          NOT NULL,
  updated_at   BIGINT          NOT NULL,
  PRIMARY KEY (webhook_id)
);

-- +goose Down
DROP TABLE IF EXISTS webhooks;
DROP TABLE IF EXISTS outbox_deliveries;
DROP TABLE IF EXISTS outbox;
