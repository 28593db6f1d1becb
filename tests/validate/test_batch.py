"""Checks of a batch: the pipeline's verdicts."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

import fintrack_tasks.validate.batch as module
from fintrack_tasks.domain import BAR_COLUMNS, Batch, Interval, Kind, to_micros
from fintrack_tasks.validate import check_batch, split
from tests.validate.batches import NOW, bars, batches, quote, rules

BUNDLED = Path(module.__file__).parents[1] / "sandbox" / "data" / "daily.csv.gz"


def test_a_right_quote_and_right_bars_have_no_finding() -> None:
    assert check_batch(quote(), NOW) == []
    assert check_batch(bars(), NOW) == []
    assert check_batch(bars(0), NOW) == []


def test_of_two_rows_with_one_time_the_first_stands_and_the_detail_says_how_they_differ() -> None:
    batch = bars(4, timestamp=[0, 1, 1, 1], close=["11", "11", "11", "10"])
    found = [one for one in check_batch(batch, NOW) if one.rule == "duplicates"]
    assert [(one.row, one.detail.split()[0]) for one in found] == [(2, "repeats"), (3, "conflicts")]


def test_a_row_that_is_rejected_does_not_displace_a_right_one_of_the_same_time() -> None:
    batch = bars(2, timestamp=[1, 1], close=["-11", "11"])
    findings = check_batch(batch, NOW)
    assert [(one.rule, one.row) for one in findings] == [("value_ranges", 0)]
    assert split(batch, findings)[1] == [0]


def test_rows_out_of_order_are_flagged_and_stay() -> None:
    batch = bars(3, timestamp=[2, 1, 3])
    findings = check_batch(batch, NOW)
    assert [(one.rule, one.severity, one.row) for one in findings] == [("timestamp_order", "flag", 1)]
    assert split(batch, findings) == (batch, [])


def test_a_missing_column_or_symbol_rejects_the_whole_batch() -> None:
    without = Batch(Kind.QUOTE, "AAPL", "x", {"timestamp": [0], "price": ["1"]})
    assert rules(without) == [("required_columns", None)]
    nameless = Batch(Kind.QUOTE, " ", "x", {"timestamp": [0, 1], "price": ["1", "1"], "volume": [None, None]})
    findings = check_batch(nameless, NOW)
    good, rejected = split(nameless, findings)
    assert (len(good), rejected) == (0, [0, 1])


def test_ten_bad_rows_of_a_thousand_leave_990() -> None:
    close = ["11"] * 1000
    for row in range(5, 1000, 100):
        close[row] = "-11"
    batch = bars(1000, close=close)
    good, rejected = split(batch, check_batch(batch, NOW))
    assert (len(good), rejected) == (990, list(range(5, 1000, 100)))
    assert good.columns["timestamp"] == [t for row, t in enumerate(batch.columns["timestamp"]) if row % 100 != 5]


@pytest.mark.skipif(not BUNDLED.exists(), reason="the bundled prices are not there")
def test_no_untouched_real_bar_is_rejected() -> None:
    by_symbol: dict[str, list[dict[str, str]]] = {}
    with gzip.open(BUNDLED, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_symbol.setdefault(row["symbol"], []).append(row)
    for symbol, rows in by_symbol.items():
        for begin in range(0, len(rows), 1000):
            part = rows[begin : begin + 1000]
            columns: dict[str, list[Any]] = {name: [row[name] or None for row in part] for name in BAR_COLUMNS[1:]}
            columns["timestamp"] = [to_micros(datetime.fromisoformat(row["date"]).replace(tzinfo=UTC)) for row in part]
            assert check_batch(Batch(Kind.BARS, symbol, "bundled", columns, interval=Interval.D1), NOW) == []


@given(batches())
def test_every_row_is_either_good_or_rejected_and_the_good_ones_have_no_rejecting_finding(batch: Batch) -> None:
    good, rejected = split(batch, check_batch(batch, NOW))
    assert len(good) + len(rejected) == len(batch)
    assert rejected == sorted(set(rejected))
    if len(good):
        assert split(good, check_batch(good, NOW))[1] == []
