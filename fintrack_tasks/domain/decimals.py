"""Decimal text: the form in which a provider's numbers travel to the database.

A provider's decimal keeps its own text (``"246.28000000"``, ``"75.0875015258789"``) from ``parse`` to the NUMERIC
column, so that it is never rounded on the way. Checks and indicators compute on floats made from that text; what is
stored is the text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

__all__ = ["bounded_decimal", "decimal_text"]


_LONGEST_TEXT: Final = 64
_MOST_DIGITS: Final = 40


def decimal_text(value: object) -> str | None:
    """The exact decimal text of a JSON number or numeric string, ``None`` for null and empty text.

    ``repr`` of a float is its shortest round-trip text, so a decimal of up to 15 significant digits comes out as the
    provider wrote it.

    :raises ValueError: for anything that is not a finite decimal number (bools, text, NaN, infinity).
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"not a number: {value!r:.60}")  # noqa: TRY004  one error for all that is no number
    text = repr(value) if isinstance(value, float) else str(value).strip()
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"not a number: {value!r:.60}") from None
    if not number.is_finite() or not text.isascii() or "_" in text:
        raise ValueError(f"not a finite number: {value!r:.60}")
    return text


def bounded_decimal(text: str) -> Decimal | None:
    """The value of a decimal text with at most 40 digits on either side of the point; ``None`` for any other text.

    No price, volume or ratio of any market has more, and a short text such as ``1e999999999`` would take gigabytes to
    write out.
    """
    if len(text) > _LONGEST_TEXT or not text.isascii() or "_" in text:
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) > _MOST_DIGITS:
        return None
    return number if -_MOST_DIGITS <= exponent <= _MOST_DIGITS - len(digits) else None
