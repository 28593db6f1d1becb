"""Records every calendar's sessions as exchange_calendars gives them under pandas 2.3, for ``tests/test_sessions.py``.

In an environment of its own: ``pip install pandas==2.3.3 exchange_calendars==4.13.2``, then
``python tests/recorded/record_sessions.py > tests/recorded/sessions_pandas_2.3.csv``.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from typing import Any

import exchange_calendars
import numpy as np

YEARS = range(1990, 2027)
COLUMNS = ("open", "close", "break_start", "break_end")


def counted(schedule: Any) -> Iterator[tuple[int, int, str]]:
    """Year, sessions, and a hash of their dates, opens, closes and breaks (microseconds since 1970 UTC)."""
    times = [schedule.index, *(schedule[name].array for name in COLUMNS)]
    rows = np.stack([each.as_unit("us").asi8 for each in times], axis=1).astype("<i8")
    years = schedule.index.year.to_numpy()
    for year in YEARS:
        if len(found := rows[years == year]):
            yield year, len(found), hashlib.sha256(found.tobytes()).hexdigest()[:8]


def main() -> None:
    """Print them as CSV."""
    warnings.simplefilter("ignore")
    print("calendar,year,sessions,sha256")  # noqa: T201  its output
    for name in sorted(exchange_calendars.get_calendar_names(include_aliases=False)):
        kind = type(exchange_calendars.get_calendar(name))
        first, last = kind.bound_min(), kind.bound_max()
        start = "1970-01-01" if first is None else max("1970-01-01", first.date().isoformat())
        end = "2039-12-31" if last is None else min("2039-12-31", last.date().isoformat())
        for year in counted(exchange_calendars.get_calendar(name, start=start, end=end).schedule):
            print(name, *year, sep=",")  # noqa: T201  its output


if __name__ == "__main__":
    main()
