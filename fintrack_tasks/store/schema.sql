-- The schema that the migrations make, to be read in one place. It is generated, never run and never edited:
-- python -m fintrack_tasks.embedded.schema > fintrack_tasks/store/schema.sql
-- Left out are the partitions of bars: one for each year, bars_past before them and bars_other behind.

CREATE SCHEMA fintrack;

CREATE FUNCTION fintrack.convert_amount(amount numeric, given text, wanted text, at timestamp with time zone, max_age interval DEFAULT '6 days'::interval) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
    SELECT amount * r.rate FROM fintrack.fx_as_of(given, wanted, at, max_age) r
$$;

CREATE FUNCTION fintrack.fx_as_of(given text, wanted text, at timestamp with time zone, max_age interval DEFAULT '6 days'::interval) RETURNS TABLE(rate numeric, as_of timestamp with time zone, source text, path text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
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

CREATE FUNCTION fintrack.fx_leg(given text, wanted text, at timestamp with time zone, max_age interval) RETURNS TABLE(rate numeric, as_of timestamp with time zone, source text, path text)
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
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

CREATE FUNCTION fintrack.refuse_change_of_audit_log() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN
    RAISE EXCEPTION 'the audit log is added to, never changed' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE AGGREGATE fintrack.product(numeric) (
    SFUNC = numeric_mul,
    STYPE = numeric,
    INITCOND = '1'
);

CREATE TABLE fintrack.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE fintrack.alerts (
    id bigint NOT NULL,
    rule text NOT NULL,
    severity text NOT NULL,
    subject text NOT NULL,
    detail text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone
);

ALTER TABLE fintrack.alerts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.alerts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.anomalies (
    instrument_id integer NOT NULL,
    "interval" text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    version integer NOT NULL,
    detectors text[] NOT NULL,
    score double precision NOT NULL,
    detail jsonb NOT NULL,
    run_id uuid,
    flagged_at timestamp with time zone NOT NULL
);

CREATE TABLE fintrack.anomaly_models (
    instrument_id integer NOT NULL,
    "interval" text NOT NULL,
    version integer NOT NULL,
    model jsonb NOT NULL,
    forest bytea,
    fingerprint text NOT NULL,
    trained_at timestamp with time zone NOT NULL,
    CONSTRAINT anomaly_models_version_check CHECK ((version > 0))
);

CREATE TABLE fintrack.audit_log (
    id bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL
);

ALTER TABLE fintrack.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.bar_versions (
    instrument_id integer NOT NULL,
    "interval" text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    open numeric,
    high numeric,
    low numeric,
    close numeric NOT NULL,
    adj_close numeric,
    volume numeric,
    currency text,
    is_final boolean NOT NULL,
    source text NOT NULL,
    item_id uuid NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone NOT NULL,
    replaced_by uuid NOT NULL,
    adjusted_to date
);

CREATE TABLE fintrack.bars (
    instrument_id integer NOT NULL,
    "interval" text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    open numeric,
    high numeric,
    low numeric,
    close numeric NOT NULL,
    adj_close numeric,
    volume numeric,
    currency text,
    is_final boolean NOT NULL,
    source text NOT NULL,
    item_id uuid NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    adjusted_to date,
    CONSTRAINT bars_close_check CHECK (((close > '-Infinity'::numeric) AND (close < 'Infinity'::numeric))),
    CONSTRAINT bars_high_check CHECK (((high > '-Infinity'::numeric) AND (high < 'Infinity'::numeric))),
    CONSTRAINT bars_interval_check CHECK (("interval" = ANY (ARRAY['1d'::text, '1h'::text, '15m'::text]))),
    CONSTRAINT bars_low_check CHECK (((low > '-Infinity'::numeric) AND (low < 'Infinity'::numeric))),
    CONSTRAINT bars_open_check CHECK (((open > '-Infinity'::numeric) AND (open < 'Infinity'::numeric))),
    CONSTRAINT bars_volume_check CHECK (((volume >= (0)::numeric) AND (volume < 'Infinity'::numeric)))
)
PARTITION BY RANGE ("timestamp");

CREATE TABLE fintrack.corporate_actions (
    id bigint NOT NULL,
    instrument_id integer NOT NULL,
    ex_date date NOT NULL,
    effective_at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    numerator numeric,
    denominator numeric,
    amount numeric,
    currency text,
    adjusted_to date,
    source text NOT NULL,
    item_id uuid NOT NULL,
    first_seen timestamp with time zone NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT corporate_actions_amount_check CHECK (((amount > (0)::numeric) AND (amount < 'Infinity'::numeric))),
    CONSTRAINT corporate_actions_check CHECK ((((kind = 'split'::text) = (numerator IS NOT NULL)) AND ((kind = 'split'::text) = (denominator IS NOT NULL)) AND ((kind <> 'split'::text) OR (amount IS NULL)))),
    CONSTRAINT corporate_actions_denominator_check CHECK (((denominator > (0)::numeric) AND (denominator < 'Infinity'::numeric))),
    CONSTRAINT corporate_actions_kind_check CHECK ((kind = ANY (ARRAY['split'::text, 'dividend'::text, 'capital_gain'::text]))),
    CONSTRAINT corporate_actions_numerator_check CHECK (((numerator > (0)::numeric) AND (numerator < 'Infinity'::numeric)))
);

CREATE TABLE fintrack.instruments (
    id integer NOT NULL,
    symbol text NOT NULL,
    asset_class text NOT NULL,
    currency text,
    calendar text,
    name text,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    CONSTRAINT instruments_asset_class_check CHECK ((asset_class = ANY (ARRAY['stock'::text, 'crypto'::text, 'forex'::text, 'index'::text, 'commodity'::text]))),
    CONSTRAINT instruments_paused CHECK ((NOT (paused AND is_active)))
);

CREATE VIEW fintrack.corporate_action_factors AS
 SELECT i.symbol,
    a.ex_date,
    a.kind,
    a.numerator,
    a.denominator,
    a.amount,
    a.currency,
    a.source,
        CASE
            WHEN (a.kind = 'split'::text) THEN trim_scale((a.denominator / a.numerator))
            ELSE (1)::numeric
        END AS split_factor,
        CASE
            WHEN (a.kind = 'split'::text) THEN (1)::numeric
            WHEN ((m.amount * d.basis) < ((p.close * c.basis) - (h.amount * d.basis))) THEN round(((1)::numeric - ((m.amount * d.basis) / ((p.close * c.basis) - (h.amount * d.basis)))), 15)
            ELSE NULL::numeric
        END AS dividend_factor,
    ((p."timestamp" AT TIME ZONE 'UTC'::text))::date AS previous_session,
    p.close AS previous_close,
    a.effective_at,
    a.adjusted_to,
    a.first_seen,
    a.changed_at,
    a.item_id,
    a.instrument_id,
    a.id
   FROM ((((((fintrack.corporate_actions a
     JOIN fintrack.instruments i ON ((i.id = a.instrument_id)))
     LEFT JOIN LATERAL ( SELECT b."timestamp",
            b.close,
            b.adjusted_to,
            COALESCE(b.currency, i.currency) AS currency
           FROM fintrack.bars b
          WHERE ((a.kind <> 'split'::text) AND (b.instrument_id = a.instrument_id) AND (b."interval" = '1d'::text) AND (b."timestamp" < ((a.ex_date)::timestamp without time zone AT TIME ZONE 'UTC'::text)) AND (b."timestamp" >= (((a.ex_date - 10))::timestamp without time zone AT TIME ZONE 'UTC'::text)))
          ORDER BY b."timestamp" DESC
         LIMIT 1) p ON (true))
     CROSS JOIN LATERAL ( SELECT (fintrack.product(s.denominator) / fintrack.product(s.numerator)) AS basis
           FROM fintrack.corporate_actions s
          WHERE ((s.instrument_id = a.instrument_id) AND (s.kind = 'split'::text) AND (s.ex_date > GREATEST(((p."timestamp" AT TIME ZONE 'UTC'::text))::date, p.adjusted_to)))) c)
     CROSS JOIN LATERAL ( SELECT (fintrack.product(s.denominator) / fintrack.product(s.numerator)) AS basis
           FROM fintrack.corporate_actions s
          WHERE ((s.instrument_id = a.instrument_id) AND (s.kind = 'split'::text) AND (s.ex_date > GREATEST(a.ex_date, a.adjusted_to)))) d)
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN COALESCE((a.currency = p.currency), true) THEN a.amount
                    ELSE fintrack.convert_amount(a.amount, a.currency, p.currency, a.effective_at)
                END AS amount) m)
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(
                CASE
                    WHEN COALESCE((o.currency = p.currency), true) THEN o.amount
                    ELSE fintrack.convert_amount(o.amount, o.currency, p.currency, o.effective_at)
                END), (0)::numeric) AS amount
           FROM fintrack.corporate_actions o
          WHERE ((a.kind = 'capital_gain'::text) AND (o.instrument_id = a.instrument_id) AND (o.ex_date = a.ex_date) AND (o.kind = 'dividend'::text))) h);

ALTER TABLE fintrack.corporate_actions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.corporate_actions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.coverage (
    instrument_id integer NOT NULL,
    "interval" text NOT NULL,
    window_start timestamp with time zone NOT NULL,
    window_end timestamp with time zone NOT NULL,
    state text NOT NULL,
    item_id uuid,
    checked_at timestamp with time zone NOT NULL,
    confirmations integer DEFAULT 1 NOT NULL,
    providers text[],
    CONSTRAINT coverage_check CHECK ((window_end > window_start)),
    CONSTRAINT coverage_state_check CHECK ((state = ANY (ARRAY['empty'::text, 'unavailable'::text])))
);

CREATE TABLE fintrack.flags (
    id bigint NOT NULL,
    instrument_id integer NOT NULL,
    "interval" text,
    "timestamp" timestamp with time zone NOT NULL,
    source text NOT NULL,
    rule text NOT NULL,
    detail text NOT NULL,
    item_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL
);

CREATE VIEW fintrack.data_flags AS
 SELECT i.symbol,
    i.asset_class,
    f."interval",
    f."timestamp",
    f.rule,
    f.detail,
    f.source,
    f.item_id,
    f.created_at
   FROM (fintrack.flags f
     JOIN fintrack.instruments i ON ((i.id = f.instrument_id)))
UNION ALL
 SELECT i.symbol,
    i.asset_class,
    a."interval",
    a."timestamp",
    'anomaly'::text AS rule,
    ((array_to_string(a.detectors, ', '::text) || ': score '::text) || round((a.score)::numeric, 3)) AS detail,
    b.source,
    b.item_id,
    a.flagged_at AS created_at
   FROM ((fintrack.anomalies a
     JOIN fintrack.instruments i ON ((i.id = a.instrument_id)))
     LEFT JOIN fintrack.bars b USING (instrument_id, "interval", "timestamp"))
  WHERE (NOT (EXISTS ( SELECT
           FROM fintrack.anomalies n
          WHERE (((n.instrument_id = a.instrument_id) AND (n."interval" = a."interval") AND (n."timestamp" = a."timestamp")) AND (n.version > a.version)))));

CREATE TABLE fintrack.quality_metrics (
    id bigint NOT NULL,
    run_id uuid,
    instrument_id integer,
    day date NOT NULL,
    metric text NOT NULL,
    value numeric NOT NULL,
    detail jsonb,
    created_at timestamp with time zone NOT NULL
);

CREATE TABLE fintrack.runs (
    id uuid NOT NULL,
    job text NOT NULL,
    arguments jsonb NOT NULL,
    state text NOT NULL,
    reason text,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    measured_at timestamp with time zone,
    CONSTRAINT runs_state_check CHECK ((state = ANY (ARRAY['running'::text, 'finished'::text, 'partial'::text, 'failed'::text, 'skipped'::text])))
);

CREATE VIEW fintrack.data_quality AS
 SELECT i.symbol,
    i.asset_class,
    q.day,
    q.metric,
    q.value,
    q.detail,
    r.job,
    q.run_id,
    q.created_at
   FROM ((fintrack.quality_metrics q
     JOIN fintrack.instruments i ON ((i.id = q.instrument_id)))
     LEFT JOIN fintrack.runs r ON ((r.id = q.run_id)));

CREATE TABLE fintrack.database_mode (
    only_row boolean DEFAULT true NOT NULL,
    mode text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT database_mode_mode_check CHECK ((mode = ANY (ARRAY['live'::text, 'simulated'::text]))),
    CONSTRAINT database_mode_only_row_check CHECK (only_row)
);

CREATE TABLE fintrack.dead_letters (
    id bigint NOT NULL,
    item_id uuid,
    reason text NOT NULL,
    detail text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    retried_at timestamp with time zone,
    task text,
    message text,
    CONSTRAINT dead_letters_of CHECK (((item_id IS NOT NULL) OR (message IS NOT NULL)))
);

ALTER TABLE fintrack.dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.fx_rates (
    base text NOT NULL,
    quote text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    rate numeric NOT NULL,
    source text NOT NULL,
    received_at timestamp with time zone,
    item_id uuid,
    payload_sha bytea,
    CONSTRAINT fx_rates_rate_check CHECK (((rate > (0)::numeric) AND (rate < 'Infinity'::numeric)))
);

CREATE VIEW fintrack.exchange_rates AS
 SELECT base,
    quote,
    "timestamp",
    rate,
    source,
    received_at
   FROM fintrack.fx_rates;

ALTER TABLE fintrack.flags ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.flags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW fintrack.historical_market_data AS
 SELECT i.symbol,
    b."interval",
    b."timestamp",
    b.open,
    b.high,
    b.low,
    b.close,
    b.adj_close,
    b.volume,
    b.is_final,
    b.source,
    i.asset_class,
    COALESCE(b.currency, i.currency) AS currency,
    b.valid_from,
    b.item_id
   FROM (fintrack.bars b
     JOIN fintrack.instruments i ON ((i.id = b.instrument_id)));

CREATE VIEW fintrack.historical_market_data_adjusted AS
 SELECT n.symbol,
    b."interval",
    b."timestamp",
    b.open,
    b.high,
    b.low,
    b.close,
    b.volume,
    f.split_factor,
    f.dividend_factor,
    trim_scale(((b.open * f.under) / f.over)) AS split_open,
    trim_scale(((b.high * f.under) / f.over)) AS split_high,
    trim_scale(((b.low * f.under) / f.over)) AS split_low,
    trim_scale(((b.close * f.under) / f.over)) AS split_close,
    trim_scale(((b.volume * f.over) / f.under)) AS split_volume,
    trim_scale((((b.open * f.under) * f.dividend_factor) / f.over)) AS total_open,
    trim_scale((((b.high * f.under) * f.dividend_factor) / f.over)) AS total_high,
    trim_scale((((b.low * f.under) * f.dividend_factor) / f.over)) AS total_low,
    trim_scale((((b.close * f.under) * f.dividend_factor) / f.over)) AS total_close,
    b.adj_close,
    b.is_final,
    b.source,
    COALESCE(b.currency, n.currency) AS currency,
    b.adjusted_to,
    b.item_id,
    b.instrument_id
   FROM ((( SELECT i.id,
            i.symbol,
            i.currency,
            array_agg(x.ex_date) AS ex_dates,
            array_agg(x.effective_at) AS moments,
            array_agg(x.kind) AS kinds,
            array_agg(x.numerator) AS overs,
            array_agg(x.denominator) AS unders,
            array_agg(x.dividend_factor) AS factors
           FROM (fintrack.instruments i
             LEFT JOIN fintrack.corporate_action_factors x ON ((x.instrument_id = i.id)))
          GROUP BY i.id, i.symbol, i.currency) n
     JOIN fintrack.bars b ON ((b.instrument_id = n.id)))
     CROSS JOIN LATERAL ( SELECT g.over,
            g.under,
            trim_scale((g.under / g.over)) AS split_factor,
            trim_scale(g.dividend_factor) AS dividend_factor
           FROM ( SELECT fintrack.product(a.over) FILTER (WHERE ((a.kind = 'split'::text) AND a.fresh)) AS over,
                    fintrack.product(a.under) FILTER (WHERE ((a.kind = 'split'::text) AND a.fresh)) AS under,
                        CASE
                            WHEN (NOT COALESCE(bool_or(((a.kind <> 'split'::text) AND (a.factor IS NULL))), false)) THEN round(fintrack.product(a.factor) FILTER (WHERE (a.kind <> 'split'::text)), 15)
                            ELSE NULL::numeric
                        END AS dividend_factor
                   FROM ( SELECT e.kind,
                            e.over,
                            e.under,
                            e.factor,
                            ((b.adjusted_to IS NULL) OR (e.ex_date > b.adjusted_to)) AS fresh
                           FROM UNNEST(n.ex_dates, n.moments, n.kinds, n.overs, n.unders, n.factors) e(ex_date, moment, kind, over, under, factor)
                          WHERE
                                CASE
                                    WHEN (b."interval" = '1d'::text) THEN (e.ex_date > ((b."timestamp" AT TIME ZONE 'UTC'::text))::date)
                                    ELSE (e.moment > b."timestamp")
                                END) a) g) f);

CREATE VIEW fintrack.historical_market_data_converted AS
 SELECT h.symbol,
    h.asset_class,
    h."interval",
    h."timestamp",
    h.open,
    h.high,
    h.low,
    h.close,
    h.currency,
    (h.open * r.rate) AS open_usd,
    (h.high * r.rate) AS high_usd,
    (h.low * r.rate) AS low_usd,
    (h.close * r.rate) AS close_usd,
    r.rate AS usd_rate,
    r.as_of AS usd_rate_as_of,
    r.source AS usd_rate_source,
    r.path AS usd_rate_path,
        CASE
            WHEN (h.currency IS NULL) THEN 'no_currency'::text
            WHEN (r.rate IS NULL) THEN 'no_rate'::text
            ELSE NULL::text
        END AS finding,
    h.volume,
    h.is_final,
    h.source,
    h.item_id
   FROM (fintrack.historical_market_data h
     LEFT JOIN LATERAL fintrack.fx_as_of(h.currency, 'USD'::text, h."timestamp") r(rate, as_of, source, path) ON (true));

CREATE TABLE fintrack.index_indicators (
    instrument_id integer NOT NULL,
    "interval" text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    sma_20 numeric,
    sma_50 numeric,
    rsi_14 numeric,
    macd numeric,
    macd_signal numeric,
    macd_histogram numeric,
    volatility_20 numeric,
    computed_at timestamp with time zone NOT NULL,
    change numeric,
    change_pct numeric,
    log_change numeric,
    sma_200 numeric,
    ema_12 numeric,
    ema_26 numeric,
    bollinger_upper numeric,
    bollinger_lower numeric,
    atr_14 numeric,
    vwap numeric,
    obv numeric,
    parkinson_20 numeric,
    garman_klass_20 numeric,
    drawdown numeric,
    beta_60 numeric,
    correlation_60 numeric,
    sharpe_252 numeric,
    var_95_252 numeric,
    bars_seen numeric,
    rsi_gain numeric,
    rsi_loss numeric,
    macd_fast numeric,
    peak numeric
);

ALTER TABLE fintrack.instruments ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.instruments_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.quotes (
    instrument_id integer NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    source text NOT NULL,
    price numeric NOT NULL,
    volume numeric,
    currency text,
    previous_close numeric,
    price_change numeric,
    price_change_pct numeric,
    open numeric,
    high numeric,
    low numeric,
    bid numeric,
    ask numeric,
    item_id uuid NOT NULL,
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT quotes_price_check CHECK (((price > '-Infinity'::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT quotes_volume_check CHECK (((volume >= (0)::numeric) AND (volume < 'Infinity'::numeric)))
);

CREATE VIEW fintrack.market_data AS
 SELECT i.symbol,
    i.asset_class,
    q."timestamp",
    q.price,
    q.volume,
    COALESCE(q.currency, i.currency) AS currency,
    q.source,
    q.previous_close,
    q.price_change,
    q.price_change_pct,
    q.open,
    q.high,
    q.low,
    q.bid,
    q.ask,
    q.received_at,
    q.item_id
   FROM (fintrack.quotes q
     JOIN fintrack.instruments i ON ((i.id = q.instrument_id)));

CREATE VIEW fintrack.market_data_converted AS
 SELECT m.symbol,
    m.asset_class,
    m."timestamp",
    m.price,
    m.currency,
    (m.price * r.rate) AS price_usd,
    r.rate AS usd_rate,
    r.as_of AS usd_rate_as_of,
    r.source AS usd_rate_source,
    r.path AS usd_rate_path,
        CASE
            WHEN (m.currency IS NULL) THEN 'no_currency'::text
            WHEN (r.rate IS NULL) THEN 'no_rate'::text
            ELSE NULL::text
        END AS finding,
    m.volume,
    m.source,
    m.received_at,
    m.item_id
   FROM (fintrack.market_data m
     LEFT JOIN LATERAL fintrack.fx_as_of(m.currency, 'USD'::text, m."timestamp") r(rate, as_of, source, path) ON (true));

CREATE VIEW fintrack.market_index_data AS
 SELECT i.symbol,
    b."interval",
    b."timestamp",
    b.open,
    b.high,
    b.low,
    b.close,
    b.adj_close,
    b.volume,
    b.is_final,
    b.source,
    x.sma_20,
    x.sma_50,
    x.rsi_14,
    x.macd,
    x.macd_signal,
    x.macd_histogram,
    x.volatility_20,
    x.change,
    x.change_pct,
    x.log_change,
    x.sma_200,
    x.ema_12,
    x.ema_26,
    x.bollinger_upper,
    x.bollinger_lower,
    x.atr_14,
    x.vwap,
    x.obv,
    x.parkinson_20,
    x.garman_klass_20,
    x.drawdown,
    x.beta_60,
    x.correlation_60,
    x.sharpe_252,
    x.var_95_252,
    x.computed_at
   FROM ((fintrack.index_indicators x
     JOIN fintrack.bars b USING (instrument_id, "interval", "timestamp"))
     JOIN fintrack.instruments i ON ((i.id = x.instrument_id)));

CREATE TABLE fintrack.message_keys (
    id bigint NOT NULL,
    secret bytea DEFAULT decode(replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text), 'hex'::text) NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT message_keys_secret_check CHECK ((length(secret) >= 32))
);

ALTER TABLE fintrack.message_keys ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.message_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.opinions (
    item_id uuid NOT NULL,
    provider text NOT NULL,
    batch jsonb NOT NULL
);

CREATE TABLE fintrack.outbox (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    run_id uuid,
    topic text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    published_at timestamp with time zone
);

ALTER TABLE fintrack.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.payloads (
    sha256 bytea NOT NULL,
    provider text NOT NULL,
    path text NOT NULL,
    status smallint NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    size integer NOT NULL,
    received_at timestamp with time zone NOT NULL
);

ALTER TABLE fintrack.quality_metrics ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.quality_metrics_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.quarantine (
    id bigint NOT NULL,
    item_id uuid NOT NULL,
    row_key text NOT NULL,
    rule text NOT NULL,
    detail text NOT NULL,
    content jsonb NOT NULL,
    status text DEFAULT 'held'::text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    currency text,
    decided_at timestamp with time zone,
    decided_by text,
    meta jsonb,
    seen_at timestamp with time zone NOT NULL,
    CONSTRAINT quarantine_status_check CHECK ((status = ANY (ARRAY['held'::text, 'released'::text, 'discarded'::text])))
);

ALTER TABLE fintrack.quarantine ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fintrack.quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fintrack.run_items (
    id uuid NOT NULL,
    run_id uuid NOT NULL,
    instrument_id integer NOT NULL,
    kind text NOT NULL,
    "interval" text,
    window_start timestamp with time zone,
    window_end timestamp with time zone,
    state text DEFAULT 'queued'::text NOT NULL,
    generation integer DEFAULT 0 NOT NULL,
    provider text,
    attempts integer DEFAULT 0 NOT NULL,
    attempt_log jsonb DEFAULT '[]'::jsonb NOT NULL,
    reason text,
    detail text,
    payload_sha bytea,
    rows_loaded integer DEFAULT 0 NOT NULL,
    rows_quarantined integer DEFAULT 0 NOT NULL,
    deadline_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    budget smallint DEFAULT 0 NOT NULL,
    consensus smallint DEFAULT 1 NOT NULL,
    deferred boolean DEFAULT false NOT NULL,
    losses integer DEFAULT 0 NOT NULL,
    CONSTRAINT run_items_budget_check CHECK (((budget >= 0) AND (budget <= 2))),
    CONSTRAINT run_items_consensus_check CHECK ((consensus >= 1)),
    CONSTRAINT run_items_kind_check CHECK ((kind = ANY (ARRAY['quote'::text, 'bars'::text, 'index'::text]))),
    CONSTRAINT run_items_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'fetched'::text, 'loaded'::text, 'empty'::text, 'failed'::text])))
)
WITH (fillfactor='70');

ALTER TABLE ONLY fintrack.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY fintrack.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.anomalies
    ADD CONSTRAINT anomalies_pkey PRIMARY KEY (instrument_id, "interval", "timestamp", version);

ALTER TABLE ONLY fintrack.anomaly_models
    ADD CONSTRAINT anomaly_models_instrument_id_interval_fingerprint_key UNIQUE (instrument_id, "interval", fingerprint);

ALTER TABLE ONLY fintrack.anomaly_models
    ADD CONSTRAINT anomaly_models_pkey PRIMARY KEY (instrument_id, "interval", version);

ALTER TABLE ONLY fintrack.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.bar_versions
    ADD CONSTRAINT bar_versions_pkey PRIMARY KEY (instrument_id, "interval", "timestamp", valid_to, replaced_by);

ALTER TABLE ONLY fintrack.bars
    ADD CONSTRAINT bars_pkey PRIMARY KEY (instrument_id, "interval", "timestamp");

ALTER TABLE ONLY fintrack.corporate_actions
    ADD CONSTRAINT corporate_actions_instrument_id_ex_date_kind_key UNIQUE (instrument_id, ex_date, kind);

ALTER TABLE ONLY fintrack.corporate_actions
    ADD CONSTRAINT corporate_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.coverage
    ADD CONSTRAINT coverage_pkey PRIMARY KEY (instrument_id, "interval", window_start, window_end);

ALTER TABLE ONLY fintrack.database_mode
    ADD CONSTRAINT database_mode_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY fintrack.dead_letters
    ADD CONSTRAINT dead_letters_item_id_key UNIQUE (item_id);

ALTER TABLE ONLY fintrack.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.flags
    ADD CONSTRAINT flags_once UNIQUE NULLS NOT DISTINCT (instrument_id, "interval", "timestamp", source, rule);

ALTER TABLE ONLY fintrack.flags
    ADD CONSTRAINT flags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.fx_rates
    ADD CONSTRAINT fx_rates_pkey PRIMARY KEY (base, quote, "timestamp", source);

ALTER TABLE ONLY fintrack.index_indicators
    ADD CONSTRAINT index_indicators_pkey PRIMARY KEY (instrument_id, "interval", "timestamp");

ALTER TABLE ONLY fintrack.instruments
    ADD CONSTRAINT instruments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.instruments
    ADD CONSTRAINT instruments_symbol_asset_class_key UNIQUE (symbol, asset_class);

ALTER TABLE ONLY fintrack.message_keys
    ADD CONSTRAINT message_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.opinions
    ADD CONSTRAINT opinions_pkey PRIMARY KEY (item_id, provider);

ALTER TABLE ONLY fintrack.outbox
    ADD CONSTRAINT outbox_event_id_key UNIQUE (event_id);

ALTER TABLE ONLY fintrack.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.payloads
    ADD CONSTRAINT payloads_pkey PRIMARY KEY (sha256);

ALTER TABLE ONLY fintrack.quality_metrics
    ADD CONSTRAINT quality_metrics_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.quarantine
    ADD CONSTRAINT quarantine_item_id_row_key_rule_key UNIQUE (item_id, row_key, rule);

ALTER TABLE ONLY fintrack.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.quotes
    ADD CONSTRAINT quotes_pkey PRIMARY KEY (instrument_id, "timestamp", source);

ALTER TABLE ONLY fintrack.run_items
    ADD CONSTRAINT run_items_pkey PRIMARY KEY (id);

ALTER TABLE ONLY fintrack.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);

CREATE INDEX dead_letters_messages ON fintrack.dead_letters USING btree (id) WHERE (item_id IS NULL);

CREATE INDEX flags_item ON fintrack.flags USING btree (item_id);

CREATE INDEX outbox_created ON fintrack.outbox USING brin (created_at);

CREATE INDEX outbox_waiting ON fintrack.outbox USING btree (id) WHERE (published_at IS NULL);

CREATE INDEX quality_metrics_day ON fintrack.quality_metrics USING brin (day);

CREATE INDEX quality_metrics_instrument ON fintrack.quality_metrics USING btree (instrument_id, day);

CREATE UNIQUE INDEX quality_metrics_once ON fintrack.quality_metrics USING btree (run_id, instrument_id, day, metric, COALESCE((detail ->> 'provider'::text), ''::text));

CREATE INDEX quarantine_content ON fintrack.quarantine USING btree (md5((content)::text));

CREATE INDEX quarantine_held ON fintrack.quarantine USING btree (id) WHERE (status = 'held'::text);

CREATE INDEX run_items_open ON fintrack.run_items USING btree (deadline_at) WHERE (finished_at IS NULL);

CREATE INDEX run_items_payload ON fintrack.run_items USING btree (payload_sha);

CREATE INDEX run_items_run ON fintrack.run_items USING btree (run_id);

CREATE INDEX run_items_unfinished ON fintrack.run_items USING btree (run_id) WHERE (finished_at IS NULL);

CREATE INDEX runs_created ON fintrack.runs USING btree (created_at DESC);

CREATE INDEX runs_open ON fintrack.runs USING btree (job, created_at) WHERE (finished_at IS NULL);

CREATE INDEX runs_unmeasured ON fintrack.runs USING btree (finished_at) WHERE ((measured_at IS NULL) AND (finished_at IS NOT NULL));

CREATE TRIGGER audit_log_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON fintrack.audit_log FOR EACH STATEMENT EXECUTE FUNCTION fintrack.refuse_change_of_audit_log();

ALTER TABLE ONLY fintrack.anomalies
    ADD CONSTRAINT anomalies_instrument_id_interval_version_fkey FOREIGN KEY (instrument_id, "interval", version) REFERENCES fintrack.anomaly_models(instrument_id, "interval", version);

ALTER TABLE ONLY fintrack.anomaly_models
    ADD CONSTRAINT anomaly_models_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE fintrack.bars
    ADD CONSTRAINT bars_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.corporate_actions
    ADD CONSTRAINT corporate_actions_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.coverage
    ADD CONSTRAINT coverage_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.dead_letters
    ADD CONSTRAINT dead_letters_item_id_fkey FOREIGN KEY (item_id) REFERENCES fintrack.run_items(id) ON DELETE CASCADE;

ALTER TABLE ONLY fintrack.flags
    ADD CONSTRAINT flags_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.index_indicators
    ADD CONSTRAINT index_indicators_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.opinions
    ADD CONSTRAINT opinions_item_id_fkey FOREIGN KEY (item_id) REFERENCES fintrack.run_items(id) ON DELETE CASCADE;

ALTER TABLE ONLY fintrack.quality_metrics
    ADD CONSTRAINT quality_metrics_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.quarantine
    ADD CONSTRAINT quarantine_item_id_fkey FOREIGN KEY (item_id) REFERENCES fintrack.run_items(id) ON DELETE CASCADE;

ALTER TABLE ONLY fintrack.quotes
    ADD CONSTRAINT quotes_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.run_items
    ADD CONSTRAINT run_items_instrument_id_fkey FOREIGN KEY (instrument_id) REFERENCES fintrack.instruments(id);

ALTER TABLE ONLY fintrack.run_items
    ADD CONSTRAINT run_items_payload_sha_fkey FOREIGN KEY (payload_sha) REFERENCES fintrack.payloads(sha256);

ALTER TABLE ONLY fintrack.run_items
    ADD CONSTRAINT run_items_run_id_fkey FOREIGN KEY (run_id) REFERENCES fintrack.runs(id) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA fintrack TO fintrack_reader;
GRANT USAGE ON SCHEMA fintrack TO fintrack_writer;
GRANT ALL ON SCHEMA fintrack TO fintrack_admin;

GRANT SELECT ON TABLE fintrack.alembic_version TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.alembic_version TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.alerts TO fintrack_writer;

GRANT USAGE ON SEQUENCE fintrack.alerts_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.anomalies TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.anomalies TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.anomaly_models TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.anomaly_models TO fintrack_reader;

GRANT SELECT,INSERT ON TABLE fintrack.audit_log TO fintrack_admin;
GRANT SELECT,INSERT ON TABLE fintrack.audit_log TO fintrack_writer;

GRANT USAGE ON SEQUENCE fintrack.audit_log_id_seq TO fintrack_writer;

GRANT SELECT,INSERT ON TABLE fintrack.bar_versions TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.bar_versions TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.bars TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.bars TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.corporate_actions TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.corporate_actions TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.instruments TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.instruments TO fintrack_reader;

GRANT SELECT ON TABLE fintrack.corporate_action_factors TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.corporate_action_factors TO fintrack_writer;

GRANT USAGE ON SEQUENCE fintrack.corporate_actions_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.coverage TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.coverage TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.flags TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.flags TO fintrack_reader;

GRANT SELECT ON TABLE fintrack.data_flags TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.data_flags TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.quality_metrics TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.quality_metrics TO fintrack_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.runs TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.runs TO fintrack_reader;

GRANT SELECT ON TABLE fintrack.data_quality TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.data_quality TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.database_mode TO fintrack_reader;
GRANT SELECT,INSERT ON TABLE fintrack.database_mode TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.dead_letters TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.dead_letters TO fintrack_reader;

GRANT USAGE ON SEQUENCE fintrack.dead_letters_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.fx_rates TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.fx_rates TO fintrack_reader;

GRANT SELECT ON TABLE fintrack.exchange_rates TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.exchange_rates TO fintrack_writer;

GRANT USAGE ON SEQUENCE fintrack.flags_id_seq TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.historical_market_data TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.historical_market_data TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.historical_market_data_adjusted TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.historical_market_data_adjusted TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.historical_market_data_converted TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.historical_market_data_converted TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.index_indicators TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.index_indicators TO fintrack_reader;

GRANT USAGE ON SEQUENCE fintrack.instruments_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.quotes TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.quotes TO fintrack_reader;

GRANT SELECT ON TABLE fintrack.market_data TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.market_data TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.market_data_converted TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.market_data_converted TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.market_index_data TO fintrack_reader;
GRANT SELECT ON TABLE fintrack.market_index_data TO fintrack_writer;

GRANT SELECT ON TABLE fintrack.message_keys TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.opinions TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.outbox TO fintrack_writer;

GRANT USAGE ON SEQUENCE fintrack.outbox_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.payloads TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.payloads TO fintrack_reader;

GRANT USAGE ON SEQUENCE fintrack.quality_metrics_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.quarantine TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.quarantine TO fintrack_reader;

GRANT USAGE ON SEQUENCE fintrack.quarantine_id_seq TO fintrack_writer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fintrack.run_items TO fintrack_writer;
GRANT SELECT ON TABLE fintrack.run_items TO fintrack_reader;

ALTER DEFAULT PRIVILEGES FOR ROLE fintrack_admin IN SCHEMA fintrack GRANT USAGE ON SEQUENCES TO fintrack_writer;

ALTER DEFAULT PRIVILEGES FOR ROLE fintrack_admin IN SCHEMA fintrack GRANT SELECT,INSERT,DELETE,UPDATE ON TABLES TO fintrack_writer;
