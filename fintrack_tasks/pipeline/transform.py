"""The transform stage: clean rows in standard units, and the indicators of an index."""

from __future__ import annotations

from fintrack_tasks.domain import Batch, Item, Kind
from fintrack_tasks.pipeline import indicators
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.transform import clean_batch

__all__ = ["transform_item"]


def transform_item(item: Item, batch: Batch, *, context: StageContext) -> Batch:
    """Clean rows in standard units; an index also gets its indicators, with the stored bars before it as warm-up."""
    cleaned = clean_batch(batch)
    if item.kind is not Kind.INDEX:
        return cleaned
    with context.database.connection() as conn:
        return indicators.indicate(conn, item, cleaned)
