"""Futures as a class of their own, prices at or below zero, bars whose open, high or low is not known, paused ones.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CLASSES = """
ALTER TABLE fintrack.instruments DROP CONSTRAINT instruments_asset_class_check,
    ADD CONSTRAINT instruments_asset_class_check
        CHECK (asset_class IN ('stock', 'crypto', 'forex', 'index', 'commodity')),
    ADD COLUMN paused boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT instruments_paused CHECK (NOT (paused AND is_active));
"""

# What was registered by its form gets the class and the spelling that its form has now.
FORMS = r"""
UPDATE fintrack.instruments i SET asset_class = 'commodity'
WHERE i.asset_class = 'stock' AND i.symbol LIKE '%=F'
  AND NOT EXISTS (SELECT FROM fintrack.instruments o WHERE o.symbol = i.symbol AND o.asset_class = 'commodity');
UPDATE fintrack.instruments i SET symbol = replace(i.symbol, '.', '-')
WHERE i.asset_class = 'stock' AND i.symbol ~ '^[A-Z]{1,5}\.[A-EG-KM-SUW-Z]$'
  AND NOT EXISTS (
      SELECT FROM fintrack.instruments o WHERE o.symbol = replace(i.symbol, '.', '-') AND o.asset_class = 'stock');
"""

# Which instruments may have prices at or below zero is a rule of the checks (value_ranges): a table of bars cannot
# tell. NaN is above Infinity to PostgreSQL, and so kept out by the same comparison.
PRICES = """
ALTER TABLE fintrack.quotes DROP CONSTRAINT quotes_price_check,
    ADD CONSTRAINT quotes_price_check CHECK (price > '-Infinity' AND price < 'Infinity');
ALTER TABLE fintrack.bars DROP CONSTRAINT bars_open_check, DROP CONSTRAINT bars_high_check,
    DROP CONSTRAINT bars_low_check, DROP CONSTRAINT bars_close_check,
    ALTER COLUMN open DROP NOT NULL, ALTER COLUMN high DROP NOT NULL, ALTER COLUMN low DROP NOT NULL,
    ADD CONSTRAINT bars_open_check CHECK (open > '-Infinity' AND open < 'Infinity'),
    ADD CONSTRAINT bars_high_check CHECK (high > '-Infinity' AND high < 'Infinity'),
    ADD CONSTRAINT bars_low_check CHECK (low > '-Infinity' AND low < 'Infinity'),
    ADD CONSTRAINT bars_close_check CHECK (close > '-Infinity' AND close < 'Infinity');
ALTER TABLE fintrack.bar_versions
    ALTER COLUMN open DROP NOT NULL, ALTER COLUMN high DROP NOT NULL, ALTER COLUMN low DROP NOT NULL;
"""

UNSTORABLE = """
DELETE FROM fintrack.quotes WHERE price <= 0;
DELETE FROM fintrack.index_indicators x USING fintrack.bars b
WHERE (x.instrument_id, x.interval, x.timestamp) = (b.instrument_id, b.interval, b.timestamp)
  AND (b.open IS NULL OR b.high IS NULL OR b.low IS NULL OR least(b.open, b.high, b.low, b.close) <= 0);
DELETE FROM fintrack.bars
WHERE open IS NULL OR high IS NULL OR low IS NULL OR least(open, high, low, close) <= 0;
DELETE FROM fintrack.bar_versions WHERE open IS NULL OR high IS NULL OR low IS NULL;
"""

PRICES_BEFORE = """
ALTER TABLE fintrack.bar_versions
    ALTER COLUMN open SET NOT NULL, ALTER COLUMN high SET NOT NULL, ALTER COLUMN low SET NOT NULL;
ALTER TABLE fintrack.bars DROP CONSTRAINT bars_open_check, DROP CONSTRAINT bars_high_check,
    DROP CONSTRAINT bars_low_check, DROP CONSTRAINT bars_close_check,
    ALTER COLUMN open SET NOT NULL, ALTER COLUMN high SET NOT NULL, ALTER COLUMN low SET NOT NULL,
    ADD CONSTRAINT bars_open_check CHECK (open > 0 AND open < 'Infinity'),
    ADD CONSTRAINT bars_high_check CHECK (high > 0 AND high < 'Infinity'),
    ADD CONSTRAINT bars_low_check CHECK (low > 0 AND low < 'Infinity'),
    ADD CONSTRAINT bars_close_check CHECK (close > 0 AND close < 'Infinity');
ALTER TABLE fintrack.quotes DROP CONSTRAINT quotes_price_check,
    ADD CONSTRAINT quotes_price_check CHECK (price > 0 AND price < 'Infinity');
"""

CLASSES_BEFORE = """
UPDATE fintrack.instruments i SET asset_class = 'stock'
WHERE i.asset_class = 'commodity'
  AND NOT EXISTS (SELECT FROM fintrack.instruments o WHERE o.symbol = i.symbol AND o.asset_class = 'stock');
ALTER TABLE fintrack.instruments DROP CONSTRAINT instruments_paused, DROP COLUMN paused,
    DROP CONSTRAINT instruments_asset_class_check,
    ADD CONSTRAINT instruments_asset_class_check CHECK (asset_class IN ('stock', 'crypto', 'forex', 'index'));
"""


def upgrade() -> None:
    """Change them."""
    for statement in (CLASSES, FORMS, PRICES):
        op.execute(statement)


def downgrade() -> None:
    """Change them back; rows that the older schema cannot hold are removed."""
    for statement in (UNSTORABLE, PRICES_BEFORE, CLASSES_BEFORE):
        op.execute(statement)
