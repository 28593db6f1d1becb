"""Which symbols the local market has, and each one's prices, zone, currency and origin.

Beside its bundled prices it lists well-known names, and made-up ones of one form; all of these get a synthetic series
and say so. Anything else is unknown there, as a mistyped symbol is to a provider.

- stocks: those of :data:`STOCKS`, in New York and, with their suffix, elsewhere;
- indices: those of which a calendar is known (:data:`fintrack_tasks.calendars.INDICES`);
- crypto: a coin of :data:`COINS` in a currency or coin that crypto is priced in, such as ``BTC-USD``;
- currency pairs of two codes of ISO 4217; futures: those of :data:`FUTURES`;
- of any class, for tests and loads: letters, then digits, as in ``S00001``, ``SBX042``, ``K7-USD``, ``S1.L``, ``^S1``;
  save those that begin with ``UNKNOWN``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from fintrack_tasks.calendars import INDICES, SUFFIXES
from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.sandbox.exchanges import Exchange, exchange_of
from fintrack_tasks.sandbox.prices import RATES_ORIGIN, Daily, fx_pair, rate_decimals, real_daily, real_origin
from fintrack_tasks.sandbox.synthetic import Series, series_of
from fintrack_tasks.symbols import CURRENCIES, PRICED_IN

__all__ = ["COINS", "FUTURES", "STOCKS", "Listing", "UnknownError", "are_currencies", "find_listing", "is_listed"]

NEW_YORK: Final = ZoneInfo("America/New_York")
LONDON: Final = ZoneInfo("Europe/London")

STOCKS: Final = frozenset(
    """
    AAPL ABBV ABNB ABT ADBE ADP AIG AMAT AMD AMGN AMZN APA AVGO AXP BA BABA BAC BF-B BK BKNG BLK BMY BRK-A BRK-B C CAT
    CL CMCSA COF COP COST CRM CSCO CVS CVX DE DHR DIA DIS DUK EA EBAY EMR EXC F FB FDX GD GE GILD GLD GM GME GOOG GOOGL
    GS HD HON HPQ IBM INTC INTU ISRG IWM JNJ JPM KHC KO LIN LLY LMT LOW MA MCD MDLZ MDT MET META MMM MO MRK MS MSFT
    NEE NFLX NKE NOW NVDA ORCL OXY PEP PFE PG PLTR PM PYPL QCOM QQQ RIVN RTX SBUX SCHW SHOP SNAP SO SONY SPG SPY T TGT
    TLT TM TMO TMUS TSLA TSM TXN UBER UNH UNP UPS USB V VOO VTI VZ WFC WMT X XOM ZM
    005930.KS 0700.HK 2222.SR 600519.SS 7203.T 9988.HK AIR.PA ALL.AX ASML.AS BARC.L BHP.AX BMW.DE BP.L CBA.AX CEZ.PR
    COMI.CA EQNR.OL HSBA.L INFY.NS MC.PA NBK.KW NESN.SW NOVO-B.CO NPN.JO OCDO.L OPAP.AT PETR4.SA QAN.AX QNBK.QA
    RELIANCE.BO RELIANCE.NS RY.TO RYA.IR SAP.DE SAP.F SBER.ME SHEL.L SHOP.TO SIE.DE TCS.NS TEVA.TA VALE3.SA VOD.L
    M&M.NS J&KBANK.NS L&TFH.NS DX-Y.NYB
    """.split()  # noqa: SIM905  a list of so many literals is not to be read
)
COINS: Final = frozenset(
    """
    AAVE ADA ALGO APT ARB ATOM AVAX BCH BNB BTC DOGE DOT ETC ETH FIL HBAR ICP LINK LTC MATIC NEAR SHIB SOL T TRX UNI
    USDC USDT XLM XMR XRP XTZ
    """.split()  # noqa: SIM905  as above
)
_ROOTS: Final = """
    6B 6E 6J BZ CC CL CT ES GC GF HE HG HO KC LE NG NQ PA PL RB RTY SB SI YM ZB ZC ZF ZL ZM ZN ZO ZR ZS ZT ZW
"""
FUTURES: Final = frozenset(f"{root}=F" for root in _ROOTS.split())
_MADE_UP: Final = re.compile(r"(?!UNKNOWN)[A-Z]{1,8}[0-9]{1,8}(?:[A-Z][0-9]{1,8})?")


class UnknownError(Exception):
    """The market does not list the symbol."""


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A symbol as the market knows it: either bundled days or a synthetic series. Equal to itself alone.

    :ivar currency: that of the prices as a provider names it: ``GBp`` for pence.
    :ivar exchange: where a stock or an index is traded, unless it is New York.
    """

    symbol: str
    asset_class: AssetClass
    zone: ZoneInfo
    currency: str
    decimals: int
    days: tuple[Daily, ...] | Series
    origin: str
    exchange: Exchange | None = None

    @property
    def synthetic(self) -> Series | None:
        """The series, where the days are not bundled."""
        return self.days if isinstance(self.days, Series) else None

    @property
    def first_day(self) -> date:
        """The first day that there may be a price for."""
        return self.days.first if isinstance(self.days, Series) else self.days[0].day

    @property
    def statement(self) -> dict[str, Any]:
        """The statement about their origin in the metadata of daily bars."""
        return _statement(self.origin)

    @property
    def path_statement(self) -> dict[str, Any]:
        """The same for intraday bars, which no bundled day has."""
        return _statement(self.path_origin)

    @property
    def quote_statement(self) -> dict[str, Any]:
        """The same for a current price."""
        return _statement(self.quote_origin)

    @property
    def path_origin(self) -> str:
        """The origin of intraday bars."""
        return self.origin if self.synthetic else f"synthetic: a path within each day of: {self.origin}"

    @property
    def quote_origin(self) -> str:
        """The origin of a current price."""
        return self.origin if self.synthetic else f"synthetic: about the last close of: {self.origin}"


def _statement(origin: str) -> dict[str, Any]:
    return {"synthetic": origin.startswith("synthetic"), "origin": origin}


def find_listing(seed: int, symbol: str) -> Listing:
    """A symbol with its bundled days, or with its synthetic series under the seed.

    :raises UnknownError: for what is neither bundled nor listed.
    """
    try:
        known = Instrument.of(symbol)
    except ValueError:
        raise UnknownError(symbol) from None
    kind = known.asset_class
    if symbol in real_daily():
        return Listing(symbol, kind, NEW_YORK, "USD", 6, real_daily()[symbol], real_origin(symbol))
    if kind is AssetClass.FOREX:
        return _forex(seed, symbol)
    if not is_listed(known.symbol, kind):
        raise UnknownError(symbol)
    # Whichever spelling of BRK-B a provider has, its series is one.
    series, origin = series_of(seed, known.symbol, kind), _synthetic_origin(seed)
    if found := exchange_of(symbol, kind):
        there, unit = found
        series = replace(series, first=max(series.first, there.first), trading=there.trades)
        return Listing(symbol, kind, there.zone, unit, series.decimals, series, origin, there)
    zone, currency = (ZoneInfo("UTC"), symbol.partition("-")[2]) if kind is AssetClass.CRYPTO else (NEW_YORK, "USD")
    return Listing(symbol, kind, zone, currency, series.decimals, series, origin)


def _synthetic_origin(seed: int) -> str:
    return f"synthetic: a series of seed {seed}"


def _forex(seed: int, symbol: str) -> Listing:
    # "EURUSD=X"; Yahoo's short form "INR=X" counts from the dollar
    pair = symbol.removesuffix("=X").replace("/", "")
    base, quote = (pair[:3], pair[3:]) if len(pair) == 6 else ("USD", pair)
    if not are_currencies(base, quote) or base == quote:
        raise UnknownError(symbol)
    real = fx_pair(base, quote)
    if real:
        how = "is" if base == "EUR" else "is computed from"
        origin = f"synthetic: one price a day, which {how} {RATES_ORIGIN}"
        return Listing(symbol, AssetClass.FOREX, LONDON, quote, rate_decimals(real[-1].close), real, origin)
    series = series_of(seed, symbol, AssetClass.FOREX)
    origin = _synthetic_origin(seed)
    return Listing(symbol, AssetClass.FOREX, LONDON, quote, series.decimals, series, origin)


def is_listed(symbol: str, asset_class: AssetClass) -> bool:
    """Whether the market has a price of a symbol in its kept spelling that it has no bundled days of."""
    if asset_class is AssetClass.CRYPTO:
        coin, _, currency = symbol.partition("-")
        return (
            (coin in COINS or _is_made_up(coin)) and (currency in PRICED_IN or currency in COINS) and coin != currency
        )
    if asset_class is AssetClass.COMMODITY:
        return symbol in FUTURES or _is_made_up(symbol.removesuffix("=F"))
    if asset_class is AssetClass.INDEX:
        return symbol in INDICES or _is_made_up(symbol.removeprefix("^"))
    base, dot, suffix = symbol.rpartition(".") if "." in symbol else (symbol, "", "")
    return symbol in STOCKS or (_is_made_up(base) and (not dot or suffix in SUFFIXES))


def are_currencies(*codes: str) -> bool:
    """Whether each is a code of ISO 4217, or a metal's."""
    return CURRENCIES.issuperset(codes)


def _is_made_up(name: str) -> bool:
    return _MADE_UP.fullmatch(name) is not None
