"""``fintrack chart``: stored bars as a picture."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import psycopg
import typer

from fintrack_tasks.cli import completion
from fintrack_tasks.cli.arguments import nothing_stored
from fintrack_tasks.cli.context import open_connections, utc_now
from fintrack_tasks.cli.output import console, errors, print_json
from fintrack_tasks.domain import AssetClass, Instrument, Interval, from_micros
from fintrack_tasks.errors import UsageError
from fintrack_tasks.pipeline.run_arguments import check_arguments
from fintrack_tasks.queries import bars
from fintrack_tasks.queries.aggregate import Adjust
from fintrack_tasks.store import instruments
from fintrack_tasks.store.connection import require_schema

if TYPE_CHECKING:
    from fintrack_tasks.cli.chart_drawing import Chart

__all__ = ["chart"]

_BARS: Final = 250
"""How many bars are shown when no start is given: about a year of days."""

_SHOWN: Final = (
    "sma_20", "sma_50", "sma_200", "bollinger_upper", "bollinger_lower", "rsi_14", "macd", "macd_signal",
    "macd_histogram",
)  # fmt: skip


_ADJUSTED: Final = {
    Adjust.NONE: "prices as they were, not adjusted",
    Adjust.SPLITS: "adjusted for splits",
    Adjust.ALL: "adjusted for splits and dividends",
}


def chart(
    symbol: Annotated[str, typer.Argument(help="Such as ^GSPC or AAPL.", autocompletion=completion.instrument)],
    interval: Annotated[str, typer.Option(help="Of 1d, 1h, 15m.", autocompletion=completion.intervals)] = "1d",
    start: Annotated[
        str | None, typer.Option(help="First date, such as 2024-01-31; default: the last 250 bars.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="The date after the last one.")] = None,
    adjust: Annotated[
        Adjust, typer.Option(help="Prices as they are stored, with splits applied, or with all: dividends too.")
    ] = Adjust.SPLITS,
    indicators: Annotated[
        bool, typer.Option("--indicators", help="With moving averages, Bollinger bands, RSI and MACD.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="FILE.png or FILE.html; default: SYMBOL-INTERVAL.png here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")] = False,
) -> None:
    """Write stored bars as candles with their volume; more than 500 as a line of closes."""
    arguments = check_arguments(
        "fetch_historical_market_data", [symbol], intervals=[interval], start=start, end=end, now=utc_now()
    )  # the same symbols, intervals and dates, refused with the same words
    [instrument], [wanted] = arguments.symbols or (), arguments.intervals
    target = output or Path(f"{re.sub('[^A-Za-z0-9.-]', '', instrument.symbol)}-{wanted}.png")
    if target.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"cannot write {target}: the name must end in .png or .html")
    with open_connections(reading=True) as connections, connections.database.connection() as conn:
        require_schema(conn)
        found = instruments.find(conn, instrument)
        span = bars.span(conn, found[0], wanted) if found else None
        if not found or not span:
            raise UsageError(nothing_stored(instrument, wanted, ranged=False))
        number, instrument = found
        columns, unknown = _read(conn, number, wanted, arguments.end, adjust)
        times = columns["timestamp"]
        first = _first(times, arguments.start)
        if first == len(times):
            raise UsageError(_nothing(instrument, wanted, span, [t for t in unknown if t >= (arguments.start or t)]))
        told_by = bars.sources(conn, number, wanted, times[first], times[-1])
    notes = [_ADJUSTED[adjust], f"source: {', '.join(told_by)}"]
    if connections.simulated:
        notes.append("simulated prices of the local market")
    drawn = _chart(instrument, wanted, columns, first, notes, with_indicators=indicators)
    _write(target, drawn)
    shown = columns["timestamp"][first:]
    left_out = sum(moment >= shown[0] for moment in unknown)
    if as_json:
        told = {"symbol": instrument.symbol, "interval": wanted, "adjust": adjust, "bars": len(shown)}
        told |= {"first": shown[0], "last": shown[-1], "left_out": left_out, "sources": told_by}
        print_json({**told, "file": str(target), "indicators": list(drawn.indicators)})
        return
    console.print(f"{len(shown)} bars of {instrument.symbol}: {target}", markup=False, highlight=False, soft_wrap=True)
    if left_out:
        errors.print(f"{left_out} more are left out: their adjusted prices are not known", markup=False)


def _read(
    conn: psycopg.Connection, number: int, interval: Interval, end: datetime | None, adjust: Adjust
) -> tuple[dict[str, list[Any]], list[datetime]]:
    """The bars before a moment by column, their times aware, and ``currency`` as often; and the times of those that
    are left out, since nobody knows their adjusted prices."""
    found = bars.read_columns(conn, number, interval, None, end, adjust.value)
    known = [place for place, close in enumerate(found["close"]) if close is not None]
    columns = {name: [cells[place] for place in known] for name, cells in found.items()}
    times = [from_micros(stamp) for stamp in columns["timestamp"]]
    unknown = [from_micros(at) for at, close in zip(found["timestamp"], found["close"], strict=True) if close is None]
    return columns | {"timestamp": times, "currency": [bars.currency(conn, number, interval)] * len(times)}, unknown


def _first(times: list[datetime], start: datetime | None) -> int:
    """The place of the first bar that is shown; the number of bars when none is."""
    if start is None:
        return max(0, len(times) - _BARS)
    return next((place for place, moment in enumerate(times) if moment >= start), len(times))


def _nothing(
    instrument: Instrument, interval: Interval, span: tuple[datetime, datetime], unknown: list[datetime]
) -> str:
    if unknown:
        return (
            f"the adjusted prices of {instrument.symbol} are not known then: the factor of a later dividend is missing;"
            " see --adjust splits"
        )
    return (
        f"no {interval} bars of {instrument.symbol} are stored in that time; there are some from {span[0]:%Y-%m-%d} to"
        f" {span[1]:%Y-%m-%d}"
    )


def _chart(
    instrument: Instrument,
    interval: Interval,
    columns: dict[str, list[Any]],
    first: int,
    notes: list[str],
    *,
    with_indicators: bool,
) -> Chart:
    """Indicators are computed over all stored bars, so that those at the left edge are no warm-up."""
    import numpy as np  # noqa: PLC0415  # with TA-Lib and matplotlib half a second, which no other command should pay

    from fintrack_tasks.cli.chart_drawing import Chart  # noqa: PLC0415  # see above
    from fintrack_tasks.transform.indicators import Prices, bars_per_year, indicators  # noqa: PLC0415  # see above

    names = ("open", "high", "low", "close", "volume")
    floats = {n: np.array([np.nan if cell is None else float(cell) for cell in columns[n]]) for n in names}
    found = {}
    if with_indicators:
        per_year = bars_per_year(instrument.asset_class, interval)
        found = indicators(Prices(**floats), per_year, _SHOWN, signed=instrument.is_signed)
    times = columns["timestamp"][first:]
    still = [] if columns["is_final"][-1] else ["the last bar is not final"]
    unit = "points" if instrument.asset_class is AssetClass.INDEX else columns["currency"][-1]
    return Chart(
        title=f"{instrument.symbol}  {interval}, {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}",
        notes=[*notes, *still],
        times=times,
        **{name: values[first:] for name, values in floats.items()},
        indicators={name: values[first:] for name, values in found.items()},
        daily=interval is Interval.D1,
        unit=unit,
    )


def _write(target: Path, drawn: Chart) -> None:
    from fintrack_tasks.cli.chart_drawing import as_html, as_png  # noqa: PLC0415  # see _chart

    try:
        target.write_bytes(as_html(drawn) if target.suffix.lower() == ".html" else as_png(drawn))
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror or error}") from None
