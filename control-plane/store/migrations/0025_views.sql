-- Views for what is read of a resource, so that each set of columns is listed once. None of them shows a password's
-- hash or a webhook's secret. SQLite puts a view's text into the statement that reads it ("flattening"), so the statement
-- uses the same indexes as it would without the view.

-- Tiers bound keys by name, also those that were removed since. One row, with their limits as a JSON object by name.
CREATE VIEW ceiling_limits AS
SELECT json_group_object(name, json(limits)) AS limits
FROM (SELECT name, limits FROM tiers UNION ALL SELECT name, limits FROM retired_tiers);

-- Keys as the API shows them, with the old secret that is not removed and with the limits that bound them. The tier of a
-- revoked key, or of a closed account, may no longer exist. A key is revoked as soon as its owner is deleted, even before
-- its row says so. The limits of ceilings are evaluated only for keys that have any.
CREATE VIEW key_details AS
SELECT
    keys.seq, keys.id, keys.account_id, keys.user_id, keys.masked,
    keys.secret_created_at, keys.secret_used_at, keys.secret_used_ip,
    old.masked AS old_masked, old.created_at AS old_created_at, old.ends_at AS old_ends_at,
    old.last_used_at AS old_used_at, old.last_used_ip AS old_used_ip,
    keys.name, keys.description, keys.environment, keys.tier, keys.scope, keys.roles, keys.permissions,
    keys.subaccounts, keys.limits,
    COALESCE(tiers.limits, '{}') AS tier_limits,
    COALESCE((
        SELECT bound.limits FROM accounts JOIN tiers AS bound ON bound.name = accounts.tier
        WHERE accounts.id = keys.account_id AND NOT accounts.operator
    ), '{}') AS account_limits,
    keys.ceilings,
    CASE WHEN keys.ceilings = '{}' THEN '{}' ELSE (SELECT limits FROM ceiling_limits) END AS ceiling_limits,
    keys.expires_at, keys.allowed_ips, keys.denied_ips, keys.issues, keys.issued, keys.disabled,
    keys.created_at, keys.updated_at, keys.last_used_at, keys.last_used_ip,
    COALESCE(keys.revoked_at, (SELECT deleted_at FROM users WHERE users.id = keys.user_id)) AS revoked_at
FROM keys
LEFT JOIN tiers ON tiers.name = keys.tier
LEFT JOIN old_secrets AS old ON old.key_seq = keys.seq AND NOT old.removed;

-- The same without the entries of the IP lists, but with their numbers.
CREATE VIEW key_summaries AS
SELECT
    seq, id, account_id, user_id, masked, secret_created_at, secret_used_at, secret_used_ip,
    old_masked, old_created_at, old_ends_at, old_used_at, old_used_ip,
    name, description, environment, tier, scope, roles, permissions, subaccounts,
    limits, tier_limits, account_limits, ceilings, ceiling_limits, expires_at,
    '[]' AS allowed_ips, '[]' AS denied_ips,
    json_array_length(allowed_ips) AS allowed_ips_count, json_array_length(denied_ips) AS denied_ips_count,
    issues, issued, disabled, created_at, updated_at, last_used_at, last_used_ip, revoked_at
FROM key_details;

-- Keys whose owners still exist. Those of a deleted owner are revoked in steps. Keys of a closed account are never shown.
CREATE VIEW owned_keys AS
SELECT * FROM keys WHERE user_id NOT IN (SELECT subject FROM removals);

-- The columns that webhooks show of a key, and those that their queries select by.
CREATE VIEW key_facts AS
SELECT
    seq, account_id, id, name, masked, user_id, environment, tier, created_at, expires_at, revoked_at,
    revision, secret_created_at
FROM keys;

-- Keys by their current secrets, as nodes know them.
CREATE VIEW current_secrets AS
SELECT
    seq, slot, id, account_id, policy_id, digest, sealed, secret, name, expires_at, disabled,
    slot IS NULL AS removed, revision
FROM keys;

-- The same by their old secrets.
CREATE VIEW replaced_secrets AS
SELECT
    keys.seq, keys.slot, keys.id, keys.account_id, keys.policy_id, old.digest, old.sealed, old.secret, keys.name,
    MIN(old.ends_at, COALESCE(keys.expires_at, old.ends_at)) AS expires_at, keys.disabled,
    old.removed, old.revision
FROM old_secrets AS old CROSS JOIN keys ON keys.seq = old.key_seq;

-- Policies as nodes receive them. The subaccounts are existing ones from the policy's list and from its owner's. A tier is
-- found while a live key or its account has it. The account's tier bounds its keys, except for the operator's account.
CREATE VIEW policy_details AS
SELECT
    policies.id, policies.account_id, policies.user_id, policies.tier, policies.environment,
    policies.allowed_ips, policies.denied_ips, policies.scope, policies.roles, policies.permissions,
    policies.limits, policies.ceilings,
    CASE WHEN policies.ceilings = '{}' THEN '{}' ELSE (SELECT limits FROM ceiling_limits) END AS ceiling_limits,
    tiers.limits AS tier_limits,
    CASE WHEN accounts.operator THEN '{}' ELSE bound.limits END AS account_limits,
    users.roles AS owner_roles, users.permissions AS owner_permissions,
    users.disabled AS owner_disabled, accounts.disabled AS account_disabled,
    policies.subaccounts IS NOT NULL OR users.subaccounts IS NOT NULL AS confined,
    (
        SELECT json_group_array(subaccounts.id) FROM subaccounts
        WHERE subaccounts.account_id = policies.account_id
            AND (policies.subaccounts IS NULL
                OR subaccounts.id IN (SELECT value FROM json_each(policies.subaccounts)))
            AND (users.subaccounts IS NULL
                OR subaccounts.id IN (SELECT value FROM json_each(users.subaccounts)))
    ) AS subaccounts,
    EXISTS (SELECT 1 FROM keys WHERE keys.policy_id = policies.id AND keys.slot IS NOT NULL) AS used,
    policies.revision
FROM policies
JOIN users ON users.id = policies.user_id
JOIN accounts ON accounts.id = policies.account_id
LEFT JOIN tiers ON tiers.name = policies.tier
LEFT JOIN tiers AS bound ON bound.name = accounts.tier;

-- Users that are not deleted.
CREATE VIEW user_details AS
SELECT rowid AS seq, account_id, id, email, roles, permissions, subaccounts, disabled, created_at
FROM users WHERE deleted_at IS NULL;

CREATE VIEW deleted_users AS
SELECT account_id, id, email, roles, permissions, subaccounts, disabled, created_at, deleted_keys
FROM users WHERE deleted_at IS NOT NULL;

-- Accounts, closed or not. `keys` counts those in the snapshot whose owners still exist.
CREATE VIEW account_details AS
SELECT
    rowid AS seq, id, name, tier, max_keys, disabled, operator, created_at, closed_at,
    live_keys - (SELECT COALESCE(SUM(keys_left), 0) FROM removals WHERE removals.account_id = accounts.id) AS keys,
    (
        SELECT COUNT(*) FROM users
        WHERE users.account_id = accounts.id AND users.deleted_at IS NULL AND accounts.closed_at IS NULL
    ) AS users
FROM accounts;

CREATE VIEW webhook_details AS
SELECT
    rowid AS seq, account_id, id, url, events, expiring_days, active, created_at, updated_at, secret_created_at,
    old_secret_ends_at, last_error, last_error_at
FROM webhooks;

-- Deliveries without their bodies.
CREATE VIEW delivery_details AS
SELECT
    seq, webhook_id, id, event, created_at, redelivered_at, attempts, next_at, done_at, delivered, last_status, last_error
FROM webhook_deliveries;
