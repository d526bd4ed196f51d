-- Until now the currency stood in the note, where it was not euros.
ALTER TABLE orders ADD COLUMN currency TEXT NOT NULL DEFAULT 'EUR';
UPDATE orders SET currency = substr(note, 9, 3) WHERE note GLOB 'paid in [A-Z][A-Z][A-Z]*';
CREATE INDEX orders_by_currency ON orders (currency);
