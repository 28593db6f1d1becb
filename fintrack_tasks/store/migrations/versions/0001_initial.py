"""The first schema: instruments, prices, the ledger, the outbox and what explains them.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FIRST_YEAR, LAST_YEAR = 2000, 2035

ROLES = """
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['fintrack_reader', 'fintrack_writer', 'fintrack_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server makes them right now
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role % may not create fintrack_reader, fintrack_writer and fintrack_admin', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'create these three NOLOGIN roles as a superuser, then run: fintrack db upgrade';
END $$
"""

INSTRUMENTS = """
CREATE TABLE fintrack.instruments (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol      text NOT NULL,
    asset_class text NOT NULL CHECK (asset_class IN ('stock', 'crypto', 'forex', 'index')),
    currency    text,
    calendar    text,
    name        text,
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (symbol, asset_class)
)
"""

PAYLOADS = """
CREATE TABLE fintrack.payloads (
    sha256      bytea PRIMARY KEY,
    provider    text NOT NULL,
    path        text NOT NULL,
    status      smallint NOT NULL,
    headers     jsonb NOT NULL,
    body        bytea NOT NULL,
    size        integer NOT NULL,
    received_at timestamptz NOT NULL
)
"""

LEDGER = """
CREATE TABLE fintrack.runs (
    id          uuid PRIMARY KEY,
    job         text NOT NULL,
    arguments   jsonb NOT NULL,
    state       text NOT NULL CHECK (state IN ('running', 'finished', 'partial', 'failed', 'skipped')),
    reason      text,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX runs_created ON fintrack.runs (created_at DESC);
CREATE INDEX runs_open ON fintrack.runs (job, created_at) WHERE finished_at IS NULL;

CREATE TABLE fintrack.run_items (
    id               uuid PRIMARY KEY,
    run_id           uuid NOT NULL REFERENCES fintrack.runs ON DELETE CASCADE,
    instrument_id    integer NOT NULL REFERENCES fintrack.instruments,
    kind             text NOT NULL CHECK (kind IN ('quote', 'bars', 'index')),
    interval         text,
    window_start     timestamptz,
    window_end       timestamptz,
    state            text NOT NULL DEFAULT 'queued'
                     CHECK (state IN ('queued', 'fetched', 'loaded', 'empty', 'failed')),
    generation       integer NOT NULL DEFAULT 0,
    provider         text,
    attempts         integer NOT NULL DEFAULT 0,
    attempt_log      jsonb NOT NULL DEFAULT '[]',
    reason           text,
    detail           text,
    payload_sha      bytea REFERENCES fintrack.payloads,
    rows_loaded      integer NOT NULL DEFAULT 0,
    rows_quarantined integer NOT NULL DEFAULT 0,
    deadline_at      timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    finished_at      timestamptz
) WITH (fillfactor = 70);
CREATE INDEX run_items_run ON fintrack.run_items (run_id);
CREATE INDEX run_items_payload ON fintrack.run_items (payload_sha);
CREATE INDEX run_items_open ON fintrack.run_items (deadline_at) WHERE finished_at IS NULL;
CREATE INDEX run_items_unfinished ON fintrack.run_items (run_id) WHERE finished_at IS NULL;

CREATE TABLE fintrack.coverage (
    instrument_id integer NOT NULL REFERENCES fintrack.instruments,
    interval      text NOT NULL,
    window_start  timestamptz NOT NULL,
    window_end    timestamptz NOT NULL CHECK (window_end > window_start),
    state         text NOT NULL CHECK (state IN ('empty', 'unavailable')),
    item_id       uuid,
    checked_at    timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval, window_start, window_end)
);

CREATE TABLE fintrack.quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id    uuid NOT NULL REFERENCES fintrack.run_items ON DELETE CASCADE,
    row_key    text NOT NULL,
    rule       text NOT NULL,
    detail     text NOT NULL,
    content    jsonb NOT NULL,
    status     text NOT NULL DEFAULT 'held' CHECK (status IN ('held', 'released', 'discarded')),
    created_at timestamptz NOT NULL,
    UNIQUE (item_id, row_key, rule)
);

CREATE TABLE fintrack.dead_letters (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id    uuid NOT NULL UNIQUE REFERENCES fintrack.run_items ON DELETE CASCADE,
    reason     text NOT NULL,
    detail     text NOT NULL,
    created_at timestamptz NOT NULL,
    retried_at timestamptz
);

CREATE TABLE fintrack.outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid NOT NULL UNIQUE,
    run_id       uuid,
    topic        text NOT NULL,
    key          text NOT NULL,
    value        text NOT NULL,
    created_at   timestamptz NOT NULL,
    published_at timestamptz
);
CREATE INDEX outbox_created ON fintrack.outbox USING brin (created_at);
CREATE INDEX outbox_waiting ON fintrack.outbox (id) WHERE published_at IS NULL;
"""

PRICES = """
CREATE TABLE fintrack.quotes (
    instrument_id    integer NOT NULL REFERENCES fintrack.instruments,
    timestamp        timestamptz NOT NULL,
    source           text NOT NULL,
    price            numeric NOT NULL CHECK (price > 0 AND price < 'Infinity'),
    volume           numeric CHECK (volume >= 0 AND volume < 'Infinity'),
    currency         text,
    previous_close   numeric,
    price_change     numeric,
    price_change_pct numeric,
    open             numeric,
    high             numeric,
    low              numeric,
    bid              numeric,
    ask              numeric,
    item_id          uuid NOT NULL,
    received_at      timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, timestamp, source)
);

CREATE TABLE fintrack.bars (
    instrument_id integer NOT NULL REFERENCES fintrack.instruments,
    interval      text NOT NULL CHECK (interval IN ('1d', '1h', '15m')),
    timestamp     timestamptz NOT NULL,
    open          numeric NOT NULL CHECK (open > 0 AND open < 'Infinity'),
    high          numeric NOT NULL CHECK (high > 0 AND high < 'Infinity'),
    low           numeric NOT NULL CHECK (low > 0 AND low < 'Infinity'),
    close         numeric NOT NULL CHECK (close > 0 AND close < 'Infinity'),
    adj_close     numeric,
    volume        numeric CHECK (volume >= 0 AND volume < 'Infinity'),
    currency      text,
    is_final      boolean NOT NULL,
    source        text NOT NULL,
    item_id       uuid NOT NULL,
    valid_from    timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval, timestamp)
) PARTITION BY RANGE (timestamp);

CREATE TABLE fintrack.bar_versions (
    instrument_id integer NOT NULL,
    interval      text NOT NULL,
    timestamp     timestamptz NOT NULL,
    open          numeric NOT NULL,
    high          numeric NOT NULL,
    low           numeric NOT NULL,
    close         numeric NOT NULL,
    adj_close     numeric,
    volume        numeric,
    currency      text,
    is_final      boolean NOT NULL,
    source        text NOT NULL,
    item_id       uuid NOT NULL,
    valid_from    timestamptz NOT NULL,
    valid_to      timestamptz NOT NULL,
    replaced_by   uuid NOT NULL,
    PRIMARY KEY (instrument_id, interval, timestamp, valid_to, replaced_by)
);

CREATE TABLE fintrack.index_indicators (
    instrument_id  integer NOT NULL REFERENCES fintrack.instruments,
    interval       text NOT NULL,
    timestamp      timestamptz NOT NULL,
    sma_20         numeric,
    sma_50         numeric,
    rsi_14         numeric,
    macd           numeric,
    macd_signal    numeric,
    macd_histogram numeric,
    volatility_20  numeric,
    computed_at    timestamptz NOT NULL,
    PRIMARY KEY (instrument_id, interval, timestamp)
);

CREATE TABLE fintrack.fx_rates (
    base      text NOT NULL,
    quote     text NOT NULL,
    timestamp timestamptz NOT NULL,
    rate      numeric NOT NULL CHECK (rate > 0 AND rate < 'Infinity'),
    source    text NOT NULL,
    PRIMARY KEY (base, quote, timestamp, source)
);
"""

OPERATIONS = """
CREATE TABLE fintrack.quality_metrics (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id        uuid,
    instrument_id integer REFERENCES fintrack.instruments,
    day           date NOT NULL,
    metric        text NOT NULL,
    value         numeric NOT NULL,
    detail        jsonb,
    created_at    timestamptz NOT NULL
);
CREATE INDEX quality_metrics_instrument ON fintrack.quality_metrics (instrument_id, day);

CREATE TABLE fintrack.audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor      text NOT NULL,
    action     text NOT NULL,
    subject    text NOT NULL,
    detail     jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);

CREATE TABLE fintrack.alerts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule        text NOT NULL,
    severity    text NOT NULL,
    subject     text NOT NULL,
    detail      text NOT NULL,
    created_at  timestamptz NOT NULL,
    resolved_at timestamptz
);
"""

VIEWS = """
CREATE VIEW fintrack.market_data AS
SELECT i.symbol, i.asset_class, q.timestamp, q.price, q.volume, coalesce(q.currency, i.currency) AS currency, q.source,
       q.previous_close, q.price_change, q.price_change_pct, q.open, q.high, q.low, q.bid, q.ask, q.received_at,
       q.item_id
FROM fintrack.quotes q JOIN fintrack.instruments i ON i.id = q.instrument_id;

CREATE VIEW fintrack.historical_market_data AS
SELECT i.symbol, b.interval, b.timestamp, b.open, b.high, b.low, b.close, b.adj_close, b.volume, b.is_final, b.source,
       i.asset_class, coalesce(b.currency, i.currency) AS currency, b.valid_from, b.item_id
FROM fintrack.bars b JOIN fintrack.instruments i ON i.id = b.instrument_id;

CREATE VIEW fintrack.market_index_data AS
SELECT i.symbol, b.interval, b.timestamp, b.open, b.high, b.low, b.close, b.adj_close, b.volume, b.is_final, b.source,
       x.sma_20, x.sma_50, x.rsi_14, x.macd, x.macd_signal, x.macd_histogram, x.volatility_20, x.computed_at
FROM fintrack.index_indicators x
JOIN fintrack.bars b USING (instrument_id, interval, timestamp)
JOIN fintrack.instruments i ON i.id = x.instrument_id;
"""

GRANTS = """
GRANT USAGE ON SCHEMA fintrack TO fintrack_reader, fintrack_writer, fintrack_admin;
GRANT SELECT ON fintrack.market_data, fintrack.historical_market_data, fintrack.market_index_data TO fintrack_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fintrack TO fintrack_writer;
REVOKE INSERT, UPDATE, DELETE ON fintrack.alembic_version FROM fintrack_writer;
REVOKE UPDATE, DELETE ON fintrack.audit_log FROM fintrack_writer;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA fintrack TO fintrack_writer;
GRANT ALL ON ALL TABLES IN SCHEMA fintrack TO fintrack_admin;
GRANT ALL ON SCHEMA fintrack TO fintrack_admin;
"""

SEARCH_PATH = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = fintrack, public', current_database()); END $$
"""


def upgrade() -> None:
    """Make everything."""
    for statement in (ROLES, INSTRUMENTS, PAYLOADS, LEDGER, PRICES, OPERATIONS, VIEWS):
        op.execute(statement)
    op.execute(
        "CREATE TABLE fintrack.bars_past PARTITION OF fintrack.bars FOR VALUES FROM (MINVALUE) TO ('2000-01-01Z')"
    )
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        op.execute(
            f"CREATE TABLE fintrack.bars_{year} PARTITION OF fintrack.bars "
            f"FOR VALUES FROM ('{year}-01-01Z') TO ('{year + 1}-01-01Z')"
        )
    op.execute("CREATE TABLE fintrack.bars_other PARTITION OF fintrack.bars DEFAULT")
    op.execute(GRANTS)
    op.execute(SEARCH_PATH)


def downgrade() -> None:
    """Remove everything but the roles, which other databases of the server may use."""
    op.execute("DROP VIEW fintrack.market_data, fintrack.historical_market_data, fintrack.market_index_data")
    op.execute(
        "DROP TABLE fintrack.quotes, fintrack.bars, fintrack.bar_versions, fintrack.index_indicators,"
        " fintrack.fx_rates, fintrack.quality_metrics, fintrack.audit_log, fintrack.alerts, fintrack.quarantine,"
        " fintrack.dead_letters, fintrack.outbox, fintrack.coverage, fintrack.run_items, fintrack.runs,"
        " fintrack.payloads, fintrack.instruments"
    )
