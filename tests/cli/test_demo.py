"""What the demo shows, on a terminal of 80 columns and in a file."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fintrack_tasks.cli.demo import _show
from fintrack_tasks.cli.output import console
from fintrack_tasks.cli.simulated_notice import NOTE, set_price_source

COUNTS = {"items": 12, "loaded": 12, "empty": 0, "failed": 0, "quarantined_rows": 0}
RESULT: dict[str, Any] = {
    "jobs": dict.fromkeys(("fetch_market_data", "fetch_historical_market_data", "fetch_market_index_data"), COUNTS),
    "events": {"market-data": 33, "notifications": 3},
    "seconds": 15.03,
}


def instrument(symbol: str, asset_class: str, price: str | None, source: str, indicators: int = 0) -> dict[str, Any]:
    first, last = datetime(2010, 1, 4, tzinfo=UTC), datetime(2018, 12, 31, tzinfo=UTC)
    quoted = datetime(2026, 3, 2, 12, 0, 3, tzinfo=UTC) if price else None
    return {
        "symbol": symbol, "asset_class": asset_class, "price": Decimal(price) if price else None, "currency": "USD",
        "quoted_at": quoted, "source": source, "daily_bars": 1311, "first_bar": first, "last_bar": last,
        "indicators": indicators,
    }  # fmt: skip


DETAILS: dict[str, Any] = {
    "instruments": [
        instrument("BTC-USD", "crypto", "46504.84", "coinbase"),
        instrument("EURUSD=X", "forex", "1.11822", "yahoo_finance"),
        instrument("^GSPC", "index", "2501.28", "yahoo_finance", 516),
        instrument("MSFT", "stock", None, "yahoo_finance"),
    ],
    "compared": 6318,
    "different": 0,
}


@pytest.mark.parametrize("width", [80, 100, 200])
def test_every_instrument_has_one_line_with_its_price_and_its_span_whole(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", width)
    _show(RESULT, DETAILS, kept=None)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    for symbol, price in (("BTC-USD", "46504.84"), ("EURUSD=X", "1.11822"), ("^GSPC", "2501.28"), ("MSFT", "-")):
        [line] = [line for line in lines if line.startswith(f"{symbol} ")]
        assert f" {price} " in line
        assert "1,311  2010-01-04 to 2018-12-31" in line
        assert ("2026-03-02 12:00:03" in line) is (width == 200 and price != "-")
    for job in RESULT["jobs"]:
        assert [line.split() for line in lines if job in line] == [[job, "12", "12", "0", "0", "0"]]


@pytest.mark.parametrize("simulated", [True, False])
def test_the_table_of_a_demo_says_whether_its_prices_are_simulated(
    simulated: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    set_price_source(lambda: simulated)
    try:
        _show(RESULT, DETAILS, kept=None)
    finally:
        set_price_source(lambda: False)
    shown = capsys.readouterr().out
    assert (shown.splitlines()[0].rstrip() == NOTE) is simulated
    assert shown.count(NOTE) == simulated
