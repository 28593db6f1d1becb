"""The picture: its panels, one file that needs nothing else, and the same bytes for the same bars."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from lxml import etree

from fintrack_tasks.cli import chart_drawing
from fintrack_tasks.transform.indicators import indicators
from tests.bundled_histories import prices

NAMES = ("sma_20", "bollinger_upper", "bollinger_lower", "rsi_14", "macd", "macd_signal", "macd_histogram")


def chart(bars: int = 120, symbol: str = "IBM", *, enriched: bool = True) -> chart_drawing.Chart:
    held = prices(symbol).take(slice(0, bars))
    assert held.open is not None
    assert held.high is not None
    assert held.low is not None
    assert held.volume is not None
    return chart_drawing.Chart(
        title="IBM  1d",
        times=[datetime(2000, 3, 1, tzinfo=UTC) + timedelta(days=n) for n in range(bars)],
        open=held.open,
        high=held.high,
        low=held.low,
        close=held.close,
        volume=held.volume,
        indicators=indicators(held, names=NAMES) if enriched else {},
        unit="USD",
    )


def labels(drawn: chart_drawing.Chart) -> list[str]:
    return [axes.get_ylabel() for axes in chart_drawing._figure(drawn).axes]


def test_prices_and_volume_alone_are_two_panels_with_indicators_there_are_four() -> None:
    assert labels(chart(enriched=False)) == ["USD", "volume"]
    assert labels(chart()) == ["USD", "volume", "RSI 14", "MACD 12 26 9"]


def test_a_candle_reaches_from_open_to_close_and_its_wick_from_low_to_high() -> None:
    drawn = chart(30, enriched=False)
    axes = chart_drawing._figure(drawn).axes[0]
    bodies = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in axes.patches]
    assert len(bodies) == 30
    for (bottom, top), first, last in zip(bodies, drawn.open, drawn.close, strict=True):
        assert bottom == pytest.approx(min(first, last))
        assert top == pytest.approx(max(first, last))
    wicks = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert wicks == [list(pair) for pair in zip(drawn.low.tolist(), drawn.high.tolist(), strict=True)]


def test_many_bars_and_closes_alone_are_a_line() -> None:
    for drawn in (chart(chart_drawing.MOST_CANDLES + 1), chart(100, "^VIX")):
        axes = chart_drawing._figure(drawn).axes[0]
        assert not axes.patches
        np.testing.assert_array_equal(axes.lines[2].get_ydata(), drawn.close)  # behind the two edges of the band


def test_a_series_without_volume_says_so() -> None:
    page = [text.get_text() for text in chart_drawing._figure(chart(100, "^VIX")).axes[1].texts]
    assert page == ["no volume"]


@pytest.mark.parametrize("bars", [1, 2, 20, 34])
def test_short_series_and_unknown_values_are_drawn(bars: int) -> None:
    drawn = chart(bars)
    assert chart_drawing.as_png(drawn).startswith(b"\x89PNG\r\n")
    assert chart_drawing.as_png(replace(drawn, volume=np.full(bars, np.nan), daily=False)).startswith(b"\x89PNG\r\n")


def test_prices_below_zero_and_unknown_opens_are_drawn() -> None:
    drawn = chart(60)
    level = float(np.median(drawn.close))
    lower = {name: getattr(drawn, name) - level for name in ("open", "high", "low", "close")}
    lower["open"][3] = lower["high"][4] = np.nan
    assert chart_drawing.as_png(replace(drawn, **lower)).startswith(b"\x89PNG\r\n")
    assert chart_drawing.as_html(replace(drawn, **lower)).startswith(b"<!DOCTYPE html>")


def test_the_page_holds_its_drawing_and_asks_nobody_for_anything() -> None:
    page = chart_drawing.as_html(chart()).decode()
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg") == page.count("</svg>") == 1
    assert set(re.findall(r"<script[^>]*>", page)) == {'<script type="application/json" id="bars">', "<script>"}
    outside = set(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page))
    assert all(each.startswith("#") for each in outside)
    assert set(re.findall(r"https?://[^\"' <>]+", page)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<th>rsi_14</th>" in page


def test_the_same_bars_give_the_same_file() -> None:
    assert chart_drawing.as_html(chart()) == chart_drawing.as_html(chart())
    assert chart_drawing.as_png(chart()) == chart_drawing.as_png(chart())


def test_a_title_is_text_and_no_markup() -> None:
    page = chart_drawing.as_html(replace(chart(5), title="<b>&", notes=["</script><i>"], unit="<u>")).decode()
    assert "<h1>&lt;b&gt;&amp;</h1>" in page
    assert not re.search(r"<(b|i|u)>", page)
    assert page.count("</script>") == 2


@pytest.mark.parametrize("text", [r"$\frac{1$", "$", "$$x^2$$", "a\x00b", "\x1b[2J", "\ud800", "<&>", "日本"])
def test_any_text_may_be_a_title_a_note_or_a_unit(text: str) -> None:
    drawn = replace(chart(5), title=text, notes=[text], unit=text)
    assert chart_drawing.as_png(drawn).startswith(b"\x89PNG\r\n")
    page = chart_drawing.as_html(drawn).decode()
    etree.fromstring(page[page.index("<svg") : page.index("</svg>") + 6].encode())  # an SVG that is well-formed
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff]", page)


def test_an_open_at_the_close_is_a_line_across_its_wick() -> None:
    drawn = chart(30, enriched=False)
    opens = drawn.open.copy()
    opens[[3, 17]] = drawn.close[[3, 17]]
    axes = chart_drawing._figure(replace(drawn, open=opens)).axes[0]
    lines = [segment.tolist() for segment in axes.collections[1].get_segments()]
    for place in (3, 17):
        assert [[place - 0.35, drawn.close[place]], [place + 0.35, drawn.close[place]]] in lines


def test_an_rsi_at_either_end_is_seen_in_its_whole_width() -> None:
    drawn = chart(60)
    pane = chart_drawing._figure(replace(drawn, indicators={"rsi_14": np.full(60, 100.0)})).axes[2]
    low, high = pane.get_ylim()
    pixels = pane.bbox.height / (high - low)
    assert (high - 100) * pixels > 2
    assert (0 - low) * pixels > 2


def test_adjustment_and_source_are_told_in_the_picture_and_on_the_page() -> None:
    drawn = replace(chart(5), notes=["adjusted for splits", "source: yahoo_finance"])
    assert chart_drawing._figure(drawn).axes[0].get_title("right") == "adjusted for splits; source: yahoo_finance"
    assert "<p>adjusted for splits; source: yahoo_finance; in USD</p>" in chart_drawing.as_html(drawn).decode()


def test_the_page_has_its_title_once_fits_a_phone_and_tells_each_bar_under_the_pointer() -> None:
    drawn = replace(chart(5), title="IBM  1d, 2000-03-01 to 2000-03-05")
    page = chart_drawing.as_html(drawn).decode()
    assert page.count("IBM  1d, 2000-03-01 to 2000-03-05") == 1
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    told = json.loads(re.findall(r'id="bars">(.*?)</script>', page)[0])
    assert told["times"] == [f"2000-03-0{day}" for day in range(1, 6)]
    rows = dict(told["rows"])
    assert rows["close"] == [f"{value:,.6g}" for value in drawn.close]
    assert 0 < told["left"] < told["right"] < 1


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (950, "950"), (1500, "1.5k"), (2.5e6, "2.5M"), (4e9, "4B"), (7e12, "7T")]
)
def test_volumes_are_told_in_short(value: float, text: str) -> None:
    assert chart_drawing._short(value) == text
