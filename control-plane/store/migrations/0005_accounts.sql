-- Accounts that come and go and have bounds, services by name, users that are deleted, and lists page by page.

-- `max_keys`: how many live keys the account may have, NULL for any number. A closed account is closed for good.
ALTER TABLE accounts ADD COLUMN max_keys INTEGER;
ALTER TABLE accounts ADD COLUMN closed_at INTEGER;

-- Counted as they come and go: an account's bound is asked for with every new key.
ALTER TABLE accounts ADD COLUMN live_keys INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET live_keys = (SELECT COUNT(*) FROM keys WHERE account_id = accounts.id AND revoked_at IS NULL);
CREATE TRIGGER a_new_key_is_counted AFTER INSERT ON keys WHEN NEW.revoked_at IS NULL BEGIN
    UPDATE accounts SET live_keys = live_keys + 1 WHERE id = NEW.account_id;
END;
CREATE TRIGGER a_revoked_key_is_not_counted AFTER UPDATE OF revoked_at ON keys
WHEN OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL BEGIN
    UPDATE accounts SET live_keys = live_keys - 1 WHERE id = NEW.account_id;
END;

-- A deleted user's row stays for what refers to it. Its email address is its id from then on, which is nobody's.
ALTER TABLE users ADD COLUMN deleted_at INTEGER;
CREATE INDEX users_account ON users (account_id) WHERE deleted_at IS NULL;

-- What scopes of keys can name, besides `latchkey`, which is built in.
CREATE TABLE services (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, name)
);
INSERT INTO services (account_id, name, created_at)
SELECT DISTINCT keys.account_id, named.value, unixepoch() FROM keys, json_each(keys.scope) AS named
WHERE keys.revoked_at IS NULL AND named.value <> 'latchkey' ORDER BY keys.account_id, named.value;

-- The orders in which an account's keys are listed most.
DROP INDEX keys_listing;
CREATE INDEX keys_by_creation ON keys (account_id, created_at, seq) WHERE revoked_at IS NULL;
CREATE INDEX keys_by_name ON keys (account_id, name COLLATE NOCASE, seq) WHERE revoked_at IS NULL;
