"""Everything that writes: the plan of a run, the stages of an item in the order of its data, and the work after them.

:func:`fetch_item`, :func:`validate_item`, :func:`transform_item` and :func:`load_item` are the stages of one item,
without Celery; :func:`record_run` writes a plan to the ledger before them, :func:`publish_events` and
:func:`reconcile_items` follow. Each takes a :class:`StageContext` and may run twice for the same item: the ledger makes
that idempotent. What only reads for people is in :mod:`fintrack_tasks.queries`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fintrack_tasks.pipeline.context import StageContext
    from fintrack_tasks.pipeline.fetch import fetch_item
    from fintrack_tasks.pipeline.load import load_item
    from fintrack_tasks.pipeline.outcome import DEFERRED, Ended, Retry, fail_item
    from fintrack_tasks.pipeline.plan import record_run
    from fintrack_tasks.pipeline.publish import publish_events
    from fintrack_tasks.pipeline.reconcile import reconcile_items
    from fintrack_tasks.pipeline.transform import transform_item
    from fintrack_tasks.pipeline.validate import validate_item

__all__ = [
    "DEFERRED",
    "Ended",
    "Retry",
    "StageContext",
    "fail_item",
    "fetch_item",
    "load_item",
    "publish_events",
    "reconcile_items",
    "record_run",
    "transform_item",
    "validate_item",
]

_LAZY = {
    "DEFERRED": "outcome",
    "Ended": "outcome",
    "Retry": "outcome",
    "StageContext": "context",
    "fail_item": "outcome",
    "fetch_item": "fetch",
    "load_item": "load",
    "publish_events": "publish",
    "reconcile_items": "reconcile",
    "record_run": "plan",
    "transform_item": "transform",
    "validate_item": "validate",
}


def __getattr__(name: str) -> Any:
    # A command that plans needs no HTTP client, and a drain of the outbox no checks: each stage is imported when used.
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only the first use needs it

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
