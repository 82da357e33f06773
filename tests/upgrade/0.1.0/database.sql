BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'start','2026-11-28 16:28:03',1,X'BF10DCEB111C0D7BB2E6036EF7F4B180249A97A42AF61B25A18808913352EF9BCD3A80F150C578EB0FAE211C76977C77',3690875);
INSERT INTO "_sqlx_migrations" VALUES(2,'authority','2026-11-28 16:28:03',1,X'68200FE6EF8AA6F6B55AB160EF099D9F7C87129164AE9CA32D73016F7E684C1D50D92A9C9A998E4F6D27E8810DFDD983',4014253);
INSERT INTO "_sqlx_migrations" VALUES(3,'audit','2026-11-28 16:28:03',1,X'9B36CA1CB058291030057272D959A27AC91BC1D91B8CB84DEF8E170E13309769EDBAEA011B0CB95F73B1D82F67754E4C',6408274);
INSERT INTO "_sqlx_migrations" VALUES(4,'secrets','2026-11-28 16:28:03',1,X'8CC6CA87230A03526981626A5D2C9052783E57BFA14F6EBB96F1842D9C45B8850308034ADC01932BC1E624C52F1E5A44',1878396);
INSERT INTO "_sqlx_migrations" VALUES(5,'accounts','2026-11-28 16:28:03',1,X'D5F19B5E07722095D7E020ADBD6096DEDECBF5FEEBCAB8983C9D0D8DC63EA57C5D0E8F76DD972E8B7845028C0AE501B9',1808873);
INSERT INTO "_sqlx_migrations" VALUES(6,'webhooks','2026-11-28 16:28:03',1,X'D5673F14F6B67EA8D2DA772CC3FD5B7F3AA0B5F9DB7A62C3570A8FAD24D7452737B27F0E011855C149A42453B85A0FF9',939323);
CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    tier TEXT NOT NULL,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL
, operator BOOLEAN NOT NULL DEFAULT FALSE, max_keys INTEGER, closed_at INTEGER, live_keys INTEGER NOT NULL DEFAULT 0);
INSERT INTO "accounts" VALUES('acc_biJPegbktAmt','default','basic',0,1795883283,1,NULL,NULL,5);
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    actor_name TEXT,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT,
    target_name TEXT,
    -- JSON objects; NULL where there was nothing before, or is nothing after.
    before TEXT,
    after TEXT,
    source_address TEXT,
    request_id TEXT
);
INSERT INTO "audit" VALUES(1,'acc_biJPegbktAmt',1795883283,'system',NULL,NULL,'user.create','user','usr_MqsYbgZFibi5','admin@example.com',NULL,'{"email":"admin@example.com","roles":["admin"],"permissions":[],"subaccounts":"all","disabled":false}',NULL,NULL);
INSERT INTO "audit" VALUES(2,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','session.create','session',NULL,NULL,NULL,NULL,'127.0.0.1','TAL9M2xRPninReYq1BA2');
INSERT INTO "audit" VALUES(3,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.create','key','key_pRNJOUb3ZxIR','plain',NULL,'{"name":"plain","description":null,"key_prefix":"lk_live_Xryz...1bXT","environment":"live","tier":"basic","limits":{},"scope":"all","roles":[],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}','127.0.0.1','9dwsK2rOm9ZI22MuYQ1w');
INSERT INTO "audit" VALUES(4,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.create','key','key_wIN4VkBHfykq','limited',NULL,'{"name":"limited","description":null,"key_prefix":"lk_live_3XXB...T4CW","environment":"live","tier":"basic","limits":{"hour":1000},"scope":"all","roles":[],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}','127.0.0.1','rpJsQ3FBZihLgUsG3F4h');
INSERT INTO "audit" VALUES(5,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.create','key','key_dGiHrU9mXueu','listed',NULL,'{"name":"listed","description":null,"key_prefix":"lk_live_l7Xt...m4Fr","environment":"live","tier":"basic","limits":{},"scope":"all","roles":[],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[{"cidr":"127.0.0.0/8","enabled":true}],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}','127.0.0.1','To9TR0UzPGDmynLiXBC8');
INSERT INTO "audit" VALUES(6,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.create','key','key_QAQvezhy0dn9','roles',NULL,'{"name":"roles","description":null,"key_prefix":"lk_live_JrM9...eJU8","environment":"live","tier":"basic","limits":{},"scope":"all","roles":["dns_manager"],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}','127.0.0.1','LyQGxfYfsZy7r6URaTui');
INSERT INTO "audit" VALUES(7,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.create','key','key_gW8ZDTAItuNu','revoked',NULL,'{"name":"revoked","description":null,"key_prefix":"lk_live_2D2h...dIwk","environment":"live","tier":"basic","limits":{},"scope":"all","roles":[],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}','127.0.0.1','q1D3q6KnScMH2KXUs4nN');
INSERT INTO "audit" VALUES(8,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.create','key','key_BuiWFTG2tzHS','rotated',NULL,'{"name":"rotated","description":null,"key_prefix":"lk_live_dUw8...SZUX","environment":"live","tier":"basic","limits":{},"scope":"all","roles":[],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}','127.0.0.1','u75xreZAU9MbHDlDqxFv');
INSERT INTO "audit" VALUES(9,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','routes.update','routes',NULL,NULL,'{"rules":[]}','{"rules":[{"path":{"exact":"/open"},"public":true},{"methods":["GET"],"path":{"prefix":"/dns"},"permission":"dns:read"}]}','127.0.0.1','6Ksx5nWUBV429yKiYohA');
INSERT INTO "audit" VALUES(10,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.revoke','key','key_gW8ZDTAItuNu','revoked','{"name":"revoked","description":null,"key_prefix":"lk_live_2D2h...dIwk","environment":"live","tier":"basic","limits":{},"scope":"all","roles":[],"permissions":[],"allowed_subaccounts":"all","allowed_ips":[],"denied_ips":[],"expires_at":null,"owner":"usr_MqsYbgZFibi5","active":true}',NULL,'127.0.0.1','3Ov5NLUuPbPdllWkHh6Q');
INSERT INTO "audit" VALUES(11,'acc_biJPegbktAmt',1795883284,'user','usr_MqsYbgZFibi5','admin@example.com','key.regenerate','key','key_BuiWFTG2tzHS','rotated','{"key_prefix":"lk_live_dUw8...SZUX"}','{"key_prefix":"lk_live_SRRf...51E1","overlap_seconds":600}','127.0.0.1','QRLX1GQXqREuy3xHxp64');
CREATE TABLE free_slots (
    slot INTEGER NOT NULL PRIMARY KEY,
    freed_at INTEGER NOT NULL
);
INSERT INTO "free_slots" VALUES(4,1795883284);
CREATE TABLE keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    policy_id INTEGER NOT NULL REFERENCES policies (id),
    digest BLOB NOT NULL UNIQUE,
    masked TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    environment TEXT NOT NULL,
    tier TEXT NOT NULL,
    -- JSON arrays of {"cidr", "enabled"}.
    allowed_ips TEXT NOT NULL,
    denied_ips TEXT NOT NULL,
    expires_at INTEGER,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revision INTEGER NOT NULL
, scope TEXT, roles TEXT NOT NULL DEFAULT '[]', permissions TEXT NOT NULL DEFAULT '[]', subaccounts TEXT, limits TEXT NOT NULL DEFAULT '{}', last_used_at INTEGER, last_used_ip TEXT, slot INTEGER, secret INTEGER NOT NULL DEFAULT 1, secret_created_at INTEGER NOT NULL DEFAULT 0, secret_used_at INTEGER, secret_used_ip TEXT, imported BOOLEAN NOT NULL DEFAULT FALSE);
INSERT INTO "keys" VALUES(1,'key_pRNJOUb3ZxIR','acc_biJPegbktAmt','usr_MqsYbgZFibi5',1,X'DD4C9022E460251534FE09EBEE805EC11A4BCD94BB5D32036E452F1AAC5FD948','lk_live_Xryz...1bXT','plain',NULL,'live','basic','[]','[]',NULL,0,1795883284,1795883284,NULL,2,NULL,'[]','[]',NULL,'{}',1795883287,'127.0.0.1',0,1,1795883284,1795883287,'127.0.0.1',0);
INSERT INTO "keys" VALUES(2,'key_wIN4VkBHfykq','acc_biJPegbktAmt','usr_MqsYbgZFibi5',2,X'609E0EE3F81B1D6F64EEA94979F6BAF18C57642500AE731F22B53745E26F5F47','lk_live_3XXB...T4CW','limited',NULL,'live','basic','[]','[]',NULL,0,1795883284,1795883284,NULL,3,NULL,'[]','[]',NULL,'{"hour":1000}',1795883287,'127.0.0.1',1,1,1795883284,1795883287,'127.0.0.1',0);
INSERT INTO "keys" VALUES(3,'key_dGiHrU9mXueu','acc_biJPegbktAmt','usr_MqsYbgZFibi5',3,X'98B60B8372E629F709F75BD76529CFC82D1EA63DC166140EB14607E3E08692D7','lk_live_l7Xt...m4Fr','listed',NULL,'live','basic','[{"cidr":"127.0.0.0/8","enabled":true}]','[]',NULL,0,1795883284,1795883284,NULL,4,NULL,'[]','[]',NULL,'{}',NULL,NULL,2,1,1795883284,NULL,NULL,0);
INSERT INTO "keys" VALUES(4,'key_QAQvezhy0dn9','acc_biJPegbktAmt','usr_MqsYbgZFibi5',4,X'D4A084F1ABCF3D9DF2B1450A6F664258A075562C47457F823CEAA9C606A466FF','lk_live_JrM9...eJU8','roles',NULL,'live','basic','[]','[]',NULL,0,1795883284,1795883284,NULL,5,NULL,'["dns_manager"]','[]',NULL,'{}',NULL,NULL,3,1,1795883284,NULL,NULL,0);
INSERT INTO "keys" VALUES(5,'key_gW8ZDTAItuNu','acc_biJPegbktAmt','usr_MqsYbgZFibi5',1,X'F66DF4BD0CEC3BF9201368E6E2528D52464367426918146513FEA756EB33E594','lk_live_2D2h...dIwk','revoked',NULL,'live','basic','[]','[]',NULL,0,1795883284,1795883284,1795883284,9,NULL,'[]','[]',NULL,'{}',NULL,NULL,NULL,1,1795883284,NULL,NULL,0);
INSERT INTO "keys" VALUES(6,'key_BuiWFTG2tzHS','acc_biJPegbktAmt','usr_MqsYbgZFibi5',1,X'FFBDA7501F9953699A7133F3C27DBABB6B8D949534A6DF70A7CC3BCAC0847643','lk_live_SRRf...51E1','rotated',NULL,'live','basic','[]','[]',NULL,0,1795883284,1795883284,NULL,10,NULL,'[]','[]',NULL,'{}',1795883288,'127.0.0.1',5,2,1795883284,NULL,NULL,0);
CREATE TABLE meta (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    epoch BLOB NOT NULL,
    revision INTEGER NOT NULL
);
INSERT INTO "meta" VALUES(1,X'684D74DDEDD751A35C4003E301230A58',10);
CREATE TABLE node_usage (
    instance TEXT NOT NULL,
    key_seq INTEGER NOT NULL,
    requests TEXT NOT NULL,
    windows TEXT NOT NULL,
    reported_at INTEGER NOT NULL,
    PRIMARY KEY (instance, key_seq)
) WITHOUT ROWID;
INSERT INTO "node_usage" VALUES('18ec42555e20cab0',1,'[3,0,0,0,0,0,0,0]','[[29931388,3],[498856,3],[20785,3],[24322,3]]',1795883287);
INSERT INTO "node_usage" VALUES('18ec42555e20cab0',2,'[3,0,0,0,0,0,0,0]','[[29931388,3],[498856,3],[20785,3],[24322,3]]',1795883288);
INSERT INTO "node_usage" VALUES('18ec42555e20cab0',6,'[3,0,0,0,0,0,0,0]','[[29931388,3],[498856,3],[20785,3],[24322,3]]',1795883288);
CREATE TABLE nodes (
    node_id TEXT NOT NULL,
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (node_id, instance)
);
INSERT INTO "nodes" VALUES('edge-1','18ec42555e20cab0','0.1.0');
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
INSERT INTO "old_secrets" VALUES(X'C661052FC154411AD401797A2BB8E3D14B6D12520394AC511D25D0312621CB88',6,1,'lk_live_dUw8...SZUX',0,1795883284,1795883884,1795883288,'127.0.0.1',NULL,0,10);
CREATE TABLE policies (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    tier TEXT NOT NULL,
    environment TEXT NOT NULL,
    -- JSON arrays of the ranges that count.
    allowed_ips TEXT NOT NULL,
    denied_ips TEXT NOT NULL,
    -- SHA-256 of all of the above: the same policy is kept once.
    content BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL
, scope TEXT, roles TEXT NOT NULL DEFAULT '[]', permissions TEXT NOT NULL DEFAULT '[]', subaccounts TEXT, limits TEXT NOT NULL DEFAULT '{}');
INSERT INTO "policies" VALUES(1,'acc_biJPegbktAmt','usr_MqsYbgZFibi5','basic','live','[]','[]',X'8AA12ECEDC0F827B2CB1D960A170F523A2F0A088BA68EBC57AB4085F36B4D20F',2,NULL,'[]','[]',NULL,'{}');
INSERT INTO "policies" VALUES(2,'acc_biJPegbktAmt','usr_MqsYbgZFibi5','basic','live','[]','[]',X'6F303DA618ADAF0C1EB360114BA7D99CB373971EA4311932AB8365F61EF50CDF',3,NULL,'[]','[]',NULL,'{"hour":1000}');
INSERT INTO "policies" VALUES(3,'acc_biJPegbktAmt','usr_MqsYbgZFibi5','basic','live','["127.0.0.0/8"]','[]',X'70509B005E0DF7695220F709131309D403304758E29AD58656D4EB8AB460A16E',4,NULL,'[]','[]',NULL,'{}');
INSERT INTO "policies" VALUES(4,'acc_biJPegbktAmt','usr_MqsYbgZFibi5','basic','live','[]','[]',X'BBC2AD74D18D041C6706D667C7B1F7E88E785F9D3AD90943195F5D65753680CE',5,NULL,'["dns_manager"]','[]',NULL,'{}');
CREATE TABLE routes (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    document TEXT NOT NULL,
    revision INTEGER NOT NULL
, imported BOOLEAN NOT NULL DEFAULT FALSE);
INSERT INTO "routes" VALUES(1,'{"rules":[{"path":{"exact":"/open"},"public":true},{"methods":["GET"],"path":{"prefix":"/dns"},"permission":"dns:read"}],"unmatched":"valid_key"}',8,0);
CREATE TABLE services (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, name)
);
CREATE TABLE sessions (
    token_hash BLOB NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    expires_at INTEGER NOT NULL
);
INSERT INTO "sessions" VALUES(X'1A22D65B879591BCE5D2285D42CD7340688D5EB37C9A863CB8952B3B90E54374','usr_MqsYbgZFibi5',1795885114);
CREATE TABLE subaccounts (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, name)
);
CREATE TABLE tiers (
    name TEXT NOT NULL PRIMARY KEY,
    limits TEXT NOT NULL,
    position INTEGER NOT NULL
);
INSERT INTO "tiers" VALUES('free','{"minute":10}',0);
INSERT INTO "tiers" VALUES('basic','{"minute":100}',1);
INSERT INTO "tiers" VALUES('pro','{"minute":1000}',2);
INSERT INTO "tiers" VALUES('enterprise','{"minute":10000}',3);
CREATE TABLE usage_buckets (
    key_seq INTEGER,
    hour INTEGER,
    code TEXT,
    requests INTEGER,
    PRIMARY KEY (key_seq, hour, code)
) WITHOUT ROWID;
INSERT INTO "usage_buckets" VALUES(1,498856,'allowed',3);
INSERT INTO "usage_buckets" VALUES(2,498856,'allowed',3);
INSERT INTO "usage_buckets" VALUES(6,498856,'allowed',3);
CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    created_at INTEGER NOT NULL
, roles TEXT NOT NULL DEFAULT '[]', permissions TEXT NOT NULL DEFAULT '[]', subaccounts TEXT, deleted_at INTEGER);
INSERT INTO "users" VALUES('usr_MqsYbgZFibi5','acc_biJPegbktAmt','admin@example.com','$argon2id$v=19$m=19456,t=2,p=1$+lRorHIKfs+7P+lMPd7J8g$keaXjQGVQSR7oxASBSu0Wk2H4eI4ePutyIUapaxGu1g',0,1795883283,'["admin"]','[]',NULL,NULL);
CREATE TABLE webhook_deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What receivers tell repetitions by.
    id TEXT NOT NULL UNIQUE,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- Either of them: when it is tried next, or when it was delivered or given up.
    next_at INTEGER,
    done_at INTEGER,
    delivered BOOLEAN NOT NULL DEFAULT FALSE,
    last_status INTEGER,
    last_error TEXT
);
CREATE TABLE webhook_expiries (
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    key_seq INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    days INTEGER NOT NULL,
    PRIMARY KEY (webhook_id, key_seq, expires_at, days)
) WITHOUT ROWID;
CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    -- The key of its signatures itself: a hash could not sign.
    secret BLOB NOT NULL,
    -- JSON arrays, of types of events and of days.
    events TEXT NOT NULL,
    expiring_days TEXT NOT NULL,
    active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Attempts that have failed since one succeeded, and what came of the last of them.
    failures INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    last_error_at INTEGER,
    -- When something is to be sent; NULL while nothing is pending, as it is while the webhook is not active.
    due_at INTEGER,
    -- Until then nobody sends: somebody does so at present, or has just failed.
    held_until INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE window_counts (
    kind INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (kind, number, key_seq)
) WITHOUT ROWID;
INSERT INTO "window_counts" VALUES(1,29931388,1,3);
INSERT INTO "window_counts" VALUES(1,29931388,2,3);
INSERT INTO "window_counts" VALUES(1,29931388,6,3);
INSERT INTO "window_counts" VALUES(2,498856,1,3);
INSERT INTO "window_counts" VALUES(2,498856,2,3);
INSERT INTO "window_counts" VALUES(2,498856,6,3);
INSERT INTO "window_counts" VALUES(3,20785,1,3);
INSERT INTO "window_counts" VALUES(3,20785,2,3);
INSERT INTO "window_counts" VALUES(3,20785,6,3);
INSERT INTO "window_counts" VALUES(4,24322,1,3);
INSERT INTO "window_counts" VALUES(4,24322,2,3);
INSERT INTO "window_counts" VALUES(4,24322,6,3);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX policies_revision ON policies (revision);
CREATE INDEX keys_policy ON keys (policy_id) WHERE revoked_at IS NULL;
CREATE INDEX keys_revision ON keys (revision);
CREATE UNIQUE INDEX keys_live_name ON keys (account_id, name) WHERE revoked_at IS NULL;
CREATE INDEX free_slots_order ON free_slots (freed_at, slot);
CREATE UNIQUE INDEX keys_slot ON keys (slot) WHERE revoked_at IS NULL;
CREATE INDEX policies_user ON policies (user_id);
CREATE INDEX policies_account ON policies (account_id);
CREATE INDEX policies_tier ON policies (tier);
CREATE INDEX accounts_tier ON accounts (tier);
CREATE INDEX usage_buckets_hour ON usage_buckets (hour);
CREATE INDEX keys_account ON keys (account_id);
CREATE INDEX audit_account ON audit (account_id, seq);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit is append-only');
END;
CREATE INDEX keys_imported ON keys (seq) WHERE imported AND revoked_at IS NULL;
CREATE INDEX old_secrets_revision ON old_secrets (revision);
CREATE INDEX old_secrets_key ON old_secrets (key_seq);
CREATE UNIQUE INDEX old_secrets_live ON old_secrets (key_seq) WHERE NOT removed;
CREATE INDEX old_secrets_end ON old_secrets (ends_at) WHERE NOT removed;
CREATE INDEX old_secrets_imported ON old_secrets (key_seq) WHERE imported AND NOT removed;
CREATE TRIGGER a_new_key_is_counted AFTER INSERT ON keys WHEN NEW.revoked_at IS NULL BEGIN
    UPDATE accounts SET live_keys = live_keys + 1 WHERE id = NEW.account_id;
END;
CREATE TRIGGER a_revoked_key_is_not_counted AFTER UPDATE OF revoked_at ON keys
WHEN OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL BEGIN
    UPDATE accounts SET live_keys = live_keys - 1 WHERE id = NEW.account_id;
END;
CREATE INDEX users_account ON users (account_id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_creation ON keys (account_id, created_at, seq) WHERE revoked_at IS NULL;
CREATE INDEX keys_by_name ON keys (account_id, name COLLATE NOCASE, seq) WHERE revoked_at IS NULL;
CREATE INDEX webhooks_account ON webhooks (account_id);
CREATE INDEX webhooks_due ON webhooks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_listing ON webhook_deliveries (webhook_id, seq DESC);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, next_at, created_at) WHERE done_at IS NULL;
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX webhook_expiries_past ON webhook_expiries (expires_at);
CREATE INDEX keys_expiry ON keys (account_id, expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',11);
INSERT INTO "sqlite_sequence" VALUES('policies',6);
INSERT INTO "sqlite_sequence" VALUES('keys',6);
COMMIT;