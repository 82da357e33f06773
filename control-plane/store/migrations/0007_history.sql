-- What vouches for revisions, which former histories belong to this database, and which nodes may still serve.

-- A random tag for each of the newest revisions. A node goes on from a revision only if it has the revision's tag. A
-- migration that advances the revision needs no tag of its own: the start gives the newest revision one.
CREATE TABLE history (
    revision INTEGER NOT NULL PRIMARY KEY,
    tag BLOB NOT NULL
);

-- Epochs that became this one by a restore, or that an operator has accepted.
CREATE TABLE accepted_epochs (
    epoch BLOB NOT NULL PRIMARY KEY,
    accepted_at INTEGER NOT NULL
) WITHOUT ROWID;

-- For how many seconds control planes have run on this database in all, and when one noted so last, in Unix seconds:
-- each second, as long as every node it serves is in the table below. NULL: none has run yet.
ALTER TABLE meta ADD COLUMN uptime_seconds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN noted_at INTEGER;
UPDATE meta SET noted_at = 0;
-- Until which uptime nodes that nobody knows of may serve. NULL: there are none; the highest integer: until forgotten.
ALTER TABLE meta ADD COLUMN unknown_until INTEGER;

-- `secret_hash` and `meter` are SHA-256 in hexadecimal, or for nodes of version 0.1 made from `instance`. `staleness` is
-- the limit in seconds that the node has reported, 0 for none. A node that was lost is lost since the uptime `lost_at`
-- and the Unix second `lost_since`.
ALTER TABLE nodes RENAME TO former_nodes;
CREATE TABLE nodes (
    node_id TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    meter TEXT NOT NULL,
    instance TEXT,
    version TEXT NOT NULL,
    protocol INTEGER NOT NULL,
    staleness INTEGER NOT NULL,
    lost_at INTEGER,
    lost_since INTEGER,
    PRIMARY KEY (node_id, secret_hash)
);
-- The start replaces these hashes, which SQLite cannot compute.
INSERT INTO nodes (node_id, secret_hash, meter, instance, version, protocol, staleness)
SELECT node_id, 'instance:' || instance, instance, instance, version, 0, 0 FROM former_nodes;
DROP TABLE former_nodes;
