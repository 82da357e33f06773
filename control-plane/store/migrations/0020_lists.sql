-- Lists that take the same time with a million keys: an index for each order and for each filter, a search, and sums.
-- `ARCHITECTURE.md` says which query uses which ("Lists").

-- A prefix of `keys_of_policy`, a prefix of `keys_by_tier`, and one that `keys_by_expiry` replaces.
DROP INDEX keys_policy;
DROP INDEX keys_account;
DROP INDEX keys_expiry;

-- The orders in which keys are listed, those that are not revoked and those that are. Each ends with `seq`.
CREATE INDEX keys_by_expiry ON keys (account_id, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX keys_by_last_use ON keys (account_id, last_used_at) WHERE revoked_at IS NULL;
CREATE INDEX revoked_keys_by_creation ON keys (account_id, created_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX revoked_keys_by_name ON keys (account_id, name COLLATE NOCASE) WHERE revoked_at IS NOT NULL;
CREATE INDEX revoked_keys_by_expiry ON keys (account_id, expires_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX revoked_keys_by_last_use ON keys (account_id, last_used_at) WHERE revoked_at IS NOT NULL;

-- What keys are filtered by, each in the order of creation.
CREATE INDEX keys_by_tier ON keys (account_id, tier, created_at);
CREATE INDEX keys_by_environment ON keys (account_id, environment, created_at);
CREATE INDEX keys_by_roles ON keys (account_id, roles, created_at);
CREATE INDEX keys_by_user ON keys (user_id, created_at);
CREATE INDEX keys_disabled ON keys (account_id, created_at) WHERE disabled;

-- Which keys have three characters in a row in their name, description or masked secret, in whatever case. The texts
-- themselves are in `keys`.
CREATE VIRTUAL TABLE keys_search USING fts5 (name, description, masked,
    content = 'keys', content_rowid = 'seq', tokenize = 'trigram', detail = 'none', columnsize = 0);
INSERT INTO keys_search (rowid, name, description, masked) SELECT seq, name, description, masked FROM keys;
CREATE TRIGGER new_key_is_searched AFTER INSERT ON keys BEGIN
    INSERT INTO keys_search (rowid, name, description, masked) VALUES (NEW.seq, NEW.name, NEW.description, NEW.masked);
END;
CREATE TRIGGER deleted_key_is_not_searched AFTER DELETE ON keys BEGIN
    INSERT INTO keys_search (keys_search, rowid, name, description, masked)
    VALUES ('delete', OLD.seq, OLD.name, OLD.description, OLD.masked);
END;
CREATE TRIGGER edited_key_is_searched AFTER UPDATE OF name, description, masked ON keys
WHEN OLD.name <> NEW.name OR OLD.description IS NOT NEW.description OR OLD.masked <> NEW.masked BEGIN
    INSERT INTO keys_search (keys_search, rowid, name, description, masked)
    VALUES ('delete', OLD.seq, OLD.name, OLD.description, OLD.masked);
    INSERT INTO keys_search (rowid, name, description, masked) VALUES (NEW.seq, NEW.name, NEW.description, NEW.masked);
END;

-- The audit is listed by time; what it is filtered by is in that order.
DROP INDEX audit_account;
CREATE INDEX audit_by_time ON audit (account_id, at);
CREATE INDEX audit_by_action ON audit (account_id, action, at);
CREATE INDEX audit_by_actor_id ON audit (account_id, actor_id, at);
CREATE INDEX audit_by_actor_name ON audit (account_id, actor_name, at);
CREATE INDEX audit_by_target_id ON audit (account_id, target_id, at);
CREATE INDEX audit_by_target_name ON audit (account_id, target_name, at);

-- Both tables below follow `usage_buckets` as rows are added and changed; what is deleted from it stays in them.

-- Requests of all of an account's keys by hour and verdict, those of deleted keys included.
CREATE TABLE usage_sums (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    hour INTEGER NOT NULL,
    code TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (account_id, hour, code)
) WITHOUT ROWID;
INSERT INTO usage_sums (account_id, hour, code, requests)
SELECT k.account_id, b.hour, b.code, CAST(MIN(TOTAL(b.requests), 9007199254740991) AS INTEGER)
FROM usage_buckets b JOIN keys k ON k.seq = b.key_seq GROUP BY k.account_id, b.hour, b.code;
CREATE INDEX usage_sums_hour ON usage_sums (hour);

-- The same of each key by day: which keys were used, and which of them most.
CREATE TABLE usage_days (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    day INTEGER NOT NULL,
    code TEXT NOT NULL,
    key_seq INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (account_id, day, code, key_seq)
) WITHOUT ROWID;
INSERT INTO usage_days (account_id, day, code, key_seq, requests)
SELECT k.account_id, b.hour / 24, b.code, b.key_seq, CAST(MIN(TOTAL(b.requests), 9007199254740991) AS INTEGER)
FROM usage_buckets b JOIN keys k ON k.seq = b.key_seq GROUP BY k.account_id, b.hour / 24, b.code, b.key_seq;
CREATE INDEX usage_days_day ON usage_days (day);
CREATE INDEX usage_days_most ON usage_days (account_id, day, code, requests);

CREATE TRIGGER new_usage_is_summed AFTER INSERT ON usage_buckets BEGIN
    INSERT INTO usage_sums (account_id, hour, code, requests)
    SELECT account_id, NEW.hour, NEW.code, NEW.requests FROM keys WHERE seq = NEW.key_seq
    ON CONFLICT (account_id, hour, code) DO UPDATE SET requests = MIN(requests + excluded.requests, 9007199254740991);
    INSERT INTO usage_days (account_id, day, code, key_seq, requests)
    SELECT account_id, NEW.hour / 24, NEW.code, NEW.key_seq, NEW.requests FROM keys WHERE seq = NEW.key_seq
    ON CONFLICT (account_id, day, code, key_seq)
    DO UPDATE SET requests = MIN(requests + excluded.requests, 9007199254740991);
END;
CREATE TRIGGER more_usage_is_summed AFTER UPDATE OF requests ON usage_buckets WHEN NEW.requests <> OLD.requests BEGIN
    UPDATE usage_sums SET requests = MIN(requests + NEW.requests - OLD.requests, 9007199254740991)
    WHERE account_id = (SELECT account_id FROM keys WHERE seq = NEW.key_seq) AND hour = NEW.hour AND code = NEW.code;
    UPDATE usage_days SET requests = MIN(requests + NEW.requests - OLD.requests, 9007199254740991)
    WHERE account_id = (SELECT account_id FROM keys WHERE seq = NEW.key_seq) AND day = NEW.hour / 24
        AND code = NEW.code AND key_seq = NEW.key_seq;
END;
