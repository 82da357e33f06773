-- Who changed what, and who is the operator. Entries are written in the transaction of the change, and stay as they are.

-- The operator's account is the one whose users decide about what all accounts share: accounts, tiers, routes, nodes.
ALTER TABLE accounts ADD COLUMN operator BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE accounts SET operator = TRUE WHERE id = (SELECT id FROM accounts ORDER BY created_at, id LIMIT 1);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT,
    target_name TEXT,
    -- JSON objects; NULL where there was nothing before, or is nothing after.
    before TEXT,
    after TEXT,
    source_address TEXT,
    request_id TEXT
);
CREATE INDEX audit_account ON audit (account_id, seq);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
