-- Times are Unix seconds. Every row that a node decides by carries the revision of its last change.

CREATE TABLE meta (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BLOB NOT NULL,
    revision INTEGER NOT NULL
);

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    tier TEXT NOT NULL,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL
);

CREATE TABLE sessions (
    token_hash BLOB NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- What keys share. AUTOINCREMENT: an id is never given to a second policy.
CREATE TABLE policies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    tier TEXT NOT NULL,
    environment TEXT NOT NULL,
    -- JSON arrays of the ranges that count.
    allowed_ips TEXT NOT NULL,
    denied_ips TEXT NOT NULL,
    -- SHA-256 of all of the above: the same policy is kept once.
    content BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL
);
CREATE INDEX policies_revision ON policies (revision);

-- A revoked key's row stays: it tells nodes that come back what to forget.
CREATE TABLE keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    policy_id INTEGER NOT NULL REFERENCES policies (id),
    digest BLOB NOT NULL UNIQUE,
    masked TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    environment TEXT NOT NULL,
    tier TEXT NOT NULL,
    -- JSON arrays of {"cidr", "enabled"}.
    allowed_ips TEXT NOT NULL,
    denied_ips TEXT NOT NULL,
    expires_at INTEGER,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revision INTEGER NOT NULL
);
CREATE INDEX keys_policy ON keys (policy_id) WHERE revoked_at IS NULL;
CREATE INDEX keys_revision ON keys (revision);
CREATE INDEX keys_listing ON keys (account_id, seq DESC) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX keys_live_name ON keys (account_id, name) WHERE revoked_at IS NULL;

-- Nodes that may be deciding requests: written when their first stream begins, deleted when a node is given up.
CREATE TABLE nodes (
    node_id TEXT NOT NULL,
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (node_id, instance)
);
