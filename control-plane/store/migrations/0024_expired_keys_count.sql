-- Keys that have expired are counted, and live keys of a name are found, from an index alone.

DROP INDEX keys_held_expiry;
CREATE INDEX keys_held_expiry ON keys (account_id, expires_at, user_id, slot)
    WHERE slot IS NOT NULL AND expires_at IS NOT NULL;
DROP INDEX keys_live_name;
CREATE INDEX keys_live_name ON keys (account_id, name, expires_at) WHERE revoked_at IS NULL;

-- The uptime since which the clock was never set. A clock that nobody corrects for a day is believed, though nobody uses a key.
ALTER TABLE meta ADD COLUMN clock_steady_since INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET clock_steady_since = uptime_seconds;
