-- Who is told of what becomes of an account's keys, and what they are still to be told.

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    -- The key of its signatures itself: a hash could not sign.
    secret BLOB NOT NULL,
    -- JSON arrays, of types of events and of days.
    events TEXT NOT NULL,
    expiring_days TEXT NOT NULL,
    active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Attempts that have failed since one succeeded, and what came of the last of them.
    failures INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    last_error_at INTEGER,
    -- When something is to be sent; NULL while nothing is pending, as it is while the webhook is not active.
    due_at INTEGER,
    -- Until then nobody sends: somebody does so at present, or has just failed.
    held_until INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX webhooks_account ON webhooks (account_id);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE due_at IS NOT NULL;

-- The outbox, and for some days what became of it.
CREATE TABLE webhook_deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What receivers tell repetitions by.
    id TEXT NOT NULL UNIQUE,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Either of them: when it is tried next, or when it was delivered or given up.
    next_at INTEGER,
    done_at INTEGER,
    delivered BOOLEAN NOT NULL DEFAULT FALSE,
    last_status INTEGER,
    last_error TEXT
);
CREATE INDEX webhook_deliveries_listing ON webhook_deliveries (webhook_id, seq DESC);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at, created_at) WHERE done_at IS NULL;
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (done_at) WHERE done_at IS NOT NULL;

-- Which expiries were announced to whom, and how many days ahead.
CREATE TABLE webhook_expiries (
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    key_seq INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    days INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, key_seq, expires_at, days)
) WITHOUT ROWID;
CREATE INDEX webhook_expiries_past ON webhook_expiries (expires_at);
CREATE INDEX keys_expiry ON keys (account_id, expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
