"""A chart as one HTML page that asks nobody for anything: the drawing, what each bar was under the pointer, and the
newest values as a table."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from fintrack_tasks.cli.chart_ticks import time_label
from fintrack_tasks.printable import printable

if TYPE_CHECKING:
    from fintrack_tasks.cli.chart_drawing import Chart

__all__ = ["html_page"]

_STYLE: Final = """
body{margin:2rem auto;max-width:78rem;padding:0 1rem;font:15px/1.5 system-ui,sans-serif;color:#30363d}
h1{font-size:1.3rem;margin-bottom:.2rem}
p{margin:0 0 1rem;color:#6e7781}
figure{margin:0;position:relative}
svg{width:100%;height:auto;touch-action:pan-y}
table{border-collapse:collapse;margin-top:1rem}
td,th{padding:.15rem .8rem;text-align:right;border-bottom:1px solid #e3e6ea}
th{font-weight:600;text-align:left}
caption{text-align:left;color:#6e7781}
#line{position:absolute;top:0;bottom:0;width:1px;background:#6e7781;pointer-events:none}
#bar{position:absolute;top:2.2rem;padding:.4rem .7rem;background:#fffffff0;border:1px solid #d0d7de;border-radius:4px;
font:12px/1.45 ui-monospace,monospace;white-space:pre;pointer-events:none}
[hidden]{display:none}
"""

_SCRIPT: Final = """
const {times, rows, left, right} = JSON.parse(document.getElementById("bars").textContent);
const figure = document.querySelector("figure");
const line = document.getElementById("line"), bar = document.getElementById("bar");
function show(event) {
  const box = figure.querySelector("svg").getBoundingClientRect(), count = times.length;
  const part = ((event.clientX - box.left) / box.width - left) / (right - left);
  const at = Math.round(part * (count + 1) - 1);
  if (at < 0 || at >= count) return hide();
  const x = (left + (at + 1) / (count + 1) * (right - left)) * box.width;
  bar.textContent = [times[at], ...rows.map(([name, cells]) => name.padEnd(16) + (cells[at] ?? "-"))].join("\\n");
  line.style.left = x + "px";
  line.hidden = bar.hidden = false;
  bar.style.left = (x + 12 + bar.offsetWidth > box.width ? x - 12 - bar.offsetWidth : x + 12) + "px";
}
function hide() { line.hidden = bar.hidden = true; }
figure.addEventListener("pointermove", show);
figure.addEventListener("pointerdown", show);
figure.addEventListener("pointerleave", hide);
"""


def html_page(chart: Chart, drawing: str, panes: tuple[float, float]) -> bytes:
    """The page.

    :param drawing: the SVG.
    :param panes: where the panes begin and end, as parts of the drawing's width.
    """
    title, short = html.escape(printable(chart.title)), html.escape(printable(chart.title.partition(",")[0]))
    notes = html.escape(printable("; ".join([*chart.notes, *([f"in {chart.unit}"] if chart.unit else [])])))
    newest = {"close": chart.close, "volume": chart.volume, **chart.indicators}
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{_figure(values[-1])}</td></tr>"
        for name, values in newest.items()
        if np.isfinite(values[-1])
    )
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{short}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{notes}</p>\n"
        f'<figure><div role="img" aria-label="Candles, volume and indicators; the newest values are in the table">'
        f'{drawing}</div><div id="line" hidden></div><div id="bar" hidden></div></figure>\n'
        f"<table><caption>{html.escape(time_label(chart.times[-1], daily=chart.daily))}</caption>{rows}</table>\n"
        f'<script type="application/json" id="bars">{_bars(chart, panes)}</script>\n<script>{_SCRIPT}</script>\n'
        "</body></html>\n"
    )
    return page.encode()


def _bars(chart: Chart, panes: tuple[float, float]) -> str:
    """What is shown under the pointer, as JSON that no text of it can end."""
    named = {"open": chart.open, "high": chart.high, "low": chart.low, "close": chart.close, "volume": chart.volume}
    rows: list[Any] = [
        [name, [_figure(value) if np.isfinite(value) else None for value in values]]
        for name, values in {**named, **chart.indicators}.items()
        if np.isfinite(values).any()
    ]
    times = [time_label(moment, daily=chart.daily) for moment in chart.times]
    told = {"times": times, "rows": rows, "left": round(float(panes[0]), 5), "right": round(float(panes[1]), 5)}
    return orjson.dumps(told).decode().replace("<", "\\u003c")


def _figure(value: float) -> str:
    """Six digits, and a volume in full."""
    return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:,.6g}"
