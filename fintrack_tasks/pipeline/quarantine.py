"""A person's decision on a quarantined row: release it into the tables, or discard it. A decision is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fintrack_tasks.domain import FLAG, REJECT, Batch, Finding, Item, uuid7
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.context import StageContext
from fintrack_tasks.pipeline.load import load_released_row
from fintrack_tasks.pipeline.transform import transform_item
from fintrack_tasks.publish import messages
from fintrack_tasks.store import audit, database_mode, flags, quarantine, run_items
from fintrack_tasks.store.quarantine import DISCARDED, RELEASED, Row
from fintrack_tasks.validate import ValidationContext, check_batch, split
from fintrack_tasks.validate.rules import unstorable

__all__ = ["REFUSED", "UNCHANGED", "Decision", "discard_row", "release_row"]

UNCHANGED: Final = "unchanged"
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for a row: ``released``, ``discarded``, ``unchanged`` (decided before) or ``refused``, and why."""

    id: int
    outcome: str
    detail: str


def release_row(number: int, *, actor: str, context: StageContext) -> Decision:
    """Load a row that a check rejected, as its item would have: cleaned, with revisions, event, fx rate and corporate
    actions, in one transaction with the decision.

    The row keeps its item and its source; the audit log names who released which entry, and flags on the row keep the
    rules that it broke. A bar that was provisional when it came is released as provisional. A second release does
    nothing.

    Refused, and still held: a row that cannot be stored at all, and a provisional bar where a final one was loaded
    since.

    :raises UsageError: when there is no such entry.
    """
    with context.database.connection() as conn:
        row = _known(quarantine.get(conn, number), number)
        item = run_items.find_item(conn, row.item_id)
    if row.status != quarantine.HELD:
        return _decided_before(row)
    again = _judged_again(row, item) if item else []
    rule = unstorable(_still_broken(row, again), row.content.get("timestamp"))
    if item is None or rule is not None:
        return Decision(row.id, REFUSED, f"cannot be stored: {_why(row, rule)}")
    batch = _batch(row, item)
    # A zero that is no price is null, as in a row that was never held.
    batch, _ = split(batch, [one for one in again if one.rule == "unknown_price"])
    cleaned = transform_item(item, batch, context=context)
    topic, event_id = context.settings.kafka_topic_market_data, uuid7(context.now.timestamp())
    event = messages.item_loaded(
        item, cleaned, topic, context.now, event_id, simulated=database_mode.is_simulated(context.database)
    )
    with context.database.connection() as conn, conn.transaction():
        claimed = _known(quarantine.claim(conn, number), number)
        if claimed.status != quarantine.HELD:
            return _decided_before(claimed)
        if not load_released_row(conn, item, cleaned, event, context.now, row.seen_at):
            return Decision(row.id, REFUSED, f"provisional at {_utc(row.seen_at)}; a final bar that came later stands")
        quarantine.decide(conn, claimed, RELEASED, actor, context.now)
        broken = [Finding(rule, FLAG, 0, f"released by {actor}: {why}") for rule, why in _reasons(row)]
        flags.add(conn, item, cleaned, broken, context.now)
        audit.add(conn, actor, "quarantine.release", _subject(row), _lineage(row), context.now)
    return Decision(row.id, RELEASED, f"{row.symbol} from {batch.source}, item {row.item_id}")


def discard_row(number: int, *, actor: str, context: StageContext) -> Decision:
    """Keep a row out for good. It stays where it is, with who decided so and when; a second time does nothing.

    :raises UsageError: when there is no such entry.
    """
    with context.database.connection() as conn, conn.transaction():
        row = _known(quarantine.claim(conn, number), number)
        if row.status != quarantine.HELD:
            return _decided_before(row)
        quarantine.decide(conn, row, DISCARDED, actor, context.now)
        audit.add(conn, actor, "quarantine.discard", _subject(row), _lineage(row), context.now)
    return Decision(row.id, DISCARDED, f"{row.symbol}, item {row.item_id}")


def _known(row: Row | None, number: int) -> Row:
    if row is None:
        raise UsageError(f"nothing in quarantine has the number {number}; see: fintrack quarantine list")
    return row


def _decided_before(row: Row) -> Decision:
    when = _utc(row.decided_at) if row.decided_at else "before"
    return Decision(row.id, UNCHANGED, f"{row.status} by {row.decided_by or 'somebody'}, {when}")


def _batch(row: Row, item: Item) -> Batch:
    columns = {name: [cell] for name, cell in row.content.items() if name != "source"}
    source = str(row.content.get("source"))
    return Batch(item.kind, item.instrument.symbol, source, columns, row.currency, item.interval, row.meta)


def _judged_again(row: Row, item: Item) -> list[Finding]:
    return check_batch(_batch(row, item), None, context=ValidationContext(item.instrument.asset_class))


def _still_broken(row: Row, again: Sequence[Finding]) -> list[str]:
    """The rules that still reject a row: one held for a range that the rules allow today is not broken any more."""
    broken = {one.rule for one in again if one.severity == REJECT}
    return [rule for rule in row.rules if rule != "value_ranges" or rule in broken]


def _why(row: Row, rule: str | None) -> str:
    rule = rule if rule in row.rules else row.rules[0]
    return f"{rule}: {row.details[row.rules.index(rule)]}"


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _reasons(row: Row) -> list[tuple[str, str]]:
    return list(zip(row.rules, row.details, strict=True))


def _subject(row: Row) -> str:
    return f"quarantine:{row.id}"


def _lineage(row: Row) -> dict[str, Any]:
    return {
        "quarantine_id": row.id,
        "symbol": row.symbol,
        "interval": row.interval,
        "item_id": row.item_id,
        "source": row.content.get("source"),
        "timestamp": row.content.get("timestamp"),
        "rules": row.rules,
    }
