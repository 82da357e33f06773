-- What is deleted after a time: details of revoked keys.

-- SHA-256 of secrets whose details are deleted: none of them is accepted again.
CREATE TABLE tombstones (
    digest BLOB NOT NULL PRIMARY KEY
) WITHOUT ROWID;

CREATE INDEX keys_revoked ON keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX old_secrets_past ON old_secrets (ends_at) WHERE removed;
-- A policy goes with the last key that refers to it, revoked or not.
CREATE INDEX keys_of_policy ON keys (policy_id);
