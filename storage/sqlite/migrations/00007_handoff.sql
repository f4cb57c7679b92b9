-- +goose Up
-- Devices that ask to be signed in. Of the secret that redeems one only its SHA-256 is kept.
CREATE TABLE device_requests (
  request_id TEXT NOT NULL,
  device_hash BLOB NOT NULL,
  code TEXT NOT NULL,
  old_code TEXT NOT NULL,
  old_until INTEGER NOT NULL,
  rotation INTEGER NOT NULL,
  rotated_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  client_id TEXT NOT NULL,
  product TEXT NOT NULL,
  terminal TEXT NOT NULL,
  scope TEXT NOT NULL,
  device_id TEXT NOT NULL,
  device_name TEXT NOT NULL,
  address TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  place TEXT NOT NULL,
  number TEXT NOT NULL,
  wrong INTEGER NOT NULL,
  user_id TEXT NOT NULL,
  scanned_by TEXT NOT NULL,
  approved_by TEXT NOT NULL,
  session_id TEXT NOT NULL,
  scope_limit TEXT NOT NULL,
  why TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  decided_at INTEGER NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (request_id)
) STRICT;
CREATE UNIQUE INDEX device_requests_hash ON device_requests (device_hash);
CREATE UNIQUE INDEX device_requests_code ON device_requests (code);
CREATE INDEX device_requests_old ON device_requests (old_code, old_until);
CREATE INDEX device_requests_client ON device_requests (client_id, expires_at);
CREATE INDEX device_requests_place ON device_requests (place, expires_at);
CREATE INDEX device_requests_user ON device_requests (user_id, expires_at);
CREATE INDEX device_requests_expiry ON device_requests (expires_at);

-- Sign-ins that a session, or an internal client, gives to another device.
CREATE TABLE login_tokens (
  token_id TEXT NOT NULL,
  token_hash BLOB NOT NULL,
  state TEXT NOT NULL,
  user_id TEXT NOT NULL,
  issued_by TEXT NOT NULL,
  client_id TEXT NOT NULL,
  product TEXT NOT NULL,
  terminal TEXT NOT NULL,
  scope_limit TEXT NULL,
  data TEXT NULL,
  session_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (token_id)
) STRICT;
CREATE UNIQUE INDEX login_tokens_hash ON login_tokens (token_hash);
CREATE INDEX login_tokens_user ON login_tokens (user_id, expires_at);
CREATE INDEX login_tokens_client ON login_tokens (client_id, expires_at);
CREATE INDEX login_tokens_expiry ON login_tokens (expires_at);

-- Which session was started from which.
CREATE TABLE session_starts (
  user_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  origin_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, session_id, origin_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_starts_expiry ON session_starts (expires_at);

-- +goose Down
DROP TABLE session_starts;
DROP TABLE login_tokens;
DROP TABLE device_requests;
