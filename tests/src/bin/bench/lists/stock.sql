-- Fills a new database, made by a control plane's first start, with an account of 1,100,000 keys, of which 100,000 are
-- revoked, their audit, and a day of usage of 100,000 of them.

CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY);
INSERT INTO numbers
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 1100000) SELECT n FROM counted;
CREATE TEMP TABLE moment AS SELECT unixepoch() AS now, (SELECT id FROM accounts) AS account;

-- 300 users, of whom 40 own keys: the last of these owns 20.
INSERT INTO users (id, account_id, email, password_hash, roles, created_at)
SELECT printf('usr_stock%07d', n), account, printf('user%03d@example.com', n), '', '["admin"]', now - 80000000 + n
FROM numbers, moment WHERE n <= 300;

CREATE TEMP TABLE stock AS
SELECT n,
    printf('usr_stock%07d', CASE WHEN n % 50000 = 77 THEN 40 ELSE 1 + n % 39 END) AS owner,
    CASE WHEN n % 20000 = 5 THEN 'enterprise' WHEN n % 10 = 3 THEN 'pro' WHEN n % 10 < 3 THEN 'basic' ELSE 'free' END
        AS tier,
    CASE WHEN n % 5 = 0 THEN 'test' ELSE 'live' END AS environment,
    CASE WHEN n % 25000 = 9 THEN '["cache_purger","dns_manager"]' WHEN n % 4 = 1 THEN '["read_only_admin"]'
        WHEN n % 7 = 2 THEN '["insights_analyst"]' ELSE '[]' END AS roles,
    CASE WHEN n % 500 = 7 THEN -(n % 100 + 2) * 86400 WHEN n % 3 = 0 THEN (n % 700 + 2) * 86400 + n % 86400 END AS expiry,
    n % 11 = 10 AS revoked
FROM numbers;

INSERT INTO policies (account_id, user_id, tier, environment, allowed_ips, denied_ips, roles, content, revision)
SELECT DISTINCT account, owner, tier, environment, '[]', '[]', roles, owner || tier || environment || roles, 1
FROM stock, moment;
CREATE TEMP TABLE policy AS
SELECT id, user_id AS owner, tier, environment, roles FROM policies;
CREATE INDEX temp.policy_find ON policy (owner, tier, environment, roles);

INSERT INTO keys (id, account_id, user_id, policy_id, digest, masked, name, description, environment, tier, allowed_ips,
    denied_ips, expires_at, created_at, updated_at, secret_created_at, revoked_at, revision, roles, disabled, slot,
    last_used_at, last_used_ip)
SELECT printf('key_%s%07d', lower(hex(randomblob(3))), n), account, s.owner, p.id, randomblob(32),
    printf('lk_%s_%s...%s', s.environment, lower(hex(randomblob(2))), lower(hex(randomblob(2)))),
    printf('%s-%s %07d', CASE n % 8 WHEN 0 THEN 'payments' WHEN 1 THEN 'Billing' WHEN 2 THEN 'search' WHEN 3 THEN 'mobile'
        WHEN 4 THEN 'partner' WHEN 5 THEN 'analytics' WHEN 6 THEN 'webhooks' ELSE 'internal' END,
        CASE n % 3 WHEN 0 THEN 'api key' WHEN 1 THEN 'worker' ELSE 'gateway' END, (n * 7919) % 1100000),
    CASE WHEN n % 100000 = 11 THEN 'Zanzibar pilot' WHEN n % 2 = 0 THEN printf('Deployed by team %d in region %d', n % 97, n % 13) END,
    s.environment, s.tier, '[]', '[]', now + expiry, now - 60000000 + n * 50, now - 60000000 + n * 50,
    now - 60000000 + n * 50, CASE WHEN revoked THEN now - 1000000 + n % 900000 END, 1, s.roles, n % 1000 = 13,
    CASE WHEN NOT revoked AND COALESCE(expiry, 1) > 0 THEN n END,
    CASE WHEN n % 5 < 3 THEN now - (n * 104729) % 5000000 END, CASE WHEN n % 5 < 3 THEN printf('10.%d.%d.%d', n % 200, n % 199, n % 197) END
FROM stock s CROSS JOIN moment CROSS JOIN policy p
WHERE p.owner = s.owner AND p.tier = s.tier AND p.environment = s.environment AND p.roles = s.roles ORDER BY n;

INSERT INTO audit (account_id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, after,
    source_address, request_id)
SELECT account, now - 60000000 + seq * 54,
    CASE WHEN seq % 3 = 0 THEN 'key' ELSE 'user' END,
    CASE WHEN seq % 3 = 0 THEN (SELECT id FROM keys WHERE seq = 1 + k.seq % 50) ELSE user_id END,
    CASE WHEN seq % 3 = 0 THEN (SELECT name FROM keys WHERE seq = 1 + k.seq % 50) ELSE printf('user%03d@example.com', substr(user_id, 10)) END,
    CASE WHEN seq % 10000 = 1 THEN 'routes.update' WHEN seq % 100 = 2 THEN 'session.create' WHEN seq % 5 = 3 THEN 'key.update' ELSE 'key.create' END,
    'key', id, name, printf('{"environment":"%s","name":"%s","tier":"%s"}', environment, name, tier), '10.0.0.1',
    printf('%016x', seq)
FROM keys k, moment WHERE seq <= 1000000;

INSERT INTO usage_buckets (key_seq, hour, code, requests)
SELECT k.n, now / 3600 - h.n + 1, 'allowed', 1 + (k.n * 31 + h.n * 7) % 1000 FROM numbers k, numbers h, moment
WHERE k.n <= 100000 AND h.n <= 24;
INSERT INTO usage_buckets (key_seq, hour, code, requests)
SELECT k.n, now / 3600 - h.n + 1, 'rate_limited', 1 + (k.n * 17 + h.n) % 50 FROM numbers k, numbers h, moment
WHERE k.n <= 100000 AND k.n % 5 = 0 AND h.n <= 24;
INSERT INTO usage_buckets (key_seq, hour, code, requests)
SELECT k.n * 10, now / 3600 - h.n * 24, 'allowed', 500 FROM numbers k, numbers h, moment WHERE k.n <= 10000 AND h.n BETWEEN 2 AND 40;

INSERT INTO webhooks (id, account_id, url, secret, events, expiring_days, active, created_at, updated_at)
SELECT printf('whk_stock%07d', n), account, 'https://example.com/hook', randomblob(32), '["key.created"]', '[]', FALSE, now, now
FROM numbers, moment WHERE n <= 3;
INSERT INTO webhook_deliveries (id, webhook_id, event, body, created_at, attempts, done_at, delivered)
SELECT printf('msg_stock%07d', n), printf('whk_stock%07d', 1 + n % 3), 'key.created', '{}', now - 90000 + n, 1, now - 90000 + n, n % 9 > 0
FROM numbers, moment WHERE n <= 90000;

DROP TABLE temp.policy;
DROP TABLE temp.stock;
DROP TABLE temp.moment;
DROP TABLE temp.numbers;
