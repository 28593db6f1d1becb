"""Symbols, their kept spelling and the asset class that their form says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.domain import (
    AssetClass,
    Instrument,
)
from fintrack_tasks.symbols import FORM


@pytest.mark.parametrize(
    ("typed", "symbol", "kind"),
    [
        ("aapl", "AAPL", "stock"),
        ("0700.hk", "0700.HK", "stock"),
        ("^GSPC", "^GSPC", "index"),
        ("btc-usd", "BTC-USD", "crypto"),
        ("EURUSD=X", "EURUSD=X", "forex"),
        ("eur/usd", "EURUSD=X", "forex"),
        ("XAU/USD", "XAUUSD=X", "forex"),
        ("INR=X", "INR=X", "forex"),
        ("BTC/USD", "BTC-USD", "crypto"),
        ("ETH/EUR", "ETH-EUR", "crypto"),
        ("SOL/USDT", "SOL-USDT", "crypto"),
        ("T-USD", "T-USD", "crypto"),
        ("BTC-CAD", "BTC-CAD", "crypto"),
        ("BTC-KRW", "BTC-KRW", "crypto"),
        ("ETH-CHF", "ETH-CHF", "crypto"),
        ("PEPE24478-USD", "PEPE24478-USD", "crypto"),
        ("GC=F", "GC=F", "commodity"),
        ("clk20.nym", "CLK20.NYM", "commodity"),
        ("ESH26.CME", "ESH26.CME", "commodity"),
        ("ES=F", "ES=F", "commodity"),
        ("M&M.NS", "M&M.NS", "stock"),
        ("L&TFH.NS", "L&TFH.NS", "stock"),
        ("BRK.B", "BRK-B", "stock"),
        ("BRK/B", "BRK-B", "stock"),
        ("BF-B", "BF-B", "stock"),
        ("VOD.L", "VOD.L", "stock"),
        ("SAP.F", "SAP.F", "stock"),
        ("BAC-PL", "BAC-PL", "stock"),
        ("^IRX", "^IRX", "index"),
    ],
)
def test_a_symbols_form_says_its_asset_class(typed: str, symbol: str, kind: str) -> None:
    assert Instrument.of(typed) == Instrument(symbol, AssetClass(kind))


def test_a_given_asset_class_overrules_the_form() -> None:
    assert Instrument.of("BTC-USD", "stock").asset_class is AssetClass.STOCK


@given(st.from_regex(FORM, fullmatch=True), st.none() | st.sampled_from(AssetClass))
def test_the_kept_spelling_of_a_symbol_is_its_own(symbol: str, kind: AssetClass | None) -> None:
    kept = Instrument.of(symbol, kind)
    assert Instrument.of(kept.symbol, kept.asset_class) == kept
    if kind is None:
        assert Instrument.of(kept.symbol) == kept


@pytest.mark.parametrize(
    ("symbol", "signed"),
    [("CL=F", True), ("^IRX", True), ("^TNX", True), ("^GSPC", False), ("AAPL", False), ("EURUSD=X", False)],
)
def test_futures_and_yields_may_be_at_or_below_zero(symbol: str, signed: bool) -> None:
    assert Instrument.of(symbol).is_signed is signed


@pytest.mark.parametrize("typed", ["", " ", "A B", "'; DROP", "../etc", "A" * 33, "é", "&A", "A\x1b", "A\x00"])
def test_what_cannot_be_a_symbol_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="not a symbol"):
        Instrument.of(typed)
