-- +goose Up
CREATE TABLE revoked_tokens (
  token_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  revoked_at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  until_at INTEGER NOT NULL,
  PRIMARY KEY (token_id)
) STRICT;
CREATE INDEX revoked_tokens_until ON revoked_tokens (until_at);

CREATE TABLE leases (
  duty TEXT NOT NULL,
  holder TEXT NOT NULL,
  until_at INTEGER NOT NULL,
  PRIMARY KEY (duty)
) STRICT;

-- The time before which records of a kind have been trimmed.
CREATE TABLE trims (
  kind TEXT NOT NULL,
  before_at INTEGER NOT NULL,
  PRIMARY KEY (kind)
) STRICT;

-- The sessions that nobody has ended, of a user or a slot, beside any number of ended ones.
CREATE INDEX sessions_open ON sessions (user_id, ended_at, product, terminal);
DROP INDEX sessions_slot;

-- The unused tokens of a session or a family, beside any number of used ones.
CREATE INDEX refresh_tokens_unused ON refresh_tokens (session_id, used_at, family_id);
DROP INDEX refresh_tokens_session;

-- +goose Down
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id, family_id);
DROP INDEX refresh_tokens_unused;
CREATE INDEX sessions_slot ON sessions (user_id, product, terminal, ended_at);
DROP INDEX sessions_open;
DROP TABLE trims;
DROP TABLE leases;
DROP TABLE revoked_tokens;
