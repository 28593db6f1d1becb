"""Bars at times of any zone, and what the checks by trading sessions find on them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.domain import Batch, Instrument, Interval, Kind, to_micros
from fintrack_tasks.session_times import calendar_sessions, instrument_sessions
from fintrack_tasks.validate import ValidationContext, check_batch
from fintrack_tasks.validate.context import PriorBars

NOW = datetime(2025, 1, 2, tzinfo=UTC)


SESSION_RULES = ("shifted_zone", "outside_session", "unlisted_session")


def found(symbol: str, interval: Interval, times: list[datetime]) -> list[tuple[str, int | None]]:
    """The findings of this module on bars whose prices are all alike but for a little."""
    instrument = Instrument.of(symbol)
    prices = [f"100.{place:04}" for place in range(len(times))]
    columns = dict.fromkeys(("open", "high", "low", "close"), prices)
    batch = Batch(
        Kind.BARS,
        symbol,
        "x",
        {"timestamp": [to_micros(at) for at in times], **columns, "volume": [None] * len(times)},
        interval=interval,
    )
    context = ValidationContext(instrument.asset_class, instrument_sessions(instrument))
    return [(one.rule, one.row) for one in check_batch(batch, NOW, context=context)]


def days(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]


def local(zone: str, *texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in texts]


def judged(
    symbol: str,
    interval: Interval,
    rows: list[tuple[datetime, float]],
    *,
    flat: bool = False,
    flat_rows: tuple[int, ...] = (),
    before: datetime | None = None,
) -> list[tuple[str, str, int | None]]:
    """The findings on traded bars: each has a range, and the volume that is given."""
    instrument = Instrument.of(symbol)
    closes = [100 + place / 10 for place in range(len(rows))]
    ranges = [0 if flat or place in flat_rows else 0.5 for place in range(len(rows))]
    columns = {
        "timestamp": [to_micros(at) for at, _ in rows],
        "open": [f"{close}" for close in closes],
        "high": [f"{close + half}" for close, half in zip(closes, ranges, strict=True)],
        "low": [f"{close - half}" for close, half in zip(closes, ranges, strict=True)],
        "close": [f"{close}" for close in closes],
        "volume": [f"{volume}" for _, volume in rows],
    }
    batch = Batch(Kind.BARS, symbol, "x", columns, interval=interval)
    sessions = calendar_sessions(calendar_name(instrument))
    earlier = PriorBars(np.array([to_micros(before)]), *np.full((5, 1), 100.0)) if before else None
    findings = check_batch(batch, NOW, context=ValidationContext(instrument.asset_class, sessions, earlier))
    return [(one.rule, one.severity, one.row) for one in findings]


def volumes(times: list[datetime], *volumes: float) -> list[tuple[datetime, float]]:
    return list(zip(times, volumes, strict=True))
