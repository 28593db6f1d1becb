"""The control endpoint and its client: faults on real requests, exact quotas, a count that gives no key away."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from fintrack_tasks.sandbox import Running, running
from fintrack_tasks.sandbox.quotas import Request, RequestLog, named

CHART = "yahoo_finance/v8/finance/chart/"


class Timer:
    """Epoch seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def timed(timer: Timer) -> Iterator[Running]:
    with running(quotas={"coinbase": "3/s,5/m"}, timer=timer) as server:
        yield server


def statuses(server: Running, path: str, times: int) -> list[int]:
    return [requests.get(f"{server.url}/{path}", timeout=10).status_code for _ in range(times)]


def test_two_windows_hold_at_once_and_open_to_the_moment(timed: Running, timer: Timer) -> None:
    """3 a second and 5 a minute; a window is (t - seconds, t], and what was refused does not count in it."""
    path = "coinbase/products/BTC-USD/ticker"
    assert statuses(timed, path, 4) == [200, 200, 200, 429]
    timer.now += 0.999
    assert statuses(timed, path, 1) == [429]
    timer.now += 0.001
    assert statuses(timed, path, 3) == [200, 200, 429]  # five within the minute
    timer.now += 58.999
    assert statuses(timed, path, 1) == [429]
    timer.now += 0.001
    assert statuses(timed, path, 4) == [200, 200, 200, 429]
    assert statuses(timed, f"{CHART}AAPL", 10) == [200] * 10  # another provider has no quota here
    report = timed.control.requests(windows=[1, 60])
    assert report["max_in_window"]["1"] == {"coinbase|127.0.0.1": 3, "yahoo_finance|127.0.0.1": 10}
    assert report["max_in_window"]["60"]["coinbase|127.0.0.1"] == 5
    assert (report["total"], report["status_429"]) == (23, 5)
    assert report["requests"][0] == [1_800_000_000.0, "coinbase", "127.0.0.1", "products/BTC-USD/ticker", 200]
    assert report["by_path"] == {"coinbase/products/BTC-USD/ticker": 13, f"{CHART}AAPL": 10}


def test_the_refusals_are_in_each_providers_own_form(fresh: Running) -> None:
    fresh.control.set_quotas(yahoo_finance="1/h", coinbase="1/h")
    for path in (f"{CHART}AAPL", "coinbase/products"):
        assert requests.get(f"{fresh.url}/{path}", timeout=10).status_code == 200
    yahoo, coinbase = (requests.get(f"{fresh.url}/{p}", timeout=10) for p in (f"{CHART}AAPL", "coinbase/products"))
    assert (yahoo.status_code, yahoo.text) == (429, "Too Many Requests\r\n")
    assert yahoo.headers["Content-Type"].startswith("text/plain")
    assert (coinbase.status_code, coinbase.json()) == (429, {"message": "Public rate limit exceeded"})
    fresh.control.set_quotas(coinbase="unlimited")
    assert statuses(fresh, "coinbase/products", 3) == [200] * 3
    fresh.control.reset()
    assert fresh.control.requests()["total"] == 0
    assert statuses(fresh, f"{CHART}AAPL", 2) == [200, 429]  # the windows began anew


def test_a_key_is_named_and_not_given_away() -> None:
    request_log = RequestLog()
    request_log.note(Request(1.0, "finnhub", named("sk-live-very-secret"), "quote", 200))
    text = str(request_log.report([1.0]))
    assert "secret" not in text
    assert "sk-live" not in text
    assert named("sk-live-very-secret") in text
    assert named("another") != named("sk-live-very-secret")


def test_every_request_is_counted_also_beyond_those_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fintrack_tasks.sandbox.quotas._KEPT", 10)
    request_log = RequestLog()
    for i in range(25):
        request_log.note(Request(float(i), "coinbase", "127.0.0.1", "products", 200))
    report = request_log.report()
    assert (report["total"], report["by_status"], len(report["requests"])) == (25, {"200": 25}, 10)


def test_health_says_its_time_and_seed(fresh: Running, now: datetime) -> None:
    assert fresh.control.health() == {"healthy": True, "now": now.astimezone(UTC).isoformat(), "seed": 7}


def test_a_latency_answers_late_and_holds_nobody_else_up(fresh: Running) -> None:
    fresh.control.add_fault("latency", symbol="AAPL", seconds=0.4)
    fresh.control.add_fault("latency", symbol="GE", seconds=60)
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{fresh.url}/{CHART}GE", timeout=0.2)
    assert requests.get(f"{fresh.url}/{CHART}IBM", timeout=30).ok, "while the other one waits"
    began = time.monotonic()
    assert requests.get(f"{fresh.url}/{CHART}AAPL", timeout=30).ok
    assert time.monotonic() - began >= 0.4


def test_a_timeout_says_nothing_and_then_hangs_up(fresh: Running) -> None:
    fresh.control.add_fault("timeout", symbol="AAPL")
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{fresh.url}/{CHART}AAPL", timeout=0.3)
    fresh.control.clear_faults()
    fresh.control.add_fault("timeout", seconds=0.1)
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{fresh.url}/{CHART}AAPL", timeout=10)
    assert fresh.control.health()["healthy"] is True


def test_a_storm_may_say_when_it_ends(fresh: Running) -> None:
    fresh.control.add_fault("storm429", provider="coinbase", retry_after=17)
    answer = requests.get(f"{fresh.url}/coinbase/products", timeout=10)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "17")
    assert requests.get(f"{fresh.url}/{CHART}AAPL", timeout=10).ok
    assert fresh.control.requests()["status_429"] == 1


def test_nulls_hit_rows_and_are_the_same_under_a_seed(fresh: Running) -> None:
    """Some rows lose every price, some their close alone; stamps and the other rows stay as they were."""
    url, params = f"{fresh.url}/{CHART}AAPL", {"interval": "1d", "period1": 1_300_000_000, "period2": 1_310_000_000}
    good = requests.get(url, params, timeout=10).json()["chart"]["result"][0]
    spoilt = []
    for _ in range(2):
        fresh.control.add_fault("nulls")
        spoilt.append(requests.get(url, params, timeout=10).json()["chart"]["result"][0])
        fresh.control.clear_faults()
    assert spoilt[0] == spoilt[1]
    assert spoilt[0]["timestamp"] == good["timestamp"]
    quote, before = spoilt[0]["indicators"]["quote"][0], good["indicators"]["quote"][0]
    kinds = set()
    for i in range(len(good["timestamp"])):
        row, was = [quote[name][i] for name in quote], [before[name][i] for name in quote]
        kinds.add(tuple(value is None for value in row))
        assert all(value in (None, old) for value, old in zip(row, was, strict=True))
    names = list(quote)
    assert kinds == {(False,) * 5, (True,) * 5, tuple(name == "close" for name in names)}


def test_nulls_hit_candles_and_tickers(fresh: Running) -> None:
    fresh.control.add_fault("nulls")
    rows = requests.get(f"{fresh.url}/coinbase/products/BTC-USD/candles?granularity=3600", timeout=10).json()
    assert 1 <= sum(row[1:5] == [None] * 4 for row in rows) <= 2
    assert requests.get(f"{fresh.url}/coinbase/products/BTC-USD/ticker", timeout=10).json()["price"] is None
    quotes = requests.get(f"{fresh.url}/yahoo_finance/v7/finance/quote?symbols=AAPL,IBM", timeout=10).json()
    assert [quote["regularMarketPrice"] for quote in quotes["quoteResponse"]["result"]] == [None, None]
    assert requests.get(f"{fresh.url}/{CHART}UNKNOWN", timeout=10).status_code == 404


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 500, 503, 599])
def test_a_status_comes_in_the_providers_form(fresh: Running, status: int) -> None:
    fresh.control.add_fault("status", status=status)
    yahoo, coinbase = (requests.get(f"{fresh.url}/{p}", timeout=10) for p in (f"{CHART}AAPL", "coinbase/products"))
    assert yahoo.status_code == coinbase.status_code == status
    [root] = yahoo.json().values()
    assert root["result"] is None
    assert root["error"].keys() == {"code", "description"}
    assert coinbase.json().keys() == {"message"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "faults", b"", 400),
        ("POST", "faults", b"{", 400),
        ("POST", "faults", b"\xff\xfe", 400),
        ("POST", "faults", b"[" * 5_000, 400),
        ("POST", "faults", b'{"kind": "cut", "padding": "' + b"x" * 70_000 + b'"}', 400),
        ("POST", "quotas", b'{"nobody": "1/s"}', 400),
        ("POST", "quotas", b'{"coinbase": 5}', 400),
        ("POST", "quotas", b'{"coinbase": "many"}', 400),
        ("POST", "quotas", b'{"coinbase": "0/s"}', 400),
        ("GET", "requests?windows=wide", None, 400),
        ("GET", "requests?windows=nan", None, 400),
        ("GET", "requests?windows=-1", None, 400),
        ("GET", "requests?windows=" + "1," * 50, None, 400),
        ("PUT", "faults", b"{}", 405),
        ("DELETE", "health", None, 405),
        ("GET", "keys", None, 404),
        ("GET", "", None, 404),
    ],
)
def test_rubbish_at_the_control_desk_is_refused(
    fresh: Running, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = requests.request(method, f"{fresh.url}/_control/{path}", data=body, timeout=10)
    assert answer.status_code == status
    assert answer.json().keys() == {"message"}
    assert fresh.control.health()["healthy"] is True


def test_the_client_raises_what_the_desk_refuses(fresh: Running) -> None:
    with pytest.raises(urllib.error.HTTPError):
        fresh.control.add_fault("flood")
