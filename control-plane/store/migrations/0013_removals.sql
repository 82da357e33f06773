-- Users and accounts that no longer exist, whose keys are removed in steps: one transaction for all of them would keep
-- everybody else waiting. Their keys count as revoked from the first step on.

CREATE TABLE removals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- The user (`usr_…`) or the account (`acc_…`).
    subject TEXT NOT NULL UNIQUE,
    removed_at INTEGER NOT NULL,
    -- The revision since which nodes refuse the keys.
    revision INTEGER NOT NULL,
    -- How many of the account's `live_keys` are still to be removed.
    keys_left INTEGER NOT NULL,
    -- Who asked for it: the entries of the audit are written as the keys go.
    author_account_id TEXT NOT NULL REFERENCES accounts (id),
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT,
    source_address TEXT,
    request_id TEXT
);
CREATE INDEX removals_account ON removals (account_id);

CREATE INDEX keys_owner ON keys (user_id, slot) WHERE revoked_at IS NULL;

-- How many keys a deleted user had, for whoever asks again.
ALTER TABLE users ADD COLUMN deleted_keys INTEGER NOT NULL DEFAULT 0;
