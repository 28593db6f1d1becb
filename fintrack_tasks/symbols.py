"""The syntax of symbols: which texts are symbols, the asset class of each form, and the canonical spelling.

The canonical spelling is Yahoo's: ``^GSPC``, ``BTC-USD``, ``EURUSD=X``, ``GC=F``, ``BRK-B``. Other spellings of an
instrument (``BTC/USD``, ``EUR/USD``, ``BRK.B``, ``BRK/B``) are converted to it, so that one instrument has one series;
each provider converts it to its own spelling in its requests.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CURRENCIES",
    "FORM",
    "PRICED_IN",
    "RATE_INDICES",
    "currency_pair",
    "kind_of",
    "spelled",
    "with_dotted_class",
]

FORM: Final = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^/&]{0,31}")
"""A symbol in capitals. ``&`` occurs in those of Bombay: ``M&M.NS``."""

CURRENCIES: Final = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF
    CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GGP GHS GIP GMD GNF GTQ GYD HKD HNL
    HRK HTG HUF IDR ILS IMP INR IQD IRR ISK JEP JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR
    RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VES VND VUV WST XAF XAG XAU XCD XDR XOF XPD XPF XPT YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905  a list of so many literals is hard to read
)
"""Codes of ISO 4217, metals (``XAU``) included, and a few others that markets use (``CNH``, ``GGP``)."""

RATE_INDICES: Final = frozenset({"^IRX", "^FVX", "^TNX", "^TYX"})
"""Indices that are yields in percent: they may be zero or negative."""

_COINS: Final = frozenset({"USDT", "USDC", "DAI", "EURC", "PYUSD", "BTC", "ETH", "BNB", "SOL"})
"""Coins that other coins are priced in."""
_METALS: Final = frozenset({"XAG", "XAU", "XPD", "XPT"})
PRICED_IN: Final = (CURRENCIES - _METALS) | _COINS
"""What coins are priced in: currencies and coins."""

_SLASHED: Final = re.compile(r"([A-Z0-9]{1,16})/([A-Z0-9]{1,5})")
_DASHED: Final = re.compile(r"[A-Z0-9]{1,16}-([A-Z]{3,5})")
_CONTRACT: Final = re.compile(r"[A-Z0-9]{1,4}[FGHJKMNQUVXZ][0-9]{2}\.(CBT|CME|CMX|NYB|NYM)")
"""A futures contract of one month: ``CLK20.NYM`` is that of May 2020."""
_SHARE_CLASS: Final = re.compile(r"([A-Z]{1,5})[./]([A-EG-KM-SUW-Z])")
"""A share class after a point. F, L, T and V are left out: they are exchanges (``SAP.F``, ``VOD.L``)."""

_CURRENCY_PAIR: Final = re.compile(r"([A-Z]{3})?([A-Z]{3})=X")
_DASHED_CLASS: Final = re.compile(r"([A-Z0-9]+)-([A-Z])")


def kind_of(symbol: str) -> str:
    """The asset class by a symbol's form: ``index``, ``forex``, ``commodity``, ``crypto``, else ``stock``."""
    if symbol.startswith("^"):
        return "index"
    if symbol.endswith("=X"):
        return "forex"
    if symbol.endswith("=F") or _CONTRACT.fullmatch(symbol):
        return "commodity"
    if pair := _SLASHED.fullmatch(symbol):
        if {pair[1], pair[2]} <= CURRENCIES:
            return "forex"
        return "crypto" if pair[2] in PRICED_IN else "stock"
    dashed = _DASHED.fullmatch(symbol)
    return "crypto" if dashed and dashed[1] in PRICED_IN else "stock"


def spelled(symbol: str, kind: str) -> str:
    """The canonical spelling of a symbol of the asset class ``kind``."""
    if kind == "stock":
        share = _SHARE_CLASS.fullmatch(symbol)
        return f"{share[1]}-{share[2]}" if share else symbol
    pair = _SLASHED.fullmatch(symbol)
    if pair and kind == "crypto":
        return f"{pair[1]}-{pair[2]}"
    if pair and (kind == "forex" or {pair[1], pair[2]} <= CURRENCIES):
        return f"{pair[1]}{pair[2]}=X"
    return symbol


def currency_pair(symbol: str) -> tuple[str, str] | None:
    """Base and quote of a canonical currency pair; ``INR=X`` is short for ``USDINR=X``. ``None`` for other forms."""
    match = _CURRENCY_PAIR.fullmatch(symbol)
    return (match[1] or "USD", match[2]) if match else None


def with_dotted_class(symbol: str) -> str:
    """A stock's canonical symbol with its share class after a point, as several providers spell it: ``BRK.B``."""
    share = _DASHED_CLASS.fullmatch(symbol)
    return f"{share[1]}.{share[2]}" if share else symbol
