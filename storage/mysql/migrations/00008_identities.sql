-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again.

-- What other providers call our users.
CREATE TABLE IF NOT EXISTS identities (
  identity_id VARBINARY(32) NOT NULL,
  provider    VARBINARY(32) NOT NULL,
  app         VARBINARY(64) NOT NULL,
  subject     VARBINARY(128) NOT NULL,
  realm       VARBINARY(64) NOT NULL,
  union_id    VARBINARY(128) NOT NULL,
  user_id     VARBINARY(32) NOT NULL,
  sealed      VARBINARY(512) NOT NULL,
  created_at  BIGINT       NOT NULL,
  used_at     BIGINT       NOT NULL,
  PRIMARY KEY (identity_id),
  UNIQUE KEY identities_subject (provider, app, subject),
  KEY identities_user (user_id, created_at, identity_id)
);

-- Who a person is over all apps of a realm.
CREATE TABLE IF NOT EXISTS identity_unions (
  provider VARBINARY(32) NOT NULL,
  realm    VARBINARY(64) NOT NULL,
  union_id VARBINARY(128) NOT NULL,
  user_id  VARBINARY(32) NOT NULL,
  PRIMARY KEY (provider, realm, union_id)
);

-- What became of single-use codes of other providers.
CREATE TABLE IF NOT EXISTS exchanges (
  code_hash  BINARY(32)   NOT NULL,
  holder     VARBINARY(64) NOT NULL,
  outcome    VARBINARY(1024) NOT NULL,
  claimed_at BIGINT       NOT NULL,
  until_at   BIGINT       NOT NULL,
  PRIMARY KEY (code_hash),
  KEY exchanges_until (until_at)
);

CREATE TABLE IF NOT EXISTS used_nonces (
  nonce_hash BINARY(32) NOT NULL,
  until_at   BIGINT     NOT NULL,
  PRIMARY KEY (nonce_hash),
  KEY used_nonces_until (until_at)
);

-- +goose Down
DROP TABLE IF EXISTS used_nonces;
DROP TABLE IF EXISTS exchanges;
DROP TABLE IF EXISTS identity_unions;
DROP TABLE IF EXISTS identities;
