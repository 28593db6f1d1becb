"""Patches the date offsets of exchange_calendars 4.13 for pandas 3.1: :func:`patch_offsets`.

exchange_calendars defines offsets of its own by overriding ``_apply``. pandas 3.1 calls ``_add_datetime`` instead, and
makes ranges of business days from a mask. So the weekmasks of single periods are silently ignored (the Saturday
sessions of Bombay, Moscow and Seoul: exchange_calendars#394, #471, #502), and holidays of the Orthodox or the Hebrew
calendar raise an error (Athens, Tel Aviv). The patch adds the methods that pandas calls. Under a pandas that still
calls ``_apply``, or once exchange_calendars has the new names, it changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from functools import cache, wraps
from typing import Any

__all__ = ["patch_offsets"]


@cache
def patch_offsets() -> None:
    """Patch the offsets, once per process. It imports pandas."""
    from exchange_calendars import tase_holidays  # noqa: PLC0415  loads pandas
    from exchange_calendars.pandas_extensions import offsets  # noqa: PLC0415  loads pandas
    from pandas.tseries.offsets import BaseOffset  # noqa: PLC0415  loads pandas

    if not hasattr(BaseOffset, "_add_datetime") or hasattr(offsets.CustomBusinessDay, "_apply"):
        return

    class CustomBusinessDay(offsets.CustomBusinessDay):  # type: ignore[misc]
        """The base whose ``_apply`` the composite offsets call: a class written in C takes no new attribute."""

        def _apply(self, moment: datetime) -> datetime:
            moved: datetime = self._add_datetime(moment)
            return moved

    offsets.CustomBusinessDay = CustomBusinessDay
    for module in (offsets, tase_holidays):
        kinds: list[Any] = [each for each in vars(module).values() if isinstance(each, type)]
        for kind in kinds:
            if "_apply" in vars(kind) and kind is not CustomBusinessDay and "_add_datetime" not in vars(kind):
                composite = issubclass(kind, offsets.CompositeCustomBusinessDay)
                kind._add_datetime = _with_periods_cached(kind._apply) if composite else kind._apply
                kind._supports_daily_offset_mask = False  # the mask is that of the base, for a single weekmask


def _with_periods_cached(whole: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``whole`` with a fast path for the next business day where it lies in the same period of one weekmask.

    ``whole`` looks its periods up in an index of pandas, which takes seconds for a calendar; it is called only where
    the next day lies in another period.
    """

    @wraps(whole)
    def moved(offset: Any, moment: Any) -> Any:
        if offset.n == 1:
            starts, periods = _periods(offset)
            first, last, day = periods[max(bisect_right(starts, moment) - 1, 0)]
            if first <= moment <= last and first <= (result := day + moment) <= last:
                return result
        return whole(offset, moment)

    return moved


def _periods(offset: Any) -> tuple[list[Any], list[tuple[Any, Any, Any]]]:
    """The offset's periods in order: their first days; and first day, last day and business day of each."""
    known = getattr(offset, "_fintrack_periods", None)
    if known is None:
        usual = offset._as_custom_business_day()
        own = {
            interval.left: day
            for interval, (*_, day) in zip(offset._business_days_index, offset.business_days, strict=True)
        }
        periods = [(each.left, each.right, own.get(each.left, usual)) for each in offset._business_days_all_index]
        known = offset._fintrack_periods = [each[0] for each in periods], periods
    return known
