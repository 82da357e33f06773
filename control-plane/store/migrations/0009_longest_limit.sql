-- The longest staleness limit that any node has reported, in seconds; the highest integer: one had no limit. For so long
-- nodes may serve that the database does not know. The rows of `nodes` do not say, as they go with the nodes.
-- `latchkey node forget unknown` lets it begin again with the nodes that are known then.
ALTER TABLE meta ADD COLUMN longest_limit INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET longest_limit = COALESCE(
    (SELECT MAX(CASE staleness WHEN 0 THEN 9223372036854775807 ELSE staleness END) FROM nodes WHERE protocol > 0), 0);
