"""The validate stage: rejected rows go to quarantine, the rest go on, with the flags that rules raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fintrack_tasks.domain import REJECT, Batch, Finding, Item, Kind
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.load import add_actions
from fintrack_tasks.pipeline.outcome import Ended, fail_item
from fintrack_tasks.pipeline.validation_context import gather
from fintrack_tasks.store import flags, quarantine, run_items
from fintrack_tasks.transform import clean_batch
from fintrack_tasks.validate import Limits, check_batch, split

__all__ = ["validate_item"]

_LIMITS: Final = Limits()


def validate_item(item: Item, batch: Batch, *, context: StageContext) -> Batch | Ended:
    """The rows that pass, with their flags; rejected ones are written to quarantine with their findings.

    Corporate actions beside rows that are all rejected are valid all the same, and are written here.
    """
    known = gather(item, batch, context=context, limits=_LIMITS)
    findings = check_batch(batch, context.now, _LIMITS, known)
    # A quote's time is a new one mostly, on which nothing was marked before: a clean one costs no query.
    if not findings and (item.kind is Kind.QUOTE or not len(batch)):
        return batch
    good, rejected = split(batch, findings)
    with context.database.connection() as conn, conn.transaction():
        if run_items.has_ended(conn, item):
            return Ended("stale")  # a repeated message: what later items have found since stays
        if rejected:
            quarantine.add(conn, item, batch, findings, context.now)
        if len(good):
            flags.replace(conn, item, good, _marks(len(batch), rejected, findings), context.now)
        elif item.kind is not Kind.QUOTE:
            add_actions(conn, item, clean_batch(good), context.now)
    if len(good):
        return good
    detail = f"all {len(batch)} rows rejected: {', '.join(sorted({f.rule for f in findings}))}"
    return fail_item(item, "rejected", detail, context=context, provider=batch.source)


def _marks(rows: int, rejected: Sequence[int], findings: Sequence[Finding]) -> list[Finding]:
    """The flags of the rows that pass, by their positions among these."""
    good = sorted(set(range(rows)).difference(rejected))
    places: dict[int | None, int | None] = {None: None, **{row: place for place, row in enumerate(good)}}
    return [replace(f, row=places[f.row]) for f in findings if f.severity != REJECT and f.row in places]
