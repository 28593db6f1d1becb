"""What the local market lists: its bundled series, well-known names, and made-up ones of one form. Nothing else."""

from __future__ import annotations

import pytest
import requests
from bs4 import BeautifulSoup

from fintrack_tasks.pipeline.plan import DEFAULT_INSTRUMENTS
from fintrack_tasks.sandbox import Running
from fintrack_tasks.sandbox.listings import UnknownError
from fintrack_tasks.sandbox.market import Market

NOBODY = ("NOPE", "XYZXYZ", "ZZZZ", "AAPLE", "NOPE-USD", "XYZXYZ-USD", "BTC-NOPE", "BTC-BTC", "^NOPE", "NOPE.L",
          "AAPL.L", "S1.NOPE", "ABCDEF=X", "EURNOP=X", "EUREUR=X", "NOPE=F", "UNKNOWN1", "UNKNOWN1-USD")  # fmt: skip


@pytest.mark.parametrize("symbol", NOBODY)
def test_what_is_neither_bundled_nor_listed_is_unknown(symbol: str) -> None:
    with pytest.raises(UnknownError):
        Market(7).listing(symbol)


@pytest.mark.parametrize(
    "symbol",
    [*DEFAULT_INSTRUMENTS, "TSLA", "GOOGL", "BRK-B", "VOD.L", "7203.T", "M&M.NS", "T-USD", "ETH-CHF", "GC=F",
     "GBPJPY=X", "^FTSE", "S1", "S00001", "SYM1234", "SBX042", "S7X3", "K7-USD", "S1.L", "^S1", "S1=F"],
)  # fmt: skip
def test_defaults_well_known_names_and_letters_before_digits_are_listed(symbol: str) -> None:
    assert Market(7).listing(symbol).symbol == symbol


def test_an_unknown_symbol_is_unknown_in_each_providers_own_words(market_server: Running) -> None:
    def get(path: str) -> requests.Response:
        return requests.get(f"{market_server.url}/{path}", timeout=10)

    assert get("yahoo_finance/v8/finance/chart/NOPE").status_code == 404
    assert get("yahoo_finance/v7/finance/quote?symbols=NOPE").json()["quoteResponse"]["result"] == []
    assert get("coinbase/products/NOPE-USD/ticker").status_code == 404
    assert get("finnhub/api/v1/quote?symbol=NOPE&token=word").json()["t"] == 0
    assert get("twelve_data/quote?symbol=NOPE&apikey=word").json()["status"] == "error"
    assert get("alpha_vantage/query?function=GLOBAL_QUOTE&symbol=NOPE&apikey=word").json() == {"Global Quote": {}}


def test_every_member_of_the_index_is_listed(market_server: Running) -> None:
    page = requests.get(f"{market_server.url}/wikipedia/wiki/List_of_S%26P_500_companies", timeout=10).content
    rows = BeautifulSoup(page, "lxml").select("#constituents tr")[1:]
    symbols = [row.select("td")[0].get_text(strip=True) for row in rows]
    assert len(symbols) == 503
    for symbol in symbols:
        Market(7).listing(symbol)
