-- Digests of imported keys are encrypted at rest (`store/at_rest.rs`). `digest` of an imported secret has its HMAC then, and
-- `sealed` has a nonce, the ciphertext and the tag. Plain ones are encrypted at the first start with an at-rest key, as SQL
-- cannot.
ALTER TABLE keys ADD COLUMN sealed BLOB;
ALTER TABLE old_secrets ADD COLUMN sealed BLOB;
CREATE INDEX keys_unsealed ON keys (seq) WHERE imported = TRUE AND sealed IS NULL;
CREATE INDEX old_secrets_unsealed ON old_secrets (digest) WHERE imported = TRUE AND sealed IS NULL;
-- Those of imported secrets, and all of before there was an at-rest key, have the HMAC of the digest.
ALTER TABLE tombstones ADD COLUMN keyed BOOLEAN NOT NULL DEFAULT FALSE;

-- The data key, encrypted with the operator's at-rest key.
ALTER TABLE meta ADD COLUMN at_rest_key BLOB;
-- Whether anything depends on it.
ALTER TABLE meta ADD COLUMN at_rest_used BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether everything of before there was an at-rest key is encrypted.
ALTER TABLE meta ADD COLUMN imports_sealed BOOLEAN NOT NULL DEFAULT FALSE;

-- Masks of imported keys showed 32 bits of the digest, which is enough to find a key of low entropy.
UPDATE keys SET masked = 'imported' WHERE masked GLOB 'sha256:????????...';
UPDATE old_secrets SET masked = 'imported' WHERE masked GLOB 'sha256:????????...';
UPDATE webhook_deliveries SET body = json_replace(body, '$.data.key_prefix', 'imported')
WHERE instr(body, '"sha256:') > 0 AND json_extract(body, '$.data.key_prefix') GLOB 'sha256:????????...';
UPDATE webhook_deliveries SET body = json_replace(body, '$.data.old_secret.key_prefix', 'imported')
WHERE instr(body, '"sha256:') > 0 AND json_extract(body, '$.data.old_secret.key_prefix') GLOB 'sha256:????????...';
DROP TRIGGER audit_is_not_changed;
UPDATE audit SET before = json_replace(before, '$.key_prefix', 'imported')
WHERE instr(before, '"sha256:') > 0 AND json_extract(before, '$.key_prefix') GLOB 'sha256:????????...';
UPDATE audit SET after = json_replace(after, '$.key_prefix', 'imported')
WHERE instr(after, '"sha256:') > 0 AND json_extract(after, '$.key_prefix') GLOB 'sha256:????????...';
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
-- Recorded answers have such masks as well, and the hash of a body with low-entropy digests confirms a guess.
DELETE FROM repeatable_calls WHERE call = 'POST /v1/keys/import' OR instr(data, '"sha256:') > 0;
