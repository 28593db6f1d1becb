"""The tables that :mod:`fintrack_tasks.queries` reads, declared once for SQLAlchemy Core; views are in its ``views``.

The schema itself is made by the migrations and can be read in ``store/schema.sql``; a test holds these declarations to
it, column by column. Importing this module loads SQLAlchemy, which a command does when it reads.
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
    "TIME",
    "anomalies",
    "bar_versions",
    "bars",
    "corporate_actions",
    "declare",
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

TIME = DateTime(timezone=True)


def declare(name: str, /, **types: type[TypeEngine[Any]] | TypeEngine[Any]) -> Table:
    """A table or view of the schema with columns of these types."""
    return Table(name, METADATA, *(Column(column, kind) for column, kind in types.items()))


instruments = declare(
    "instruments",
    id=Integer,
    symbol=Text,
    asset_class=Text,
    currency=Text,
    calendar=Text,
    name=Text,
    is_active=Boolean,
    created_at=TIME,
    paused=Boolean,
)

quotes = declare(
    "quotes",
    instrument_id=Integer,
    timestamp=TIME,
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
    received_at=TIME,
)

_BAR: dict[str, Any] = {
    "instrument_id": Integer,
    "interval": Text,
    "timestamp": TIME,
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
    "valid_from": TIME,
    "adjusted_to": Date,
}

bars = declare("bars", **_BAR)

bar_versions = declare("bar_versions", **_BAR, valid_to=TIME, replaced_by=Uuid)

runs = declare(
    "runs",
    id=Uuid,
    job=Text,
    arguments=JSONB,
    state=Text,
    reason=Text,
    created_at=TIME,
    finished_at=TIME,
    measured_at=TIME,
)

run_items = declare(
    "run_items",
    id=Uuid,
    run_id=Uuid,
    instrument_id=Integer,
    kind=Text,
    interval=Text,
    window_start=TIME,
    window_end=TIME,
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
    deadline_at=TIME,
    created_at=TIME,
    finished_at=TIME,
    budget=SmallInteger,
    consensus=SmallInteger,
    deferred=Boolean,
    losses=Integer,
)

payloads = declare(
    "payloads",
    sha256=LargeBinary,
    provider=Text,
    path=Text,
    status=SmallInteger,
    headers=JSONB,
    body=LargeBinary,
    size=Integer,
    received_at=TIME,
)

outbox = declare(
    "outbox",
    id=BigInteger,
    event_id=Uuid,
    run_id=Uuid,
    topic=Text,
    key=Text,
    value=Text,
    created_at=TIME,
    published_at=TIME,
)

quality_metrics = declare(
    "quality_metrics",
    id=BigInteger,
    run_id=Uuid,
    instrument_id=Integer,
    day=Date,
    metric=Text,
    value=Numeric,
    detail=JSONB,
    created_at=TIME,
)

corporate_actions = declare(
    "corporate_actions",
    id=BigInteger,
    instrument_id=Integer,
    ex_date=Date,
    effective_at=TIME,
    kind=Text,
    numerator=Numeric,
    denominator=Numeric,
    amount=Numeric,
    currency=Text,
    adjusted_to=Date,
    source=Text,
    item_id=Uuid,
    first_seen=TIME,
    changed_at=TIME,
)

flags = declare(
    "flags",
    id=BigInteger,
    instrument_id=Integer,
    interval=Text,
    timestamp=TIME,
    source=Text,
    rule=Text,
    detail=Text,
    item_id=Uuid,
    created_at=TIME,
)

anomalies = declare(
    "anomalies",
    instrument_id=Integer,
    interval=Text,
    timestamp=TIME,
    version=Integer,
    detectors=ARRAY(Text),
    score=Float,
    detail=JSONB,
    run_id=Uuid,
    flagged_at=TIME,
)

quarantine = declare(
    "quarantine",
    id=BigInteger,
    item_id=Uuid,
    row_key=Text,
    rule=Text,
    detail=Text,
    content=JSONB,
    status=Text,
    created_at=TIME,
    currency=Text,
    decided_at=TIME,
    decided_by=Text,
    meta=JSONB,
    seen_at=TIME,
)

index_indicators = declare("index_indicators", instrument_id=Integer, interval=Text, timestamp=TIME)
"""Its key alone: no command shows the values yet."""
