-- Tiers whose limits bound those of a key, by window, in JSON: {"minute": ["basic"]}. A key that another key made, edited
-- or regenerated is bounded by the tier that bounded the calling key, as that tier is at any time.
ALTER TABLE keys ADD COLUMN ceilings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE policies ADD COLUMN ceilings TEXT NOT NULL DEFAULT '{}';

-- Whether a key with `issues`, or a key that such a key made, made it.
ALTER TABLE keys ADD COLUMN issued BOOLEAN NOT NULL DEFAULT FALSE;

-- Tiers that were removed and still bound keys, with their last limits.
CREATE TABLE retired_tiers (
    name TEXT NOT NULL PRIMARY KEY,
    limits TEXT NOT NULL
);
