-- What bounds the keys that a key makes, in place of its own attributes, in JSON. A session gives it to a key for life.
ALTER TABLE keys ADD COLUMN issues TEXT;
