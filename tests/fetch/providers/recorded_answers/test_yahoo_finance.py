"""Recorded answers of Yahoo Finance, every file of them; the expected values were read off the files by hand."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest

from fintrack_tasks.domain import Batch, Instrument, Interval, Kind, TimeRange, from_micros, to_micros
from fintrack_tasks.errors import (
    EmptyError,
    MalformedError,
    ProviderError,
    QuotaError,
    TransientError,
    UnknownSymbolError,
)
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from tests.fetch.providers.asking import ALL_TIME, needs_samples, question, sample, sample_names

NOW = datetime(2026, 10, 3, tzinfo=UTC)

pytestmark = needs_samples


def yahoo(
    name: str,
    symbol: str,
    kind: Kind = Kind.BARS,
    interval: Interval = Interval.D1,
    window: TimeRange = ALL_TIME,
) -> Batch:
    ask = question(symbol, None if kind is Kind.QUOTE else interval, NOW, window)
    return provider("yahoo_finance").parse(ask, sample("yahoo", name))


def opened(batch: Batch, row: int) -> date:
    """The date of a daily bar, which must stand at midnight UTC."""
    moment = from_micros(batch.columns["timestamp"][row])
    assert moment.time() == datetime.min.time()
    return moment.date()


def ohlc(batch: Batch, row: int) -> tuple[Any, ...]:
    return tuple(batch.columns[name][row] for name in ("open", "high", "low", "close"))


# --- every file


@pytest.mark.parametrize("name", sample_names("yahoo"))
def test_every_recorded_yahoo_file_gives_rows_or_a_typed_error(name: str) -> None:
    """Whatever is asked: each symbol's own file, and all files as an answer to something else."""
    found = re.match(r"(?:chart|quote|download)-(.+?)(?:-1d|-1m|-20|-stub|-index|-200)", name)
    own = {"GSPC-1mo": "^GSPC", "VXAPL": "^VXAPL", "AAPL-BABA": "AAPL"}.get(found[1], found[1]) if found else "AAPL"
    for symbol in {own, "AAPL", "BTC-USD"}:
        for kind in (Kind.QUOTE, Kind.BARS):
            for interval in Interval:
                try:
                    batch = yahoo(name, symbol, kind, interval)
                except ProviderError as error:
                    assert type(error) is not ProviderError  # noqa: PT017  both outcomes are right ones
                else:
                    assert len(batch) >= 1
                    assert symbol == own


@pytest.mark.parametrize("name", [name for name in sample_names("yahoo") if name.startswith("quote-")])
def test_every_v7_quote_is_no_answer_to_a_chart(name: str) -> None:
    with pytest.raises((MalformedError, UnknownSymbolError)):
        yahoo(name, "AAPL")


# --- dates


def test_sydney_bars_are_dated_by_the_local_session_not_by_utc() -> None:
    """10:00 in Sydney is 23:00 UTC of the day before."""
    batch = yahoo("chart-ALL.AX-1d-2022-01.json", "ALL.AX")
    assert batch.currency == "AUD"
    assert len(batch) == 64
    assert opened(batch, 0) == date(2021, 10, 13)
    assert opened(batch, 1) == date(2021, 10, 14)
    assert opened(batch, 32) == date(2021, 11, 26)
    assert ohlc(batch, 0) == ("44.422000885009766", "45.08932876586914", "43.67499542236328", "44.70088195800781")
    assert batch.columns["adj_close"][0] == "44.43739700317383"
    assert batch.columns["volume"][0] == "771128"


def test_the_live_sydney_bar_is_dated_by_its_session() -> None:
    """Stamped 05:10:07 UTC with the last trade: the session of 13 January."""
    batch = yahoo("chart-ALL.AX-1d-2022-01.json", "ALL.AX")
    assert opened(batch, 63) == date(2022, 1, 13)
    assert opened(batch, 62) == date(2022, 1, 12)
    assert ohlc(batch, 63) == ("44.380001068115234", "44.380001068115234", "43.720001220703125", "44.04999923706055")


def test_no_sydney_bar_falls_on_a_weekend() -> None:
    batch = yahoo("chart-ALL.AX-1d-2022-01.json", "ALL.AX")
    assert all(opened(batch, row).weekday() < 5 for row in range(len(batch)))


def test_a_row_of_nulls_is_left_out_and_london_summer_dates_are_local() -> None:
    """23:00 UTC in July is midnight of the next day in London."""
    batch = yahoo("chart-INR=X-1d-2017-07-null-row.json", "INR=X")
    assert batch.currency == "INR"
    assert [opened(batch, row) for row in range(len(batch))] == [
        date(2017, 7, 10),
        date(2017, 7, 12),
        date(2017, 7, 13),
    ]
    assert batch.columns["close"] == ["64.61170196533203", "64.52559661865234", "64.36499786376953"]
    assert batch.meta["left_out"] == 1


def test_bars_from_before_1970_keep_their_dates() -> None:
    batch = yahoo("chart-IBM-1d-1962-long-events.json", "IBM")
    assert len(batch) == 10
    assert opened(batch, 0) == date(1962, 1, 2)
    assert opened(batch, 1) == date(1962, 1, 3)
    assert opened(batch, 5) == date(2021, 1, 4)
    assert opened(batch, 9) == date(2021, 1, 8)
    assert ohlc(batch, 0) == ("7.374124050140381", "7.374124050140381", "7.2912678718566895", "7.2912678718566895")
    assert batch.columns["volume"][0] == "407940"
    assert batch.meta["dividends"][0] == [-249_298_200_000_000, "0.000956"]


def test_frankfurt_winter_and_summer_have_the_dates_of_their_sessions() -> None:
    """The file was recorded in another season than most of its bars: 08:00 UTC, then 07:00 UTC."""
    batch = yahoo("chart-MUV2.DE-1d-2017-11-recorded-2025.json", "MUV2.DE")
    assert batch.currency == "EUR"
    assert len(batch) == 124
    assert opened(batch, 0) == date(2017, 11, 27)
    assert opened(batch, 62) == date(2018, 2, 26)
    assert opened(batch, 123) == date(2018, 5, 25)
    assert batch.columns["close"][123] == "188.3000030517578"


@pytest.mark.parametrize(
    ("name", "symbol", "currency", "close"),
    [
        ("chart-0P000071W8.TO-1d-2020-01.json", "0P000071W8.TO", "CAD", "73.72000122070312"),
        ("chart-AAPL-1d-2020-01-02.json", "AAPL", "USD", "75.0875015258789"),
        ("chart-AZT.OL-1d-2020-01.json", "AZT.OL", "NOK", "4.989999771118164"),
        ("chart-BABA-1d-2020-01.json", "BABA", "USD", "219.77000427246094"),
        ("chart-GC=F-1d-2020-01.json", "GC=F", "USD", "1524.5"),
        ("chart-OCDO.L-1d-2020-01.json", "OCDO.L", "GBp", "1259.5"),
        ("chart-ORSTED.CO-1d-2020-01.json", "ORSTED.CO", "DKK", "681"),
        ("chart-QQQ-1d-2020-01.json", "QQQ", "USD", "216.16000366210938"),
        ("chart-SPOT-1d-2020-01.json", "SPOT", "USD", "151.6199951171875"),
        ("chart-WSKT.JK-1d-2020-01.json", "WSKT.JK", "IDR", "1505"),
    ],
)
def test_one_bar_of_the_second_of_january_2020(name: str, symbol: str, currency: str, close: str) -> None:
    """From Jakarta to Toronto; pence stay pence here, and the text of a price stays as it was."""
    batch = yahoo(name, symbol)
    assert len(batch) == 1
    assert opened(batch, 0) == date(2020, 1, 2)
    assert batch.currency == currency
    assert batch.columns["close"] == [close]
    assert batch.interval is Interval.D1


def test_crypto_and_currencies_trade_on_new_year() -> None:
    crypto = yahoo("chart-BTC-USD-1d-2020-01.json", "BTC-USD")
    pair = yahoo("chart-EURUSD=X-1d-2020-01.json", "EURUSD=X")
    days = [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)]
    assert [opened(crypto, row) for row in range(3)] == days
    assert [opened(pair, row) for row in range(3)] == days
    assert crypto.columns["volume"] == ["18565664997", "20802083465", "28111481032"]
    assert pair.columns["volume"] == ["0", "0", "0"]
    assert pair.columns["low"][2] == "1.112569808959961"


def test_a_window_keeps_what_opens_in_it() -> None:
    window = TimeRange(datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 3, tzinfo=UTC))
    batch = yahoo("chart-BTC-USD-1d-2020-01.json", "BTC-USD", window=window)
    assert batch.columns["close"] == ["6985.47021484375"]


# --- splits, dividends, intervals


def test_the_split_of_apple_is_told_beside_the_bars() -> None:
    batch = yahoo("chart-AAPL-1d-2020-08-31-split-dividend.json", "AAPL")
    assert len(batch) == 49
    assert opened(batch, 0) == date(2020, 8, 31)
    assert opened(batch, 48) == date(2020, 11, 6)
    assert ohlc(batch, 0) == ("127.58000183105469", "131", "126", "129.0399932861328")
    assert batch.meta["splits"] == [[1_598_880_600_000_000, "4", "1"]]
    assert batch.meta["dividends"] == [[1_604_673_000_000_000, "0.205"]]


def test_four_dividends_of_a_year_come_oldest_first() -> None:
    batch = yahoo("chart-MSFT-1d-2021-dividends.json", "MSFT")
    assert len(batch) == 252
    assert [amount for _, amount in batch.meta["dividends"]] == ["0.56", "0.56", "0.56", "0.62"]
    assert "splits" not in batch.meta


def test_the_split_of_nvidia() -> None:
    batch = yahoo("chart-NVDA-1d-2021-split.json", "NVDA")
    assert batch.meta["splits"] == [[1_626_787_800_000_000, "4", "1"]]
    assert ohlc(batch, 251)[3] == "22.84000015258789"


def test_a_monthly_chart_that_has_closes_alone_is_refused() -> None:
    with pytest.raises(MalformedError, match="open"):
        yahoo("chart-GSPC-1mo-2021-2026.json", "^GSPC")


def test_daily_bars_where_hours_were_asked_for_are_refused() -> None:
    with pytest.raises(MalformedError, match="1d"):
        yahoo("chart-AAPL-1d-2020-01-02.json", "AAPL", interval=Interval.H1)


def test_a_weekend_is_empty_or_of_the_wrong_interval_but_never_malformed_json() -> None:
    """The recorded range is of minutes; asked as what it is not, the interval is what is wrong."""
    body = sample("yahoo", "chart-AAPL-1m-weekend-empty.json").body
    ask = Ask(Kind.BARS, Instrument.of("AAPL"), NOW, Interval.M15, ALL_TIME)
    with pytest.raises(EmptyError):
        provider("yahoo_finance").parse(ask, HttpResponse(200, body.replace(b'"1m"', b'"15m"')))
    with pytest.raises(MalformedError, match="1m"):
        provider("yahoo_finance").parse(ask, HttpResponse(200, body))


def test_an_answer_for_another_symbol_is_refused() -> None:
    with pytest.raises(MalformedError, match="AAPL"):
        yahoo("chart-AAPL-1d-2020-01-02.json", "MSFT")


# --- quotes


def test_the_meta_of_a_chart_is_a_quote() -> None:
    batch = yahoo("chart-AAPL-1d-2020-01-02.json", "AAPL", Kind.QUOTE)
    row = batch.row(0)
    assert row["price"] == "244.87"
    assert row["timestamp"] == to_micros(datetime(2025, 2, 19, 21, 0, 1, tzinfo=UTC))
    assert row["volume"] == "32129951"
    assert row["high"] == "246.01"
    assert batch.currency == "USD"
    assert batch.meta["zone"] == "America/New_York"


@pytest.mark.parametrize(
    ("name", "symbol", "price", "seconds", "currency", "volume"),
    [
        ("quote-0P000071W8.TO-2025.json", "0P000071W8.TO", "152.63", 1739563200, "CAD", None),
        ("quote-AAPL-2021.json", "AAPL", "136.76", 1612558802, "USD", "75693830"),
        ("quote-AAPL-2025.json", "AAPL", "244.6", 1739566800, "USD", "40896227"),
        ("quote-AAPL-BABA-2025.json", "AAPL", "244.6", 1739566800, "USD", "40896227"),
        ("quote-BTC-USD-2025.json", "BTC-USD", "96077.45", 1739789580, "USD", "21228961792"),
        ("quote-EURUSD=X-2021.json", "EURUSD=X", "1.1800802", 1616752381, "USD", "0"),
        ("quote-GC=F-2025.json", "GC=F", "2910.3", 1739789091, "USD", "54706"),
        ("quote-GOOG-2025.json", "GOOG", "186.87", 1739566801, "USD", "12634771"),
        ("quote-LDO.MI-2025.json", "LDO.MI", "33.38", 1739788791, "EUR", "3501283"),
        ("quote-OCDO.L-2025.json", "OCDO.L", "308.8", 1739788724, "GBp", "113925"),
        ("quote-UNIR.MI-2021.json", "UNIR.MI", "14.9", 1613406942, "EUR", "259887"),
        ("quote-VXAPL-index-2025.json", "^VXAPL", "23.77", 1739566922, "USD", "0"),
    ],
)
def test_quotes_of_v7(name: str, symbol: str, price: str, seconds: int, currency: str, volume: str | None) -> None:
    batch = yahoo(name, symbol, Kind.QUOTE)
    row = batch.row(0)
    assert (row["price"], row["timestamp"], row["volume"]) == (price, seconds * 1_000_000, volume)
    assert batch.currency == currency


def test_a_zero_beside_a_price_means_none() -> None:
    """The index has no bid, no ask, and a day's high and low of 0."""
    row = yahoo("quote-VXAPL-index-2025.json", "^VXAPL", Kind.QUOTE).row(0)
    assert (row["bid"], row["ask"], row["high"], row["low"], row["open"]) == (None,) * 5
    assert row["previous_close"] == "24.28"


# --- errors


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("error-404-unknown-symbol.json", Kind.BARS, UnknownSymbolError),
        ("error-404-unknown-symbol.json", Kind.QUOTE, UnknownSymbolError),
        ("error-429-too-many-requests.txt", Kind.BARS, QuotaError),
        ("error-401-invalid-crumb.json", Kind.QUOTE, TransientError),
        ("error-400-spark-too-many-symbols.json", Kind.QUOTE, MalformedError),
        ("error-400-no-data-for-range-BFLY.txt", Kind.BARS, EmptyError),
        ("quote-NONEXIST-200.json", Kind.QUOTE, UnknownSymbolError),
        ("quote-BRKS-stub-2025.json", Kind.QUOTE, UnknownSymbolError),
        ("download-AAPL-1d-2020-01.csv", Kind.BARS, MalformedError),
    ],
)
def test_what_the_errors_of_yahoo_mean(name: str, kind: Kind, error: type[ProviderError]) -> None:
    symbol = "BRKS" if "BRKS" in name else "AAPL"
    with pytest.raises(error):
        yahoo(name, symbol, kind)


def test_too_many_requests_is_a_quota_under_a_status_of_200_too() -> None:
    body = sample("yahoo", "error-429-too-many-requests.txt").body
    with pytest.raises(QuotaError):
        provider("yahoo_finance").parse(Ask(Kind.QUOTE, Instrument.of("AAPL"), NOW), HttpResponse(200, body))
