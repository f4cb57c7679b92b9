-- +goose Up
-- SQLite compares TEXT as bytes: no collation makes two identities one.
-- Times are microseconds since 1970, UTC. Amounts are minor units.

CREATE TABLE users (
  user_id TEXT NOT NULL,
  username TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  credential INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  disabled_at INTEGER NULL,
  banned_at INTEGER NULL,
  banned_until INTEGER NULL,
  ban_reason TEXT NOT NULL,
  PRIMARY KEY (user_id)
) STRICT;
CREATE UNIQUE INDEX users_username ON users (username);

CREATE TABLE clients (
  client_id TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  secret TEXT NOT NULL,
  old_secret TEXT NOT NULL,
  old_secret_until INTEGER NULL,
  settings TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  disabled_at INTEGER NULL,
  tokens_from INTEGER NULL,
  PRIMARY KEY (client_id)
) STRICT;

CREATE TABLE slots (
  product TEXT NOT NULL,
  terminal TEXT NOT NULL,
  user_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (user_id, product, terminal)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  session_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  product TEXT NOT NULL,
  terminal TEXT NOT NULL,
  mode TEXT NOT NULL,
  version INTEGER NOT NULL,
  client_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  device_id TEXT NOT NULL,
  device_name TEXT NOT NULL,
  address TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  session_data TEXT NULL,
  created_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  idle_at INTEGER NOT NULL,
  access_jti TEXT NOT NULL,
  access_kid TEXT NOT NULL,
  access_iat INTEGER NOT NULL,
  access_exp INTEGER NOT NULL,
  access_until INTEGER NOT NULL,
  ended_at INTEGER NULL,
  end_reason TEXT NULL,
  end_actor TEXT NULL,
  end_terminal TEXT NULL,
  end_device TEXT NULL,
  PRIMARY KEY (session_id)
) STRICT;
CREATE INDEX sessions_slot ON sessions (user_id, product, terminal, ended_at);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE refresh_tokens (
  token_hash BLOB NOT NULL,
  session_id TEXT NOT NULL,
  family_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  scope TEXT NOT NULL,
  kid TEXT NOT NULL,
  issued_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  access_jti TEXT NOT NULL,
  access_kid TEXT NOT NULL,
  access_iat INTEGER NOT NULL,
  access_exp INTEGER NOT NULL,
  used_at INTEGER NULL,
  next_hash BLOB NULL,
  PRIMARY KEY (token_hash)
) STRICT;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id, family_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE session_events (
  event_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  subject TEXT NOT NULL,
  subject_key TEXT NOT NULL,
  user_id TEXT NOT NULL,
  product TEXT NOT NULL,
  terminal TEXT NOT NULL,
  ended_at INTEGER NOT NULL,
  end_reason TEXT NOT NULL,
  end_actor TEXT NOT NULL,
  end_terminal TEXT NULL,
  end_device TEXT NULL,
  until_at INTEGER NOT NULL,
  PRIMARY KEY (event_id)
) STRICT;
CREATE INDEX session_events_number ON session_events (number, event_id);
CREATE INDEX session_events_until ON session_events (until_at, event_id);

CREATE TABLE feed (
  feed_id INTEGER NOT NULL,
  last_number INTEGER NOT NULL,
  PRIMARY KEY (feed_id)
) STRICT;
INSERT INTO feed (feed_id, last_number) VALUES (1, 0);

CREATE TABLE signing_keys (
  key_id TEXT NOT NULL,
  key_use TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  sealed BLOB NOT NULL,
  -- after_key is the key that was the newest of its use when this one was added ('' for none): unique,
  -- so that of several processes that add one at once a single one wins.
  after_key TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  active_at INTEGER NOT NULL,
  retired_at INTEGER NULL,
  PRIMARY KEY (key_id)
) STRICT;
CREATE UNIQUE INDEX signing_keys_after ON signing_keys (key_use, after_key);

CREATE TABLE audit (
  audit_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  result TEXT NOT NULL,
  actor TEXT NOT NULL,
  user_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  session_id TEXT NOT NULL,
  address TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (audit_id)
) STRICT;
CREATE INDEX audit_at ON audit (at);

CREATE TABLE accounts (
  account_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  currency TEXT NOT NULL,
  balance INTEGER NOT NULL,
  held INTEGER NOT NULL,
  version INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (account_id),
  -- A last wall, not the one that holds.
  CONSTRAINT accounts_no_overdraft CHECK (user_id = '' OR (balance >= held AND held >= 0))
) STRICT;
CREATE INDEX accounts_user ON accounts (user_id);

CREATE TABLE journals (
  journal_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  from_user TEXT NOT NULL,
  to_user TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  memo TEXT NOT NULL,
  reference TEXT NOT NULL,
  client_id TEXT NOT NULL,
  actor TEXT NOT NULL,
  session_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (journal_id)
) STRICT;

CREATE TABLE entries (
  account_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  journal_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  amount INTEGER NOT NULL,
  currency TEXT NOT NULL,
  balance_after INTEGER NOT NULL,
  counterparty TEXT NOT NULL,
  memo TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_journal ON entries (journal_id);

CREATE TABLE answers (
  client_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  idem_key TEXT NOT NULL,
  request_hash BLOB NOT NULL,
  journal_id TEXT NOT NULL,
  code TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (user_id, client_id, idem_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_created ON answers (created_at);

-- +goose Down
DROP TABLE answers;
DROP TABLE entries;
DROP TABLE journals;
DROP TABLE accounts;
DROP TABLE audit;
DROP TABLE signing_keys;
DROP TABLE feed;
DROP TABLE session_events;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE slots;
DROP TABLE clients;
DROP TABLE users;
