"""The values that every room passes about: frozen, exact, with times in aware UTC.

Import them from here: ``from fintrack_tasks.domain import Batch, Instrument``. Each module holds one of them and what
belongs to it.
"""

from __future__ import annotations

from fintrack_tasks.domain.batch import (
    BAR_COLUMNS,
    BATCH_LIMIT,
    CARRIED_COLUMNS,
    INDICATOR_COLUMNS,
    QUOTE_COLUMNS,
    STATE_COLUMNS,
    Batch,
)
from fintrack_tasks.domain.corporate_actions import CorporateAction, payment_amount, split_ratio
from fintrack_tasks.domain.currencies import FxRate, is_currency
from fintrack_tasks.domain.decimals import bounded_decimal, decimal_text
from fintrack_tasks.domain.event import Event
from fintrack_tasks.domain.finding import FLAG, REJECT, Finding
from fintrack_tasks.domain.identifiers import uuid7
from fintrack_tasks.domain.instrument import BENCHMARK, AssetClass, Instrument
from fintrack_tasks.domain.item import Budget, Item, ItemState, Kind
from fintrack_tasks.domain.mode import ORIGIN_HEADER, Mode
from fintrack_tasks.domain.times import Interval, TimeRange, from_micros, to_micros

__all__ = [
    "BAR_COLUMNS",
    "BATCH_LIMIT",
    "BENCHMARK",
    "CARRIED_COLUMNS",
    "FLAG",
    "INDICATOR_COLUMNS",
    "ORIGIN_HEADER",
    "QUOTE_COLUMNS",
    "REJECT",
    "STATE_COLUMNS",
    "AssetClass",
    "Batch",
    "Budget",
    "CorporateAction",
    "Event",
    "Finding",
    "FxRate",
    "Instrument",
    "Interval",
    "Item",
    "ItemState",
    "Kind",
    "Mode",
    "TimeRange",
    "bounded_decimal",
    "decimal_text",
    "from_micros",
    "is_currency",
    "payment_amount",
    "split_ratio",
    "to_micros",
    "uuid7",
]
