"""Fake API of the European Central Bank: ``stats/eurofxref/`` with the newest day, 90 days, and all days of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.sandbox.fake_apis.base import Reply
from fintrack_tasks.sandbox.market import Market
from fintrack_tasks.sandbox.prices import RATES_ORIGIN, fx_rates

__all__ = ["FAKE_API"]

_FRANKFURT: Final = ZoneInfo("Europe/Berlin")
_PUBLISHED_AT: Final = 16
_PAGES: Final[Mapping[str, timedelta | None]] = {
    "stats/eurofxref/eurofxref-daily.xml": timedelta(days=1),
    "stats/eurofxref/eurofxref-hist-90d.xml": timedelta(days=90),
    "stats/eurofxref/eurofxref-hist.xml": None,
}
"""Each file and how far it reaches back from its newest day."""
_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"'
    ' xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n\t<gesmes:subject>Reference rates</gesmes:subject>'
    "\n\t<gesmes:Sender>\n\t\t<gesmes:name>European Central Bank</gesmes:name>\n\t</gesmes:Sender>\n\t<Cube>\n"
)
_FOOT: Final = "\t</Cube>\n</gesmes:Envelope>"


class Ecb:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "ecb"
    real_quotas: ClassVar[str] = "1/s"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        if path not in _PAGES:
            return self.failed(404)
        days = _days(_newest(market.now()), _PAGES[path])
        return Reply(200, _file(days, "'" if path.endswith("-daily.xml") else '"'), "text/xml", origin=RATES_ORIGIN)

    def too_many(self, key: str, window: float) -> Reply:
        return self.failed(429)

    def failed(self, status: int) -> Reply:
        title = f"{status} {responses.get(status, 'Unknown Error')}"
        page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
        return Reply(status, page.encode(), "text/html; charset=utf-8")

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """The answers are XML, in which nothing is null: a currency that is not quoted is not there."""
        return answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        return ""  # every file is of all currencies

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return ""


FAKE_API: Final = Ecb()


def _newest(now: datetime) -> date:
    """The latest day whose rates may have been published by now."""
    local = now.astimezone(_FRANKFURT)
    return local.date() - timedelta(days=local.hour < _PUBLISHED_AT)


@lru_cache(maxsize=8)
def _days(until: date, reach: timedelta | None) -> tuple[date, ...]:
    """The bundled days up to one, newest first."""
    known = sorted((day for day in fx_rates()["EUR"] if day <= until), reverse=True)
    return tuple(day for day in known if reach is None or day > known[0] - reach)


@lru_cache(maxsize=8)
def _file(days: Sequence[date], quote: str) -> bytes:
    return f"{_HEAD}{''.join(_day(day, quote) for day in days)}{_FOOT}".encode()


def _day(day: date, q: str) -> str:
    """A day's rates; attributes are in single quotes in the file of the newest day, in double ones elsewhere."""
    rates = "".join(
        f"\t\t\t<Cube currency={q}{currency}{q} rate={q}{quoted[day]!r}{q}/>\n"
        for currency, quoted in fx_rates().items()
        if currency != "EUR" and day in quoted
    )
    return f"\t\t<Cube time={q}{day}{q}>\n{rates}\t\t</Cube>\n"
