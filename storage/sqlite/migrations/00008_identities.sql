-- +goose Up
-- What other providers call our users.
CREATE TABLE identities (
  identity_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  app TEXT NOT NULL,
  subject TEXT NOT NULL,
  realm TEXT NOT NULL,
  union_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  sealed BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER NOT NULL,
  PRIMARY KEY (identity_id)
) STRICT;
CREATE UNIQUE INDEX identities_subject ON identities (provider, app, subject);
CREATE INDEX identities_user ON identities (user_id, created_at, identity_id);

-- Who a person is over all apps of a realm.
CREATE TABLE identity_unions (
  provider TEXT NOT NULL,
  realm TEXT NOT NULL,
  union_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  PRIMARY KEY (provider, realm, union_id)
) STRICT, WITHOUT ROWID;

-- What became of single-use codes of other providers.
CREATE TABLE exchanges (
  code_hash BLOB NOT NULL,
  holder TEXT NOT NULL,
  outcome BLOB NOT NULL,
  claimed_at INTEGER NOT NULL,
  until_at INTEGER NOT NULL,
  PRIMARY KEY (code_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX exchanges_until ON exchanges (until_at);

CREATE TABLE used_nonces (
  nonce_hash BLOB NOT NULL,
  until_at INTEGER NOT NULL,
  PRIMARY KEY (nonce_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_nonces_until ON used_nonces (until_at);

-- +goose Down
DROP TABLE used_nonces;
DROP TABLE exchanges;
DROP TABLE identity_unions;
DROP TABLE identities;
