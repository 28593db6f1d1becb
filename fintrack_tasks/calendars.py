"""Which calendar an instrument trades by: its own, that of its suffix or index, that of its asset class, or none.

Names are those of exchange_calendars, and :data:`FOREX` and :data:`FUTURES` of this project. An instrument without a
known calendar gets no other in its place: rules that need one find nothing, and no bar counts as missing. When the
sessions of a calendar open and close is in :mod:`fintrack_tasks.session_times`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.symbols import RATE_INDICES

__all__ = [
    "AUCTIONS",
    "EARLY_PRINTS",
    "FLOORS",
    "FOREX",
    "FUTURES",
    "INDICES",
    "LATE_PRINTS",
    "MARKETS",
    "OWN_SESSION_TIMES",
    "SUFFIXES",
    "calendar_name",
    "is_calendar",
]

FOREX: Final = "forex"
"""The calendar of currencies, which exchange_calendars lacks; any instrument may be given it."""

FUTURES: Final = "futures"
"""The calendar of futures, likewise."""

MARKETS: Final = {
    AssetClass.STOCK: "XNYS",
    AssetClass.CRYPTO: "24/7",
    AssetClass.FOREX: FOREX,
    AssetClass.COMMODITY: FUTURES,
}
"""By asset class. An index has the calendar of its exchange or none; a stock without a suffix is American."""

SUFFIXES: Final = {
    "AS": "XAMS", "AT": "ASEX", "AX": "XASX", "BA": "XBUE", "BD": "XBUD", "BE": "XDUS", "BK": "XBKK", "BM": "XDUS",
    "BO": "XBOM", "BR": "XBRU", "CN": "XTSE", "CO": "XCSE", "DE": "XETR", "DU": "XDUS", "F": "XFRA", "HA": "XHAM",
    "HE": "XHEL", "HK": "XHKG", "HM": "XHAM", "IC": "XICE", "IL": "XLON", "IR": "XDUB", "IS": "XIST", "JK": "XIDX",
    "JO": "XJSE", "KA": "XKAR", "KL": "XKLS", "KQ": "XKRX", "KS": "XKRX", "L": "XLON", "LM": "XLIM", "LS": "XLIS",
    "MC": "XMAD", "ME": "XMOS", "MI": "XMIL", "MU": "XDUS", "MX": "XMEX", "NE": "XTSE", "NS": "XBOM", "NZ": "XNZE",
    "OL": "XOSL", "PA": "XPAR", "PR": "XPRA", "PS": "XPHS", "RG": "XRIS", "RO": "XBSE", "SA": "BVMF", "SAU": "XSAU",
    "SG": "XSTU", "SI": "XSES", "SN": "XSGO", "SR": "XSAU", "SS": "XSHG", "ST": "XSTO", "SW": "XSWX", "SZ": "XSHG",
    "T": "XTKS", "TA": "XTAE", "TL": "XTAL", "TO": "XTSE", "TW": "XTAI", "TWO": "XTAI", "V": "XTSE", "VI": "XWBO",
    "VS": "XLIT", "WA": "XWAR", "XA": "XASX",
}  # fmt: skip
"""By Yahoo's suffix of an exchange. A venue without a calendar has that of its country's main one, or, like Berlin,
Bremen and Munich, of one with the same sessions. For Qatar, Kuwait, Egypt and others no calendar is known.
"""

_AMERICAN: Final = (
    "^BANK ^BKX ^DJA ^DJI ^DJT ^DJU ^DRG ^DWCF ^FVX ^GSPC ^GVZ ^HGX ^INX ^IRX ^IXIC ^MID ^NBI ^NDX ^NYA ^NYY ^OEX ^OSX"
    " ^OVX ^PSE ^RLG ^RLV ^RMZ ^RUA ^RUI ^RUT ^RVX ^SKEW ^SML ^SOX ^SP100 ^SP400 ^SP500 ^SP500TR ^SP600 ^SPX ^TNX ^TYX"
    " ^UTY ^VIX ^VIX3M ^VIX9D ^VIX6M ^VVIX ^VXD ^VXN ^W5000 ^XAL ^XAU ^XAX ^XMI ^XNDX ^XOI"
)
INDICES: Final = dict.fromkeys(_AMERICAN.split(), "XNYS") | {
    "^AEX": "XAMS", "^AMX": "XAMS", "^AORD": "XASX", "^ATX": "XWBO", "^AXJO": "XASX", "^AFLI": "XASX",
    "^BFX": "XBRU", "^BSESN": "XBOM", "^BVSP": "BVMF", "^BUX": "XBUD", "^CNX200": "XBOM", "^CNX100": "XBOM",
    "^CNXAUTO": "XBOM", "^CNXIT": "XBOM", "^CNXPHARMA": "XBOM", "^CRSLDX": "XBOM", "^FCHI": "XPAR", "^FTAS": "XLON",
    "^FTLC": "XLON", "^FTMC": "XLON", "^FTSC": "XLON", "^FTSE": "XLON", "^GDAXI": "XETR", "^GSPTSE": "XTSE",
    "^HSCE": "XHKG", "^HSI": "XHKG", "^HSTECH": "XHKG", "^IBEX": "XMAD", "^IBX50": "BVMF", "^INDIAVIX": "XBOM",
    "^IPSA": "XSGO", "^ISEQ": "XDUB", "^JKSE": "XIDX", "^JN0U.JO": "XJSE", "^KLSE": "XKLS", "^KQ11": "XKRX",
    "^KS11": "XKRX", "^KS200": "XKRX", "^MDAXI": "XETR", "^MERV": "XBUE", "^MXX": "XMEX", "^N100": "XPAR",
    "^N150": "XPAR", "^N225": "XTKS", "^N300": "XTKS", "^NSEBANK": "XBOM", "^NSEI": "XBOM", "^NSEMDCP50": "XBOM",
    "^NZ50": "XNZE", "^OMX": "XSTO", "^OMXC20": "XCSE", "^OMXC25": "XCSE", "^OMXH25": "XHEL", "^OMXHPI": "XHEL",
    "^OMXN40": "XSTO", "^OMXS30": "XSTO", "^OMXSPI": "XSTO", "^SDAXI": "XETR", "^SET.BK": "XBKK", "^SPGSCI": "XNYS",
    "^SSMI": "XSWX", "^SSMIP": "XSWX", "^STI": "XSES", "^STOXX": "XETR", "^STOXX50E": "XETR", "^TA125.TA": "XTAE",
    "^TECDAX": "XETR", "^TWII": "XTAI", "^VDAX": "XETR", "^XDA": "XASX", "^XKO": "XASX",
}  # fmt: skip
"""By Yahoo's symbol of an index: the exchange on whose trading days it has values."""

_AUCTION: Final = timedelta(minutes=10)
AUCTIONS: Final = {
    "XASX": timedelta(minutes=12), "XDUB": timedelta(minutes=12), "XAMS": _AUCTION, "XBRU": _AUCTION,
    "XETR": _AUCTION, "XLIS": _AUCTION, "XLON": _AUCTION, "XMAD": _AUCTION, "XMIL": _AUCTION, "XOSL": _AUCTION,
    "XPAR": _AUCTION, "XPRA": _AUCTION, "XSWX": _AUCTION, "XWBO": _AUCTION,
}  # fmt: skip
"""How long after the end of continuous trading, at which exchange_calendars closes a session, its closing auction and
trading at that price may print (exchange_calendars#248): a bar that opens then is one of the session."""

LATE_PRINTS: Final = {
    "BVMF": _AUCTION, "XBKK": _AUCTION, "XBOM": timedelta(minutes=30), "XCSE": _AUCTION, "XHEL": _AUCTION,
    "XHKG": _AUCTION, "XICE": _AUCTION, "XIDX": timedelta(minutes=25), "XIST": _AUCTION, "XKRX": _AUCTION,
    "XLIT": _AUCTION, "XMEX": _AUCTION, "XMOS": timedelta(hours=5, minutes=10), "XNZE": timedelta(minutes=15),
    "XRIS": _AUCTION, "XSAU": timedelta(minutes=20), "XSES": timedelta(minutes=16), "XSHG": timedelta(minutes=30),
    "XSTO": _AUCTION, "XTAI": _AUCTION, "XTAL": _AUCTION, "XTKS": _AUCTION, "XTSE": _AUCTION, "XWAR": _AUCTION,
}  # fmt: skip
"""The same where not every feed has such bars: they are accepted, but not expected. So are those of Moscow's evening
session, and of the trading at the closing price in Bombay and Shanghai."""

EARLY_PRINTS: Final = dict.fromkeys(RATE_INDICES, timedelta(minutes=70)) | {"^VIX": timedelta(hours=6, minutes=15)}
"""How long before its exchange's session an index has values: yields from 08:20 in New York, volatility from 03:15."""

FLOORS: Final = {"XFRA": (timedelta(hours=1), timedelta(hours=4, minutes=30))}
"""How much earlier a venue opens and, on full days, later it closes than in its calendar: exchange_calendars gives
Frankfurt the sessions of Xetra, 09:00 to 17:30; its floor trades 08:00 to 22:00 (trading_calendars#129)."""

OWN_SESSION_TIMES: Final = dict.fromkeys(RATE_INDICES, (timedelta(minutes=70), -timedelta(hours=1)))
"""The same for an index whose values begin and end at other times than its exchange: yields are computed from 08:20 to
15:00 in New York, and their bars are counted from there."""


def calendar_name(instrument: Instrument) -> str | None:
    """The name of an instrument's calendar: its own, its suffix' or index', its asset class'; ``None``: not known."""
    if instrument.calendar:
        return instrument.calendar
    symbol, kind = instrument.symbol, instrument.asset_class
    if kind not in (AssetClass.STOCK, AssetClass.INDEX):
        return MARKETS[kind]
    if kind is AssetClass.INDEX and symbol in INDICES:
        return INDICES[symbol]
    _, dot, suffix = symbol.rpartition(".")
    if dot and suffix in SUFFIXES:
        return SUFFIXES[suffix]
    # A single letter that is not an exchange is a share class.
    return None if kind is AssetClass.INDEX or (dot and len(suffix) > 1) else MARKETS[kind]


def is_calendar(name: str) -> bool:
    """Whether a calendar has this name: one of exchange_calendars', its aliases included, or one of ours."""
    import exchange_calendars  # noqa: PLC0415  pandas, for those alone who name a calendar

    return name in (FOREX, FUTURES) or name in exchange_calendars.get_calendar_names(include_aliases=True)
