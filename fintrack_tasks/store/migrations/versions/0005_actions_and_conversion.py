"""Splits and dividends with the adjusted series, and the reading of exchange rates as of a moment.

Raw bars stay as they came. ``adjusted_to`` of a bar and of a dividend is the date up to which its provider has restated
it for splits (null: as traded); the factor of a split is applied to what lies before its ex-date and is not restated
for it yet, so that it counts once whichever provider the bar is from.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE fintrack.bars ADD COLUMN adjusted_to date;
ALTER TABLE fintrack.bar_versions ADD COLUMN adjusted_to date;
ALTER TABLE fintrack.fx_rates
    ADD COLUMN received_at timestamptz,
    ADD COLUMN item_id     uuid,
    ADD COLUMN payload_sha bytea;
"""

ACTIONS = """
CREATE TABLE fintrack.corporate_actions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instrument_id integer NOT NULL REFERENCES fintrack.instruments,
    ex_date       date NOT NULL,
    effective_at  timestamptz NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('split', 'dividend')),
    numerator     numeric CHECK (numerator > 0 AND numerator < 'Infinity'),
    denominator   numeric CHECK (denominator > 0 AND denominator < 'Infinity'),
    amount        numeric CHECK (amount > 0 AND amount < 'Infinity'),
    currency      text,
    adjusted_to   date,
    source        text NOT NULL,
    item_id       uuid NOT NULL,
    first_seen    timestamptz NOT NULL,
    changed_at    timestamptz NOT NULL,
    UNIQUE (instrument_id, ex_date, kind),
    CHECK ((kind = 'split') = (numerator IS NOT NULL) AND (kind = 'split') = (denominator IS NOT NULL)
           AND (kind = 'dividend') = (amount IS NOT NULL))
);
CREATE AGGREGATE fintrack.product(numeric) (SFUNC = numeric_mul, STYPE = numeric, INITCOND = '1');
"""

# A dividend's factor is that of CRSP: 1 - D / P, P being the close of the session before the ex-date, both in shares of
# the same size. A close of more than ten days before is no such close.
FACTORS = """
CREATE VIEW fintrack.corporate_action_factors AS
SELECT i.symbol, a.ex_date, a.kind, a.numerator, a.denominator, a.amount, a.currency, a.source,
       CASE WHEN a.kind = 'split' THEN trim_scale(a.denominator / a.numerator) ELSE 1 END AS split_factor,
       CASE WHEN a.kind = 'split' THEN 1
            WHEN coalesce(a.currency = p.currency, true) AND a.amount * d.basis < p.close * c.basis
            THEN round(1 - (a.amount * d.basis) / (p.close * c.basis), 15) END AS dividend_factor,
       (p.timestamp AT TIME ZONE 'UTC')::date AS previous_session, p.close AS previous_close,
       a.effective_at, a.adjusted_to, a.first_seen, a.changed_at, a.item_id, a.instrument_id, a.id
FROM fintrack.corporate_actions a
JOIN fintrack.instruments i ON i.id = a.instrument_id
LEFT JOIN LATERAL (
    SELECT b.timestamp, b.close, b.adjusted_to, coalesce(b.currency, i.currency) AS currency FROM fintrack.bars b
    WHERE a.kind = 'dividend' AND b.instrument_id = a.instrument_id AND b.interval = '1d'
      AND b.timestamp < a.ex_date::timestamp AT TIME ZONE 'UTC'
      AND b.timestamp >= (a.ex_date - 10)::timestamp AT TIME ZONE 'UTC'
    ORDER BY b.timestamp DESC LIMIT 1
) p ON true
CROSS JOIN LATERAL (
    SELECT fintrack.product(s.denominator) / fintrack.product(s.numerator) AS basis
    FROM fintrack.corporate_actions s
    WHERE s.instrument_id = a.instrument_id AND s.kind = 'split'
      AND s.ex_date > greatest((p.timestamp AT TIME ZONE 'UTC')::date, p.adjusted_to)
) c
CROSS JOIN LATERAL (
    SELECT fintrack.product(s.denominator) / fintrack.product(s.numerator) AS basis
    FROM fintrack.corporate_actions s
    WHERE s.instrument_id = a.instrument_id AND s.kind = 'split' AND s.ex_date > greatest(a.ex_date, a.adjusted_to)
) d;
"""

# The factors of an instrument are gathered once, by the inner query, and not once for each of its bars.
ADJUSTED = """
CREATE VIEW fintrack.historical_market_data_adjusted AS
SELECT n.symbol, b.interval, b.timestamp, b.open, b.high, b.low, b.close, b.volume, f.split_factor, f.dividend_factor,
       trim_scale(b.open * f.under / f.over) AS split_open, trim_scale(b.high * f.under / f.over) AS split_high,
       trim_scale(b.low * f.under / f.over) AS split_low, trim_scale(b.close * f.under / f.over) AS split_close,
       trim_scale(b.volume * f.over / f.under) AS split_volume,
       trim_scale(b.open * f.under * f.dividend_factor / f.over) AS total_open,
       trim_scale(b.high * f.under * f.dividend_factor / f.over) AS total_high,
       trim_scale(b.low * f.under * f.dividend_factor / f.over) AS total_low,
       trim_scale(b.close * f.under * f.dividend_factor / f.over) AS total_close,
       b.adj_close, b.is_final, b.source, coalesce(b.currency, n.currency) AS currency, b.adjusted_to, b.item_id,
       b.instrument_id
FROM (
    SELECT i.id, i.symbol, i.currency,
           array_agg(x.ex_date) AS ex_dates, array_agg(x.effective_at) AS moments, array_agg(x.kind) AS kinds,
           array_agg(x.numerator) AS overs, array_agg(x.denominator) AS unders,
           array_agg(x.dividend_factor) AS factors
    FROM fintrack.instruments i LEFT JOIN fintrack.corporate_action_factors x ON x.instrument_id = i.id
    GROUP BY i.id, i.symbol, i.currency
) n
JOIN fintrack.bars b ON b.instrument_id = n.id
CROSS JOIN LATERAL (
    SELECT g.over, g.under, trim_scale(g.under / g.over) AS split_factor,
           trim_scale(g.dividend_factor) AS dividend_factor
    FROM (
        SELECT fintrack.product(a.over) FILTER (WHERE a.kind = 'split' AND a.fresh) AS over,
               fintrack.product(a.under) FILTER (WHERE a.kind = 'split' AND a.fresh) AS under,
               CASE WHEN NOT coalesce(bool_or(a.kind = 'dividend' AND a.factor IS NULL), false)
                    THEN round(fintrack.product(a.factor) FILTER (WHERE a.kind = 'dividend'), 15)
               END AS dividend_factor
        FROM (
            SELECT e.kind, e.over, e.under, e.factor, b.adjusted_to IS NULL OR e.ex_date > b.adjusted_to AS fresh
            FROM unnest(n.ex_dates, n.moments, n.kinds, n.overs, n.unders, n.factors)
                 AS e(ex_date, moment, kind, over, under, factor)
            WHERE CASE WHEN b.interval = '1d' THEN e.ex_date > (b.timestamp AT TIME ZONE 'UTC')::date
                       ELSE e.moment > b.timestamp END
        ) a
    ) g
) f;
"""

RATES = """
CREATE VIEW fintrack.exchange_rates AS
SELECT base, quote, timestamp, rate, source, received_at FROM fintrack.fx_rates;

CREATE FUNCTION fintrack.fx_leg(given text, wanted text, at timestamptz, max_age interval)
RETURNS TABLE (rate numeric, as_of timestamptz, source text, path text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT found.rate, found.as_of, found.source, found.path FROM (
        (SELECT r.rate, r.timestamp, r.source, given || '/' || wanted, 1 FROM fintrack.exchange_rates r
         WHERE r.base = given AND r.quote = wanted AND r.timestamp <= at AND r.timestamp >= at - max_age
         ORDER BY r.timestamp DESC, r.source LIMIT 1)
        UNION ALL
        (SELECT 1 / r.rate, r.timestamp, r.source, '1/(' || wanted || '/' || given || ')', 2
         FROM fintrack.exchange_rates r
         WHERE r.base = wanted AND r.quote = given AND r.timestamp <= at AND r.timestamp >= at - max_age
         ORDER BY r.timestamp DESC, r.source LIMIT 1)
    ) AS found(rate, as_of, source, path, place)
    ORDER BY found.as_of DESC, found.place LIMIT 1
$$;

CREATE FUNCTION fintrack.fx_as_of(given text, wanted text, at timestamptz, max_age interval DEFAULT '6 days')
RETURNS TABLE (rate numeric, as_of timestamptz, source text, path text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT found.rate, found.as_of, found.source, found.path FROM (
        SELECT 1::numeric, NULL::timestamptz, NULL::text, given, 0 WHERE given = wanted
        UNION ALL
        SELECT d.rate, d.as_of, d.source, d.path, 1
        FROM fintrack.fx_leg(given, wanted, at, max_age) d WHERE given <> wanted
        UNION ALL
        SELECT one.rate * other.rate, least(one.as_of, other.as_of),
               one.source || CASE WHEN one.source = other.source THEN '' ELSE ', ' || other.source END,
               one.path || ' * ' || other.path, through.place
        FROM (VALUES ('EUR', 2), ('USD', 3)) AS through(base, place)
        CROSS JOIN LATERAL fintrack.fx_leg(given, through.base, at, max_age) one
        CROSS JOIN LATERAL fintrack.fx_leg(through.base, wanted, at, max_age) other
        WHERE through.base NOT IN (given, wanted) AND given <> wanted
    ) AS found(rate, as_of, source, path, place)
    ORDER BY found.as_of DESC NULLS FIRST, found.place LIMIT 1
$$;

CREATE FUNCTION fintrack.convert_amount(
    amount numeric, given text, wanted text, at timestamptz, max_age interval DEFAULT '6 days'
) RETURNS numeric LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT amount * r.rate FROM fintrack.fx_as_of(given, wanted, at, max_age) r
$$;

CREATE VIEW fintrack.market_data_converted AS
SELECT m.symbol, m.asset_class, m.timestamp, m.price, m.currency, m.price * r.rate AS price_usd, r.rate AS usd_rate,
       r.as_of AS usd_rate_as_of, r.source AS usd_rate_source, r.path AS usd_rate_path,
       CASE WHEN m.currency IS NULL THEN 'no_currency' WHEN r.rate IS NULL THEN 'no_rate' END AS finding,
       m.volume, m.source, m.received_at, m.item_id
FROM fintrack.market_data m
LEFT JOIN LATERAL fintrack.fx_as_of(m.currency, 'USD', m.timestamp) r ON true;

CREATE VIEW fintrack.historical_market_data_converted AS
SELECT h.symbol, h.asset_class, h.interval, h.timestamp, h.open, h.high, h.low, h.close, h.currency,
       h.open * r.rate AS open_usd, h.high * r.rate AS high_usd, h.low * r.rate AS low_usd,
       h.close * r.rate AS close_usd,
       r.rate AS usd_rate, r.as_of AS usd_rate_as_of, r.source AS usd_rate_source, r.path AS usd_rate_path,
       CASE WHEN h.currency IS NULL THEN 'no_currency' WHEN r.rate IS NULL THEN 'no_rate' END AS finding,
       h.volume, h.is_final, h.source, h.item_id
FROM fintrack.historical_market_data h
LEFT JOIN LATERAL fintrack.fx_as_of(h.currency, 'USD', h.timestamp) r ON true;
"""

VIEWS = (
    "historical_market_data_converted",
    "market_data_converted",
    "exchange_rates",
    "historical_market_data_adjusted",
    "corporate_action_factors",
)

GRANTS = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON fintrack.corporate_actions TO fintrack_writer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA fintrack TO fintrack_writer;
GRANT ALL ON fintrack.corporate_actions TO fintrack_admin;
GRANT SELECT ON {", ".join(f"fintrack.{view}" for view in VIEWS)} TO fintrack_reader, fintrack_writer, fintrack_admin;
"""


def upgrade() -> None:
    """Add them."""
    for statement in (COLUMNS, ACTIONS, FACTORS, ADJUSTED, RATES, GRANTS):
        op.execute(statement)


def downgrade() -> None:
    """Remove them."""
    op.execute(f"DROP VIEW {', '.join(f'fintrack.{view}' for view in VIEWS[:2])}")
    op.execute(
        "DROP FUNCTION fintrack.convert_amount(numeric, text, text, timestamptz, interval),"
        " fintrack.fx_as_of(text, text, timestamptz, interval), fintrack.fx_leg(text, text, timestamptz, interval)"
    )
    op.execute(f"DROP VIEW {', '.join(f'fintrack.{view}' for view in VIEWS[2:])}")
    op.execute("DROP AGGREGATE fintrack.product(numeric)")
    op.execute("DROP TABLE fintrack.corporate_actions")
    op.execute("ALTER TABLE fintrack.bars DROP COLUMN adjusted_to")
    op.execute("ALTER TABLE fintrack.bar_versions DROP COLUMN adjusted_to")
    op.execute("ALTER TABLE fintrack.fx_rates DROP COLUMN received_at, DROP COLUMN item_id, DROP COLUMN payload_sha")
