-- Calls with an `Idempotency-Key`, for a day, so that a repeated one has no second effect.

CREATE TABLE repeatable_calls (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- A user's or a key's id.
    caller_id TEXT NOT NULL,
    -- Method and path.
    call TEXT NOT NULL,
    -- SHA-256 of the header, and HMAC-SHA-256 of the body with the header as its key.
    key_hash BLOB NOT NULL,
    body_hash BLOB NOT NULL,
    -- `data` of the answer without secrets, in JSON, and its length.
    data TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    revision INTEGER,
    -- Unix seconds.
    made_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, caller_id, call, key_hash)
);
CREATE INDEX repeatable_calls_account ON repeatable_calls (account_id, made_at, bytes);
CREATE INDEX repeatable_calls_made ON repeatable_calls (made_at);
