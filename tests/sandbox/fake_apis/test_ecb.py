"""The European Central Bank as the sandbox plays it, over real HTTP, against the bundled file and recorded answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import requests
from lxml import etree

from fintrack_tasks.domain import Instrument, Interval, Kind, TimeRange, from_micros
from fintrack_tasks.errors import QuotaError
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse
from fintrack_tasks.fetch.providers.ecb import PROVIDER
from fintrack_tasks.sandbox import Running, running

Get = Callable[..., requests.Response]
Rows = Callable[[str], list[dict[str, str]]]

DAILY, NINETY, ALL = (f"ecb/stats/eurofxref/eurofxref-{name}.xml" for name in ("daily", "hist-90d", "hist"))
SPACES = {"e": "http://www.ecb.int/vocabulary/2002-08-01/eurofxref", "g": "http://www.gesmes.org/xml/2002-08-01"}


def table(answer: requests.Response) -> dict[str, dict[str, str]]:
    """Day to currency to rate, read without the code under test."""
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/xml"
    root = etree.fromstring(answer.content)
    found = {
        day.get("time"): {c.get("currency"): c.get("rate") for c in day}
        for day in root.findall("e:Cube/e:Cube", SPACES)
    }
    assert len(found) == len(root.findall("e:Cube/e:Cube", SPACES))
    return found


def real(rows: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {
        row["date"]: {name: text for name, text in row.items() if name != "date" and text not in ("", "N/A")}
        for row in rows
    }


def test_all_days_have_the_files_own_digits(get: Get, bundled: Rows) -> None:
    found = table(get(ALL))
    assert found == real(bundled("ecb_eur_rates.csv.gz"))
    assert list(found) == sorted(found, reverse=True)


def test_the_newest_day_and_ninety_days_are_the_end_of_all_days(get: Get, bundled: Rows) -> None:
    known = real(bundled("ecb_eur_rates.csv.gz"))
    assert table(get(DAILY)) == {"2026-10-30": known["2026-10-30"]}
    first = str(date(2026, 10, 30) - timedelta(days=90))
    assert table(get(NINETY)) == {day: rates for day, rates in known.items() if day > first}


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        (datetime(2012, 7, 10, 13, 59, tzinfo=UTC), "2012-07-09"),
        (datetime(2012, 7, 10, 14, 0, tzinfo=UTC), "2012-07-10"),
        (datetime(2012, 1, 10, 14, 59, tzinfo=UTC), "2012-01-09"),
        (datetime(2012, 7, 15, 12, 0, tzinfo=UTC), "2012-07-13"),
    ],
)
def test_a_rate_is_told_from_sixteen_hours_of_frankfurt_on(now: datetime, newest: str) -> None:
    with running(clock=lambda: now) as server:
        assert list(table(requests.get(f"{server.url}/{DAILY}", timeout=10))) == [newest]
        assert next(iter(table(requests.get(f"{server.url}/{ALL}", timeout=10)))) == newest


def test_the_files_have_the_recorded_elements(get: Get, samples: Path) -> None:
    def shape(body: bytes) -> list[tuple[str, tuple[str, ...]]]:
        """Elements in their order, each once, with their attributes."""
        return list(dict.fromkeys((each.tag, tuple(each.attrib)) for each in etree.fromstring(body).iter()))

    for path, name in ((DAILY, "ecb-daily-2018-06-11.xml"), (NINETY, "ecb-hist-90d-2019-11-29.xml")):
        recorded = (samples / "fx" / name).read_bytes()
        assert shape(get(path).content) == shape(recorded)
        assert (b"currency='USD'" in get(path).content) == (b"currency='USD'" in recorded)


@pytest.mark.parametrize("path", ["ecb/", "ecb/stats/eurofxref/eurofxref-hist.zip", "ecb/stats/eurofxref/..%2F"])
def test_what_is_no_file_is_a_page_that_says_so(path: str, get: Get) -> None:
    answer = get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(("back", "name"), [(0, "daily"), (60, "hist-90d"), (4_000, "hist")])
def test_the_product_understands_each_file(
    back: int, name: str, market_server: Running, session: requests.Session, now: datetime, bundled: Rows
) -> None:
    """A quote, bars of 60 days and bars of a year that is long past."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=back)
    window = TimeRange(start, min(start + timedelta(days=365), now)) if back else None
    interval, kind = (Interval.D1, Kind.BARS) if back else (None, Kind.QUOTE)
    ask = Ask(kind, Instrument.of("EURUSD=X"), now, interval, window)
    wanted = PROVIDER.request(ask)
    assert wanted.endpoint == f"eurofxref-{name}"
    answer = session.get(market_server.provider_base_urls["ecb"] + wanted.path, timeout=10)
    batch = PROVIDER.parse(ask, HttpResponse(answer.status_code, answer.content))
    rows = [row for row in bundled("ecb_eur_rates.csv.gz")[::-1] if not window or row["date"] >= f"{start:%Y-%m-%d}"]
    rows = [row for row in rows if not window or row["date"] < f"{window.end:%Y-%m-%d}"][-1000 if back else -1 :]
    assert [str(from_micros(stamp).date()) for stamp in batch.columns["timestamp"]] == [row["date"] for row in rows]
    assert batch.columns["close" if back else "price"] == [row["USD"] for row in rows]


def test_a_used_up_quota_is_a_quota_to_the_product(now: datetime) -> None:
    with running(quotas={"ecb": "1/m"}, clock=lambda: now) as server:
        answers = [requests.get(f"{server.url}/{DAILY}", timeout=10) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    ask = Ask(Kind.QUOTE, Instrument.of("EURUSD=X"), now)
    with pytest.raises(QuotaError):
        PROVIDER.parse(ask, HttpResponse(429, answers[1].content))
