"""Fake API of Wikipedia, of one page: the list of S&P 500 companies, in the real page's table shape.

The first rows are well-known companies, written down from general knowledge. The others are made up and say so in their
names: they bring the table to its real length, below which a list counts as cut, and are a load of as many symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from http.client import responses
from random import Random
from typing import Any, ClassVar, Final

from fintrack_tasks.sandbox.fake_apis.base import Reply
from fintrack_tasks.sandbox.market import Market

__all__ = ["FAKE_API", "MADE_UP"]

_PAGE: Final = "wiki/List_of_S&P_500_companies"
_HTML: Final = "text/html; charset=UTF-8"
_ROWS: Final = 503
_ORIGIN: Final = "synthetic: a list written for the local market"
MADE_UP: Final = "Sandbox Company"
"""How the name of a company begins that there is not."""

# Symbol, name, sector, sub-industry, headquarters, date added (empty where it is not remembered), founded.
_COMPANIES: Final = """\
MMM|3M|Industrials|Industrial Conglomerates|Saint Paul, Minnesota|1957-03-04|1902
ABT|Abbott Laboratories|Health Care|Health Care Equipment|North Chicago, Illinois|1957-03-04|1888
ADBE|Adobe Inc.|Information Technology|Application Software|San Jose, California|1997-05-05|1982
GOOG|Alphabet Inc. (Class C)|Communication Services|Interactive Media & Services|Mountain View, California||1998
AMZN|Amazon|Consumer Discretionary|Broadline Retail|Seattle, Washington|2005-11-18|1994
AXP|American Express|Financials|Consumer Finance|New York City, New York|1976-06-30|1850
AAPL|Apple Inc.|Information Technology|Technology Hardware, Storage & Peripherals|Cupertino, California|1982-11-30|1977
T|AT&T|Communication Services|Integrated Telecommunication Services|Dallas, Texas|1983-11-30|1983 (1885)
BAC|Bank of America|Financials|Diversified Banks|Charlotte, North Carolina|1976-06-30|1998 (1923 / 1874)
BRK.B|Berkshire Hathaway|Financials|Multi-Sector Holdings|Omaha, Nebraska|2010-02-16|1839
BA|Boeing|Industrials|Aerospace & Defense|Arlington, Virginia|1957-03-04|1916
BF.B|Brown-Forman|Consumer Staples|Distillers & Vintners|Louisville, Kentucky|1982-10-31|1870
CAT|Caterpillar Inc.|Industrials|Construction Machinery|Irving, Texas|1957-03-04|1925
CVX|Chevron Corporation|Energy|Integrated Oil & Gas|Houston, Texas|1957-03-04|1879
CSCO|Cisco|Information Technology|Communications Equipment|San Jose, California|1993-12-01|1984
KO|Coca-Cola Company|Consumer Staples|Soft Drinks|Atlanta, Georgia|1957-03-04|1886
COST|Costco|Consumer Staples|Consumer Staples Merchandise Retail|Issaquah, Washington|1993-10-01|1976
DE|Deere & Company|Industrials|Agricultural & Farm Machinery|Moline, Illinois|1957-03-04|1837
DUK|Duke Energy|Utilities|Electric Utilities|Charlotte, North Carolina||1904
XOM|ExxonMobil|Energy|Integrated Oil & Gas|Spring, Texas|1957-03-04|1999
F|Ford Motor Company|Consumer Discretionary|Automobile Manufacturers|Dearborn, Michigan|1957-03-04|1903
GS|Goldman Sachs|Financials|Investment Banking & Brokerage|New York City, New York|2002-07-22|1869
HD|Home Depot|Consumer Discretionary|Home Improvement Retail|Atlanta, Georgia|1988-03-31|1978
IBM|IBM|Information Technology|IT Consulting & Other Services|Armonk, New York|1957-03-04|1911
INTC|Intel|Information Technology|Semiconductors|Santa Clara, California|1976-12-31|1968
JNJ|Johnson & Johnson|Health Care|Pharmaceuticals|New Brunswick, New Jersey|1973-06-30|1886
JPM|JPMorgan Chase|Financials|Diversified Banks|New York City, New York|1975-06-30|2000 (1799 / 1871)
LIN|Linde plc|Materials|Industrial Gases|Guildford, United Kingdom||1879
MCD|McDonald's|Consumer Discretionary|Restaurants|Chicago, Illinois|1970-06-30|1940
MRK|Merck & Co.|Health Care|Pharmaceuticals|Rahway, New Jersey|1957-03-04|1891
META|Meta Platforms|Communication Services|Interactive Media & Services|Menlo Park, California|2013-12-23|2004
MSFT|Microsoft|Information Technology|Systems Software|Redmond, Washington|1994-06-01|1975
NKE|Nike, Inc.|Consumer Discretionary|Apparel, Accessories & Luxury Goods|Washington County, Oregon||1964
NVDA|Nvidia|Information Technology|Semiconductors|Santa Clara, California|2001-11-30|1993
PEP|PepsiCo|Consumer Staples|Soft Drinks|Purchase, New York|1957-03-04|1898
PFE|Pfizer|Health Care|Pharmaceuticals|New York City, New York|1957-03-04|1849
PG|Procter & Gamble|Consumer Staples|Personal Care Products|Cincinnati, Ohio|1957-03-04|1837
CRM|Salesforce|Information Technology|Application Software|San Francisco, California|2008-09-15|1999
SPG|Simon Property Group|Real Estate|Retail REITs|Indianapolis, Indiana||2003
TSLA|Tesla, Inc.|Consumer Discretionary|Automobile Manufacturers|Austin, Texas|2020-12-21|2003
VZ|Verizon|Communication Services|Integrated Telecommunication Services|New York City, New York|1983-11-30|1983 (1877)
V|Visa Inc.|Financials|Transaction & Payment Processing Services|San Francisco, California|2009-12-21|1958
WMT|Walmart|Consumer Staples|Consumer Staples Merchandise Retail|Bentonville, Arkansas|1982-08-31|1962
DIS|Walt Disney Company|Communication Services|Movies & Entertainment|Burbank, California|1976-06-30|1923
"""


@dataclass(frozen=True, slots=True)
class _Company:
    symbol: str
    name: str
    sector: str
    industry: str
    headquarters: str
    added: str
    founded: str


class Wikipedia:
    """See :class:`fintrack_tasks.sandbox.fake_apis.base.FakeApi`."""

    name: ClassVar[str] = "wikipedia"
    real_quotas: ClassVar[str] = "1/s"

    def answer(self, market: Market, path: str, params: Mapping[str, str]) -> Reply:
        return Reply(200, _page(), _HTML, origin=_ORIGIN) if path == _PAGE else self.failed(404)

    def too_many(self, key: str, window: float) -> Reply:
        return self.failed(429)

    def failed(self, status: int) -> Reply:
        title = f"{status} {responses.get(status, 'Unknown Error')}"
        page = f"<!DOCTYPE html>\n<html lang=en><title>Wikimedia Error</title><h1>Error</h1><p>{title}</p></html>\n"
        return Reply(status, page.encode(), _HTML)

    def with_nulls(self, answer: Any, random: Random) -> Any:
        """A page of HTML has no nulls."""
        return answer

    def symbol_of(self, path: str, params: Mapping[str, str]) -> str:
        return ""  # the page is of all members

    def key_of(self, params: Mapping[str, str], headers: Mapping[str, str]) -> str:
        return ""


FAKE_API: Final = Wikipedia()


def _companies() -> list[_Company]:
    known = [_Company(*line.split("|")) for line in _COMPANIES.splitlines()]
    sectors = sorted({company.sector for company in known})
    for number in range(1, _ROWS - len(known) + 1):
        sector = sectors[number % len(sectors)]
        name = f"{MADE_UP} {number:03}"
        known.append(_Company(f"SBX{number:03}", name, sector, "Made-up Companies", "Springfield", "", ""))
    return known


@cache
def _page() -> bytes:
    return f"""<!DOCTYPE html>
<html class="client-nojs" lang="en" dir="ltr">
<head>
<meta charset="UTF-8">
<title>List of S&amp;P 500 companies - Wikipedia</title>
</head>
<body>
<p>The sandbox's own page: companies whose names begin with "{MADE_UP}" are made up.</p>
<h2 id="S&amp;P_500_component_stocks">S&amp;P 500 component stocks</h2>
<table class="wikitable sortable mw-collapsible sticky-header" id="constituents">

<tbody><tr>
<th><a href="/wiki/Ticker_symbol" title="Ticker symbol">Symbol</a>
</th>
<th>Security</th>
<th><a href="/wiki/Global_Industry_Classification_Standard">GICS</a> Sector</th>
<th>GICS Sub-Industry</th>
<th>Headquarters Location</th>
<th>Date added</th>
<th><a href="/wiki/Central_Index_Key" title="Central Index Key">CIK</a></th>
<th>Founded
</th></tr>
{"".join(map(_row, _companies()))}</tbody></table>
<h2 id="Selected_changes">Selected changes to the list of S&amp;P 500 components</h2>
<table class="wikitable sortable" id="changes">
<tbody><tr>
<th>Effective Date</th>
<th>Added</th>
<th>Removed</th></tr></tbody></table>
</body>
</html>
""".encode()


def _row(company: _Company) -> str:
    link = f'<a rel="nofollow" class="external text" href="#{company.symbol}">{company.symbol}</a>\n'
    name = f'<a href="#{company.symbol}">{escape(company.name)}</a>'
    plain = [company.sector, company.industry, company.headquarters, company.added, "", company.founded]
    return "<tr>\n" + "\n".join(f"<td>{cell}</td>" for cell in [link, name, *map(escape, plain)]) + "</tr>\n"
