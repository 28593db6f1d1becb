"""Wikipedia's list of an index as the sandbox plays it, over real HTTP, against the recorded page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest
import requests
from bs4 import BeautifulSoup

from fintrack_tasks.errors import QuotaError
from fintrack_tasks.fetch import constituents
from fintrack_tasks.fetch.providers.base import HttpResponse
from fintrack_tasks.sandbox import Running, running

Get = Callable[..., requests.Response]
PAGE = "wikipedia/wiki/List_of_S%26P_500_companies"


def test_the_table_has_the_recorded_headers_and_classes(get: Get, samples: Path) -> None:
    recorded = (samples / "html/wikipedia-sp500-constituents-2026-05-10.html").read_bytes()
    shapes = []
    for body in (get(PAGE).content, recorded):
        [table] = BeautifulSoup(body, "html.parser").find_all("table", id="constituents")
        headers = [" ".join(cell.get_text().split()) for cell in table.find_all("th")]
        rows = table.find_all("tr")
        shapes.append((headers, table["class"], len(rows), {len(row.find_all("td")) for row in rows[1:]}))
    assert shapes[0] == shapes[1]


def test_the_page_says_what_it_is(get: Get) -> None:
    answer = get(PAGE)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<title>List of S&amp;P 500 companies" in answer.text
    assert answer.text.rstrip().endswith("</html>")


def test_the_product_understands_the_page(market_server: Running, session: requests.Session, now: datetime) -> None:
    """Some forty real companies; the others are made up and say so."""
    wanted = constituents.request("sp500")
    answer = session.get(market_server.provider_base_urls["wikipedia"] + wanted.path, timeout=10)
    found = constituents.parse("sp500", HttpResponse(answer.status_code, answer.content), now)
    real = {member.symbol: member for member in found if not member.name.startswith("Sandbox Company ")}
    assert 40 <= len(real) <= 50
    assert (real["AAPL"].name, real["AAPL"].sector) == ("Apple Inc.", "Information Technology")
    assert real["AAPL"].date_added == date(1982, 11, 30)
    assert real["T"].name == "AT&T"
    assert {"BRK-B", "BF-B"} <= real.keys()
    assert {"IBM", "MSFT", "GOOG"} <= real.keys()  # whose real prices are bundled
    assert all(member.symbol.startswith("SBX") for member in found if member.symbol not in real)
    assert len({member.sector for member in found}) == 11


@pytest.mark.parametrize("path", ["wikipedia/", "wikipedia/wiki/Main_Page", "wikipedia/w/api.php?action=query"])
def test_there_is_no_other_page(path: str, get: Get) -> None:
    answer = get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_used_up_quota_is_a_quota_to_the_product(now: datetime) -> None:
    with running(quotas={"wikipedia": "1/m"}, clock=lambda: now) as server:
        answers = [requests.get(f"{server.url}/{PAGE}", timeout=10) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    with pytest.raises(QuotaError):
        constituents.parse("sp500", HttpResponse(429, answers[1].content), now)
