"""The corporate actions that ``fintrack explain`` shows and ``fintrack aggregate`` warns of.

:mod:`fintrack_tasks.store.corporate_actions` writes them.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import psycopg
from sqlalchemy import select

from fintrack_tasks.queries import relations, views
from fintrack_tasks.queries.execute import fetch_all, fetch_tuples

__all__ = ["factors_after", "splits_between"]


def factors_after(conn: psycopg.Connection, instrument_id: int, day: date) -> list[dict[str, Any]]:
    """The actions with an ex-date after a day, by ex-date and kind, each with its factor on the prices before it."""
    action = views.corporate_action_factors.c
    return fetch_all(
        conn,
        select(
            *(action.ex_date, action.kind, action.numerator, action.denominator, action.amount, action.currency),
            *(action.split_factor, action.dividend_factor, action.previous_session, action.previous_close),
            *(action.adjusted_to, action.effective_at, action.source, action.item_id, action.first_seen),
        )
        .where(action.instrument_id == instrument_id, action.ex_date > day)
        .order_by(action.ex_date, action.kind),
    )


def splits_between(conn: psycopg.Connection, instrument_id: int, first: date, last: date) -> list[date]:
    """The ex-dates of the splits after ``first`` and up to ``last``, ascending."""
    action = relations.corporate_actions.c
    rows = fetch_tuples(
        conn,
        select(action.ex_date)
        .where(
            action.instrument_id == instrument_id,
            action.kind == "split",
            action.ex_date > first,
            action.ex_date <= last,
        )
        .order_by(action.ex_date),
    )
    return [day for (day,) in rows]
