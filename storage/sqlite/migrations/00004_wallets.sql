-- +goose Up
-- What clients say of a journal: a flat JSON object of strings, or nothing.
ALTER TABLE journals ADD COLUMN metadata TEXT NOT NULL DEFAULT '';

-- What was spent on the day (days since 1970, UTC) that was last spent on, limits that differ from those
-- configured, and since when nothing leaves: where every posting locks and reads it anyway.
ALTER TABLE accounts ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN spent_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN limit_single INTEGER NULL;
ALTER TABLE accounts ADD COLUMN limit_daily INTEGER NULL;
ALTER TABLE accounts ADD COLUMN frozen_at INTEGER NULL;

-- The same for currencies in which a user has no account yet: an account is made from it.
ALTER TABLE users ADD COLUMN wallet_frozen_at INTEGER NULL;
ALTER TABLE users ADD COLUMN wallet_frozen_reason TEXT NOT NULL DEFAULT '';

-- The holds of a payer and of a recipient.
CREATE INDEX holds_from ON holds (from_user, state, hold_id);
CREATE INDEX holds_to ON holds (to_user, state, hold_id);

-- +goose Down
DROP INDEX holds_to;
DROP INDEX holds_from;
ALTER TABLE users DROP COLUMN wallet_frozen_reason;
ALTER TABLE users DROP COLUMN wallet_frozen_at;
ALTER TABLE accounts DROP COLUMN frozen_at;
ALTER TABLE accounts DROP COLUMN limit_daily;
ALTER TABLE accounts DROP COLUMN limit_single;
ALTER TABLE accounts DROP COLUMN spent_day;
ALTER TABLE accounts DROP COLUMN spent;
ALTER TABLE journals DROP COLUMN metadata;
