-- A point for each whole unit; refunds give none.
ALTER TABLE orders ADD COLUMN points INTEGER NOT NULL DEFAULT 0;
UPDATE orders SET points = amount_cents / 100 WHERE amount_cents >= 100;
