-- A key's secrets: the current one is in its row, an old one has a row of its own.

-- Secrets of a key are numbered from 1. `last_used_at` and `last_used_ip` are the key's, of whichever secret; those of the
-- current one are in `secret_used_at` and `secret_used_ip`. `imported`: all that was ever known of the secret is its digest.
ALTER TABLE keys ADD COLUMN secret INTEGER NOT NULL DEFAULT 1;
ALTER TABLE keys ADD COLUMN secret_created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN secret_used_at INTEGER;
ALTER TABLE keys ADD COLUMN secret_used_ip TEXT;
ALTER TABLE keys ADD COLUMN imported BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE keys SET secret_created_at = created_at, secret_used_at = last_used_at, secret_used_ip = last_used_ip;
CREATE INDEX keys_imported ON keys (seq) WHERE imported AND revoked_at IS NULL;

-- Secrets that their keys had before. One is good until `ends_at`, unless it is removed earlier; a removed one's row stays:
-- it tells nodes that come back what to forget, and nobody gets its digest again.
CREATE TABLE old_secrets (
    digest BLOB NOT NULL PRIMARY KEY,
    key_seq INTEGER NOT NULL REFERENCES keys (seq),
    secret INTEGER NOT NULL,
    masked TEXT NOT NULL,
    imported BOOLEAN NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    last_used_at INTEGER,
    last_used_ip TEXT,
    -- When receivers were told last that it is still used.
    told_at INTEGER,
    removed BOOLEAN NOT NULL,
    revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX old_secrets_revision ON old_secrets (revision);
CREATE INDEX old_secrets_key ON old_secrets (key_seq);
-- A key has at most one that is not removed.
CREATE UNIQUE INDEX old_secrets_live ON old_secrets (key_seq) WHERE NOT removed;
CREATE INDEX old_secrets_end ON old_secrets (ends_at) WHERE NOT removed;
CREATE INDEX old_secrets_imported ON old_secrets (key_seq) WHERE imported AND NOT removed;

-- Whether there are imported secrets: nodes are told of it in one record with the rules.
ALTER TABLE routes ADD COLUMN imported BOOLEAN NOT NULL DEFAULT FALSE;
