-- Names and email addresses are stored in Unicode's NFC. Those of before are normalized once, when the database is opened
-- (`store/normalization.rs`), as SQL cannot. One whose normal form belongs to something else stays as it is, and is listed
-- here.
ALTER TABLE meta ADD COLUMN names_normalized BOOLEAN NOT NULL DEFAULT FALSE;
CREATE TABLE name_collisions (
    -- `key`, `user` or `subaccount`.
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (kind, id)
);
