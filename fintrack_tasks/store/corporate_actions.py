"""The table of corporate actions (splits, dividends, capital gains), each once, from whichever source came first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg

from fintrack_tasks.domain import CorporateAction

__all__ = ["add", "splits"]

_ADD: Final = """
WITH given AS (
    SELECT %(instrument)s::integer AS instrument_id, %(ex_date)s::date AS ex_date, %(kind)s::text AS kind,
           %(effective_at)s::timestamptz AS effective_at, %(numerator)s::numeric AS numerator,
           %(denominator)s::numeric AS denominator, %(amount)s::numeric AS amount, %(currency)s::text AS currency,
           %(adjusted_to)s::date AS adjusted_to, %(source)s::text AS source
), written AS (
    INSERT INTO fintrack.corporate_actions AS known (instrument_id, ex_date, kind, effective_at, numerator, denominator,
        amount, currency, adjusted_to, source, item_id, first_seen, changed_at)
    SELECT instrument_id, ex_date, kind, effective_at, numerator, denominator, amount, currency, adjusted_to, source,
           %(item)s, %(now)s, %(now)s FROM given
    -- Some tell a fund's dividend with its capital gains, some apart: of one day all is the first source's.
    WHERE kind = 'split' OR NOT EXISTS (
        SELECT FROM fintrack.corporate_actions o WHERE o.instrument_id = given.instrument_id
        AND o.ex_date = given.ex_date AND o.kind NOT IN ('split', given.kind) AND o.source <> given.source)
    ON CONFLICT (instrument_id, ex_date, kind) DO UPDATE SET
        effective_at = excluded.effective_at, numerator = excluded.numerator, denominator = excluded.denominator,
        amount = excluded.amount, currency = excluded.currency, adjusted_to = excluded.adjusted_to,
        item_id = excluded.item_id, changed_at = excluded.changed_at
    WHERE known.source = excluded.source AND known.changed_at <= excluded.changed_at
      AND (known.numerator * excluded.denominator, known.amount, known.currency)
          IS DISTINCT FROM (excluded.numerator * known.denominator, excluded.amount, excluded.currency)
)
SELECT k.source, k.numerator, k.denominator, k.amount FROM fintrack.corporate_actions k
JOIN given g USING (instrument_id, ex_date, kind)
WHERE k.source <> g.source AND k.numerator * g.denominator IS DISTINCT FROM g.numerator * k.denominator
"""


def add(
    conn: psycopg.Connection,
    instrument_id: int,
    actions: Iterable[CorporateAction],
    source: str,
    item_id: UUID,
    now: datetime,
) -> list[str]:
    """Write actions; returns one line for each split on which another source disagrees. Idempotent.

    An action is identified by instrument, ex-date and kind. Its own source may correct it, unless the answer is older
    than its last correction; of two sources the first one stands, and all payments of one day come from one source.

    :param now: when the provider gave them.
    """
    contradicted = []
    for action in actions:
        row = conn.execute(
            _ADD,
            {
                "instrument": instrument_id,
                "ex_date": action.ex_date,
                "kind": action.kind,
                "effective_at": action.effective_at,
                "numerator": action.numerator,
                "denominator": action.denominator,
                "amount": action.amount,
                "currency": action.currency,
                "adjusted_to": action.adjusted_to,
                "source": source,
                "item": item_id,
                "now": now,
            },
        ).fetchone()
        if row:
            said = f"{row[0]} tells {row[1]}:{row[2]}, {source} {action.numerator}:{action.denominator}"
            contradicted.append(f"the split of {action.ex_date}: {said}; the first stands")
    return contradicted


def splits(conn: psycopg.Connection, instrument_id: int) -> list[CorporateAction]:
    """The splits of an instrument, oldest first."""
    rows = conn.execute(
        "SELECT kind, ex_date, effective_at, numerator, denominator FROM fintrack.corporate_actions"
        " WHERE instrument_id = %s AND kind = 'split' ORDER BY ex_date",
        (instrument_id,),
    )
    return [CorporateAction(*row) for row in rows]
