"""What a provider keeps is asked for; the rest is the next one's, or unavailable, and not asked for every night.

Over a real database and broker. The local market has no limits of its own: its server stands in for a Yahoo that
refuses, as the real one does, whatever begins before its limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import psycopg
import pytest
import requests
import responses

from fintrack_tasks.domain import Instrument, Interval, Item, TimeRange, from_micros, to_micros
from fintrack_tasks.pipeline import Ended, Retry
from fintrack_tasks.pipeline.availability import Reach, reach
from fintrack_tasks.pipeline.plan import Plan
from fintrack_tasks.sessions import expected_bars
from fintrack_tasks.settings import Settings
from tests.fixtures_stages import Stages

NOW = datetime(2026, 11, 28, 18, 0, tzinfo=UTC)
KEPT = datetime(2024, 11, 29, tzinfo=UTC)
"""730 days before NOW, and the first midnight after it that is an hour away at the least."""
YAHOO_ALONE = {"FINTRACK_ROUTE_STOCK_BARS": "yahoo_finance"}
STAND_IN = {"YAHOO_FINANCE_BASE_URL": "https://query1.finance.yahoo.com"}
BOTH = {"FINTRACK_ROUTE_STOCK_BARS": "yahoo_finance,twelve_data", "API_KEY_TWELVE_DATA": "Kt27-twelve-data-test-key"}


def settings(**variables: str) -> Settings:
    return Settings.from_mapping(variables)


def test_a_route_reaches_as_far_as_its_providers_say() -> None:
    for interval, days in ((Interval.H1, 730), (Interval.M15, 60)):
        first = to_micros((NOW - timedelta(days=days) + timedelta(days=1)).replace(hour=0))
        assert reach(["yahoo_finance"], interval, settings(), NOW) == Reach(first, (first,))
        assert reach(["yahoo_finance", "twelve_data"], interval, settings(), NOW) == Reach(None, (first,))
    assert reach(["yahoo_finance"], Interval.D1, settings(), NOW) == Reach(None, ())
    assert reach([], Interval.H1, settings(), NOW) == Reach(None, ())


def test_what_stands_in_for_a_provider_answers_for_itself() -> None:
    """The local market has hours of any year."""
    stand_in = settings(YAHOO_FINANCE_BASE_URL="http://127.0.0.1:8000")
    assert reach(["yahoo_finance"], Interval.H1, stand_in, NOW) == Reach(None, ())


def test_stamps_are_cut_where_a_reach_ends() -> None:
    assert Reach(None, ()).parts([1, 2, 3]) == [[1, 2, 3]]
    assert Reach(None, (2,)).parts([1, 2, 3]) == [[1], [2, 3]]
    assert Reach(2, (2, 3)).parts([1, 2, 3]) == [[2], [3]]
    assert Reach(2, (2,)).parts([0, 1]) == []


@pytest.fixture
def begin(make_stages: Callable[..., Stages]) -> Callable[..., Stages]:
    """The stages of one night's workers, with the variables that are given and no quota of our own."""

    def start(variables: dict[str, str]) -> Stages:
        unhurried = {"YAHOO_FINANCE_QUOTA": "unlimited", "TWELVE_DATA_QUOTA": "unlimited"}
        return make_stages(NOW, {"FINTRACK_HISTORY_END": "", **unhurried, **variables})

    return start


def history(stages: Stages, *symbols: str, **named: Any) -> Plan:
    return stages.plan_run(*symbols, job="fetch_historical_market_data", **named)


def attempts(stages: Stages, item: Item) -> list[tuple[str, str, bool]]:
    return [(provider, reason, asked) for provider, reason, _, asked in stages.attempts(item)]


def load(stages: Stages, item: Item, batch: object, now: datetime | None = None) -> None:
    assert stages.load(item, batch, now).state == "loaded"


def yahoo(limit: datetime, interval: Interval = Interval.H1) -> Callable[[requests.PreparedRequest], Any]:
    """Yahoo as it answers: the hours of the range, or 422 where it begins before the limit."""

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(str(request.url)).query).items()}
        start, end = (datetime.fromtimestamp(int(asked[name]), tz=UTC) for name in ("period1", "period2"))
        if start < limit - timedelta(days=1):
            text = (
                f"{interval.value} data not available for startTime={asked['period1']} and endTime={asked['period2']}."
                " The requested range must be within the last 730 days."
            )
            error = {"code": "Unprocessable Entity", "description": text}
            return 422, {}, json.dumps({"chart": {"result": None, "error": error}})
        return 200, {}, json.dumps(chart(start, end, interval))

    return answer


def chart(start: datetime, end: datetime, interval: Interval, close: float = 10.0) -> dict[str, Any]:
    item = Instrument.of("AAPL")
    opens = 14 * 3_600 + 1_800 if interval is Interval.D1 else 0  # a daily bar is stamped at the session's opening
    stamps = [stamp // 1_000_000 + opens for stamp in expected_bars(item, interval, TimeRange(start, end))]
    prices = {name: [close] * len(stamps) for name in ("open", "high", "low", "close")}
    meta = {
        "symbol": "AAPL", "currency": "USD", "exchangeTimezoneName": "America/New_York",
        "dataGranularity": interval.value, "regularMarketTime": to_micros(NOW) // 1_000_000,
    }  # fmt: skip
    quote = {**prices, "volume": [100] * len(stamps)}
    return {"chart": {"result": [{"meta": meta, "timestamp": stamps, "indicators": {"quote": [quote]}}], "error": None}}


@pytest.fixture
def provider() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def covered(conn: psycopg.Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        "SELECT state, window_start, window_end, providers FROM fintrack.coverage ORDER BY window_start"
    ).fetchall()


SINCE = {"intervals": ["1h"], "start": "2024-09-01", "end": "2025-02-01"}


@pytest.mark.integration
def test_the_part_that_is_kept_is_planned_and_the_rest_is_unavailable_and_not_planned_every_night(
    begin: Callable[..., Stages], conn: psycopg.Connection
) -> None:
    """yfinance#636, #1389, #2451."""
    yahoo_alone = begin(YAHOO_ALONE)
    made = history(yahoo_alone, "AAPL", **SINCE)
    windows = [item.window for item in made.items if item.window]
    assert min(window.start for window in windows) == datetime(2024, 11, 29, 14, 30, tzinfo=UTC)
    assert made.note == "1h bars of AAPL before 2024-11-29 are not kept by yahoo_finance"
    first, last = datetime(2024, 9, 3, 13, 30, tzinfo=UTC), datetime(2024, 11, 27, 21, 30, tzinfo=UTC)
    assert covered(conn) == [("unavailable", first, last, ["yahoo_finance"])]
    [reason] = conn.execute("SELECT reason FROM fintrack.runs").fetchone() or []
    assert reason == made.note

    for hours in (1, 9):  # the second is the next day, when a session more is no longer kept
        again = history(yahoo_alone, "AAPL", now=NOW + timedelta(hours=hours), **SINCE)
        assert len(again.items) == len(windows)
        assert len(covered(conn)) == 1

    with_another = history(begin(BOTH), "AAPL", **SINCE)  # somebody came who may keep it
    assert min(item.window.start for item in with_another.items if item.window) == first
    edges = {item.window.start >= KEPT or item.window.end <= KEPT for item in with_another.items if item.window}
    assert edges == {True}
    assert with_another.note is None


@pytest.mark.integration
def test_what_is_too_old_for_one_provider_is_asked_of_the_next_without_a_request(
    begin: Callable[..., Stages], provider: responses.RequestsMock
) -> None:
    night = begin(BOTH)
    old = history(night, "AAPL", **SINCE).items[0]
    assert night.fetch(old, "yahoo_finance") == Retry("twelve_data", 0.0, 0)
    assert attempts(night, old) == [("yahoo_finance", "unavailable", False)]
    assert len(provider.calls) == 0


@pytest.mark.integration
def test_a_limit_that_an_answer_tells_is_kept_to_and_the_rest_is_not_confirmed_as_empty(
    begin: Callable[..., Stages], provider: responses.RequestsMock, conn: psycopg.Connection
) -> None:
    """What is declared may be out of date, or not hold for what stands in for a provider."""
    night = begin({**YAHOO_ALONE, **STAND_IN})
    provider.add_callback("GET", "https://query1.finance.yahoo.com/v8/finance/chart/AAPL", yahoo(KEPT))
    items = history(night, "AAPL", **SINCE).items
    [item] = items
    assert item.window
    again = night.fetch(item, "yahoo_finance")
    assert again == Retry("yahoo_finance", 0.0, 1)
    batch = night.fetch(item, "yahoo_finance", retries=1)
    load(night, item, batch)
    assert attempts(night, item) == [("yahoo_finance", "unavailable", True)]
    first = conn.execute("SELECT min(timestamp) FROM historical_market_data").fetchone()
    assert first == (datetime(2024, 11, 29, 14, 30, tzinfo=UTC),)
    assert covered(conn) == [("unavailable", item.window.start, KEPT, ["yahoo_finance"])]
    assert history(night, "AAPL", **SINCE).items == ()
    assert len(provider.calls) == 2


@pytest.mark.integration
@pytest.mark.parametrize("interval", ["1h", "15m"])
def test_a_range_that_nobody_keeps_ends_as_unavailable_and_is_not_asked_for_the_next_night(
    begin: Callable[..., Stages], provider: responses.RequestsMock, conn: psycopg.Connection, interval: str
) -> None:
    """Yahoo's words for a range of 1m bars that is too long; they came as an empty answer that confirmed the range."""
    night = begin({**YAHOO_ALONE, **STAND_IN})
    said = "1m data not available. Only 8 days worth of 1m granularity data are allowed to be fetched per request."
    error = {"chart": {"result": None, "error": {"code": "Unprocessable Entity", "description": said}}}
    provider.get("https://query1.finance.yahoo.com/v8/finance/chart/AAPL", json=error, status=422)
    span: dict[str, Any] = {"intervals": [interval], "start": "2026-10-05", "end": "2026-10-10"}
    [item] = history(night, "AAPL", **span).items
    assert night.fetch(item, "yahoo_finance") == Ended("failed", "unavailable")
    assert item.window
    assert covered(conn) == [("unavailable", item.window.start, item.window.end, ["yahoo_finance"])]
    assert history(night, "AAPL", **span).items == ()
    assert len(history(begin({**BOTH, **STAND_IN}), "AAPL", **span).items) == 1


@pytest.mark.integration
def test_a_refused_range_goes_to_the_next_provider(
    begin: Callable[..., Stages], provider: responses.RequestsMock
) -> None:
    night = begin({**BOTH, **STAND_IN})
    provider.add_callback("GET", "https://query1.finance.yahoo.com/v8/finance/chart/AAPL", yahoo(KEPT))
    [item, *_] = history(night, "AAPL", intervals=["1h"], start="2024-09-01", end="2024-10-01").items
    assert night.fetch(item, "yahoo_finance") == Retry("twelve_data", 0.0, 0)


@pytest.mark.integration
def test_an_answer_of_the_newer_part_alone_confirms_nothing_of_the_older_and_the_next_provider_is_asked_for_that(
    begin: Callable[..., Stages], provider: responses.RequestsMock, conn: psycopg.Connection
) -> None:
    """Twelve Data gives what it keeps, with status 200 and without a word of the rest."""
    route = {**BOTH, "FINTRACK_ROUTE_STOCK_BARS": "twelve_data,yahoo_finance", **STAND_IN}
    span: dict[str, Any] = {"intervals": ["1h"], "start": "2026-08-17", "end": "2026-09-12"}
    first, limit = datetime(2026, 8, 17, 13, 30, tzinfo=UTC), datetime(2026, 9, 1, 13, 30, tzinfo=UTC)
    series = "https://api.twelvedata.com/time_series"
    provider.get(series, json=twelve(limit, datetime(2026, 9, 12, tzinfo=UTC)))
    night = begin(route)
    [item] = history(night, "AAPL", **span).items
    load(night, item, night.fetch(item, "twelve_data"))
    assert covered(conn) == [("unavailable", first, limit, ["twelve_data"])]

    provider.replace(
        "GET", series, status=400, json={"code": 400, "message": "No data is available", "status": "error"}
    )
    [rest] = history(night, "AAPL", **span).items
    assert rest.window
    assert (rest.window.start, rest.window.end) == (first, datetime(2026, 8, 31, 20, 30, tzinfo=UTC))
    assert night.fetch(rest, "twelve_data") == Retry("yahoo_finance", 0.0, 0)
    provider.add_callback("GET", "https://query1.finance.yahoo.com/v8/finance/chart/AAPL", yahoo(KEPT))
    load(night, rest, night.fetch(rest, "yahoo_finance"))
    assert history(night, "AAPL", **span).items == ()


def twelve(start: datetime, end: datetime) -> dict[str, Any]:
    """The hours of New York from ``start`` on, newest first, as Twelve Data writes them."""
    stamps = expected_bars(Instrument.of("AAPL"), Interval.H1, TimeRange(start, end))
    times = [from_micros(stamp).astimezone(ZoneInfo("America/New_York")) for stamp in reversed(stamps)]
    prices = {**dict.fromkeys(("open", "high", "low", "close"), "10.00"), "volume": "100"}
    about = {"symbol": "AAPL", "interval": "1h", "currency": "USD", "exchange_timezone": "America/New_York"}
    return {
        "meta": about,
        "values": [{"datetime": f"{at:%Y-%m-%d %H:%M:%S}", **prices} for at in times],
        "status": "ok",
    }


# --- What is there already -----------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_final_bar_that_was_corrected_overnight_is_asked_for_again_within_the_same_request(
    begin: Callable[..., Stages], provider: responses.RequestsMock, conn: psycopg.Connection
) -> None:
    """Equibles#4278: high 310.88 at two in the night after the close, 311.06 a day later."""
    url = "https://query1.finance.yahoo.com/v8/finance/chart/AAPL"
    monday, tuesday = datetime(2026, 11, 24, 2, tzinfo=UTC), datetime(2026, 11, 25, 2, tzinfo=UTC)
    begin_of = {"start": "2026-11-16"}
    for now, close in ((monday, 10.0), (tuesday, 10.5)):
        provider.reset()
        provider.get(url, json=chart(datetime(2026, 11, 13, tzinfo=UTC), now - timedelta(hours=12), Interval.D1, close))
        night = begin(YAHOO_ALONE)
        [item] = history(night, "AAPL", now=now, **begin_of).items
        load(night, item, night.fetch(item, "yahoo_finance", now=now), now=now)
        assert len(provider.calls) == 1
    found = conn.execute("SELECT timestamp::date::text, close FROM historical_market_data ORDER BY 1").fetchall()
    assert [(day, float(price)) for day, price in found] == [
        ("2026-11-16", 10.0), ("2026-11-17", 10.0), ("2026-11-18", 10.0),
        ("2026-11-19", 10.5), ("2026-11-20", 10.5), ("2026-11-23", 10.5), ("2026-11-24", 10.5),
    ]  # fmt: skip
    revisions = conn.execute("SELECT timestamp::date::text FROM fintrack.bar_versions WHERE is_final ORDER BY 1")
    assert [day for (day,) in revisions.fetchall()] == ["2026-11-19", "2026-11-20", "2026-11-23"]
    none = history(
        begin({**YAHOO_ALONE, "FINTRACK_REFETCH_SESSIONS": "0"}), "AAPL", now=tuesday + timedelta(days=1), **begin_of
    )
    [window] = [item.window for item in none.items]
    assert window
    assert window.start == datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.integration
def test_refetch_asks_for_a_window_whatever_is_there(
    begin: Callable[..., Stages], provider: responses.RequestsMock, conn: psycopg.Connection
) -> None:
    url, span = "https://query1.finance.yahoo.com/v8/finance/chart/AAPL", {"start": "2026-06-01", "end": "2026-07-01"}
    night = begin(YAHOO_ALONE)
    for close, refetch in ((10.0, None), (10.5, True)):
        provider.reset()
        provider.get(
            url, json=chart(datetime(2026, 5, 30, tzinfo=UTC), datetime(2026, 7, 2, tzinfo=UTC), Interval.D1, close)
        )
        made = history(night, "AAPL", **span, refetch=refetch)
        [item] = made.items
        load(night, item, night.fetch(item, "yahoo_finance"))
        assert history(night, "AAPL", **span).items == ()
    assert made.arguments["refetch"] is True
    stored = conn.execute("SELECT DISTINCT close FROM historical_market_data").fetchall()
    assert [float(close) for (close,) in stored] == [10.5]
    [versions] = conn.execute("SELECT count(*) FROM fintrack.bar_versions").fetchone() or []
    assert versions == 21  # the sessions of June
