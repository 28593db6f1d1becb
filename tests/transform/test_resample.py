"""Longer bars from shorter ones. Expected values were computed by hand, by awk, or by pandas."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fintrack_tasks.domain import Instrument, Interval, Kind, TimeRange, from_micros, to_micros
from fintrack_tasks.fetch.providers import provider
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.sandbox.prices import real_daily_bars
from fintrack_tasks.session_times import TradingSessions, instrument_sessions
from fintrack_tasks.sessions import expected_bars
from fintrack_tasks.transform.resample import BarLength, aggregate_columns, group

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "provider-samples" / "yahoo"
LATER = to_micros(datetime(2030, 1, 1, tzinfo=UTC))
NAMES = ("open", "high", "low", "close", "volume")
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)


def at(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


def as_text(stamps: Any, form: str = "%Y-%m-%d %H:%M") -> list[str]:
    return [from_micros(int(stamp)).strftime(form) for stamp in stamps]


def sessions(symbol: str) -> TradingSessions:
    return instrument_sessions(Instrument.of(symbol))


def between(first: date, last: date) -> TradingSessions:
    """A pair's trading days that bear these dates and those between them."""
    whole = sessions("EURUSD=X")
    low, high = np.searchsorted(whole.dates, [at(first.isoformat()), at(last.isoformat()) + 1])
    return TradingSessions(*(column[low:high] for column in (whole.starts, whole.ends, whole.dates, whole.settled)))


def numbered(stamps: list[int]) -> dict[str, list[Any]]:
    """Bars whose values tell which one they are: the nth opens at n, closes at n + 1, and has a volume of n."""
    count = range(1, len(stamps) + 1)
    return {
        "timestamp": stamps,
        "open": [f"{n}" for n in count],
        "high": [f"{n}.9" for n in count],
        "low": [f"{n}.1" if n % 2 else f"0.{n:04d}" for n in count],
        "close": [f"{n + 1}" for n in count],
        "volume": [f"{n}" for n in count],
    }


def expected(symbol: str, interval: Interval, start: str, end: str) -> list[int]:
    span = TimeRange(from_micros(at(start)), from_micros(at(end)))
    return expected_bars(Instrument.of(symbol), interval, span)


def real(symbol: str) -> dict[str, list[Any]]:
    """The bundled daily bars of a symbol as columns of decimals."""
    days = sorted(real_daily_bars()[symbol].items())
    columns: dict[str, list[Any]] = {"timestamp": [at(day.isoformat()) for day, _ in days]}
    return columns | {name: [fields[name] for _, fields in days] for name in (*NAMES, "adj_close")}


def floats(columns: dict[str, list[Any]]) -> dict[str, list[float]]:
    return {name: [float(cell) for cell in columns[name]] for name in NAMES}


# --- days to weeks and months


def test_the_real_week_of_apple_that_begins_with_a_holiday() -> None:
    """Presidents' day: Tuesday 22 to Friday 25 February 2005, added up by hand from the bundled prices."""
    week = aggregate_columns(real("AAPL"), BarLength.D1, BarLength.W1, sessions("AAPL"), until=LATER)
    place = week["timestamp"].index(at("2005-02-21"))
    values = {name: str(week[name][place]) for name in (*NAMES, "adj_close")}
    assert values == {
        "open": "86.3", "high": "89.91", "low": "85.29", "close": "88.99", "volume": "89268100",
        "adj_close": "5.7182276557615",
    }  # fmt: skip
    assert Decimal(week["vwap"][place]) == Decimal("87.8131403117874")
    assert (week["parts"][place], week["is_final"][place]) == (4, True)


def test_the_real_month_of_ibm() -> None:
    """February 2013, by awk over the same file."""
    month = aggregate_columns(real("IBM"), BarLength.D1, BarLength.MO1, sessions("IBM"), until=LATER)
    place = month["timestamp"].index(at("2013-02-01"))
    assert [str(month[name][place]) for name in NAMES] == ["204.65", "205.35", "197.51", "200.83", "64144100"]
    assert float(month["vwap"][place]) == pytest.approx(200.832913791500, rel=1e-12)
    assert month["parts"][place] == 19


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT", "GOOG", "FB", "^GSPC", "^IXIC"])
@pytest.mark.parametrize(("to", "rule"), [(BarLength.W1, "W-MON"), (BarLength.MO1, "MS")])
def test_every_real_week_and_month_is_that_of_pandas(symbol: str, to: BarLength, rule: str) -> None:
    columns = real(symbol)
    frame = pd.DataFrame(floats(columns), index=pd.to_datetime(columns["timestamp"], unit="us"))
    wanted = (
        frame.resample(rule, label="left", closed="left")
        .agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
        .dropna()
    )
    made = aggregate_columns(columns, BarLength.D1, to, sessions(symbol), until=LATER)
    assert made["timestamp"] == wanted.index.as_unit("us").asi8.tolist()
    for name, values in floats(made).items():
        np.testing.assert_array_equal(values, wanted[name].to_numpy())


def test_a_week_runs_over_the_turn_of_the_year_and_a_month_does_not() -> None:
    days = [at(f"2024-12-{day}") for day in (30, 31)] + [at(f"2025-01-0{day}") for day in (2, 3, 6)]
    for to, stamps, counts in (
        (BarLength.W1, ["2024-12-30", "2025-01-06"], [4, 1]),
        (BarLength.MO1, ["2024-12-01", "2025-01-01"], [2, 3]),
    ):
        made = aggregate_columns(numbered(days), BarLength.D1, to, sessions("AAPL"), until=LATER)
        assert as_text(made["timestamp"], "%Y-%m-%d") == stamps
        assert made["parts"] == counts


def test_days_before_1970_fall_into_their_weeks_too() -> None:
    """2 January 1962 was a Tuesday."""
    made = aggregate_columns(numbered([at("1962-01-02")]), BarLength.D1, BarLength.W1, sessions("IBM"), until=LATER)
    assert as_text(made["timestamp"], "%Y-%m-%d") == ["1962-01-01"]


# --- quarters to hours to days


def test_hours_of_new_york_count_from_the_open_and_the_last_one_is_half() -> None:
    quarters = expected("AAPL", Interval.M15, "2024-01-10", "2024-01-11")
    hours = aggregate_columns(numbered(quarters), BarLength.M15, BarLength.H1, sessions("AAPL"), until=LATER)
    assert as_text(hours["timestamp"], "%H:%M") == ["14:30", "15:30", "16:30", "17:30", "18:30", "19:30", "20:30"]
    assert hours["parts"] == [4, 4, 4, 4, 4, 4, 2]
    assert [hours[name][1] for name in NAMES] == ["5", "8.9", "0.0006", "9", "26"]  # quarters 5 to 8
    day = aggregate_columns(numbered(quarters), BarLength.M15, BarLength.D1, sessions("AAPL"), until=LATER)
    assert as_text(day["timestamp"]) == ["2024-01-10 00:00"]
    assert [day[name][0] for name in NAMES] == ["1", "26.9", "0.0002", "27", "351"]  # 26 quarters, 26 x 27 / 2


def test_a_half_day_is_over_at_its_own_close() -> None:
    """The day after Thanksgiving 2024 closed at 13:00 in New York, 18:00 UTC."""
    quarters = numbered(expected("AAPL", Interval.M15, "2024-11-29", "2024-11-30"))
    for until, final in ((at("2024-11-29T17:59:59"), False), (at("2024-11-29T18:00"), True)):
        day = aggregate_columns(quarters, BarLength.M15, BarLength.D1, sessions("AAPL"), until=until)
        assert (day["parts"], day["is_final"]) == ([14], [final])
    hours = aggregate_columns(quarters, BarLength.M15, BarLength.H1, sessions("AAPL"), until=at("2024-11-29T18:00"))
    assert as_text(hours["timestamp"], "%H:%M") == ["14:30", "15:30", "16:30", "17:30"]
    assert (hours["parts"][-1], hours["is_final"][-1]) == (2, True)


def test_a_lunch_break_ends_an_hour_and_the_next_counts_from_its_end() -> None:
    """Hong Kong trades 09:30 to 12:00 and 13:00 to 16:00, UTC + 8."""
    quarters = numbered(expected("0700.HK", Interval.M15, "2024-01-10", "2024-01-11"))
    hours = aggregate_columns(quarters, BarLength.M15, BarLength.H1, sessions("0700.HK"), until=LATER)
    assert as_text(hours["timestamp"], "%H:%M") == ["01:30", "02:30", "03:30", "05:00", "06:00", "07:00"]
    assert hours["parts"] == [4, 4, 2, 4, 4, 4]
    day = aggregate_columns(quarters, BarLength.M15, BarLength.D1, sessions("0700.HK"), until=LATER)
    assert (as_text(day["timestamp"]), day["parts"]) == (["2024-01-10 00:00"], [22])


@pytest.mark.parametrize(
    ("length", "step", "to", "stamps"),
    [
        (BarLength.M1, 60, BarLength.M5, ["14:30", "14:35", "14:40", "14:45"]),
        (BarLength.M1, 60, BarLength.M15, ["14:30", "14:45"]),
        (BarLength.M5, 300, BarLength.M15, ["14:30", "14:45"]),
        (BarLength.M5, 300, BarLength.H1, ["14:30"]),
    ],
)
def test_minutes_are_put_together_as_well(length: BarLength, step: int, to: BarLength, stamps: list[str]) -> None:
    minutes = list(range(at("2024-01-10T14:30"), at("2024-01-10T14:50"), step * 1_000_000))
    made = aggregate_columns(numbered(minutes), length, to, sessions("AAPL"), until=LATER)
    assert as_text(made["timestamp"], "%H:%M") == stamps
    assert sum(map(Decimal, made["volume"])) == len(minutes) * (len(minutes) + 1) // 2


def test_crypto_is_put_together_by_utc_day() -> None:
    hours = [at("2024-03-09T00:00") + n * 3_600_000_000 for n in range(72)]
    days = aggregate_columns(numbered(hours), BarLength.H1, BarLength.D1, sessions("BTC-USD"), until=at("2024-03-11"))
    assert as_text(days["timestamp"]) == ["2024-03-09 00:00", "2024-03-10 00:00", "2024-03-11 00:00"]
    assert days["parts"] == [24, 24, 24]
    assert days["open"] == ["1", "25", "49"]
    assert days["close"] == ["25", "49", "73"]
    assert days["volume"] == ["300", "876", "1452"]  # 24 x 25 / 2, and 24 x 24 more each day
    assert days["is_final"] == [True, True, False]


# --- currencies, over the changes of the clocks


def test_a_trading_day_of_currencies_ends_at_five_in_new_york() -> None:
    """New York changed on 10 March and on 3 November 2024: 17:00 there was 22:00 UTC in winter, 21:00 in summer."""
    for first, last, opens, closes in (
        (
            date(2024, 3, 7), date(2024, 3, 12),
            ["03-06 22:00", "03-07 22:00", "03-10 21:00", "03-11 21:00"],
            ["03-07 22:00", "03-08 22:00", "03-11 21:00", "03-12 21:00"],
        ),
        (
            date(2024, 10, 31), date(2024, 11, 5),
            ["10-30 21:00", "10-31 21:00", "11-03 22:00", "11-04 22:00"],
            ["10-31 21:00", "11-01 21:00", "11-04 22:00", "11-05 22:00"],
        ),
    ):  # fmt: skip
        days = between(first, last)
        assert as_text(days.starts, "%m-%d %H:%M") == opens
        assert as_text(days.ends, "%m-%d %H:%M") == closes
        assert [stamp % 86_400_000_000 for stamp in days.dates.tolist()] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("first", "last", "opens", "days", "counts", "edges"),
    [
        # Thursday 7 March 22:00 UTC to Monday 11 March 21:00 UTC, without the weekend: 24 + 24 hours.
        (
            "2024-03-07T22:00", "2024-03-11T23:00", "2024-03-10T21:00",
            ["2024-03-08", "2024-03-11", "2024-03-12"], [24, 24, 2], [("1", "25"), ("25", "49"), ("49", "51")],
        ),
        # Thursday 31 October 21:00 UTC to Monday 4 November 22:00 UTC.
        (
            "2024-10-31T21:00", "2024-11-04T23:00", "2024-11-03T22:00",
            ["2024-11-01", "2024-11-04", "2024-11-05"], [24, 24, 1], [("1", "25"), ("25", "49"), ("49", "50")],
        ),
    ],
)  # fmt: skip
def test_hours_of_a_pair_fall_into_their_trading_day_on_both_sides_of_a_change_of_the_clocks(
    first: str, last: str, opens: str, days: list[str], counts: list[int], edges: list[tuple[str, str]]
) -> None:
    """Hours as a live pair has them: until 17:00 in New York on Friday, again from 17:00 there on Sunday."""
    friday = at(first) + 24 * 3_600_000_000
    hours = [*range(at(first), friday, 3_600_000_000), *range(at(opens), at(last), 3_600_000_000)]
    made = aggregate_columns(numbered(hours), BarLength.H1, BarLength.D1, sessions("EURUSD=X"), until=at(last))
    assert as_text(made["timestamp"], "%Y-%m-%d") == days
    assert made["parts"] == counts
    assert list(zip(made["open"], made["close"], strict=True)) == edges
    assert made["is_final"] == [True, True, False]
    week = aggregate_columns(made, BarLength.D1, BarLength.W1, sessions("EURUSD=X"), until=0)
    assert [week["open"], week["close"]] == [["1", "25"], ["25", edges[-1][1]]]


@pytest.mark.parametrize(
    ("symbol", "before", "after"),
    [
        # London changed on Sunday 31 March 2024 and was closed on Monday; so was Xetra.
        ("BARC.L", ("2024-03-28", "08:00", 9), ("2024-04-02", "07:00", 9)),
        ("SAP.DE", ("2024-03-28", "08:00", 9), ("2024-04-02", "07:00", 9)),
        # Sydney changed back on Sunday 7 April 2024: 10:00 there was 23:00 UTC of the day before, then 00:00.
        # The closing auction at 16:10 is an hour of its own.
        ("BHP.AX", ("2024-04-05", "23:00", 7), ("2024-04-08", "00:00", 7)),
    ],
)
def test_hours_abroad_follow_their_own_change_of_the_clocks(
    symbol: str, before: tuple[str, str, int], after: tuple[str, str, int]
) -> None:
    for day, opens, hours in (before, after):
        begin = from_micros(at(day)) - timedelta(hours=6)
        span = TimeRange(begin, begin + timedelta(hours=26))
        stamps = expected_bars(Instrument.of(symbol), Interval.M15, span)
        made = aggregate_columns(numbered(stamps), BarLength.M15, BarLength.H1, sessions(symbol), until=LATER)
        assert as_text(made["timestamp"], "%H:%M")[0] == opens
        assert len(made["timestamp"]) == hours
        days = aggregate_columns(numbered(stamps), BarLength.M15, BarLength.D1, sessions(symbol), until=LATER)
        assert as_text(days["timestamp"]) == [f"{day} 00:00"]


# --- gaps, nulls, what is not final


def test_a_null_price_is_a_gap_and_a_null_volume_makes_the_sum_unknown() -> None:
    quarters = numbered(expected("AAPL", Interval.M15, "2024-01-10T14:30", "2024-01-10T16:30"))
    quarters["close"][0] = None
    quarters["volume"][5] = None
    made = aggregate_columns(quarters, BarLength.M15, BarLength.H1, sessions("AAPL"), until=LATER)
    assert made["open"] == ["2", "5"]
    assert made["parts"] == [3, 4]
    assert made["volume"] == ["9", None]
    assert [cell is None for cell in made["vwap"]] == [False, True]


def test_no_bar_is_made_of_nothing() -> None:
    quarters = expected("AAPL", Interval.M15, "2024-01-10", "2024-01-11")
    kept = quarters[:4] + quarters[12:]
    made = aggregate_columns(numbered(kept), BarLength.M15, BarLength.H1, sessions("AAPL"), until=LATER)
    assert as_text(made["timestamp"], "%H:%M") == ["14:30", "17:30", "18:30", "19:30", "20:30"]
    empty = aggregate_columns(numbered([]), BarLength.M15, BarLength.H1, sessions("AAPL"), until=LATER)
    assert all(cells == [] for cells in empty.values())


def test_a_bar_outside_every_session_belongs_to_none() -> None:
    stamps = [at("2024-01-10T13:00"), at("2024-01-10T14:30"), at("2024-01-10T21:00"), at("2024-01-13T15:30")]
    made = aggregate_columns(numbered(stamps), BarLength.M15, BarLength.D1, sessions("AAPL"), until=LATER)
    assert (as_text(made["timestamp"]), made["parts"], made["open"]) == (["2024-01-10 00:00"], [1], ["2"])


def test_the_last_bar_is_not_final_until_its_session_is_over_and_is_then_replaced() -> None:
    quarters = expected("AAPL", Interval.M15, "2024-01-10", "2024-01-11")
    live = aggregate_columns(numbered(quarters[:10]), BarLength.M15, BarLength.D1, sessions("AAPL"), until=quarters[10])
    whole = aggregate_columns(
        numbered(quarters), BarLength.M15, BarLength.D1, sessions("AAPL"), until=at("2024-01-10T21:00")
    )
    assert (live["timestamp"], live["close"], live["is_final"]) == (whole["timestamp"], ["11"], [False])
    assert (whole["close"], whole["is_final"]) == (["27"], [True])


def test_a_longer_bar_with_a_provisional_or_missing_part_is_not_final() -> None:
    days = expected("AAPL", Interval.D1, "2024-01-08", "2024-01-13")
    columns = numbered(days) | {"is_final": [True, True, True, True, False]}
    assert aggregate_columns(columns, BarLength.D1, BarLength.W1, sessions("AAPL"), until=LATER)["is_final"] == [False]
    part = numbered(days[:2] + days[3:])
    for missing, lacking, final in ((days, [1], [False]), ([], [0], [True])):
        made = aggregate_columns(part, BarLength.D1, BarLength.W1, sessions("AAPL"), until=LATER, missing=missing)
        assert (made["missing"], made["is_final"]) == (lacking, final)


def test_a_week_is_over_at_the_close_of_its_last_session() -> None:
    """Good Friday 2024: the week ended on Thursday 28 March at 16:00 in New York, 20:00 UTC."""
    days = numbered(expected("AAPL", Interval.D1, "2024-03-25", "2024-03-30"))
    assert len(days["timestamp"]) == 4
    for until, final in ((at("2024-03-28T19:59"), False), (at("2024-03-28T20:00"), True)):
        made = aggregate_columns(days, BarLength.D1, BarLength.W1, sessions("AAPL"), until=until)
        assert made["is_final"] == [final]


# --- what is asked for wrongly


@pytest.mark.parametrize(
    ("length", "to"),
    [
        (BarLength.D1, BarLength.H1),
        (BarLength.H1, BarLength.H1),
        (BarLength.W1, BarLength.MO1),
        (BarLength.MO1, BarLength.W1),
    ],
)
def test_bars_are_not_made_of_what_they_do_not_consist_of(length: BarLength, to: BarLength) -> None:
    with pytest.raises(ValueError, match="do not make"):
        aggregate_columns(numbered([0]), length, to, sessions("AAPL"), until=LATER)


@pytest.mark.parametrize("stamps", [[2, 1], [1, 1]])
def test_stamps_must_ascend(stamps: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        group(np.array(stamps), np.ones(2, np.bool_), BarLength.M15, BarLength.H1, sessions("AAPL"))


# --- recorded answers


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no recorded answers at ../shared/provider-samples")
@pytest.mark.parametrize(
    ("name", "symbol", "week", "values", "parts"),
    [
        # 10:00 in Sydney is 23:00 UTC of the day before: Monday the 18th opened on Sunday, seen from Greenwich.
        (
            "chart-ALL.AX-1d-2022-01", "ALL.AX", "2021-10-18",
            ["45.60725021362305", "49.38999938964844", "45.60725021362305", "47.119998931884766", "6035807"], 5,
        ),
        # Recorded in summer, an hour behind these winter days.
        (
            "chart-MUV2.DE-1d-2017-11-recorded-2025", "MUV2.DE", "2017-11-27",
            ["189.39999389648438", "193.8000030517578", "183.5500030517578", "184.4499969482422", "3620708"], 5,
        ),
        (
            "chart-OCDO.L-1d-2020-01", "OCDO.L", "2019-12-30",
            ["1279.5", "1286.5699462890625", "1258", "1259.5", "728520"], 1,
        ),
    ],
)  # fmt: skip
def test_recorded_days_of_sydney_berlin_and_london_fall_into_their_local_week(
    name: str, symbol: str, week: str, values: list[str], parts: int
) -> None:
    body = (SAMPLES / f"{name}.json").read_bytes()
    span = TimeRange(datetime(1990, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    ask = Ask(Kind.BARS, Instrument.of(symbol), datetime(2026, 10, 3, tzinfo=UTC), Interval.D1, span)
    batch = provider("yahoo_finance").parse(ask, HttpResponse(200, body))
    made = aggregate_columns(batch.columns, BarLength.D1, BarLength.W1, sessions(symbol), until=LATER)
    place = as_text(made["timestamp"], "%Y-%m-%d").index(week)
    assert [made[column][place] for column in NAMES] == values
    assert made["parts"][place] == parts


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no recorded answers at ../shared/provider-samples")
@pytest.mark.parametrize(
    ("name", "symbol", "first", "last", "count", "closed"),
    [
        # The last bar was live, and bears the time of the closing auction, which belongs to its session.
        ("chart-ALL.AX-1d-2022-01", "ALL.AX", "2021-10-13", "2022-01-13", 64, []),
        # On Whit Monday, by the calendar no session, the recorded bar bears a date and no trade.
        ("chart-MUV2.DE-1d-2017-11-recorded-2025", "MUV2.DE", "2017-11-27", "2018-05-25", 124, ["2018-05-21"]),
        ("chart-OCDO.L-1d-2020-01", "OCDO.L", "2020-01-02", "2020-01-02", 1, []),
    ],
)
def test_recorded_openings_of_sydney_berlin_and_london_land_on_the_right_local_session(
    name: str, symbol: str, first: str, last: str, count: int, closed: list[str]
) -> None:
    """Each stamp as recorded is a session's opening: an hour that begins then belongs to that session's local date."""
    recorded = json.loads((SAMPLES / f"{name}.json").read_bytes())["chart"]["result"][0]
    stamps = [stamp * 1_000_000 for stamp in recorded["timestamp"]]
    made = aggregate_columns(numbered(stamps), BarLength.H1, BarLength.D1, sessions(symbol), until=LATER)
    zone = recorded["meta"]["exchangeTimezoneName"]
    local = pd.to_datetime(recorded["timestamp"], unit="s", utc=True).tz_convert(zone).strftime("%Y-%m-%d").tolist()
    assert as_text(made["timestamp"], "%Y-%m-%d") == [day for day in local if day not in closed]
    assert (local[0], local[-1], len(local)) == (first, last, count)
    assert set(made["parts"]) == {1}


# --- properties


@st.composite
def quarters_of_a_fortnight(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Bars of New York from before to after the change of the clocks in March 2024, many left out."""
    stamps = expected("AAPL", Interval.M15, "2024-03-04", "2024-03-16")
    kept = sorted(draw(st.sets(st.sampled_from(stamps), min_size=1, max_size=60)))
    cents = st.integers(1, 10_000_000)
    rows = [sorted(draw(st.tuples(cents, cents, cents, cents))) for _ in kept]
    flip = draw(st.booleans())
    text = [[f"{Decimal(cell).scaleb(-2):f}" for cell in row] for row in rows]
    return {
        "timestamp": kept,
        "open": [row[1] for row in text],
        "high": [row[3] for row in text],
        "low": [row[0] for row in text],
        "close": [row[2] if flip else row[1] for row in text],
        "volume": [str(draw(st.integers(0, 10**12))) for _ in kept],
    }


@given(quarters_of_a_fortnight(), st.sampled_from([BarLength.D1, BarLength.W1, BarLength.MO1]))
@settings(max_examples=60)
def test_two_steps_give_what_one_gives(columns: dict[str, list[Any]], to: BarLength) -> None:
    held = sessions("AAPL")
    hours = aggregate_columns(columns, BarLength.M15, BarLength.H1, held, until=LATER)
    twice = aggregate_columns(hours, BarLength.H1, to, held, until=LATER)
    once = aggregate_columns(columns, BarLength.M15, to, held, until=LATER)
    for name in ("timestamp", *NAMES, "is_final"):
        assert twice[name] == once[name]
    for one, other in zip(once["vwap"], twice["vwap"], strict=True):
        assert (one is None) == (other is None)
        assert one is None or float(one) == pytest.approx(float(other), rel=1e-12)


@given(quarters_of_a_fortnight(), st.sampled_from([BarLength.H1, BarLength.D1, BarLength.W1]))
@settings(max_examples=60)
def test_volume_is_conserved_and_no_part_lies_outside(columns: dict[str, list[Any]], to: BarLength) -> None:
    held = sessions("AAPL")
    made = aggregate_columns(columns, BarLength.M15, to, held, until=LATER)
    assert sum(map(Decimal, made["volume"])) == sum(map(Decimal, columns["volume"]))
    assert sum(made["parts"]) == len(columns["timestamp"])
    groups = group(
        np.array(columns["timestamp"]), np.ones(len(columns["timestamp"]), np.bool_), BarLength.M15, to, held
    )
    for place, (begin, count) in enumerate(zip(groups.first, groups.counts, strict=True)):
        rows = groups.rows[begin : begin + count]
        high, low = Decimal(made["high"][place]), Decimal(made["low"][place])
        for row in rows:
            assert high >= max(Decimal(columns[name][row]) for name in ("open", "high", "low", "close"))
            assert low <= min(Decimal(columns[name][row]) for name in ("open", "high", "low", "close"))
        if made["vwap"][place] is not None:
            assert float(low) * (1 - 1e-12) <= float(made["vwap"][place]) <= float(high) * (1 + 1e-12)


@given(quarters_of_a_fortnight(), st.sampled_from([BarLength.H1, BarLength.D1, BarLength.W1, BarLength.MO1]))
@settings(max_examples=60)
def test_every_longer_bar_is_that_of_pandas(columns: dict[str, list[Any]], to: BarLength) -> None:
    """New York opens at half past nine on either side of the change of the clocks, so its hours begin at half past."""
    local = pd.to_datetime(columns["timestamp"], unit="us", utc=True).tz_convert("America/New_York").tz_localize(None)
    period = {BarLength.D1: "D", BarLength.W1: "W-SUN", BarLength.MO1: "M"}
    half = pd.Timedelta(minutes=30)
    key = (local - half).floor("h") if to is BarLength.H1 else local.to_period(period[to])
    frame = pd.DataFrame(floats(columns), index=local)
    frame["worth"] = (frame["high"] + frame["low"] + frame["close"]) / 3 * frame["volume"]
    wanted = frame.groupby(key).agg(
        {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "worth": "sum"}
    )
    made = aggregate_columns(columns, BarLength.M15, to, sessions("AAPL"), until=LATER)
    for name in ("open", "high", "low", "close"):
        assert floats(made)[name] == wanted[name].tolist()
    assert made["parts"] == frame.groupby(key).size().tolist()
    for vwap, volume, worth in zip(made["vwap"], wanted["volume"], wanted["worth"], strict=True):
        assert (vwap is None) == (volume == 0)
        assert vwap is None or float(vwap) == pytest.approx(worth / volume, rel=1e-9)


def test_the_volume_weighted_price_is_that_of_the_fractions() -> None:
    columns = numbered(expected("AAPL", Interval.M15, "2024-01-10T14:30", "2024-01-10T15:30"))
    exact = sum(
        (Fraction(columns["high"][n]) + Fraction(columns["low"][n]) + Fraction(columns["close"][n])) / 3
        * Fraction(columns["volume"][n])
        for n in range(4)
    ) / sum(Fraction(cell) for cell in columns["volume"])  # fmt: skip
    [vwap] = aggregate_columns(columns, BarLength.M15, BarLength.H1, sessions("AAPL"), until=LATER)["vwap"]
    assert abs(Fraction(vwap) - exact) < Fraction(1, 10**13)


def test_of_a_part_whose_range_is_not_known_its_open_and_close_count() -> None:
    """As of yfinance#1281: an open of zero is stored as unknown, and its bar is one all the same."""
    columns = numbered([at("2024-01-09"), at("2024-01-10"), at("2024-01-11")])
    columns |= {
        "open": [None, "20", "30"],
        "high": ["11", None, "32"],
        "low": ["9", None, None],
        "close": ["10", "50", "31"],
        "volume": ["1", "2", "3"],
    }
    made = aggregate_columns(columns, BarLength.D1, BarLength.W1, sessions("AAPL"), until=LATER)
    assert made["open"] == [None]
    assert [made[name][0] for name in ("high", "low", "close", "volume")] == ["50", "9", "31", "6"]
