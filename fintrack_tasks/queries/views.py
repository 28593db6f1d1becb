"""The public views of the schema, declared once for SQLAlchemy Core; tables are in its neighbour ``relations``.

A view's definition can be read in ``store/schema.sql``; a test holds these declarations to it, column by column.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Date, Integer, Numeric, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from fintrack_tasks.queries.relations import TIME, declare

__all__ = [
    "corporate_action_factors",
    "data_flags",
    "data_quality",
    "exchange_rates",
    "historical_market_data",
    "historical_market_data_adjusted",
    "historical_market_data_converted",
    "market_data",
    "market_data_converted",
    "market_index_data",
]

corporate_action_factors = declare(
    "corporate_action_factors",
    symbol=Text,
    ex_date=Date,
    kind=Text,
    numerator=Numeric,
    denominator=Numeric,
    amount=Numeric,
    currency=Text,
    source=Text,
    split_factor=Numeric,
    dividend_factor=Numeric,
    previous_session=Date,
    previous_close=Numeric,
    effective_at=TIME,
    adjusted_to=Date,
    first_seen=TIME,
    changed_at=TIME,
    item_id=Uuid,
    instrument_id=Integer,
    id=BigInteger,
)
"""Splits, dividends and capital gains with the factor that each puts on prices before its ex-date."""

data_flags = declare(
    "data_flags",
    symbol=Text,
    asset_class=Text,
    interval=Text,
    timestamp=TIME,
    rule=Text,
    detail=Text,
    source=Text,
    item_id=Uuid,
    created_at=TIME,
)
"""Bars and quotes that a rule or the newest anomaly model flagged."""

data_quality = declare(
    "data_quality",
    symbol=Text,
    asset_class=Text,
    day=Date,
    metric=Text,
    value=Numeric,
    detail=JSONB,
    job=Text,
    run_id=Uuid,
    created_at=TIME,
)
"""The quality metrics of each run, instrument and day."""

exchange_rates = declare(
    "exchange_rates", base=Text, quote=Text, timestamp=TIME, rate=Numeric, source=Text, received_at=TIME
)
"""The fx rates: one unit of ``base`` is ``rate`` units of ``quote``."""

historical_market_data = declare(
    "historical_market_data",
    symbol=Text,
    interval=Text,
    timestamp=TIME,
    open=Numeric,
    high=Numeric,
    low=Numeric,
    close=Numeric,
    adj_close=Numeric,
    volume=Numeric,
    is_final=Boolean,
    source=Text,
    asset_class=Text,
    currency=Text,
    valid_from=TIME,
    item_id=Uuid,
)
"""The current version of every bar."""

historical_market_data_adjusted = declare(
    "historical_market_data_adjusted",
    symbol=Text,
    interval=Text,
    timestamp=TIME,
    open=Numeric,
    high=Numeric,
    low=Numeric,
    close=Numeric,
    volume=Numeric,
    split_factor=Numeric,
    dividend_factor=Numeric,
    split_open=Numeric,
    split_high=Numeric,
    split_low=Numeric,
    split_close=Numeric,
    split_volume=Numeric,
    total_open=Numeric,
    total_high=Numeric,
    total_low=Numeric,
    total_close=Numeric,
    adj_close=Numeric,
    is_final=Boolean,
    source=Text,
    currency=Text,
    adjusted_to=Date,
    item_id=Uuid,
    instrument_id=Integer,
)
"""Bars with prices and volumes adjusted by splits (``split_``) or by splits and dividends (``total_``)."""

historical_market_data_converted = declare(
    "historical_market_data_converted",
    symbol=Text,
    asset_class=Text,
    interval=Text,
    timestamp=TIME,
    open=Numeric,
    high=Numeric,
    low=Numeric,
    close=Numeric,
    currency=Text,
    open_usd=Numeric,
    high_usd=Numeric,
    low_usd=Numeric,
    close_usd=Numeric,
    usd_rate=Numeric,
    usd_rate_as_of=TIME,
    usd_rate_source=Text,
    usd_rate_path=Text,
    finding=Text,
    volume=Numeric,
    is_final=Boolean,
    source=Text,
    item_id=Uuid,
)
"""Bars with prices in US dollars, by the fx rate known at the bar's time."""

market_data = declare(
    "market_data",
    symbol=Text,
    asset_class=Text,
    timestamp=TIME,
    price=Numeric,
    volume=Numeric,
    currency=Text,
    source=Text,
    previous_close=Numeric,
    price_change=Numeric,
    price_change_pct=Numeric,
    open=Numeric,
    high=Numeric,
    low=Numeric,
    bid=Numeric,
    ask=Numeric,
    received_at=TIME,
    item_id=Uuid,
)
"""Quotes as the providers gave them."""

market_data_converted = declare(
    "market_data_converted",
    symbol=Text,
    asset_class=Text,
    timestamp=TIME,
    price=Numeric,
    currency=Text,
    price_usd=Numeric,
    usd_rate=Numeric,
    usd_rate_as_of=TIME,
    usd_rate_source=Text,
    usd_rate_path=Text,
    finding=Text,
    volume=Numeric,
    source=Text,
    received_at=TIME,
    item_id=Uuid,
)
"""Quotes with prices in US dollars, by the fx rate known at the quote's time."""

market_index_data = declare(
    "market_index_data",
    symbol=Text,
    interval=Text,
    timestamp=TIME,
    open=Numeric,
    high=Numeric,
    low=Numeric,
    close=Numeric,
    adj_close=Numeric,
    volume=Numeric,
    is_final=Boolean,
    source=Text,
    sma_20=Numeric,
    sma_50=Numeric,
    rsi_14=Numeric,
    macd=Numeric,
    macd_signal=Numeric,
    macd_histogram=Numeric,
    volatility_20=Numeric,
    change=Numeric,
    change_pct=Numeric,
    log_change=Numeric,
    sma_200=Numeric,
    ema_12=Numeric,
    ema_26=Numeric,
    bollinger_upper=Numeric,
    bollinger_lower=Numeric,
    atr_14=Numeric,
    vwap=Numeric,
    obv=Numeric,
    parkinson_20=Numeric,
    garman_klass_20=Numeric,
    drawdown=Numeric,
    beta_60=Numeric,
    correlation_60=Numeric,
    sharpe_252=Numeric,
    var_95_252=Numeric,
    computed_at=TIME,
)
"""Bars of indices with their indicators."""
