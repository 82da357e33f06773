-- What is remembered of those who log in, and of those who find out what other accounts have.

-- Clients that have logged in to a user, by the SHA-256 of their address. The newest of each user stay.
CREATE TABLE known_clients (
    user_id TEXT NOT NULL REFERENCES users (id),
    client BLOB NOT NULL,
    last_login_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client)
);
CREATE TRIGGER a_deleted_user_has_no_clients AFTER UPDATE OF deleted_at ON users WHEN NEW.deleted_at IS NOT NULL BEGIN
    DELETE FROM known_clients WHERE user_id = NEW.id;
END;

-- Refused log-ins of an account are counted by the hour: how many entries they may have is bounded.
CREATE INDEX audit_refused_logins ON audit (account_id, at) WHERE action = 'session.refused';

-- Refusals of the last hour that showed a user what other accounts have.
CREATE TABLE disclosures (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    at INTEGER NOT NULL
);
CREATE INDEX disclosures_account ON disclosures (account_id, at);
