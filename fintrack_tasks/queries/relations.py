"""The tables and views that :mod:`fintrack_tasks.queries` reads, declared once for SQLAlchemy Core.

The schema itself is made by the migrations and can be read in ``store/schema.sql``; a test holds these declarations to
it, column by column. Importing this module loads SQLAlchemy, so that a command does it when it reads.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

__all__ = [
    "METADATA",
    "adjusted_bars",
    "anomalies",
    "bar_versions",
    "bars",
    "flags",
    "index_indicators",
    "instruments",
    "outbox",
    "payloads",
    "quality_metrics",
    "quarantine",
    "quotes",
    "run_items",
    "runs",
]

METADATA = MetaData(schema="fintrack")

_TIME = DateTime(timezone=True)


def _relation(name: str, /, **types: type[TypeEngine[Any]] | TypeEngine[Any]) -> Table:
    return Table(name, METADATA, *(Column(column, kind) for column, kind in types.items()))


instruments = _relation(
    "instruments",
    id=Integer,
    symbol=Text,
    asset_class=Text,
    currency=Text,
    calendar=Text,
    name=Text,
    is_active=Boolean,
    created_at=_TIME,
    paused=Boolean,
)

quotes = _relation(
    "quotes",
    instrument_id=Integer,
    timestamp=_TIME,
    source=Text,
    price=Numeric,
    volume=Numeric,
    currency=Text,
    previous_close=Numeric,
    price_change=Numeric,
    price_change_pct=Numeric,
    open=Numeric,
    high=Numeric,
    low=Numeric,
    bid=Numeric,
    ask=Numeric,
    item_id=Uuid,
    received_at=_TIME,
)

_BAR: dict[str, Any] = {
    "instrument_id": Integer,
    "interval": Text,
    "timestamp": _TIME,
    "open": Numeric,
    "high": Numeric,
    "low": Numeric,
    "close": Numeric,
    "adj_close": Numeric,
    "volume": Numeric,
    "currency": Text,
    "is_final": Boolean,
    "source": Text,
    "item_id": Uuid,
    "valid_from": _TIME,
    "adjusted_to": Date,
}

bars = _relation("bars", **_BAR)

bar_versions = _relation("bar_versions", **_BAR, valid_to=_TIME, replaced_by=Uuid)

adjusted_bars = _relation(
    "historical_market_data_adjusted",
    symbol=Text,
    interval=Text,
    timestamp=_TIME,
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
"""The view of bars with prices and volumes adjusted by splits (``split_``) or by splits and dividends (``total_``)."""

runs = _relation(
    "runs",
    id=Uuid,
    job=Text,
    arguments=JSONB,
    state=Text,
    reason=Text,
    created_at=_TIME,
    finished_at=_TIME,
    measured_at=_TIME,
)

run_items = _relation(
    "run_items",
    id=Uuid,
    run_id=Uuid,
    instrument_id=Integer,
    kind=Text,
    interval=Text,
    window_start=_TIME,
    window_end=_TIME,
    state=Text,
    generation=Integer,
    provider=Text,
    attempts=Integer,
    attempt_log=JSONB,
    reason=Text,
    detail=Text,
    payload_sha=LargeBinary,
    rows_loaded=Integer,
    rows_quarantined=Integer,
    deadline_at=_TIME,
    created_at=_TIME,
    finished_at=_TIME,
    budget=SmallInteger,
    consensus=SmallInteger,
    deferred=Boolean,
    losses=Integer,
)

payloads = _relation(
    "payloads",
    sha256=LargeBinary,
    provider=Text,
    path=Text,
    status=SmallInteger,
    headers=JSONB,
    body=LargeBinary,
    size=Integer,
    received_at=_TIME,
)

outbox = _relation(
    "outbox",
    id=BigInteger,
    event_id=Uuid,
    run_id=Uuid,
    topic=Text,
    key=Text,
    value=Text,
    created_at=_TIME,
    published_at=_TIME,
)

quality_metrics = _relation(
    "quality_metrics",
    id=BigInteger,
    run_id=Uuid,
    instrument_id=Integer,
    day=Date,
    metric=Text,
    value=Numeric,
    detail=JSONB,
    created_at=_TIME,
)

flags = _relation(
    "flags",
    id=BigInteger,
    instrument_id=Integer,
    interval=Text,
    timestamp=_TIME,
    source=Text,
    rule=Text,
    detail=Text,
    item_id=Uuid,
    created_at=_TIME,
)

anomalies = _relation(
    "anomalies",
    instrument_id=Integer,
    interval=Text,
    timestamp=_TIME,
    version=Integer,
    detectors=ARRAY(Text),
    score=Float,
    detail=JSONB,
    run_id=Uuid,
    flagged_at=_TIME,
)

quarantine = _relation(
    "quarantine",
    id=BigInteger,
    item_id=Uuid,
    row_key=Text,
    rule=Text,
    detail=Text,
    content=JSONB,
    status=Text,
    created_at=_TIME,
    currency=Text,
    decided_at=_TIME,
    decided_by=Text,
    meta=JSONB,
    seen_at=_TIME,
)

index_indicators = _relation("index_indicators", instrument_id=Integer, interval=Text, timestamp=_TIME)
"""Its key alone: no command shows the values yet."""
