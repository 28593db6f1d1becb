"""Parsers of an instrument's options: asset class, currency, calendar, name. Errors are usage errors."""

from __future__ import annotations

import unicodedata
from typing import Final

from fintrack_tasks.domain import AssetClass, Instrument
from fintrack_tasks.errors import UsageError
from fintrack_tasks.symbols import CURRENCIES, PRICED_IN

__all__ = ["LONGEST_NAME", "checked_instrument", "parse_calendar", "parse_currency", "parse_name"]

LONGEST_NAME: Final = 200


def checked_instrument(
    symbol: str,
    asset_class: str | None = None,
    currency: str | None = None,
    calendar: str | None = None,
    name: str | None = None,
) -> Instrument:
    """The instrument that a person described; what is empty was not said.

    :raises UsageError: names what is wrong.
    """
    try:
        kind = AssetClass(asset_class.strip().lower()) if asset_class and asset_class.strip() else None
    except ValueError:
        known = ", ".join(AssetClass)
        raise UsageError(f"no asset class {asset_class!r:.40}; there are {known}") from None
    try:
        made = Instrument.of(symbol, kind)
    except ValueError as error:
        raise UsageError(str(error)) from None
    facts = parse_currency(currency), parse_calendar(calendar), parse_name(name)
    return Instrument(made.symbol, made.asset_class, *facts)


def parse_currency(text: str | None) -> str | None:
    """The code of a currency of prices.

    :raises UsageError: for what is none.
    """
    code = (text or "").strip().upper()
    if code and code not in CURRENCIES | PRICED_IN:
        raise UsageError(f"no currency {text!r:.40}; write a code of ISO 4217 such as USD, or of a coin such as USDT")
    return code or None


def parse_calendar(text: str | None) -> str | None:
    """The name of a calendar.

    :raises UsageError: for what is none.
    """
    from fintrack_tasks.calendars import is_calendar  # noqa: PLC0415  pandas, for those alone who name one

    name = (text or "").strip()
    if not name:
        return None
    for known in (name, name.upper(), name.lower()):
        if is_calendar(known):
            return known
    raise UsageError(
        f"no calendar {text!r:.40}; write a name of exchange_calendars such as XNYS or XLON, forex, futures or 24/7"
    )


def parse_name(text: str | None) -> str | None:
    """A name for people.

    :raises UsageError: for one that is too long, or holds what no terminal should see.
    """
    name = (text or "").strip()
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in name):
        raise UsageError(f"a name with control characters: {text!r:.60}")
    if len(name) > LONGEST_NAME:
        raise UsageError(f"a name of {len(name)} characters, more than {LONGEST_NAME}: {name!r:.40}...")
    return name or None
