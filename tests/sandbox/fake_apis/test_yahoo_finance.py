"""Yahoo Finance as the sandbox plays it, over real HTTP, against the bundled files and recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import pytest
import requests

Chart = Callable[..., dict[str, Any]]
Get = Callable[..., requests.Response]
Rows = Callable[[str], list[dict[str, str]]]

UNKNOWN = {
    "chart": {
        "result": None,
        "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"},
    }
}
NOBODY = {"quoteResponse": {"result": [], "error": None}}
ALL = {"interval": "1d", "period1": 0, "period2": 4_000_000_000}


def test_the_answers_that_are_expected_here_are_the_recorded_ones(samples: Path) -> None:
    names = ("error-404-unknown-symbol", "quote-NONEXIST-200")
    found = [json.loads((samples / "yahoo" / f"{name}.json").read_text()) for name in names]
    assert found == [UNKNOWN, NOBODY]
    assert (samples / "yahoo/error-429-too-many-requests.txt").read_bytes().strip() == b"Too Many Requests"
    empty = json.loads((samples / "yahoo/chart-AAPL-1m-weekend-empty.json").read_text())["chart"]["result"][0]
    assert empty.keys() == {"meta", "indicators"}
    assert empty["indicators"]["quote"] == [{}]


def served(result: dict[str, Any], zone: str) -> dict[str, list[Any]]:
    """Local date and hour to open, high, low, close, adjusted close, volume."""
    quote, adjusted = result["indicators"]["quote"][0], result["indicators"]["adjclose"][0]["adjclose"]
    stamps = [f"{datetime.fromtimestamp(stamp, ZoneInfo(zone)):%Y-%m-%d %H:%M}" for stamp in result["timestamp"]]
    assert stamps == sorted(set(stamps))
    columns = [*(quote[name] for name in ("open", "high", "low", "close")), adjusted, quote["volume"]]
    return dict(zip(stamps, map(list, zip(*columns, strict=True)), strict=True))


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT", "GOOG", "FB", "^GSPC", "^IXIC"])
def test_the_body_has_the_files_own_digits(symbol: str, get: Get, bundled: Rows) -> None:
    """Compared as text: no decimal was bent between the file and the answer."""
    answer = get(f"yahoo_finance/v8/finance/chart/{symbol}", **ALL)
    result = json.loads(answer.content, parse_float=str, parse_int=int)["chart"]["result"][0]
    names = ("open", "high", "low", "close", "adj_close")
    expected = {
        f"{row['date']} 09:30": [*(row[name] for name in names), int(row["volume"])]
        for row in bundled("daily.csv.gz")
        if row["symbol"] == symbol
    }
    assert served(result, "America/New_York") == expected
    assert result["meta"]["fintrack"]["synthetic"] is False


def test_the_volatility_index_has_its_close_four_times(chart: Chart, bundled: Rows) -> None:
    result = chart("^VIX", **ALL)
    closes = {f"{r['date']} 09:30": float(r["close"]) for r in bundled("vix_close.csv.gz") if r["close"]}
    assert served(result, "America/New_York") == {day: [close] * 5 + [0] for day, close in closes.items()}
    assert "closes only" in result["meta"]["fintrack"]["origin"]


@pytest.mark.parametrize("currency", ["USD", "JPY", "GBP", "INR", "SGD"])
def test_a_euro_rate_is_the_banks_at_londons_midnight(currency: str, chart: Chart, bundled: Rows) -> None:
    result = chart(f"EUR{currency}=X", **ALL)
    rates = {
        f"{row['date']} 00:00": float(row[currency])
        for row in bundled("ecb_eur_rates.csv.gz")
        if row[currency] and row[currency] != "N/A"
    }
    assert served(result, "Europe/London") == {day: [rate] * 5 + [0] for day, rate in rates.items()}
    assert result["meta"]["currency"] == currency
    assert result["meta"]["fintrack"]["synthetic"] is True
    assert "which is bundled: ECB euro reference rates" in result["meta"]["fintrack"]["origin"]


@pytest.mark.parametrize("symbol", ["AAPL", "^GSPC", "EURUSD=X"])
def test_outside_the_real_range_an_answer_is_empty_in_yahoos_form(symbol: str, chart: Chart) -> None:
    result = chart(symbol, interval="1d", period1=1_794_000_000, period2=1_795_000_000)
    assert result.keys() == {"meta", "indicators"}
    assert result["indicators"]["quote"] == [{}]


def test_splits_are_told_on_request_at_the_sessions_open(chart: Chart) -> None:
    result = chart("AAPL", **ALL, events="div,splits")
    days = {
        datetime.fromtimestamp(int(stamp), ZoneInfo("America/New_York")): split["splitRatio"]
        for stamp, split in result["events"]["splits"].items()
    }
    assert {moment.date(): ratio for moment, ratio in days.items()} == {
        date(2000, 6, 21): "2:1",
        date(2005, 2, 28): "2:1",
    }
    assert set(map(int, result["events"]["splits"])) <= set(result["timestamp"])
    assert result["events"]["splits"]["961594200"] == {
        "date": 961594200, "numerator": 2, "denominator": 1, "splitRatio": "2:1",
    }  # fmt: skip
    assert "events" not in chart("AAPL", **ALL)
    assert "events" not in chart("AAPL", interval="1d", period1=0, period2=960_000_000, events="div")


@pytest.mark.parametrize("symbol", ["AAPL", "XYZ1", "BTC-USD", "EURUSD=X", "USDMXN=X", "^GSPC"])
def test_the_meta_has_the_recorded_names_and_types(symbol: str, chart: Chart, samples: Path) -> None:
    """What every recorded answer has is there, nothing else is but our own statement."""
    recorded = [
        json.loads(path.read_text())["chart"]["result"][0]["meta"]
        for path in sorted((samples / "yahoo").glob("chart-*.json"))
        if "GSPC" not in path.name  # that file keeps five fields only
    ]
    assert len(recorded) > 10
    meta = chart(symbol, interval="1d", range="5d")["meta"]
    statement = meta.pop("fintrack")
    assert statement.keys() == {"synthetic", "origin"}
    assert set.intersection(*map(set, recorded)) <= meta.keys() <= set.union(*map(set, recorded))
    numbers = (int, float)
    for name, value in meta.items():
        types = {type(each[name]) for each in recorded if name in each}
        assert type(value) in types or (isinstance(value, numbers) and types & set(numbers)), name
    period = recorded[0]["currentTradingPeriod"]
    assert {n: p.keys() for n, p in meta["currentTradingPeriod"].items()} == {n: p.keys() for n, p in period.items()}


def test_a_quote_has_recorded_names_and_types(get: Get, samples: Path) -> None:
    names = ("AAPL-2025", "BTC-USD-2025", "EURUSD=X-2021", "VXAPL-index-2025")
    recorded = [
        json.loads((samples / f"yahoo/quote-{n}.json").read_text())["quoteResponse"]["result"][0] for n in names
    ]
    answer = get("yahoo_finance/v7/finance/quote", symbols="AAPL,BTC-USD,EURUSD=X,^GSPC,UNKNOWNX,xyz1").json()
    assert answer.keys() == {"quoteResponse"}
    found = answer["quoteResponse"]["result"]
    assert [quote["symbol"] for quote in found] == ["AAPL", "BTC-USD", "EURUSD=X", "^GSPC", "XYZ1"]
    for quote, like in zip(found, recorded, strict=False):
        assert quote["quoteType"] == like["quoteType"]
        assert quote.keys() - {"fintrack"} <= set.union(*map(set, recorded))
        assert quote["regularMarketChange"] == pytest.approx(
            quote["regularMarketPrice"] - quote["regularMarketPreviousClose"], abs=1e-6
        )


def test_nobody_known_is_an_empty_list(get: Get) -> None:
    answer = get("yahoo_finance/v7/finance/quote", symbols="UNKNOWN1,UNKNOWN2")
    assert (answer.status_code, answer.json()) == (200, NOBODY)


@pytest.mark.parametrize("symbol", ["UNKNOWN", "UNKNOWN-USD", "A%20B", "EUR%2FUSD", "%00", "-", "A" * 33])
def test_an_unknown_symbol_gets_the_recorded_error(symbol: str, get: Get) -> None:
    answer = get(f"yahoo_finance/v8/finance/chart/{symbol}", interval="1d")
    assert (answer.status_code, answer.json()) == (404, UNKNOWN)


def test_intraday_bars_say_that_they_are_synthetic_and_have_no_adjusted_close(chart: Chart) -> None:
    result = chart("AAPL", interval="1h", period1=1_339_500_000, period2=1_339_700_000)
    assert result["meta"]["fintrack"] == {
        "synthetic": True,
        "origin": "synthetic: a path within each day of: bundled: bokeh_sampledata 2026.1 (BSD-3-Clause)",
    }
    assert result["indicators"].keys() == {"quote"}
    assert {"previousClose", "scale"} <= result["meta"].keys()
    assert result["meta"]["dataGranularity"] == "1h"


@pytest.mark.parametrize("symbol", ["^GSPC", "^DJI"])
def test_an_invented_index_has_hours_of_the_same_days_as_the_bundled_ones(chart: Chart, symbol: str) -> None:
    """The Friday and the Monday before New Year 2019, each from 09:30 to 16:00: what the schedule asks for."""
    result = chart(symbol, interval="1h", period1=1_545_955_200, period2=1_546_300_800)
    assert len(result["timestamp"]) == 14


def test_a_live_bar_is_stamped_now_and_closes_at_the_quoted_price(chart: Chart, now: datetime) -> None:
    for symbol in ("XYZ1", "BTC-USD"):
        result = chart(symbol, interval="1d", range="5d")
        assert result["timestamp"][-1] == int(now.timestamp())
        assert result["indicators"]["quote"][0]["close"][-1] == result["meta"]["regularMarketPrice"]
        opened = datetime.fromtimestamp(result["timestamp"][-2], UTC)
        assert (opened.hour, opened.minute) == ((14, 30) if symbol == "XYZ1" else (0, 0))


@pytest.mark.parametrize(
    ("span", "since"),
    [
        ("1d", "2026-11-24"),
        ("5d", "2026-11-18"),
        ("1mo", "2026-10-25"),
        ("ytd", "2026-01-01"),
        ("1y", "2025-11-24"),
        ("max", "1990-01-01"),
    ],
)
def test_a_range_reaches_back_as_it_says(span: str, since: str, chart: Chart) -> None:
    """Every session of New York since that day has its bar, and no other day has one."""
    sessions = exchange_calendars.get_calendar("XNYS", start="1990-01-01", end="2026-12-31").sessions
    stamps = chart("XYZ1", interval="1d", range=span)["timestamp"]
    found = [datetime.fromtimestamp(stamp, ZoneInfo("America/New_York")).date() for stamp in stamps]
    assert found == [day.date() for day in sessions if since <= f"{day:%Y-%m-%d}" <= "2026-11-24"]


def test_symbols_are_read_in_any_case(chart: Chart) -> None:
    assert chart("aapl", **ALL) == chart("AAPL", **ALL)


@pytest.mark.parametrize(
    ("symbol", "params", "status", "code"),
    [
        ("AAPL", {"interval": "7m"}, 400, "Bad Request"),
        ("AAPL", {"interval": ""}, 400, "Bad Request"),
        ("AAPL", {"range": "forever"}, 400, "Bad Request"),
        ("AAPL", {"period1": "now"}, 400, "Bad Request"),
        ("AAPL", {"period1": "1.5", "period2": "9"}, 400, "Bad Request"),
        ("AAPL", {"period1": "1_0", "period2": "99"}, 400, "Bad Request"),
        ("AAPL", {"period1": "٣", "period2": "99"}, 400, "Bad Request"),
        ("AAPL", {"period1": "9", "period2": "8"}, 400, "Bad Request"),
        ("AAPL", {"period1": "9", "period2": "9"}, 400, "Bad Request"),
        ("AAPL", {"period1": "-999999999999", "period2": "8"}, 400, "Bad Request"),
        ("AAPL", {"period1": "1" * 5_000}, 400, "Bad Request"),
        ("XYZ1", {"interval": "15m", "period1": "1000000000", "period2": "1000900000"}, 422, "Unprocessable Entity"),
        ("AAPL", {"interval": "1h", "range": "max"}, 422, "Unprocessable Entity"),
    ],
)
def test_a_wrong_question_gets_an_error_in_yahoos_form(
    symbol: str, params: dict[str, str], status: int, code: str, get: Get
) -> None:
    answer = get(f"yahoo_finance/v8/finance/chart/{symbol}", **params)
    assert answer.status_code == status
    body = answer.json()["chart"]
    assert body["result"] is None
    assert body["error"]["code"] == code


def test_the_ends_of_time_are_a_question_like_any_other(chart: Chart) -> None:
    for symbol in ("AAPL", "XYZ1", "EURUSD=X", "BTC-USD"):
        result = chart(symbol, interval="1d", period1=-62_135_596_800, period2=253_402_300_799)
        assert result["timestamp"] == chart(symbol, **ALL)["timestamp"]
        assert "timestamp" not in chart(symbol, interval="1d", period1=253_402_300_000, period2=253_402_300_799)


@pytest.mark.parametrize("path", ["v8/finance/quote", "v7/finance/chart/AAPL", "", "v1/test/getcrumb"])
def test_other_paths_are_not_there(path: str, get: Get) -> None:
    answer = get(f"yahoo_finance/{path}")
    assert answer.status_code == 404
    assert answer.json()["finance"]["error"]["code"] == "Not Found"
