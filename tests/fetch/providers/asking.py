"""What the tests of all providers share: a question, an answer to it, and the recorded answers beside the checkout."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from fintrack_tasks.domain import AssetClass, Instrument, Interval, Kind, TimeRange
from fintrack_tasks.fetch.providers.base import Ask, HttpResponse

ALL_TIME: Final = TimeRange(datetime(1900, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC))
SAMPLES: Final = Path(__file__).resolve().parents[4] / "shared" / "provider-samples"
RIGHT_ANSWERS: Final = Path(__file__).parent / "right_answers"
"""For each provider a list of JSON bodies: what it is known to send, cut to three rows."""

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no recorded answers at ../shared/provider-samples")


def question(
    symbol: str,
    interval: Interval | None,
    now: datetime,
    window: TimeRange = ALL_TIME,
    asset_class: AssetClass | str | None = None,
) -> Ask:
    """Bars of the interval inside the window; without an interval the quote."""
    instrument = Instrument.of(symbol, asset_class)
    return Ask(Kind.BARS, instrument, now, interval, window) if interval else Ask(Kind.QUOTE, instrument, now)


def answer(body: Any, status: int = 200, **headers: str) -> HttpResponse:
    """An answer of these bytes, or of a value as JSON; ``retry_after`` names the header ``retry-after``."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, raw, {name.replace("_", "-"): value for name, value in headers.items()})


def sample_names(folder: str, pattern: str = "*") -> list[str]:
    """The recorded files of a folder, sorted; none where there are no recorded answers."""
    return sorted(path.name for path in (SAMPLES / folder).glob(pattern))


def sample(folder: str, name: str, status: int | None = None) -> HttpResponse:
    """A recorded answer, under the status that its name tells, else 200."""
    return HttpResponse(status or status_of(name), (SAMPLES / folder / name).read_bytes())


def status_of(name: str) -> int:
    """The status of ``error-429-...``; 200 for all other names."""
    found = re.match(r"error-(\d{3})-", name)
    return int(found[1]) if found else 200
