"""Recorded files of the ECB; the expected values were read off the files by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from fintrack_tasks.domain import Batch, Interval, TimeRange, from_micros
from fintrack_tasks.errors import EmptyError, MalformedError, UnknownSymbolError
from fintrack_tasks.fetch.providers.ecb import PROVIDER, rates
from tests.fetch.providers.asking import ALL_TIME, needs_samples, question, sample, sample_names

NOW = datetime(2026, 11, 1, tzinfo=UTC)

pytestmark = needs_samples

OTHERS = sample_names("fx", "*.json")


def bars(name: str, symbol: str, window: TimeRange = ALL_TIME) -> Batch:
    return PROVIDER.parse(question(symbol, Interval.D1, NOW, window), sample("fx", name))


def days(batch: Batch) -> list[date]:
    moments = [from_micros(stamp) for stamp in batch.columns["timestamp"]]
    assert {moment.time() for moment in moments} == {datetime.min.time()}
    return [moment.date() for moment in moments]


@pytest.mark.parametrize(
    ("name", "symbol", "price", "published"),
    [
        # The file's name tells when it was stored elsewhere; its day is an older one.
        ("ecb-daily-2016-08-24.xml", "EURNOK=X", "9.1500", datetime(2015, 1, 7, 15, tzinfo=UTC)),
        ("ecb-daily-2018-06-11.xml", "EURGBP=X", "0.88180", datetime(2018, 6, 11, 14, tzinfo=UTC)),
        ("ecb-daily-2018-06-11.xml", "EURSEK=X", "10.2530", datetime(2018, 6, 11, 14, tzinfo=UTC)),
        ("ecb-hist-90d-2019-11-29.xml", "EURISK=X", "134", datetime(2019, 11, 29, 15, tzinfo=UTC)),
        ("ecb-hist-excerpt-2026.csv", "EURIDR=X", "20275.17", datetime(2026, 10, 30, 15, tzinfo=UTC)),
    ],
)
def test_the_newest_rate_keeps_its_text_to_the_last_nought(
    name: str, symbol: str, price: str, published: datetime
) -> None:
    batch = PROVIDER.parse(question(symbol, None, NOW), sample("fx", name))
    assert (batch.columns["price"], from_micros(batch.columns["timestamp"][0])) == ([price], published)


def test_ninety_days_are_sixty_five_bars_oldest_first() -> None:
    batch = bars("ecb-hist-90d-2019-11-29.xml", "EURUSD=X")
    assert len(batch) == 65
    assert (days(batch)[0], days(batch)[-1]) == (date(2019, 9, 2), date(2019, 11, 29))
    assert (batch.columns["close"][0], batch.columns["open"][-1]) == ("1.0968", "1.0982")
    assert all(day.weekday() < 5 for day in days(batch))


def test_the_file_of_all_days_starts_on_the_fourth_of_january_1999() -> None:
    batch = bars("ecb-hist-partial-2021-01.xml", "EURUSD=X")
    assert days(batch)[0] == date(1999, 1, 4)
    assert batch.columns["close"][0] == "1.1789"


def test_a_currency_of_former_times_has_bars_of_former_times_alone() -> None:
    """The old Turkish lira, of which a euro bought 372,274."""
    batch = bars("ecb-hist-partial-2021-01.xml", "EURTRL=X")
    assert (days(batch)[0], batch.columns["close"][0]) == (date(1999, 1, 4), "372274")
    assert days(batch)[-1] < date(2005, 1, 1)
    with pytest.raises(EmptyError):
        bars(
            "ecb-hist-partial-2021-01.xml",
            "EURTRL=X",
            TimeRange(datetime(2020, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC)),
        )


def test_the_csv_has_ninety_days_and_no_rate_where_it_says_not_available() -> None:
    batch = bars("ecb-hist-excerpt-2026.csv", "EURUSD=X")
    assert len(batch) == 90
    assert (days(batch)[-1], batch.columns["close"][-1]) == (date(2026, 10, 30), "1.1172")
    for gone in ("EURBGN=X", "EURRUB=X", "EURTRL=X"):
        with pytest.raises(UnknownSymbolError):
            bars("ecb-hist-excerpt-2026.csv", gone)


@pytest.mark.parametrize(
    ("name", "number", "currencies", "highest"),
    [
        ("ecb-daily-2016-08-24.xml", 31, 31, ("IDR", "15041.65")),
        ("ecb-daily-2018-06-11.xml", 32, 32, None),
        ("ecb-hist-90d-2019-11-29.xml", 65 * 32, 32, None),
        ("ecb-hist-excerpt-2026.csv", 90 * 29, 29, None),
    ],
)
def test_all_rates_of_a_file(name: str, number: int, currencies: int, highest: tuple[str, str] | None) -> None:
    found = rates(sample("fx", name), NOW)
    assert len(found) == number
    assert len({rate.quote for rate in found}) == currencies
    assert {rate.base for rate in found} == {"EUR"}
    if highest:
        top = max(found, key=lambda rate: rate.rate)
        assert (top.quote, top.rate) == (highest[0], Decimal(highest[1]))


@pytest.mark.parametrize("name", OTHERS)
def test_the_answers_of_other_sources_are_malformed(name: str) -> None:
    with pytest.raises(MalformedError):
        bars(name, "EURUSD=X")
