-- Tokens of nodes. A revoked token stays, so that it is never accepted again.

CREATE TABLE node_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    -- SHA-256 of the token.
    hash BLOB NOT NULL UNIQUE,
    -- Which values of Envoy's node.id the token is valid for; * stands for any characters.
    pattern TEXT NOT NULL,
    -- Unix seconds.
    created_at INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at INTEGER
);
CREATE UNIQUE INDEX node_tokens_name ON node_tokens (name) WHERE revoked_at IS NULL;
