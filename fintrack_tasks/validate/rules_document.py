"""Generates ``docs/rules.md``: ``python -m fintrack_tasks.validate.rules_document > docs/rules.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from math import isinf
from typing import Any, Final

from fintrack_tasks.domain import AssetClass
from fintrack_tasks.validate.rules import RULES, Layer, Limits, Rule, Thresholds

__all__ = ["page"]

_HEAD: Final = """\
# Rules

What every row is checked for before it is stored. This page is generated from the catalogue in
`fintrack_tasks/validate/rules.py`: `python -m fintrack_tasks.validate.rules_document > docs/rules.md`.

A rule only reports findings. A *finding* has the name of the `rule`, its `severity`, the `row` (its position in the
batch, or none when the batch as a whole is meant) and a `detail` for a person. The pipeline acts on the severity:

- **reject**: the row goes to `fintrack.quarantine` with its findings, under the key `symbol|microseconds|position`; the
  rest of its batch is loaded. A person reviews it with `fintrack quarantine list` and `show`, and loads it with
  `release` or drops it with `discard`. A row that the layers *schema* and *ranges* reject cannot be stored at all, nor
  one whose time lies outside the years 1 to 9999: its release is refused.
  An identical row that comes again stays one entry for each rule, with the latest item that brought it and with the
  decision on it; one that was released is not counted as quarantined again. A row is released as it came: with its
  batch's splits and dividends, and provisional if its bar had not closed by then. A final bar that was loaded since is
  kept, and the release of a provisional one is refused.
- **flag**: the row is loaded, and `fintrack.flags` says which rule marked it: `fintrack quarantine flags`.

A rule that needs more than the batch (trading sessions, prior bars, other providers' bars) finds nothing where that is
not known. A real crash is not an error: a move that may be one is flagged, not rejected.
"""

_MEANT: Final = {
    Layer.SCHEMA: "Columns and types.",
    Layer.RANGES: "Each value by itself.",
    Layer.CONSISTENCY: "The values of one row against each other.",
    Layer.TIME: "Known times, in order, inside the sessions of the instrument's calendar. Sessions are instants: a"
    " change to summer time moves them.",
    Layer.DUPLICATES: "One row per time.",
    Layer.STALENESS: "Old data under a new time. Measured in time of trading, never by the time of the call.",
    Layer.JUMPS: "Prices against those before them.",
    Layer.VOLUME: "Volumes against those before them.",
    Layer.PROVIDERS: "One provider against the others.",
}


def page() -> str:
    """The page in Markdown, without reading or writing any file."""
    return "\n".join([_HEAD, *_layers(), *_limits(), *_thresholds()])


def _layers() -> Iterator[str]:
    for layer in Layer:
        yield f"## {layer.value.capitalize()}\n\n{_MEANT[layer]}\n"
        rows = [_row(rule) for rule in RULES.values() if rule.layer is layer]
        yield _table(("rule", "severity", "demand", "needs", "thresholds"), rows)


def _row(rule: Rule) -> tuple[str, ...]:
    thresholds = ", ".join(f"`{name}`" for name in rule.thresholds)
    return f"`{rule.name}`", rule.severity, rule.demand, rule.needs or "", thresholds


def _limits() -> Iterator[str]:
    limits = Limits()
    yield "## Limits\n\nThe same for all (`fintrack_tasks.validate.Limits`).\n"
    names = [each.name for each in fields(Limits) if each.name != "by_class"]
    yield _table(("limit", "value"), [(f"`{name}`", _text(getattr(limits, name))) for name in names])


def _thresholds() -> Iterator[str]:
    by_class = Limits().by_class
    yield "## Thresholds\n\nBy asset class (`fintrack_tasks.validate.rules.Thresholds` says what each means).\n"
    rows = [
        (f"`{each.name}`", *(_text(getattr(by_class[kind], each.name)) for kind in AssetClass))
        for each in fields(Thresholds)
    ]
    yield _table(("threshold", *AssetClass), rows)


def _text(value: Any) -> str:
    if isinstance(value, timedelta):
        minutes = value // timedelta(minutes=1)
        return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, tuple):
        return " to ".join(_text(each) for each in value)
    return "not judged" if isinf(value) else f"{value:g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())
