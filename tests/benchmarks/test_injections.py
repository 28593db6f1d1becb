"""Errors put into real bars are caught by the rule that names them, and real bars are left in peace."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from benchmarks import injections
from benchmarks.injections import KINDS, History, judge, real_histories, rules_on, some_window, window_at
from fintrack_tasks.validate.rules import REJECT, RULES


@cache
def histories() -> dict[str, History]:
    return real_histories()


def test_there_are_the_seven_histories_and_the_ten_kinds() -> None:
    assert sorted(histories()) == ["AAPL", "FB", "GOOG", "IBM", "MSFT", "^GSPC", "^IXIC"]
    assert len(KINDS) == 10


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_injected_error_is_caught_by_its_rule_and_no_other_row_is_rejected(kind: str) -> None:
    """100 of each, which is too few to tell 99% from 98%: the benchmark takes 1,000."""
    rng = np.random.default_rng(11)
    caught = 0
    for _ in range(100):
        window = some_window(histories(), rng)
        injected = KINDS[kind](window.bars, rng)
        assert injected.rule in RULES
        findings = judge(window, injected.bars)
        caught += injected.rule in rules_on(findings, injected.rows)
        assert [one for one in findings if one.severity == REJECT and one.row not in injected.rows] == []
    assert caught >= 99


def test_an_injection_leaves_its_input_as_it_was_and_changes_little() -> None:
    rng = np.random.default_rng(3)
    for kind, inject in KINDS.items():
        window = some_window(histories(), rng)
        before = {name: values.copy() for name, values in window.bars.items()}
        injected = inject(window.bars, rng)
        for name, values in window.bars.items():
            assert np.array_equal(values, before[name], equal_nan=True), kind
        assert any(
            not np.array_equal(injected.bars[name], values, equal_nan=True) for name, values in before.items()
        ), kind


def test_of_the_real_bars_none_is_rejected_and_few_are_flagged() -> None:
    """22,216 bars with the crashes of 2000 and 2008, a fall by half in a day, and three splits."""
    counts: Counter[tuple[str, str]] = Counter()
    total = 0
    for history in histories().values():
        size = len(history.bars["timestamp"])
        for start in range(0, size, 1000):
            for one in judge(window_at(history, start, min(start + 1000, size))):
                counts[one.rule, one.severity] += 1
        total += size
    assert total == 22_216
    assert sum(count for (_, severity), count in counts.items() if severity == REJECT) <= total // 1000
    assert sum(counts.values()) <= total // 100


def test_a_real_fall_by_half_in_a_day_is_flagged_and_loaded() -> None:
    """AAPL on 2000-09-29: from 53.50 to 25.75 on a profit warning."""
    history = histories()["AAPL"]
    [place] = np.flatnonzero(history.bars["close"] == 25.75)[:1]
    findings = judge(window_at(history, int(place), int(place) + 1))
    assert {(one.rule, one.severity) for one in findings} == {
        ("missed_split", "flag"),
        ("price_jump", "flag"),
        ("volume_anomaly", "flag"),
    }


def test_the_known_splits_of_the_histories_are_no_finding() -> None:
    assert {symbol: len(h.splits) for symbol, h in histories().items() if h.splits} == {"AAPL": 2, "MSFT": 1}
    for history in histories().values():
        for stamp, _ in history.splits:
            place = int(np.searchsorted(history.bars["timestamp"], stamp))
            assert judge(window_at(history, place, place + 1)) == []


def test_nulls_become_nulls() -> None:
    history = histories()["AAPL"]
    window = window_at(history, 100, 160)
    injected = KINDS["null_close"](window.bars, np.random.default_rng(1))
    batch = injections.batch_of(history.instrument, injected.bars)
    assert batch.columns["close"].count(None) == 1
