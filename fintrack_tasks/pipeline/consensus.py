"""A quote that several providers are asked for: each one's is kept until there are enough, and then combined."""

from __future__ import annotations

from fintrack_tasks.domain import Batch, Item
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import Ended, Retry
from fintrack_tasks.store import provider_quotes, run_items
from fintrack_tasks.transform.consensus import combine

__all__ = ["add_provider_quote", "consensus_of"]


def add_provider_quote(item: Item, batch: Batch, *, context: StageContext) -> Batch | Retry | Ended:
    """Keep one provider's opinion; ask the next one, or combine them when there are enough or nobody is left."""
    with context.database.connection() as conn:
        held = provider_quotes.add(conn, item, batch)
    following = route.next_provider(item.instrument, item.kind, item.interval, batch.source, context.settings)
    if len(held) < item.consensus and following:
        with context.database.connection() as conn:
            run_items.extend_deadline(conn, item, context.now, context.settings.fintrack_item_deadline_seconds)
        return Retry(following, 0.0, 0)
    return combine(held, context.settings.fintrack_consensus_deviation_bps, item.consensus)


def consensus_of(item: Item, *, context: StageContext) -> Batch | None:
    """What the providers that answered say together; ``None`` when none did."""
    with context.database.connection() as conn:
        held = provider_quotes.held(conn, item)
    return combine(held, context.settings.fintrack_consensus_deviation_bps, item.consensus) if held else None
