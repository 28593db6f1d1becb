"""Each known trap of Yahoo's answers, in the smallest answer that has it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fintrack_tasks.domain import BATCH_LIMIT, AssetClass, Batch, Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import (
    EmptyError,
    EntitlementError,
    MalformedError,
    NoPriceError,
    ProviderError,
    QuotaError,
    TransientError,
    UnavailableRangeError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers.base import Ask
from fintrack_tasks.fetch.providers.yahoo_finance import PROVIDER
from fintrack_tasks.transform.corporate_actions import actions_of
from fintrack_tasks.validate import check_batch
from tests.fetch.providers.asking import ALL_TIME, answer, question

NOW = datetime(2024, 7, 10, 15, 30, tzinfo=UTC)
PRICES = ("open", "high", "low", "close")


def seconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc]


def chart(stamps: list[int] | None, closes: list[Any] | None = None, **meta: Any) -> dict[str, Any]:
    """A chart whose bars have the same value in all four prices."""
    result: dict[str, Any] = {
        "meta": {"currency": "USD", "symbol": "AAPL", "exchangeTimezoneName": "America/New_York", **meta},
        "indicators": {"quote": [{}]},
    }
    if stamps is not None:
        values = [10.5] * len(stamps) if closes is None else closes
        result["timestamp"] = stamps
        result["indicators"] = {
            "quote": [{**dict.fromkeys(PRICES, values), "volume": [100] * len(stamps)}],
            "adjclose": [{"adjclose": values}],
        }
    return {"chart": {"result": [result], "error": None}}


def parse(
    body: Any,
    interval: Interval = Interval.D1,
    window: TimeRange = ALL_TIME,
    symbol: str = "AAPL",
    status: int = 200,
    kind: Kind = Kind.BARS,
) -> Batch:
    ask = replace(question(symbol, None if kind is Kind.QUOTE else interval, NOW, window), kind=kind)
    return PROVIDER.parse(ask, answer(body, status))


def dates(batch: Batch) -> list[date]:
    return [from_micros(stamp).date() for stamp in batch.columns["timestamp"]]


# --- what is asked


def test_bars_are_asked_for_by_epoch_seconds_with_their_events() -> None:
    window = TimeRange(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 5, tzinfo=UTC))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("AAPL"), NOW, Interval.H1, window))
    assert request.path == "/v8/finance/chart/AAPL"
    assert request.params == {
        "interval": "1h",
        "period1": "1704153600",
        "period2": "1704412800",
        "events": "div,splits,capitalGains",
    }


def test_daily_bars_are_asked_for_with_a_day_to_either_side() -> None:
    """Sydney's session of a date opens on the UTC date before."""
    window = TimeRange(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 5, tzinfo=UTC))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("ALL.AX"), NOW, Interval.D1, window))
    assert int(request.params["period1"]) == seconds(2024, 1, 1)
    assert int(request.params["period2"]) == seconds(2024, 1, 6)


def test_a_window_before_1970_has_negative_seconds() -> None:
    window = TimeRange(datetime(1962, 1, 2, tzinfo=UTC), datetime(1962, 1, 3, tzinfo=UTC))
    request = PROVIDER.request(Ask(Kind.BARS, Instrument.of("IBM"), NOW, Interval.H1, window))
    assert request.params["period1"] == "-252374400"


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("^GSPC", "%5EGSPC"),
        ("EURUSD=X", "EURUSD%3DX"),
        ("EUR/USD", "EURUSD%3DX"),
        ("BRK-B", "BRK-B"),
        ("BRK.B", "BRK-B"),
        ("M&M.NS", "M%26M.NS"),
        ("GC=F", "GC%3DF"),
        ("BTC/USD", "BTC-USD"),
    ],
)
def test_a_quote_asks_for_a_chart_of_one_day(symbol: str, path: str) -> None:
    request = PROVIDER.request(Ask(Kind.QUOTE, Instrument.of(symbol), NOW))
    assert request.path == f"/v8/finance/chart/{path}"
    assert request.params == {"interval": "1d", "range": "1d"}


def test_what_is_asked_is_named_for_what_is_learnt_of_it() -> None:
    window = TimeRange(datetime(2024, 7, 1, tzinfo=UTC), datetime(2024, 7, 2, tzinfo=UTC))
    asks = (
        Ask(Kind.QUOTE, Instrument.of("AAPL"), NOW),
        Ask(Kind.BARS, Instrument.of("AAPL"), NOW, Interval.H1, window),
    )
    assert {PROVIDER.request(ask).endpoint for ask in asks} == {"v8/finance/chart"}


def test_a_browsers_user_agent_is_sent() -> None:
    assert PROVIDER.facts.headers["User-Agent"].startswith("Mozilla/5.0")


# --- times


@pytest.mark.parametrize(
    ("zone", "stamp", "day"),
    [
        ("Australia/Sydney", seconds(2024, 1, 9, 23), date(2024, 1, 10)),
        ("Australia/Sydney", seconds(2024, 7, 10, 0), date(2024, 7, 10)),
        ("Pacific/Auckland", seconds(2024, 1, 9, 21), date(2024, 1, 10)),
        ("Europe/London", seconds(2024, 7, 9, 23), date(2024, 7, 10)),
        ("Europe/London", seconds(2024, 1, 10, 0), date(2024, 1, 10)),
        ("America/New_York", seconds(2024, 1, 10, 14, 30), date(2024, 1, 10)),
        ("America/New_York", seconds(1962, 1, 2, 14, 30), date(1962, 1, 2)),
        ("Asia/Tokyo", seconds(2024, 1, 10, 0), date(2024, 1, 10)),
        ("UTC", seconds(2024, 1, 10), date(2024, 1, 10)),
    ],
)
def test_a_daily_bar_stands_at_midnight_utc_of_its_local_date(zone: str, stamp: int, day: date) -> None:
    """Whatever the offset of the recording day was."""
    for offset in (-39_600, 0, 39_600):
        batch = parse(chart([stamp], exchangeTimezoneName=zone, gmtoffset=offset))
        assert [from_micros(each) for each in batch.columns["timestamp"]] == [
            datetime(day.year, day.month, day.day, tzinfo=UTC)
        ]


def test_a_live_daily_bar_takes_the_place_of_its_session() -> None:
    """Two bars of one session: the later stamp is the live one."""
    batch = parse(chart([seconds(2024, 7, 10, 13, 30), seconds(2024, 7, 10, 15, 29)], [10.0, 11.0]))
    assert dates(batch) == [date(2024, 7, 10)]
    assert batch.columns["close"] == ["11.0"]


def test_a_live_intraday_bar_opens_on_the_grid_of_its_session() -> None:
    """New York's hours open at half past."""
    stamps = [seconds(2024, 7, 10, 13, 30), seconds(2024, 7, 10, 14, 30), seconds(2024, 7, 10, 15, 29) + 17]
    batch = parse(chart([*stamps[:2], stamps[2] + 120]), Interval.H1)
    assert batch.columns["timestamp"][2] == seconds(2024, 7, 10, 15, 30) * 1_000_000
    again = parse(chart(stamps, [1.0, 2.0, 3.0]), Interval.H1)
    assert again.columns["timestamp"] == [stamp * 1_000_000 for stamp in stamps[:2]]
    assert again.columns["close"] == ["1.0", "3.0"]


def test_a_lone_live_intraday_bar_opens_after_the_regular_start() -> None:
    period = {"regular": {"start": seconds(2024, 7, 10, 13, 30), "end": seconds(2024, 7, 10, 20)}}
    batch = parse(chart([seconds(2024, 7, 10, 14, 7) + 3], currentTradingPeriod=period), Interval.M15)
    assert batch.columns["timestamp"] == [seconds(2024, 7, 10, 14, 0) * 1_000_000]


def test_a_live_hour_that_was_stamped_on_a_quarter_opens_no_hour_of_its_own() -> None:
    """The last trade came at 15:15:00 exactly, inside the hour that opened at 14:30."""
    stamps = [seconds(2024, 7, 10, 13, 30), seconds(2024, 7, 10, 14, 30), seconds(2024, 7, 10, 15, 15)]
    batch = parse(chart(stamps, [1.0, 2.0, 3.0]), Interval.H1)
    assert batch.columns["timestamp"] == [stamp * 1_000_000 for stamp in stamps[:2]]
    assert batch.columns["close"] == ["1.0", "3.0"]
    period = {"regular": {"start": stamps[0], "end": seconds(2024, 7, 10, 20)}}
    alone = parse(chart([seconds(2024, 7, 10, 13, 45)], currentTradingPeriod=period), Interval.H1)
    assert alone.columns["timestamp"] == [stamps[0] * 1_000_000]


def snapshots(interval: str, zone: str, bars: list[int], at: int, traded: int | None = None) -> dict[str, Any]:
    """Bars of a range with volume, and a row of one price without any."""
    body = chart([*bars, at], exchangeTimezoneName=zone, dataGranularity=interval, regularMarketTime=traded or at)
    values = [180.0, 180.5, 179.6, 179.7]
    columns = {name: [values[i]] * len(bars) + [179.99] for i, name in enumerate(PRICES)}
    body["chart"]["result"][0]["indicators"] = {"quote": [{**columns, "volume": [7054483] * len(bars) + [0]}]}
    return body


NEW_YORK_HOURS = [seconds(2024, 7, 9, hour, 30) for hour in range(13, 20)]


@pytest.mark.parametrize(
    ("interval", "zone", "bars", "at"),
    [
        (Interval.H1, "America/New_York", NEW_YORK_HOURS, seconds(2024, 7, 9, 20)),
        (Interval.H1, "America/New_York", NEW_YORK_HOURS, seconds(2024, 7, 9, 20) + 1),
        (Interval.H1, "America/New_York", NEW_YORK_HOURS[:4], seconds(2024, 7, 9, 17)),  # a half day
        (Interval.H1, "America/New_York", NEW_YORK_HOURS[:2], seconds(2024, 7, 9, 15, 29) + 3),  # in the session
        (Interval.M15, "America/New_York", [seconds(2024, 7, 9, 19, 45)], seconds(2024, 7, 9, 20)),
        (Interval.M15, "America/New_York", [seconds(2024, 7, 9, 19, 45)], seconds(2024, 7, 9, 19, 59) + 59),
        (Interval.H1, "Asia/Riyadh", [seconds(2024, 7, 9, hour) for hour in range(7, 12)], seconds(2024, 7, 9, 12)),
        (Interval.H1, "Asia/Tokyo", [seconds(2024, 7, 9, 3, 30), seconds(2024, 7, 9, 4, 30)], seconds(2024, 7, 9, 6)),
        (Interval.D1, "America/New_York", [seconds(2024, 7, 9, 13, 30)], seconds(2024, 7, 9, 20) + 1),
        (Interval.D1, "Australia/Sydney", [seconds(2024, 7, 9, 0)], seconds(2024, 7, 9, 6)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_a_snapshot_of_the_close_leaves_the_last_bar_as_it_is(
    interval: Interval, zone: str, bars: list[int], at: int, turned: bool
) -> None:
    """yfinance#1005, #1585: four equal prices, no volume, stamped at the close or now."""
    body = snapshots(interval.value, zone, bars, at)
    if turned:
        body["chart"]["result"][0]["indicators"]["quote"][0]["volume"][-1] = None
    batch = parse(body, interval)
    assert len(batch) == len(bars)
    last = batch.row(len(bars) - 1)
    assert [last[name] for name in (*PRICES, "volume")] == ["180.0", "180.5", "179.6", "179.7", "7054483"]
    if interval is not Interval.D1:
        assert batch.columns["timestamp"] == [stamp * 1_000_000 for stamp in bars]


def test_a_snapshot_alone_passes_for_no_bar_that_has_closed() -> None:
    period = {"regular": {"start": seconds(2024, 7, 9, 13, 30), "end": seconds(2024, 7, 9, 20)}}
    body = snapshots("1h", "America/New_York", [], seconds(2024, 7, 9, 20) + 1)
    body["chart"]["result"][0]["meta"]["currentTradingPeriod"] = period
    with pytest.raises(NoPriceError):
        parse(body, Interval.H1)
    # An hour that has just begun without a trade is one: it is provisional.
    live = snapshots("1h", "America/New_York", [], seconds(2024, 7, 10, 15, 29) + 55)
    live["chart"]["result"][0]["meta"]["currentTradingPeriod"] = period
    assert len(parse(live, Interval.H1)) == 1


def test_the_parts_of_an_hour_are_merged() -> None:
    """yfinance#1070 for hours: the highest, the lowest, the last, the sum."""
    stamps = [seconds(2024, 7, 10, 13, 30), seconds(2024, 7, 10, 14, 30), seconds(2024, 7, 10, 15, 29) + 17]
    row = parse(chart(stamps, [1.0, 2.0, 3.0]), Interval.H1).row(1)
    assert [row[name] for name in (*PRICES, "volume")] == ["2.0", "3.0", "2.0", "3.0", "200"]


def test_hours_after_a_lunch_break_keep_their_own_grid() -> None:
    """Tokyo: 9:00, 10:00, 11:00, then 12:30 and 13:30."""
    stamps = [seconds(2024, 7, 10, *clock) for clock in ((0, 0), (1, 0), (2, 0), (3, 30), (4, 30))]
    batch = parse(chart(stamps, exchangeTimezoneName="Asia/Tokyo"), Interval.H1)
    assert batch.columns["timestamp"] == [stamp * 1_000_000 for stamp in stamps]


def test_a_live_daily_bar_of_sydney_is_of_its_own_session() -> None:
    """Stamped 15:59 in Sydney on the tenth, 05:59 UTC; the session of the ninth opened on the eighth of UTC."""
    stamps = [seconds(2024, 1, 8, 23), seconds(2024, 1, 9, 23), seconds(2024, 1, 10, 4, 59)]
    batch = parse(chart(stamps, [1.0, 2.0, 3.0], exchangeTimezoneName="Australia/Sydney"))
    assert dates(batch) == [date(2024, 1, 9), date(2024, 1, 10)]
    assert batch.columns["close"] == ["1.0", "3.0"]


def test_the_sessions_around_a_clock_change_have_their_own_dates() -> None:
    """New York opens at 14:30 UTC before 10 March 2024 and at 13:30 after it, whatever offset is told."""
    stamps = [seconds(2024, 3, 8, 14, 30), seconds(2024, 3, 11, 13, 30)]
    for offset in (-18_000, -14_400):
        assert dates(parse(chart(stamps, gmtoffset=offset))) == [date(2024, 3, 8), date(2024, 3, 11)]


def test_rows_come_oldest_first_and_inside_the_window() -> None:
    stamps = [seconds(2024, 7, day, 13, 30) for day in (10, 8, 9, 5)]
    window = TimeRange(datetime(2024, 7, 8, tzinfo=UTC), datetime(2024, 7, 10, tzinfo=UTC))
    assert dates(parse(chart(stamps), window=window)) == [date(2024, 7, 8), date(2024, 7, 9)]


@pytest.mark.parametrize("zone", [None, "", "Mars/Olympus", "../../etc/passwd", "America", 5, "x" * 500])
def test_a_zone_that_is_none_is_malformed(zone: object) -> None:
    with pytest.raises(MalformedError, match="exchangeTimezoneName"):
        parse(chart([seconds(2024, 7, 10, 13, 30)], exchangeTimezoneName=zone))


# --- nulls and absences


def test_a_row_without_a_close_is_left_out_and_counted() -> None:
    stamps = [seconds(2024, 7, day, 13, 30) for day in (8, 9, 10)]
    body = chart(stamps)
    body["chart"]["result"][0]["indicators"]["quote"][0]["close"] = [1.5, None, 2.5]
    batch = parse(body)
    assert batch.columns["close"] == ["1.5", "2.5"]
    assert batch.meta["left_out"] == 1


def test_an_hour_of_nulls_is_left_out_and_a_live_row_of_a_close_alone_is_none_of_the_bar() -> None:
    """Yahoo gives hours without trade as nulls, and the newest row sometimes as its price alone."""
    stamps = [
        seconds(2024, 7, 9, 17, 30),
        seconds(2024, 7, 9, 18, 30),
        seconds(2024, 7, 9, 19, 30),
        seconds(2024, 7, 9, 20),
    ]
    body = chart(stamps, interval="1h")
    quote = body["chart"]["result"][0]["indicators"]["quote"][0]
    for name, cells in quote.items():
        cells[1] = None
        cells[3] = 10.75 if name == "close" else None
    batch = parse(body, Interval.H1)
    assert [stamp // 1_000_000 for stamp in batch.columns["timestamp"]] == [stamps[0], stamps[2]]
    assert None not in batch.columns["high"]


def test_a_null_adjusted_close_or_volume_keeps_its_row() -> None:
    body = chart([seconds(2024, 7, 10, 13, 30)])
    body["chart"]["result"][0]["indicators"]["adjclose"] = [{"adjclose": [None]}]
    body["chart"]["result"][0]["indicators"]["quote"][0]["volume"] = [None]
    batch = parse(body)
    assert (batch.columns["adj_close"], batch.columns["volume"], batch.columns["close"]) == ([None], [None], ["10.5"])
    assert "left_out" not in batch.meta


def test_intraday_bars_have_no_adjusted_close() -> None:
    body = chart([seconds(2024, 7, 10, 13, 30)])
    del body["chart"]["result"][0]["indicators"]["adjclose"]
    assert parse(body, Interval.M15).columns["adj_close"] == [None]


@pytest.mark.parametrize("body", [chart(None), chart([])], ids=["no timestamp key", "an empty one"])
def test_an_empty_range_is_empty(body: dict[str, Any]) -> None:
    with pytest.raises(EmptyError):
        parse(body)


def test_nothing_but_nulls_is_empty() -> None:
    with pytest.raises(EmptyError, match="1 without a price"):
        parse(chart([seconds(2024, 7, 10, 13, 30)], [None]))


def test_nothing_inside_the_window_is_empty() -> None:
    window = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    with pytest.raises(EmptyError):
        parse(chart([seconds(2024, 7, 10, 13, 30)]), window=window)


def test_a_price_column_that_is_absent_is_malformed() -> None:
    body = chart([seconds(2024, 7, 10, 13, 30)])
    del body["chart"]["result"][0]["indicators"]["quote"][0]["high"]
    with pytest.raises(MalformedError, match="high"):
        parse(body)


def test_columns_of_other_lengths_are_malformed() -> None:
    body = chart([seconds(2024, 7, 10, 13, 30)])
    body["chart"]["result"][0]["indicators"]["quote"][0]["low"] = [1.0, 2.0]
    with pytest.raises(MalformedError, match="low"):
        parse(body)


def test_more_bars_than_a_batch_holds_are_malformed() -> None:
    start = datetime(2000, 1, 1, 14, 30, tzinfo=UTC)
    stamps = [int((start + timedelta(days=day)).timestamp()) for day in range(BATCH_LIMIT + 1)]
    with pytest.raises(MalformedError, match="1001"):
        parse(chart(stamps))
    assert len(parse(chart(stamps[:-1]))) == BATCH_LIMIT


@pytest.mark.parametrize("currency", ["GBp", "ZAc", "ILA", None, "USD"])
def test_the_currency_is_kept_as_it_was_said(currency: str | None) -> None:
    """Pence, cents and agorot are a hundredth of their unit; whoever converts must see them."""
    assert parse(chart([seconds(2024, 7, 10, 8)], currency=currency)).currency == currency
    assert quoted(currency=currency).currency == currency


def test_events_may_be_null_or_absent() -> None:
    stamp = seconds(2024, 7, 10, 13, 30)
    for events in (None, {}, [], {"dividends": None}, {"splits": {}}, {"splits": []}):
        body = chart([stamp])
        body["chart"]["result"][0]["events"] = events
        assert not {"splits", "dividends"} & set(parse(body).meta)


@pytest.mark.parametrize("wrong", ["x", 5, True, [{"date": 1, "amount": 1}]])
def test_events_of_another_form_are_not_lost_in_silence(wrong: Any) -> None:
    body = chart([seconds(2024, 7, 10, 13, 30)])
    for events in (wrong, {"dividends": wrong}, {"splits": {"1": wrong}}, {"capitalGains": {"1": None}}):
        body["chart"]["result"][0]["events"] = events
        with pytest.raises(MalformedError, match="is no object"):
            parse(body)


@pytest.mark.parametrize("group", ["dividends", "capitalGains", "splits"])
@pytest.mark.parametrize("numbers", [{}, {"amount": None, "numerator": None, "denominator": None, "currency": "USD"}])
def test_an_event_without_its_numbers_is_told_and_left_out(group: str, numbers: dict[str, Any]) -> None:
    stamp = seconds(2024, 7, 10, 13, 30)
    body = chart([stamp])
    body["chart"]["result"][0]["events"] = {group: {"1": {"date": stamp, **numbers}}}
    batch = parse(body)
    [one] = check_batch(batch, NOW)
    assert (one.rule, one.row) == ("split_values" if group == "splits" else "payment_values", 0)
    assert "null" in one.detail
    assert actions_of(batch) == []


def test_splits_and_dividends_are_told_with_their_own_digits() -> None:
    stamp = seconds(2024, 6, 10, 13, 30)
    body = chart([stamp])
    body["chart"]["result"][0]["events"] = {
        "splits": {str(stamp): {"date": stamp, "numerator": 10, "denominator": 1, "splitRatio": "10:1"}},
        "dividends": {"b": {"date": stamp + 86_400, "amount": 0.01}, "a": {"date": stamp, "amount": 0.000956}},
    }
    meta = parse(body).meta
    assert meta["splits"] == [[stamp * 1_000_000, "10", "1"]]
    assert meta["dividends"] == [[stamp * 1_000_000, "0.000956"], [(stamp + 86_400) * 1_000_000, "0.01"]]


def test_a_dividend_with_a_currency_of_its_own_is_told_in_that() -> None:
    """yfinance#2270: the prices are in pence."""
    stamp = seconds(2024, 6, 10, 8)
    body = chart([stamp], currency="GBp")
    body["chart"]["result"][0]["events"] = {
        "dividends": {
            "a": {"date": stamp, "amount": 0.25, "currency": "USD"},
            "b": {"date": stamp + 60, "amount": 12.5, "currency": None},
        }
    }
    assert parse(body).meta["dividends"] == [
        [stamp * 1_000_000, "0.25", "USD"],
        [(stamp + 60) * 1_000_000, "12.5"],
    ]


def test_capital_gains_of_funds_are_told_beside_dividends() -> None:
    """yfinance#926: the day's gains of VWILX, apart from its dividend."""
    stamp = seconds(2025, 12, 17, 14, 30)
    body = chart([stamp])
    body["chart"]["result"][0]["events"] = {
        "dividends": {str(stamp): {"date": stamp, "amount": 1.437}},
        "capitalGains": {str(stamp): {"date": stamp, "amount": 6.42}},
    }
    meta = parse(body, window=TimeRange(datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))).meta
    assert (meta["dividends"], meta["capital_gains"]) == ([[stamp * 1_000_000, "1.437"]], [[stamp * 1_000_000, "6.42"]])


@pytest.mark.parametrize(
    "body", [b"Invalid Crumb", b"<html>Unauthorized</html>", b"", b'{"finance": {"error": "Invalid Crumb"}}']
)
def test_a_401_passes_whatever_its_body_for_there_is_no_key_that_could_be_wrong(body: bytes) -> None:
    """yahoofinance-api#206."""
    for kind in (Kind.QUOTE, Kind.BARS):
        with pytest.raises(TransientError):
            parse(body, status=401, kind=kind)


@pytest.mark.parametrize("told", ["1e999", "1e1000000", 0, -1, "two", [[1]], {"raw": 1}, True, "\x1b[2J", 10**50])
def test_bars_are_not_lost_for_an_event_that_can_be_none(told: Any) -> None:
    """It reaches the checks as it was told, which mark it and leave it out; no date is moved by it."""
    stamp = seconds(2024, 7, 9, 13, 30)
    body = chart([stamp], regularMarketTime=seconds(2024, 7, 1, 20))
    body["chart"]["result"][0]["events"] = {
        "splits": {"1": {"date": seconds(2024, 7, 10, 13, 30), "numerator": told, "denominator": 1}},
        "dividends": {"1": {"date": stamp, "amount": told, "currency": told}},
    }
    batch = parse(body)
    assert batch.meta["adjusted_to"] == "2024-07-09"
    assert sorted({one.rule for one in check_batch(batch, NOW)}) == ["payment_values", "split_values"]
    assert actions_of(batch) == []
    assert Batch.from_message(json.loads(json.dumps(batch.to_message()))) == batch


def test_more_events_than_a_window_has_days_are_no_answer() -> None:
    stamp = seconds(2024, 7, 9, 13, 30)
    body = chart([stamp])
    for size, told in ((BATCH_LIMIT, BATCH_LIMIT), (BATCH_LIMIT + 1, None)):
        each = {str(n): {"date": stamp, "amount": n + 1} for n in range(size)}
        body["chart"]["result"][0]["events"] = {"dividends": each}
        if told:
            assert len(parse(body).meta["dividends"]) == told
        else:
            with pytest.raises(MalformedError, match="1001 dividends"):
                parse(body)


def test_events_of_the_margin_belong_to_another_window() -> None:
    """A day to either side is asked for; the split of the ninth would be told twice."""
    opens = {day: seconds(2024, 7, day, 13, 30) for day in (8, 9, 10)}
    body = chart(list(opens.values()))
    body["chart"]["result"][0]["events"] = {
        "splits": {str(stamp): {"date": stamp, "numerator": day, "denominator": 1} for day, stamp in opens.items()}
    }
    window = TimeRange(datetime(2024, 7, 10, tzinfo=UTC), datetime(2024, 7, 11, tzinfo=UTC))
    assert parse(body, window=window).meta["splits"] == [[opens[10] * 1_000_000, "10", "1"]]
    body["chart"]["result"][0]["meta"]["dataGranularity"] = "1h"
    hour = TimeRange(datetime(2024, 7, 9, 13, tzinfo=UTC), datetime(2024, 7, 9, 20, tzinfo=UTC))
    assert parse(body, Interval.H1, hour).meta["splits"] == [[opens[9] * 1_000_000, "9", "1"]]


def test_two_events_of_one_moment_are_both_told() -> None:
    stamp = seconds(2024, 7, 10, 13, 30)
    body = chart([stamp])
    body["chart"]["result"][0]["events"] = {
        "dividends": {"a": {"date": stamp, "amount": 0.5}, "b": {"date": stamp, "amount": 0.25}}
    }
    assert parse(body).meta["dividends"] == [[stamp * 1_000_000, "0.25"], [stamp * 1_000_000, "0.5"]]


@pytest.mark.parametrize(("said", "interval"), [("60m", Interval.H1), ("1h", Interval.H1), ("15m", Interval.M15)])
def test_the_two_names_of_an_hour_are_one(said: str, interval: Interval) -> None:
    assert parse(chart([seconds(2024, 7, 10, 13, 30)], dataGranularity=said), interval).interval is interval


@pytest.mark.parametrize("said", [["1d"], {"1d": 1}, 7, True])
def test_a_length_of_bars_that_is_no_text_is_malformed(said: Any) -> None:
    with pytest.raises(MalformedError, match="dataGranularity"):
        parse(chart([seconds(2024, 7, 10, 13, 30)], dataGranularity=said))


@pytest.mark.parametrize("said", ["1mo", "1wk", "5m", "3mo"])
def test_bars_of_another_length_are_refused(said: str) -> None:
    """A range that is too long is answered in months."""
    with pytest.raises(MalformedError, match=said):
        parse(chart([seconds(2024, 7, 10, 13, 30)], dataGranularity=said))


# --- quotes


@pytest.mark.parametrize(
    ("interval", "stamp", "traded", "until"),
    [
        (Interval.D1, seconds(2024, 7, 9, 13, 30), seconds(2024, 7, 1, 20), "2024-07-09"),
        (Interval.D1, seconds(2024, 7, 9, 13, 30), seconds(2024, 7, 9, 20), "2024-07-09"),
        (Interval.H1, seconds(2024, 7, 9, 13, 30), seconds(2024, 7, 1, 20), "2024-07-09"),
        (Interval.H1, seconds(2024, 7, 9, 13, 30), seconds(2024, 7, 10, 1), "2024-07-09"),
        (Interval.H1, seconds(2024, 7, 9, 13, 30), seconds(2024, 7, 10, 14), "2024-07-10"),
        (Interval.D1, seconds(2024, 7, 9, 13, 30), seconds(2099, 1, 1), "2024-07-10"),  # the day of the asking
    ],
)
def test_prices_are_restated_to_the_day_of_the_newest_bar_at_the_least(
    interval: Interval, stamp: int, traded: int, until: str
) -> None:
    """A last trade older than the bars is a stale one: a split between would be applied twice."""
    assert parse(chart([stamp], regularMarketTime=traded), interval).meta["adjusted_to"] == until


def quoted(**meta: Any) -> Batch:
    told = {"regularMarketPrice": 187.25, "regularMarketTime": 1_704_834_000, **meta}
    return parse(chart(None, **told), kind=Kind.QUOTE)


def test_the_meta_of_a_chart_is_the_quote() -> None:
    row = quoted(regularMarketVolume=7, chartPreviousClose=185.5).row(0)
    assert (row["timestamp"], row["price"], row["volume"]) == (1_704_834_000_000_000, "187.25", "7")
    assert row["previous_close"] == "185.5"


def test_a_quote_without_a_price_is_empty() -> None:
    with pytest.raises(EmptyError):
        quoted(regularMarketPrice=None)


@pytest.mark.parametrize("price", [0, -1.5])
def test_a_price_of_nothing_is_empty(price: float) -> None:
    with pytest.raises(EmptyError):
        quoted(regularMarketPrice=price)


def test_a_quote_without_its_time_is_malformed() -> None:
    """The time of the call says nothing about the age of a price."""
    with pytest.raises(MalformedError, match="regularMarketTime"):
        quoted(regularMarketTime=None)


def test_milliseconds_are_no_seconds() -> None:
    with pytest.raises(MalformedError, match="regularMarketTime"):
        quoted(regularMarketTime=1_704_834_000_000)


def test_the_statement_of_a_synthetic_source_is_passed_on() -> None:
    assert quoted(fintrack={"synthetic": True}).meta["statement"] == {"synthetic": True}


def test_a_symbol_left_out_of_a_v7_answer_is_unknown() -> None:
    with pytest.raises(UnknownSymbolError):
        parse({"quoteResponse": {"result": [], "error": None}}, kind=Kind.QUOTE)


def test_the_symbols_own_entry_of_a_v7_answer_is_its_quote() -> None:
    entries = [
        {"symbol": symbol, "regularMarketPrice": price, "regularMarketTime": 1_704_834_000, "currency": "USD"}
        for symbol, price in (("MSFT", 390.5), ("AAPL", 187.25))
    ]
    batch = parse({"quoteResponse": {"result": entries, "error": None}}, kind=Kind.QUOTE)
    assert batch.columns["price"] == ["187.25"]
    with pytest.raises(UnknownSymbolError):
        parse({"quoteResponse": {"result": entries[:1], "error": None}}, kind=Kind.QUOTE)


def test_a_delisted_symbol_is_unknown() -> None:
    stub = {"quoteType": "NONE", "symbol": "AAPL"}
    with pytest.raises(UnknownSymbolError, match="delisted"):
        parse({"quoteResponse": {"result": [stub], "error": None}}, kind=Kind.QUOTE)


def test_the_answer_must_be_of_the_symbol_that_was_asked_for() -> None:
    with pytest.raises(MalformedError, match="MSFT"):
        quoted(symbol="MSFT")


# --- errors


def error(root: str, code: str, text: str | None = "said so") -> dict[str, Any]:
    return {root: {"result": None, "error": {"code": code, "description": text}}}


@pytest.mark.parametrize("root", ["chart", "finance", "spark", "quoteResponse"])
@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (404, "Not Found", UnknownSymbolError),
        (200, "Not Found", UnknownSymbolError),
        (401, "Unauthorized", TransientError),
        (200, "Unauthorized", TransientError),
        (403, "Forbidden", EntitlementError),
        (400, "Bad Request", MalformedError),
        (500, "internal-error", TransientError),
        (429, "Too Many Requests", QuotaError),
    ],
)
def test_an_error_means_the_same_under_each_root(
    root: str, status: int, code: str, meaning: type[ProviderError]
) -> None:
    for kind in (Kind.QUOTE, Kind.BARS):
        with pytest.raises(meaning):
            parse(error(root, code), status=status, kind=kind)


NOT_KEPT = "{} data not available for startTime=1 and endTime=2. The requested range must be within the last {} days."


@pytest.mark.parametrize(
    ("interval", "said", "days", "first"),
    [
        (Interval.H1, "1h", 730, datetime(2022, 7, 12, tzinfo=UTC)),
        (Interval.M15, "15m", 60, datetime(2024, 5, 12, tzinfo=UTC)),
    ],
)
def test_bars_that_yahoo_no_longer_keeps_are_unavailable_before_its_first_day(
    interval: Interval, said: str, days: int, first: datetime
) -> None:
    """A range that is refused is not one without bars. NOW is 2024-07-10: what is kept begins within the day before."""
    for status in (200, 400, 422):
        with pytest.raises(UnavailableRangeError) as caught:
            parse(error("chart", "Unprocessable Entity", NOT_KEPT.format(said, days)), interval, status=status)
        assert caught.value.earliest == first


@pytest.mark.parametrize(
    "text",
    [
        "1m data not available for startTime=1 and endTime=2. Only 8 days worth of 1m granularity data are allowed",
        "Only 8 days worth of 1m granularity data are allowed",
    ],
)
def test_a_range_longer_than_a_request_gives_is_unavailable_and_tells_no_first_day(text: str) -> None:
    with pytest.raises(UnavailableRangeError) as caught:
        parse(error("chart", "Unprocessable Entity", text), status=422)
    assert caught.value.earliest is None


@pytest.mark.parametrize(
    "text",
    [
        "Invalid input - start date cannot be after end date. startDate = 1704700800, endDate = 1704096000",
        "Invalid input - interval=7h is not supported. Valid intervals: [1m, 2m, 5m, 15m, 1h, 1d]",
        "Unprocessable",
        None,
    ],
)
def test_a_refusal_of_a_wrong_question_says_nothing_of_what_is_kept(text: str | None) -> None:
    for status in (400, 422):
        with pytest.raises(MalformedError):
            parse(error("chart", "Unprocessable Entity", text), Interval.H1, status=status)


def test_a_quote_has_no_range_to_refuse() -> None:
    with pytest.raises(MalformedError):
        parse(error("chart", "Unprocessable Entity", NOT_KEPT.format("1d", 7)), status=422, kind=Kind.QUOTE)


def test_a_range_without_bars_is_empty() -> None:
    text = "Data doesn't exist for startDate = 1577836800, endDate = 1578009600"
    for status in (400, 422):
        with pytest.raises(EmptyError):
            parse(error("chart", "Bad Request", text), status=status)


@pytest.mark.parametrize("status", [200, 401, 403])
@pytest.mark.parametrize(
    "body", [b"Too Many Requests\r\n", b"Edge: Too Many Requests", b"<html><h1>Too Many Requests</h1></html>"]
)
def test_too_many_requests_in_plain_text_is_a_quota_under_every_status(status: int, body: bytes) -> None:
    """The crumb's address answers it, where it is easily taken for a crumb."""
    for kind in (Kind.QUOTE, Kind.BARS):
        with pytest.raises(QuotaError):
            parse(body, status=status, kind=kind)


def test_a_name_of_too_many_requests_is_no_quota() -> None:
    """Only where no JSON came: a company may be called anything."""
    assert quoted(longName="Too Many Requests Inc.").columns["price"] == ["187.25"]


def test_a_description_of_several_lines_becomes_one() -> None:
    with pytest.raises(MalformedError) as caught:
        parse(error("chart", "Bad Request", "first\nsecond " + "x" * 900), status=400)
    assert str(caught.value).startswith("Bad Request: first second xxx")
    assert len(str(caught.value)) < 400


def test_a_page_of_consent_is_malformed() -> None:
    with pytest.raises(MalformedError, match="HTML"):
        parse(b"\n<!DOCTYPE html><html lang=en>")


def test_all_asset_classes_are_served() -> None:
    assert PROVIDER.facts.asset_classes == frozenset(AssetClass)
    assert PROVIDER.facts.key is None
