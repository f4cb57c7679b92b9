-- +goose Up
-- Journals that wait to be sealed, each written by its posting; -1 where it is not known how the payer's
-- account stood.
CREATE TABLE unsealed (
  journal_id TEXT NOT NULL,
  after_sequence INTEGER NOT NULL,
  after_fence INTEGER NOT NULL,
  PRIMARY KEY (journal_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
  block INTEGER NOT NULL,
  first_number INTEGER NOT NULL,
  journals INTEGER NOT NULL,
  previous_hash BLOB NOT NULL,
  hash BLOB NOT NULL,
  sealed_at INTEGER NOT NULL,
  PRIMARY KEY (block)
) STRICT;

CREATE TABLE seals (
  number INTEGER NOT NULL,
  block INTEGER NOT NULL,
  journal_id TEXT NOT NULL,
  leaf BLOB NOT NULL,
  after_sequence INTEGER NOT NULL,
  after_fence INTEGER NOT NULL,
  PRIMARY KEY (number)
) STRICT;
CREATE UNIQUE INDEX seals_journal ON seals (journal_id);

-- Up to which journal it was looked whether it waits or is sealed.
CREATE TABLE enrolment (
  enrolment_id INTEGER NOT NULL,
  journal_id TEXT NOT NULL,
  PRIMARY KEY (enrolment_id)
) STRICT;
INSERT INTO enrolment (enrolment_id, journal_id) VALUES (1, '');

-- +goose Down
DROP TABLE enrolment;
DROP TABLE seals;
DROP TABLE blocks;
DROP TABLE unsealed;
