"""The local market over real HTTP: real prices exactly, shapes as recorded, limits and faults on request."""

from __future__ import annotations

import contextlib
import csv
import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests

from fintrack_tasks.fetch import constituents, providers
from fintrack_tasks.sandbox import FAKE_APIS, Running, running
from fintrack_tasks.sandbox.fake_apis.base import Keyed
from fintrack_tasks.settings import PLAYED

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "provider-samples"
NOON = datetime(2026, 6, 17, 16, 0, tzinfo=UTC)  # a Wednesday, noon in New York


@pytest.fixture(scope="module")
def market() -> Iterator[Running]:
    with running(seed=7, clock=lambda: NOON) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _clean(market: Running) -> Iterator[None]:
    yield
    requests.delete(f"{market.url}/_control/faults", timeout=5)
    requests.delete(f"{market.url}/_control/requests", timeout=5)
    requests.post(
        f"{market.url}/_control/quotas", json={"yahoo_finance": "unlimited", "coinbase": "unlimited"}, timeout=5
    )


def chart(market: Running, symbol: str, **params: object) -> requests.Response:
    return requests.get(f"{market.url}/yahoo_finance/v8/finance/chart/{symbol}", params=params, timeout=10)  # type: ignore[arg-type]


def real_rows(symbol: str) -> list[dict[str, str]]:
    with gzip.open(ROOT / "fintrack_tasks/sandbox/data/daily.csv.gz", "rt", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["symbol"] == symbol]


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT", "GOOG", "FB", "^GSPC", "^IXIC"])
def test_every_real_day_is_served_with_the_decimals_of_the_file(market: Running, symbol: str) -> None:
    result = chart(market, symbol, interval="1d", period1=0, period2=1_600_000_000).json()["chart"]["result"][0]
    quote, adjusted = result["indicators"]["quote"][0], result["indicators"]["adjclose"][0]["adjclose"]
    expected = real_rows(symbol)
    assert len(result["timestamp"]) == len(expected)
    zone = ZoneInfo("America/New_York")
    for i, row in enumerate(expected):
        opened = datetime.fromtimestamp(result["timestamp"][i], zone)
        assert (f"{opened:%Y-%m-%d %H:%M}") == f"{row['date']} 09:30"
        assert [quote[name][i] for name in ("open", "high", "low", "close")] == [
            float(row[name]) for name in ("open", "high", "low", "close")
        ]
        assert (adjusted[i], quote["volume"][i]) == (float(row["adj_close"]), int(row["volume"]))
    assert result["meta"]["fintrack"]["synthetic"] is False


def test_a_range_without_real_days_is_empty_in_the_providers_own_form(market: Running) -> None:
    result = chart(market, "AAPL", interval="1d", period1=1_500_000_000, period2=1_510_000_000).json()["chart"][
        "result"
    ][0]
    assert "timestamp" not in result
    assert result["indicators"]["quote"] == [{}]


def test_euro_rates_are_the_central_banks(market: Running) -> None:
    start, end = datetime(2026, 10, 29, tzinfo=UTC), datetime(2026, 10, 31, tzinfo=UTC)
    span = {"period1": int(start.timestamp()) - 86_400, "period2": int(end.timestamp())}
    with running(clock=lambda: datetime(2026, 11, 2, tzinfo=UTC)) as later:
        result = chart(later, "EURUSD=X", interval="1d", **span).json()["chart"]["result"][0]
    assert result["indicators"]["quote"][0]["close"][-2:] == [1.113, 1.1172]
    assert result["meta"]["currency"] == "USD"


@pytest.mark.parametrize("interval", ["1h", "15m"])
def test_an_intraday_path_stays_inside_its_real_day_and_adds_up_to_it(market: Running, interval: str) -> None:
    day = datetime(2012, 6, 13, tzinfo=UTC)
    span = {"period1": int(day.timestamp()), "period2": int(day.timestamp()) + 86_400}
    result = chart(market, "AAPL", interval=interval, **span).json()["chart"]["result"][0]
    bars = result["indicators"]["quote"][0]
    [real] = [row for row in real_rows("AAPL") if row["date"] == "2012-06-13"]
    assert len(bars["open"]) == {"1h": 7, "15m": 26}[interval]
    assert bars["open"][0] == float(real["open"])
    assert bars["close"][-1] == float(real["close"])
    assert max(bars["high"]) == float(real["high"])
    assert min(bars["low"]) == float(real["low"])
    assert sum(bars["volume"]) == int(real["volume"])
    assert result["meta"]["fintrack"]["synthetic"] is True


def test_a_synthetic_series_says_so_depends_on_the_seed_alone_and_ends_live(market: Running) -> None:
    start = int((NOON - timedelta(days=30)).timestamp())
    span = {"interval": "1d", "period1": start, "period2": int(NOON.timestamp()) + 1}
    first = chart(market, "ZYX1", **span).json()["chart"]["result"][0]
    assert first["meta"]["fintrack"] == {"synthetic": True, "origin": "synthetic: a series of seed 7"}
    assert first["timestamp"][-1] == int(NOON.timestamp())
    with running(seed=7, clock=lambda: NOON) as same, running(seed=8, clock=lambda: NOON) as other:
        assert chart(same, "ZYX1", **span).json()["chart"]["result"][0] == first
        assert chart(other, "ZYX1", **span).json()["chart"]["result"][0]["indicators"] != first["indicators"]
    quote = first["indicators"]["quote"][0]
    for low, opened, closed, high in zip(quote["low"], quote["open"], quote["close"], quote["high"], strict=True):
        assert 0 < low <= min(opened, closed) <= max(opened, closed) <= high


def test_a_quote_ticks_within_half_a_percent_of_the_last_real_close_stamped_now(market: Running) -> None:
    meta = chart(market, "AAPL", interval="1d", range="1d").json()["chart"]["result"][0]["meta"]
    assert meta["chartPreviousClose"] == 430.47  # the close of 2013-03-01
    assert abs(meta["regularMarketPrice"] / 430.47 - 1) <= 0.005 + 1e-4
    assert meta["regularMarketTime"] == int(NOON.timestamp())


@pytest.mark.parametrize(
    ("path", "status", "origin"),
    [
        (
            "yahoo_finance/v8/finance/chart/AAPL?period1=1325376000&period2=1330560000&interval=1d",
            200,
            "bundled: bokeh_",
        ),
        (
            "yahoo_finance/v8/finance/chart/^GSPC?period1=1325376000&period2=1330560000&interval=1d",
            200,
            "bundled: arch 8",
        ),
        ("yahoo_finance/v8/finance/chart/AAPL?range=1d&interval=1d", 200, "synthetic: about the last close"),
        ("yahoo_finance/v7/finance/quote?symbols=AAPL,BTC-USD", 200, "synthetic: a series"),
        ("yahoo_finance/v8/finance/chart/UNKNOWN7", 404, "synthetic: "),
        ("coinbase/products/BTC-USD/ticker", 200, "synthetic: a series"),
        ("finnhub/api/v1/quote?symbol=AAPL", 401, "synthetic: "),
        ("ecb/stats/eurofxref/eurofxref-daily.xml", 200, "bundled: ECB euro reference rates"),
        ("wikipedia/wiki/List_of_S%26P_500_companies", 200, "synthetic: a list"),
    ],
)
def test_every_answer_says_that_the_local_market_gave_it_and_where_its_prices_come_from(
    market: Running, path: str, status: int, origin: str
) -> None:
    answer = requests.get(f"{market.url}/{path}", timeout=20)
    assert answer.status_code == status
    assert answer.headers["X-FinTrack-Origin"].startswith(origin)


def test_an_answer_that_is_cut_short_says_it_too(market: Running) -> None:
    market.control.add_fault("cut", provider="coinbase")
    cut = requests.get(f"{market.url}/coinbase/products/BTC-USD/ticker", timeout=20, stream=True)
    assert cut.headers["X-FinTrack-Origin"].startswith("synthetic: ")
    cut.close()


def test_unknown_symbols_are_unknown_in_each_providers_way(market: Running) -> None:
    answer = chart(market, "UNKNOWN7", interval="1d")
    assert answer.status_code == 404
    assert answer.json()["chart"]["error"]["code"] == "Not Found"
    quotes = requests.get(f"{market.url}/yahoo_finance/v7/finance/quote?symbols=AAPL,UNKNOWN7", timeout=5).json()
    assert [quote["symbol"] for quote in quotes["quoteResponse"]["result"]] == ["AAPL"]
    ticker = requests.get(f"{market.url}/coinbase/products/UNKNOWN7-USD/ticker", timeout=5)
    assert (ticker.status_code, ticker.json()) == (404, {"message": "NotFound"})


def test_candles_come_newest_first_three_hundred_at_most(market: Running) -> None:
    url = f"{market.url}/coinbase/products/BTC-USD/candles"
    rows = requests.get(url, {"granularity": 86_400, "start": "2026-01-01", "end": "2026-01-31"}, timeout=5).json()
    stamps = [row[0] for row in rows]
    assert len(rows) == 31  # both ends are inclusive
    assert stamps == sorted(stamps, reverse=True)
    assert all(low <= min(opened, closed) <= max(opened, closed) <= high for _, low, high, opened, closed, _ in rows)
    many = requests.get(url, {"granularity": 86_400, "start": "2024-01-01", "end": "2026-01-31"}, timeout=5)
    assert many.status_code == 400
    assert "exceeds 300" in many.json()["message"]


def test_both_venues_tell_the_same_series(market: Running) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    candle = requests.get(
        f"{market.url}/coinbase/products/BTC-USD/candles",
        {"granularity": 86_400, "start": "2026-01-05", "end": "2026-01-05"},
        timeout=5,
    ).json()[0]
    span = {"period1": int(start.timestamp()), "period2": int(start.timestamp()) + 1}
    quote = chart(market, "BTC-USD", interval="1d", **span).json()["chart"]["result"][0]["indicators"]["quote"][0]
    assert [quote[name][0] for name in ("low", "high", "open", "close")] == candle[1:5]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/provider-samples is not beside this checkout")
def test_shapes_are_those_of_recorded_answers(market: Running) -> None:
    recorded = json.loads((SAMPLES / "yahoo/chart-AAPL-1d-2020-01-02.json").read_text())["chart"]["result"][0]
    served = chart(market, "AAPL", interval="1d", period1=1_300_000_000, period2=1_300_900_000).json()["chart"][
        "result"
    ][0]
    assert served.keys() == recorded.keys()
    assert served["indicators"].keys() == recorded["indicators"].keys()
    assert served["indicators"]["quote"][0].keys() == recorded["indicators"]["quote"][0].keys()
    assert recorded["meta"].keys() - served["meta"].keys() <= {"fiftyTwoWeekHigh", "fiftyTwoWeekLow"}
    ticker = json.loads((SAMPLES / "coinbase/ticker-BTC-USD-2015-04-08.json").read_text())
    mine = requests.get(f"{market.url}/coinbase/products/BTC-USD/ticker", timeout=5).json()
    assert {name: type(value) for name, value in mine.items()} == {name: type(value) for name, value in ticker.items()}


def test_a_quota_is_exact_and_the_counter_sees_every_request(market: Running) -> None:
    requests.post(f"{market.url}/_control/quotas", json={"coinbase": "5/s"}, timeout=5)
    url = f"{market.url}/coinbase/products/BTC-USD/ticker"
    statuses = [requests.get(url, timeout=5).status_code for _ in range(8)]
    assert statuses.count(200) == 5
    assert statuses.count(429) == 3
    time.sleep(1.1)
    assert requests.get(url, timeout=5).status_code == 200
    report = requests.get(f"{market.url}/_control/requests", {"windows": "1"}, timeout=5).json()
    assert report["total"] == 9
    assert report["by_status"] == {"200": 6, "429": 3}
    assert report["max_in_window"]["1"]["coinbase|127.0.0.1"] == 5


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("status", lambda r: r.status_code == 503),
        ("storm429", lambda r: r.status_code == 429 and r.text.strip() == "Too Many Requests"),
        ("html", lambda r: r.text.startswith("<!DOCTYPE html>")),
        ("malformed", lambda r: r.text.endswith('"}{')),
        ("nulls", lambda r: r.json()["chart"]["result"][0]["meta"]["regularMarketPrice"] is None),
    ],
)
def test_a_fault_spoils_as_many_answers_as_it_was_told_to(market: Running, kind: str, check: object) -> None:
    fault = {"kind": kind, "provider": "yahoo_finance", "symbol": "AA*", "count": 1, "status": 503}
    requests.post(f"{market.url}/_control/faults", json=fault, timeout=5)
    assert chart(market, "MSFT", range="1d").status_code == 200
    assert check(chart(market, "AAPL", range="1d"))  # type: ignore[operator]
    assert chart(market, "AAPL", range="1d").json()["chart"]["error"] is None


def test_a_cut_body_ends_before_its_promised_length(market: Running) -> None:
    requests.post(f"{market.url}/_control/faults", json={"kind": "cut", "count": 1}, timeout=5)
    with pytest.raises(requests.exceptions.RequestException):
        chart(market, "AAPL", range="1d")


def test_latency_delays_an_answer(market: Running) -> None:
    requests.post(f"{market.url}/_control/faults", json={"kind": "latency", "seconds": 0.3, "count": 1}, timeout=5)
    began = time.monotonic()
    assert chart(market, "AAPL", range="1d").status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    "path",
    [
        "yahoo_finance/v8/finance/chart/AAPL?interval=7d",
        "yahoo_finance/v8/finance/chart/AAPL?interval=1d&period1=5&period2=4",
        "yahoo_finance/v8/finance/chart/AAPL?interval=1d&period1=now",
        "yahoo_finance/v8/finance/chart/AAPL?range=forever",
        "yahoo_finance/v8/finance/chart/" + "A" * 3000,
        "yahoo_finance/v8/finance/chart/%00%FF%2e%2e",
        "yahoo_finance/v8/finance/chart/AAPL?period1=999999999999999999999&period2=9",
        "yahoo_finance/../../etc/passwd",
        "coinbase/products/BTC-USD/candles?granularity=7",
        "coinbase/products/BTC-USD/candles?granularity=86400&start=yesterday",
        "coinbase/products/BTC-USD/candles?granularity=86400&start=2026-02-01&end=2026-01-01",
        "coinbase/products/%20/ticker",
        "nobody/anything",
        "_control/nothing",
        "_control/requests?windows=wide",
    ],
)
def test_rubbish_is_refused_and_the_server_goes_on(market: Running, path: str) -> None:
    answer = requests.get(f"{market.url}/{path}", timeout=5)
    assert 400 <= answer.status_code < 500
    assert answer.json()
    assert requests.get(f"{market.url}/_control/health", timeout=5).json()["healthy"] is True


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"kind": "flood"}',
        b'{"kind": "status", "status": "x"}',
        b'{"kind": "cut", "probability": 7}',
    ],
)
def test_a_wrong_fault_is_refused(market: Running, body: bytes) -> None:
    answer = requests.post(f"{market.url}/_control/faults", data=body, timeout=5)
    assert answer.status_code == 400
    assert requests.get(f"{market.url}/_control/faults", timeout=5).json() == {"faults": []}


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /yahoo_finance/v8/finance/chart/AAPL HTTP/1.1\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /" + b"A" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /_control/faults HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /_control/faults HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /_control/faults HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_no_request_close_their_connection_and_no_other(market: Running, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", market.port), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                answer += part
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")) or b'"error":null' in answer
    assert requests.get(f"{market.url}/_control/health", timeout=5).json()["healthy"] is True


@pytest.mark.parametrize("api", ["yahoo_finance", "coinbase"])
def test_more_parameters_than_anyone_means_are_refused_in_the_providers_form(market: Running, api: str) -> None:
    path = {"yahoo_finance": "v8/finance/chart/AAPL", "coinbase": "products"}[api]
    answer = requests.get(f"{market.url}/{api}/{path}?" + "&".join(f"a{i}=1" for i in range(200)), timeout=5)
    assert answer.status_code == 400
    assert answer.json().keys() <= {"finance", "message"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_providers_are_asked_by_get_alone(market: Running, method: str) -> None:
    answer = requests.request(method, f"{market.url}/yahoo_finance/v8/finance/chart/AAPL", data=b"x", timeout=5)
    assert answer.status_code == 405
    assert answer.json()["finance"]["error"]["code"] == "Method Not Allowed"


def test_a_connection_is_kept_and_a_head_has_no_body(market: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", market.port, timeout=5)
    local = None
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, "/coinbase/products/BTC-USD")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        assert (body == b"") is (method == "HEAD")
        assert local in (None, connection.sock.getsockname())
        local = connection.sock.getsockname()
    connection.close()


def test_a_fault_of_our_own_is_a_500_in_the_providers_form_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    with running() as server:
        monkeypatch.setattr(server.sandbox.market, "tick", broken)
        answer = requests.get(f"{server.url}/coinbase/products/BTC-USD/ticker", timeout=5)
        assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})
    assert [record.message for record in caplog.records if record.exc_info] == ["sandbox_request_failed"]


def test_the_environment_names_every_provider(market: Running) -> None:
    assert market.environment == {f"{name.upper()}_BASE_URL": f"{market.url}/{name}" for name in FAKE_APIS}
    assert market.environment["COINBASE_BASE_URL"] == f"http://127.0.0.1:{market.port}/coinbase"
    for name, api in FAKE_APIS.items():
        nothing_there = requests.get(f"{market.provider_base_urls[name]}/", timeout=5)
        # Some ask for the key before they look at the path.
        assert nothing_there.status_code == (401 if isinstance(api, Keyed) else 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example:80"},
        {"Host": ""},
    ],
)
def test_no_web_page_steers_the_market(market: Running, headers: dict[str, str]) -> None:
    fault = json.dumps({"provider": "coinbase", "kind": "status", "status": 500})
    for method, what in (("POST", "faults"), ("POST", "quotas"), ("DELETE", "requests"), ("GET", "requests")):
        answer = requests.request(method, f"{market.url}/_control/{what}", data=fault, headers=headers, timeout=5)
        assert answer.status_code == 403
    found = requests.get(f"{market.url}/_control/faults", timeout=5)
    assert found.status_code == 200
    assert "coinbase" not in found.text


def test_the_settings_know_everybody_whom_the_market_plays() -> None:
    """One that they did not know would be asked at its real address in the middle of a simulation."""
    assert set(PLAYED) == set(FAKE_APIS) == {*providers.names(), constituents.FACTS.name}
