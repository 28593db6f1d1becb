"""The date offsets of exchange_calendars as pandas 3.1 calls them.

exchange_calendars 4.13 writes its own offsets by overriding ``_apply``. pandas 3.1 calls ``_add_datetime`` instead, and
makes ranges of business days from a mask. So the weekmasks of single periods are passed over without a word (the
Saturday sessions of Bombay, Moscow and Seoul: exchange_calendars#394, #471, #502), and holidays that follow the
Orthodox or the Hebrew calendar end in an error (Athens, Tel Aviv). :func:`mend` gives the offsets what pandas asks for.
Under a pandas that still calls ``_apply``, or once exchange_calendars has the new names, it changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

__all__ = ["mend"]


@cache
def mend() -> None:
    """Mend the offsets, once per process. It loads pandas."""
    from exchange_calendars import tase_holidays  # noqa: PLC0415  loads pandas
    from exchange_calendars.pandas_extensions import offsets  # noqa: PLC0415  loads pandas
    from pandas.tseries.offsets import BaseOffset  # noqa: PLC0415  loads pandas

    if not hasattr(BaseOffset, "_add_datetime") or hasattr(offsets.CustomBusinessDay, "_apply"):
        return

    class CustomBusinessDay(offsets.CustomBusinessDay):  # type: ignore[misc]
        """The base whose ``_apply`` the composite ones call: a class of C takes no new name."""

        def _apply(self, moment: datetime) -> datetime:
            moved: datetime = self._add_datetime(moment)
            return moved

    offsets.CustomBusinessDay = CustomBusinessDay
    for module in (offsets, tase_holidays):
        kinds: list[Any] = [each for each in vars(module).values() if isinstance(each, type)]
        for kind in kinds:
            if "_apply" in vars(kind) and kind is not CustomBusinessDay and "_add_datetime" not in vars(kind):
                kind._add_datetime = kind._apply
                kind._supports_daily_offset_mask = False  # the mask is the base's: it knows one weekmask alone
