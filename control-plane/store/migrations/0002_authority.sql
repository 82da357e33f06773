-- What users and keys may do, tiers and route rules that can be edited, and what nodes have counted.

-- What every record says has changed: nodes are sent all of them again.
UPDATE meta SET revision = revision + 1;

-- Roles and permissions are JSON arrays of texts. Subaccounts are a JSON array of ids, or NULL: all of the account's.
ALTER TABLE users ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE users ADD COLUMN permissions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE users ADD COLUMN subaccounts TEXT;
-- Until now everybody could do everything.
UPDATE users SET roles = '["admin"]';

CREATE TABLE subaccounts (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, name)
);

-- Limits are JSON objects of requests by window, such as {"minute": 10}; a window that is left out has none.
CREATE TABLE tiers (
    name TEXT NOT NULL PRIMARY KEY,
    limits TEXT NOT NULL,
    position INTEGER NOT NULL
);
INSERT INTO tiers (name, limits, position) VALUES
    ('free', '{"minute":10}', 0),
    ('basic', '{"minute":100}', 1),
    ('pro', '{"minute":1000}', 2),
    ('enterprise', '{"minute":10000}', 3);

-- One row: the rules as they are asked for and told of.
CREATE TABLE routes (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT NOT NULL,
    revision INTEGER NOT NULL
);
INSERT INTO routes (id, document, revision)
VALUES (1, '{"rules":[],"unmatched":"valid_key"}', COALESCE((SELECT revision FROM meta), 1));

-- As they were asked for: `scope` lists services, NULL is all; `subaccounts` NULL is all that the owner may act on;
-- `limits` takes precedence over the tier's.
ALTER TABLE keys ADD COLUMN scope TEXT;
ALTER TABLE keys ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE keys ADD COLUMN permissions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE keys ADD COLUMN subaccounts TEXT;
ALTER TABLE keys ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
ALTER TABLE keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE keys ADD COLUMN last_used_ip TEXT;

-- Where nodes count a key: a live key's or a free one, with the second in which it was freed.
ALTER TABLE keys ADD COLUMN slot INTEGER;
CREATE TABLE free_slots (
    slot INTEGER NOT NULL PRIMARY KEY,
    freed_at INTEGER NOT NULL
);
CREATE INDEX free_slots_order ON free_slots (freed_at, slot);
UPDATE keys SET revision = (SELECT revision FROM meta), slot = numbered.slot
FROM (SELECT seq, ROW_NUMBER() OVER (ORDER BY seq) - 1 AS slot FROM keys WHERE revoked_at IS NULL) AS numbered
WHERE keys.seq = numbered.seq;
CREATE UNIQUE INDEX keys_slot ON keys (slot) WHERE revoked_at IS NULL;

-- The same as of keys, in the form that all have who mean the same. `content` of policies that were there before is not
-- that of any new one, so they go with their keys.
ALTER TABLE policies ADD COLUMN scope TEXT;
ALTER TABLE policies ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE policies ADD COLUMN permissions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE policies ADD COLUMN subaccounts TEXT;
ALTER TABLE policies ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
UPDATE policies SET revision = (SELECT revision FROM meta);
CREATE INDEX policies_user ON policies (user_id);
CREATE INDEX policies_account ON policies (account_id);
CREATE INDEX policies_tier ON policies (tier);
CREATE INDEX accounts_tier ON accounts (tier);

-- What an Envoy process has counted, as it reported last. `requests` is a JSON array of totals by verdict, in the stream's
-- order; `windows` one of [number, admitted] in the newest window of each kind, in the order of `kind`, or null.
CREATE TABLE node_usage (
    instance TEXT NOT NULL,
    key_seq INTEGER NOT NULL,
    requests TEXT NOT NULL,
    windows TEXT NOT NULL,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (instance, key_seq)
) WITHOUT ROWID;

-- What all processes together have admitted in a window. Kinds: 1 minute, 2 hour, 3 day, 4 month.
CREATE TABLE window_counts (
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, number, key_seq)
) WITHOUT ROWID;

-- Requests by hour since the Unix epoch and by verdict.
CREATE TABLE usage_buckets (
    key_seq INTEGER,
    hour INTEGER,
    code TEXT,
    requests INTEGER,
    PRIMARY KEY (key_seq, hour, code)
) WITHOUT ROWID;

-- What is old is deleted by it.
CREATE INDEX usage_buckets_hour ON usage_buckets (hour);

-- Usage is told of revoked keys as well.
CREATE INDEX keys_account ON keys (account_id);
