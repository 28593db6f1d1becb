"""Candles, volume and indicators as a picture: PNG, or one HTML file that needs nothing else.

Bars stand side by side at equal distances, whatever time lies between them: a chart has no holes for nights.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.cli.chart_ticks import ticks
from fintrack_tasks.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Chart", "as_html", "as_png"]

UP, DOWN, INK, GRID, MUTED = "#1a9850", "#d73027", "#30363d", "#e3e6ea", "#6e7781"
AVERAGES: Final = {"sma_20": "#1f77b4", "sma_50": "#ff7f0e", "sma_200": "#8c564b"}
MOST_CANDLES: Final = 500
"""More bars than these are drawn as a line of closes: a candle would be narrower than its own edge."""

_STRIP: Final = 28
"""The height of a legend in pixels of the drawing."""

_LINES: Final = 300
"""A body of less than so small a part of the price pane is drawn as a line."""


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: arrays and lists of one length, oldest bar first; NaN where a value is not known.

    :param notes: what a reader must know of the prices: adjustment, source, whether they are real.
    :param indicators: by name, as :mod:`fintrack_tasks.transform.indicators` has them; empty for prices alone.
    """

    title: str
    times: Sequence[datetime]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    indicators: Mapping[str, NDArray[np.float64]]
    daily: bool = True
    unit: str | None = None
    notes: Sequence[str] = ()


def as_png(chart: Chart) -> bytes:
    """The picture as a PNG file, some 1,500 pixels wide."""
    held = io.BytesIO()
    with _plain_text():
        _figure(chart, titled=True).savefig(held, format="png", dpi=110)
    return held.getvalue()


def as_html(chart: Chart) -> bytes:
    """The picture and the newest values as one HTML file with the drawing inside; the same bars give the same file."""
    from fintrack_tasks.cli.chart_page import html_page  # noqa: PLC0415  for this form alone

    held = io.StringIO()
    with _plain_text():
        figure = _figure(chart, titled=False)
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
        axes = figure.axes[0].get_position()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", held.getvalue(), flags=re.DOTALL)
    return html_page(chart, drawing[drawing.index("<svg") :], (axes.x0, axes.x1))


@contextmanager
def _plain_text() -> Iterator[None]:
    """A dollar sign in a name or a currency begins no formula, and the ids of a drawing are the same again."""
    import matplotlib as mpl  # noqa: PLC0415  see _figure

    with mpl.rc_context({"svg.hashsalt": "fintrack", "text.parse_math": False}):
        yield


def _figure(chart: Chart, *, titled: bool = True) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415  it costs half a second, which no other command should pay

    traded = bool(np.nansum(chart.volume))
    heights = (
        [5.0, 1.3 if traded else 0.35]
        + ([1.4] if "rsi_14" in chart.indicators else [])
        + ([1.6] if "macd" in chart.indicators else [])
    )
    figure = Figure(figsize=(14, 1.1 + 1.15 * sum(heights)), facecolor="white", layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights}, squeeze=False)[:, 0]
    below = iter(axes)
    _price(next(below), chart)
    _volume(next(below), chart)
    if "rsi_14" in chart.indicators:
        _rsi(next(below), chart)
    if "macd" in chart.indicators:
        _macd(next(below), chart)
    for ax in axes:
        _plain(ax)
    figure.align_ylabels(axes)
    _times(axes[-1], chart)
    if titled:
        axes[0].set_title(printable(chart.title), loc="left", fontsize=13, color=INK, fontweight="bold")
        axes[0].set_title(printable("; ".join(chart.notes)), loc="right", fontsize=9, color=MUTED)
    return figure


def _price(ax: Axes, chart: Chart) -> None:
    places, found = np.arange(len(chart.close)), chart.indicators
    if "bollinger_upper" in found:
        band = (found["bollinger_lower"], found["bollinger_upper"])
        ax.fill_between(places, *band, color="#1f77b4", alpha=0.08, linewidth=0, label="Bollinger 20, 2")
        for edge in band:
            ax.plot(places, edge, color="#1f77b4", linewidth=0.5, alpha=0.5)
    if len(places) > MOST_CANDLES or not (chart.high > chart.low).any():
        ax.plot(places, chart.close, color=INK, linewidth=1.1, label="close")
    else:
        _candles(ax, chart)
    for name, colour in AVERAGES.items():
        if name in found and np.isfinite(found[name]).any():
            ax.plot(places, found[name], color=colour, linewidth=1.1, label=name.replace("_", " ").upper())
    ax.set_ylabel(printable(chart.unit or "price"))
    if found:
        _legend(ax, 5)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    last = float(chart.close[-1])
    ax.axhline(last, color=INK, linewidth=0.6, linestyle=":")
    label: dict[str, Any] = {
        "fontsize": 8,
        "color": "white",
        "va": "center",
        "bbox": {"boxstyle": "round,pad=0.25", "fc": INK, "ec": INK},
    }
    ax.annotate(f"{last:,.6g}", (1, last), xycoords=("axes fraction", "data"), xytext=(5, 0),
                textcoords="offset points", annotation_clip=False, **label)  # fmt: skip


def _candles(ax: Axes, chart: Chart) -> None:
    """Bodies from open to close, wicks from low to high; green when the close is not below the open."""
    places = np.arange(len(chart.close))
    colours: list[str] = np.where(chart.close >= chart.open, UP, DOWN).tolist()
    ax.vlines(places, chart.low, chart.high, colors=colours, linewidth=0.8)
    bottom, body = np.minimum(chart.open, chart.close), np.abs(chart.close - chart.open)
    ax.bar(places, body, 0.7, bottom=bottom, color=colours, linewidth=0)
    # A body without height, or of less than a line's, is a line: an open at the close is what candles are for.
    low = body <= (np.nanmax(chart.high) - np.nanmin(chart.low)) / _LINES
    ink = [colour for colour, thin in zip(colours, low, strict=True) if thin]
    ax.hlines(chart.close[low], places[low] - 0.35, places[low] + 0.35, colors=ink, linewidth=1.2)


def _volume(ax: Axes, chart: Chart) -> None:
    ax.set_ylabel("volume")
    if not np.nansum(chart.volume):
        ax.text(0.5, 0.5, "no volume", transform=ax.transAxes, ha="center", va="center", color="#8b949e", fontsize=9)
        ax.set_yticks([])
        ax.set_ylabel("")
        return
    places, colours = np.arange(len(chart.close)), np.where(chart.close >= chart.open, UP, DOWN)
    if len(places) > MOST_CANDLES:
        ax.fill_between(places, np.nan_to_num(chart.volume), color="#8b949e", step="mid", linewidth=0)
    else:
        ax.bar(places, np.nan_to_num(chart.volume), 0.7, color=colours, alpha=0.6, linewidth=0)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda value, _: _short(value))


def _rsi(ax: Axes, chart: Chart) -> None:
    places = np.arange(len(chart.close))
    ax.axhspan(30, 70, color="#9467bd", alpha=0.06, linewidth=0)
    for level in (30, 70):
        ax.axhline(level, color="#9467bd", linewidth=0.6, linestyle="--", alpha=0.7)
    ax.plot(places, chart.indicators["rsi_14"], color="#9467bd", linewidth=1.1)
    ax.set_ylim(-6, 106)  # a line at 0 or 100 is seen in its whole width
    ax.set_yticks([30, 50, 70])
    ax.set_ylabel("RSI 14")


def _macd(ax: Axes, chart: Chart) -> None:
    places, found = np.arange(len(chart.close)), chart.indicators
    histogram = np.nan_to_num(found["macd_histogram"])
    ax.bar(places, histogram, 0.7, color=np.where(histogram >= 0, UP, DOWN), alpha=0.5, linewidth=0)
    ax.plot(places, found["macd"], color="#1f77b4", linewidth=1.1, label="MACD")
    ax.plot(places, found["macd_signal"], color="#ff7f0e", linewidth=1.1, label="signal")
    ax.axhline(0, color=INK, linewidth=0.6)
    ax.set_ylabel("MACD 12 26 9")
    _legend(ax, 2)


def _legend(ax: Axes, columns: int) -> None:
    """In a strip of its own above what is drawn."""
    if not ax.get_legend_handles_labels()[0]:
        return
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + (high - low) * _STRIP / ax.bbox.height)
    ax.legend(loc="upper left", fontsize=8, frameon=False, ncols=columns, borderaxespad=0.1)


def _plain(ax: Axes) -> None:
    ax.grid(visible=True, color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.yaxis.set_label_position("left")
    ax.yaxis.tick_right()
    ax.tick_params(labelsize=8, colors=INK, length=0)
    for side in ax.spines.values():
        side.set_color(GRID)


def _times(ax: Axes, chart: Chart) -> None:
    """Dates where a year, a quarter, a month, a day or an hour begins, each below its bar."""
    chosen = ticks(chart.times, daily=chart.daily)
    ax.set_xlim(-1, len(chart.times))
    ax.set_xticks([place for place, _ in chosen], [text for _, text in chosen])
    if not chart.daily:
        ax.set_xlabel("UTC", fontsize=8, color=MUTED, loc="right")


def _short(value: Any) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
