-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again.

-- Devices that ask to be signed in. Of the secret that redeems one only its SHA-256 is kept.
CREATE TABLE IF NOT EXISTS device_requests (
  request_id  VARBINARY(32) NOT NULL,
  device_hash BINARY(32)   NOT NULL,
  code        VARBINARY(16) NOT NULL,
  old_code    VARBINARY(16) NOT NULL,
  old_until   BIGINT       NOT NULL,
  rotation    BIGINT       NOT NULL,
  rotated_at  BIGINT       NOT NULL,
  state       VARBINARY(16) NOT NULL,
  client_id   VARBINARY(64) NOT NULL,
  product     VARBINARY(64) NOT NULL,
  terminal    VARBINARY(16) NOT NULL,
  scope       VARBINARY(1024) NOT NULL,
  device_id   VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  device_name VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  address     VARBINARY(45) NOT NULL,
  user_agent  VARCHAR(256) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  place       VARBINARY(64) NOT NULL,
  number      VARBINARY(8) NOT NULL,
  wrong       BIGINT       NOT NULL,
  user_id     VARBINARY(32) NOT NULL,
  scanned_by  VARBINARY(32) NOT NULL,
  approved_by VARBINARY(32) NOT NULL,
  session_id  VARBINARY(32) NOT NULL,
  scope_limit VARBINARY(1024) NOT NULL,
  why         VARBINARY(16) NOT NULL,
  created_at  BIGINT       NOT NULL,
  decided_at  BIGINT       NULL,
  expires_at  BIGINT       NOT NULL,
  PRIMARY KEY (request_id),
  UNIQUE KEY device_requests_hash (device_hash),
  UNIQUE KEY device_requests_code (code),
  KEY device_requests_old (old_code, old_until),
  KEY device_requests_client (client_id, expires_at),
  KEY device_requests_place (place, expires_at),
  KEY device_requests_user (user_id, expires_at),
  KEY device_requests_expiry (expires_at)
);

-- Sign-ins that a session, or an internal client, gives to another device.
CREATE TABLE IF NOT EXISTS login_tokens (
  token_id    VARBINARY(32) NOT NULL,
  token_hash  BINARY(32)   NOT NULL,
  state       VARBINARY(16) NOT NULL,
  user_id     VARBINARY(32) NOT NULL,
  issued_by   VARBINARY(32) NOT NULL,
  client_id   VARBINARY(64) NOT NULL,
  product     VARBINARY(64) NOT NULL,
  terminal    VARBINARY(16) NOT NULL,
  scope_limit VARBINARY(1024) NULL,
  data        TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  session_id  VARBINARY(32) NOT NULL,
  created_at  BIGINT       NOT NULL,
  expires_at  BIGINT       NOT NULL,
  PRIMARY KEY (token_id),
  UNIQUE KEY login_tokens_hash (token_hash),
  KEY login_tokens_user (user_id, expires_at),
  KEY login_tokens_client (client_id, expires_at),
  KEY login_tokens_expiry (expires_at)
);

-- Which session was started from which.
CREATE TABLE IF NOT EXISTS session_starts (
  user_id    VARBINARY(32) NOT NULL,
  session_id VARBINARY(32) NOT NULL,
  origin_id  VARBINARY(32) NOT NULL,
  expires_at BIGINT       NOT NULL,
  PRIMARY KEY (user_id, session_id, origin_id),
  KEY session_starts_expiry (expires_at)
);

-- +goose Down
DROP TABLE IF EXISTS session_starts;
DROP TABLE IF EXISTS login_tokens;
DROP TABLE IF EXISTS device_requests;
