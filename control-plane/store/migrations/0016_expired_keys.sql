-- Keys leave the snapshot a day after their expiry, and stay editable. A key is in the snapshot exactly while it has a slot.

DROP INDEX keys_slot;
CREATE UNIQUE INDEX keys_slot ON keys (slot) WHERE slot IS NOT NULL;
CREATE INDEX keys_held_policy ON keys (policy_id) WHERE slot IS NOT NULL;
DROP INDEX keys_imported;
CREATE INDEX keys_imported ON keys (imported, slot) WHERE imported = TRUE AND slot IS NOT NULL;
-- Keys that have expired, or will: those that count less, and those that are to leave.
CREATE INDEX keys_held_expiry ON keys (account_id, expires_at) WHERE slot IS NOT NULL AND expires_at IS NOT NULL;
CREATE INDEX keys_leaving ON keys (expires_at) WHERE slot IS NOT NULL AND expires_at IS NOT NULL;
-- Keys that have left. The clock may have been wrong: they are put back while they have not expired.
CREATE INDEX keys_left ON keys (expires_at) WHERE slot IS NULL AND revoked_at IS NULL;

-- A name is free from the second in which its key expires, which no index can know: writers check it.
DROP INDEX keys_live_name;
CREATE INDEX keys_live_name ON keys (account_id, name) WHERE revoked_at IS NULL;

-- The highest number of a key that has had the slot: a node's counters in it can be of that key, and of no later one.
ALTER TABLE free_slots ADD COLUMN last_key INTEGER NOT NULL DEFAULT 9223372036854775807;
CREATE INDEX free_slots_last_key ON free_slots (last_key);

-- `live_keys` counts the account's keys in the snapshot.
DROP TRIGGER a_new_key_is_counted;
DROP TRIGGER a_revoked_key_is_not_counted;
CREATE TRIGGER key_with_slot_is_counted AFTER INSERT ON keys WHEN NEW.slot IS NOT NULL BEGIN
    UPDATE accounts SET live_keys = live_keys + 1 WHERE id = NEW.account_id;
END;
CREATE TRIGGER key_with_a_new_slot_is_counted AFTER UPDATE OF slot ON keys
WHEN OLD.slot IS NULL AND NEW.slot IS NOT NULL BEGIN
    UPDATE accounts SET live_keys = live_keys + 1 WHERE id = NEW.account_id;
END;
CREATE TRIGGER key_without_slot_is_not_counted AFTER UPDATE OF slot ON keys
WHEN OLD.slot IS NOT NULL AND NEW.slot IS NULL BEGIN
    UPDATE accounts SET live_keys = live_keys - 1 WHERE id = NEW.account_id;
END;

-- Who gave the key its current secret (`usr_…` or `key_…`). Only they can replace it while an overlap runs.
ALTER TABLE keys ADD COLUMN secret_maker TEXT;
