"""``fintrack quality``: how good the data of each instrument are, worst first, and whether they get better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, Final

import typer

from fintrack_tasks.calendars import calendar_name
from fintrack_tasks.cli import completion
from fintrack_tasks.cli.arguments import calendar_text, parse_instrument
from fintrack_tasks.cli.context import open_connections
from fintrack_tasks.cli.output import console, print_json, table
from fintrack_tasks.errors import UsageError
from fintrack_tasks.queries.quality import flags_by_instrument, metrics_history
from fintrack_tasks.store import instruments
from fintrack_tasks.validate.quality import METRICS, NO_CALENDAR

__all__ = ["quality", "sparkline", "summaries"]

_STEPS: Final = "▁▂▃▄▅▆▇█"
_SHOWN: Final = 50
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_BLOCKS: Final = 20
"""Days of a trend in the table of all instruments; that of one shows them all."""


def quality(
    symbol: Annotated[
        str | None,
        typer.Argument(help="One instrument, metric by metric; default: all.", autocompletion=completion.instrument),
    ] = None,
    days: Annotated[int, typer.Option(help="So many days back.", min=1, max=3650)] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """The newest quality metrics of each instrument and their trend, worst first.

    Each metric is a share, 1.0 the best. Of an instrument that several jobs fetch, the newest measure of each job
    counts, and the lowest of them is shown; the trend is the lowest of each day. Complete is what is stored, between
    its first and its last bar, against the instrument's own calendar; as asked is what came of what a run asked for,
    and does not count in the order.
    """
    chosen = None if symbol is None else parse_instrument(symbol).symbol
    since = (datetime.now(tz=UTC) - timedelta(days=days - 1)).date()
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        rows = metrics_history(conn, METRICS, since, chosen)
        flagged = flags_by_instrument(conn, since)
        known = instruments.find(conn, parse_instrument(symbol)) if symbol else None
    found = summaries(rows, flagged)
    if chosen and not found:
        raise UsageError(f"nothing was measured of {chosen} in {days} days; see: fintrack runs list")
    if as_json:
        calendar = {"calendar": calendar_name(known[1])} if known else {}
        print_json({"since": since, **calendar, "instruments": found})
    elif chosen:
        for each in found:
            _show_one(each)
        if known:
            console.print(f"sessions by: {calendar_text(known[1])}", markup=False, soft_wrap=True)
    else:
        _show_all(found, days)


def summaries(rows: Iterable[Mapping[str, Any]], flagged: Mapping[int, int]) -> list[dict[str, Any]]:
    """The instruments of a history, worst first: ``score`` is the lowest of an instrument's newest metrics.

    :param rows: as :func:`fintrack_tasks.queries.quality.metrics_history` gives them.
    :param flagged: the number of an instrument to its marked bars and quotes.
    """
    made = []
    for number, own in groupby(rows, key=lambda row: row["instrument_id"]):
        mine = list(own)
        metrics = {name: _newest(name, list(some)) for name, some in groupby(mine, key=lambda row: row["metric"])}
        if all(part == NO_CALENDAR for part in (metrics.get("completeness", {}).get("detail") or {"": None}).values()):
            metrics.pop("completeness")  # nobody knows how many bars there should be
        made.append(
            {
                "symbol": mine[0]["symbol"],
                "asset_class": mine[0]["asset_class"],
                "score": min((metric["value"] for name, metric in metrics.items() if name != "requested"), default=1.0),
                "flags": flagged.get(number, 0),
                "metrics": {name: metrics[name] for name in METRICS if name in metrics},
                "trend": _trend(mine),
            }
        )
    return sorted(made, key=lambda each: (each["score"], each["symbol"]))


def sparkline(values: Sequence[float]) -> str:
    """One block a value, between the lowest and 1.0: a step that can be seen whatever it is worth."""
    lowest = min(values, default=1.0)
    span = 1.0 - lowest
    return "".join(_STEPS[round((value - lowest) / span * 7) if span > 0 else 7] for value in values)


def _newest(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A metric as it stands. That of what is stored is whatever job measured each interval last; of any other metric
    each job has its own, and the lowest counts.
    """
    labels: dict[str, Mapping[str, Any]] = {}
    if name == "completeness":
        for row in sorted(rows, key=lambda row: (row["day"], row.get("measured_at") or _NEVER)):
            labels |= {label: row for label, part in (row["detail"] or {}).items() if "first" in part}
    if not labels:
        return _metric(rows)
    quotes = [row for row in rows if "quote" in (row["detail"] or {})]
    parts = {label: row["detail"][label] for label, row in sorted(labels.items())}
    expected, present = (sum(part[what] for part in parts.values()) for what in ("expected", "present"))
    newest = max(labels.values(), key=lambda row: row["day"])
    found = {
        **_metric([newest]),
        "value": present / expected if expected else 1.0,
        "detail": parts,
        "trend": _trend(rows),
    }
    return min([found, *([_metric(quotes)] if quotes else [])], key=lambda each: each["value"])


def _metric(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One metric of one instrument: the lowest of its jobs' newest values."""
    newest: dict[str, Mapping[str, Any]] = {row["job"]: row for row in sorted(rows, key=lambda row: row["day"])}
    worst = min(newest.values(), key=lambda row: row["newest"])
    return {
        "value": float(worst["newest"]),
        "day": worst["day"],
        "job": worst["job"],
        "run_id": worst["run_id"],
        "detail": worst["detail"],
        "trend": _trend(rows),
    }


def _trend(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    by_day: dict[date, float] = {}
    for row in rows:
        by_day[row["day"]] = min(by_day.get(row["day"], 1.0), float(row["lowest"]))
    return [{"day": day, "value": value} for day, value in sorted(by_day.items())]


def _show_all(found: Sequence[Mapping[str, Any]], days: int) -> None:
    if not found:
        console.print(f"nothing was measured in {days} days; runs are measured when they have ended")
        return
    columns = ["symbol", "complete", "as asked", "accurate", "consistent", "timely", "valid", "trend", "flags"]
    rows = [
        [
            each["symbol"],
            *(_share_text(each["metrics"].get(name)) for name in METRICS),
            sparkline([day["value"] for day in each["trend"][-_BLOCKS:]]),
            each["flags"],
        ]
        for each in found[:_SHOWN]
    ]
    console.print(table(f"quality, worst first, {days} days", columns, rows))
    if len(found) > _SHOWN:
        console.print(f"and {len(found) - _SHOWN} better ones; all of them with: fintrack quality --json")


def _show_one(each: Mapping[str, Any]) -> None:
    metrics = sorted(each["metrics"].items(), key=lambda pair: pair[1]["value"])
    rows = [
        [
            name,
            _share_text(one),
            sparkline([day["value"] for day in one["trend"]]),
            one["job"],
            str(one["day"]),
            _detail_text(one),
        ]
        for name, one in metrics
    ]
    title = f"quality of {each['symbol']} ({each['asset_class']}), {each['flags']} flagged rows"
    console.print(table(title, ["metric", "newest", "trend", "job", "day", "counted"], rows))


def _share_text(metric: Mapping[str, Any] | None) -> str:
    """Four decimals, and never 1.0000 for what is less."""
    if metric is None:
        return ""
    value = metric["value"]
    return f"{value:.4f}" if value == 1 else f"{min(value, 0.9999):.4f}"


def _detail_text(metric: Mapping[str, Any]) -> str:
    """A metric's detail as words: ``1d: expected 250, present 249``."""
    return "; ".join(
        f"{name}: {', '.join(f'{key} {_value(value)}' for key, value in part.items())}"
        if isinstance(part, dict)
        else f"{name} {part}"
        for name, part in (metric["detail"] or {}).items()
    )


def _value(value: object) -> object:
    return "unknown" if value is None else value
