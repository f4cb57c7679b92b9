-- +goose NO TRANSACTION
-- +goose Up
-- DDL commits by itself, so every statement must be good to run again.

-- Journals that wait to be sealed, each written by its posting; -1 where it is not known how the payer's
-- account stood.
CREATE TABLE IF NOT EXISTS unsealed (
  journal_id     VARBINARY(32) NOT NULL,
  after_sequence BIGINT       NOT NULL,
  after_fence    BIGINT       NOT NULL,
  PRIMARY KEY (journal_id)
);

CREATE TABLE IF NOT EXISTS blocks (
  block         BIGINT     NOT NULL,
  first_number  BIGINT     NOT NULL,
  journals      BIGINT     NOT NULL,
  previous_hash BINARY(32) NOT NULL,
  hash          BINARY(32) NOT NULL,
  sealed_at     BIGINT     NOT NULL,
  PRIMARY KEY (block)
);

CREATE TABLE IF NOT EXISTS seals (
  number         BIGINT        NOT NULL,
  block          BIGINT        NOT NULL,
  journal_id     VARBINARY(32) NOT NULL,
  leaf           BINARY(32)    NOT NULL,
  after_sequence BIGINT        NOT NULL,
  after_fence    BIGINT        NOT NULL,
  PRIMARY KEY (number),
  UNIQUE KEY seals_journal (journal_id)
);

-- Up to which journal it was looked whether it waits or is sealed.
CREATE TABLE IF NOT EXISTS enrolment (
  enrolment_id INT           NOT NULL,
  journal_id   VARBINARY(32) NOT NULL,
  PRIMARY KEY (enrolment_id)
);
INSERT IGNORE INTO enrolment (enrolment_id, journal_id) VALUES (1, '');

-- +goose Down
DROP TABLE IF EXISTS enrolment;
DROP TABLE IF EXISTS seals;
DROP TABLE IF EXISTS blocks;
DROP TABLE IF EXISTS unsealed;
