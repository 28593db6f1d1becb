"""What the local market lists beside its bundled prices: well-known names, and made-up ones of one form.

All of them get a synthetic series and say so. Anything else is unknown there, as a mistyped symbol is to a provider.

- stocks: those of :data:`STOCKS`, in New York and, with their suffix, elsewhere;
- indices: those of which a calendar is known (:data:`fintrack_tasks.calendars.INDICES`);
- crypto: a coin of :data:`COINS` in a currency or coin that crypto is priced in, such as ``BTC-USD``;
- currency pairs of two codes of ISO 4217; futures: those of :data:`FUTURES`;
- of any class, for tests and loads: letters, then digits, as in ``S00001``, ``SBX042``, ``K7-USD``, ``S1.L``, ``^S1``;
  save those that begin with ``UNKNOWN``.
"""

from __future__ import annotations

import re
from typing import Final

from fintrack_tasks.calendars import INDICES, SUFFIXES
from fintrack_tasks.domain import AssetClass
from fintrack_tasks.symbols import CURRENCIES, PRICED_IN

__all__ = ["COINS", "FUTURES", "STOCKS", "are_currencies", "is_listed"]

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
