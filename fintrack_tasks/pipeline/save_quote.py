"""The load of one quote from a user's program (``MarketDataFetcher.save_to_database``), as a run of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fintrack_tasks.domain import REJECT, Batch, Instrument, Item, Kind, decimal_text, to_micros, uuid7
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.load import load_item
from fintrack_tasks.pipeline.plan import Plan, record_run
from fintrack_tasks.settings import Settings
from fintrack_tasks.store import database_mode, instruments
from fintrack_tasks.store.connection import Database
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.validate import check_batch

__all__ = ["save_quote"]


def save_quote(data: Mapping[str, Any], *, settings: Settings, now: datetime) -> None:
    """Check and store one quote as :class:`fintrack_tasks.fetch.MarketDataFetcher` gives it, as a run of its own.

    :raises UsageError: when a value is missing or was filled in, or a check rejects it.
    :raises ConfigurationError: the quote is simulated and the database live, or the other way round.
    """
    if data.get("is_filled"):
        raise UsageError("a value that was filled in is no observation, and is not saved as one")
    try:
        instrument = Instrument.of(data["symbol"])
        columns: dict[str, list[Any]] = {
            "timestamp": [to_micros(data["timestamp"])],
            "price": [decimal_text(data["price"])],
            "volume": [decimal_text(data.get("volume"))],
        }
        batch = Batch(Kind.QUOTE, instrument.symbol, str(data["source"]), columns, data.get("currency"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"not a quote that can be saved: {error!r:.120}") from None
    findings = [finding for finding in check_batch(batch, now) if finding.severity == REJECT]
    if findings:
        raise UsageError(f"the quote was rejected: {findings[0].rule}: {findings[0].detail}")
    database = Database(settings, pool_size=1)
    try:
        database_mode.admit(database, simulated=bool(data.get("simulated", settings.simulated)))
        with database.connection() as conn:
            [(number, known)] = instruments.ensure(conn, [instrument]).values()
            item = Item(uuid7(now.timestamp()), uuid7(now.timestamp()), Kind.QUOTE, known, number)
            record_run(conn, Plan(item.run_id, "save_quote", {"symbols": [known.symbol]}, (item,)), settings, now)
        load_item(item, clean_batch(batch), context=StageContext(database, settings, now))
    finally:
        database.close()
