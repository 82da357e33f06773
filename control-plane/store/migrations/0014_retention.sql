-- What is deleted after a time: details of revoked keys.

-- SHA-256 of secrets whose details are deleted: none of them is accepted again.
CREATE TABLE tombstones (
    digest BLOB NOT NULL PRIMARY KEY
) WITHOUT ROWID;

CREATE INDEX keys_revoked ON keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX old_secrets_past ON old_secrets (ends_at) WHERE removed;
-- A policy goes with the last key that refers to it, revoked or not.
CREATE INDEX keys_of_policy ON keys (policy_id, revoked_at);

-- What operators have cut off the audit, after it was exported: entries up to `through` that are older than `before`. They
-- are at least 90 days old. Nothing else is ever deleted from it.
CREATE TABLE audit_cuts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    through INTEGER NOT NULL,
    before INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    -- SHA-256 of the file with the entries, in hexadecimal.
    sha256 TEXT NOT NULL,
    cut_at INTEGER NOT NULL,
    CHECK (before <= cut_at - 7776000)
);
CREATE TRIGGER audit_cuts_are_not_changed BEFORE UPDATE ON audit_cuts BEGIN
    SELECT RAISE(ABORT, 'the record of cuts is append-only');
END;
CREATE TRIGGER audit_cuts_are_not_deleted BEFORE DELETE ON audit_cuts BEGIN
    SELECT RAISE(ABORT, 'the record of cuts is append-only');
END;
DROP TRIGGER audit_is_not_cut;
CREATE TRIGGER audit_is_cut_as_recorded BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM audit_cuts WHERE OLD.seq <= through AND OLD.at < before) BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
