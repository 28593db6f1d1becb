"""Consensus quotes: those of several providers are kept until there are enough, then combined into their median."""

from __future__ import annotations

from fintrack_tasks.domain import Batch, Item
from fintrack_tasks.fetch import route
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.outcome import Ended, Retry
from fintrack_tasks.store import provider_quotes, run_items
from fintrack_tasks.transform.consensus import combine

__all__ = ["add_provider_quote", "consensus_of"]


def add_provider_quote(item: Item, batch: Batch, *, context: StageContext) -> Batch | Retry | Ended:
    """Keep one provider's quote; ask the next provider, or combine when there are enough or no provider is left."""
    with context.database.connection() as conn:
        held = provider_quotes.add(conn, item, batch)
    following = route.next_provider(item.instrument, item.kind, item.interval, batch.source, context.settings)
    if len(held) < item.consensus and following:
        with context.database.connection() as conn:
            run_items.extend_deadline(conn, item, context.now, context.settings.fintrack_item_deadline_seconds)
        return Retry(following, 0.0, 0)
    return combine(held, context.settings.fintrack_consensus_deviation_bps, item.consensus)


def consensus_of(item: Item, *, context: StageContext) -> Batch | None:
    """The combined quote of the providers that answered; ``None`` when none did."""
    with context.database.connection() as conn:
        held = provider_quotes.held(conn, item)
    return combine(held, context.settings.fintrack_consensus_deviation_bps, item.consensus) if held else None
