-- Webhooks: a second secret while a rotation's overlap runs, and deliveries that somebody asks to have sent again.

ALTER TABLE webhooks ADD COLUMN secret_created_at INTEGER NOT NULL DEFAULT 0;
UPDATE webhooks SET secret_created_at = created_at;
-- The user or the key that rotated the secret last.
ALTER TABLE webhooks ADD COLUMN rotated_by TEXT;
-- The secret before it, which signs as well until then.
ALTER TABLE webhooks ADD COLUMN old_secret BLOB;
ALTER TABLE webhooks ADD COLUMN old_secret_ends_at INTEGER;

-- The minute in which somebody asked for a delivery last, and how many in it.
ALTER TABLE webhooks ADD COLUMN manual_minute INTEGER NOT NULL DEFAULT 0;
ALTER TABLE webhooks ADD COLUMN manual_count INTEGER NOT NULL DEFAULT 0;

-- When somebody asked to have it sent again. Attempts are counted from then.
ALTER TABLE webhook_deliveries ADD COLUMN redelivered_at INTEGER;
DROP INDEX webhook_deliveries_pending;
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at, created_at, redelivered_at)
    WHERE done_at IS NULL;
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (webhook_id, seq DESC)
    WHERE done_at IS NOT NULL AND NOT delivered;
