"""Which calendar an instrument trades by."""

from __future__ import annotations

import pytest

from fintrack_tasks import calendars
from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.sessions import calendar_name


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (Instrument.of("AAPL"), "XNYS"),
        (Instrument.of("BRK.B"), "XNYS"),
        (Instrument.of("BARC.L"), "XLON"),
        (Instrument.of("SAP.DE"), "XETR"),
        (Instrument.of("BHP.AX"), "XASX"),
        (Instrument.of("SHOP.TO"), "XTSE"),
        (Instrument.of("AIR.PA"), "XPAR"),
        (Instrument.of("0700.HK"), "XHKG"),
        (Instrument.of("7203.T"), "XTKS"),
        (Instrument.of("^GSPC"), "XNYS"),
        (Instrument.of("^FTSE"), "XLON"),
        (Instrument.of("^NSEBANK"), "XBOM"),
        (Instrument.of("^TNX"), "XNYS"),
        (Instrument.of("OPAP.AT"), "ASEX"),
        (Instrument.of("TEVA.TA"), "XTAE"),
        (Instrument("BRK.B", AssetClass.STOCK), "XNYS"),
        (Instrument.of("BTC-USD"), "24/7"),
        (Instrument.of("EURUSD=X"), "forex"),
        (Instrument.of("GC=F"), "futures"),
        (Instrument("EURUSD=X", AssetClass.FOREX, calendar="24/5"), "24/5"),
        (Instrument("AAPL", AssetClass.STOCK, calendar="XLON"), "XLON"),
    ],
)
def test_the_calendar_is_the_instruments_own_then_its_suffix_then_its_asset_class(
    instrument: Instrument, name: str
) -> None:
    assert calendar_name(instrument) == name


@pytest.mark.parametrize(
    ("name", "known"),
    [("XNYS", True), ("NYSE", True), ("24/7", True), ("forex", True), ("futures", True), ("NOPE", False)],
)
def test_the_name_of_a_calendar_is_told_from_what_is_none(name: str, known: bool) -> None:
    assert calendars.is_calendar(name) is known
