"""The five quality metrics, on frames whose shares can be counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from fintrack_tasks.validate import DataQualityMonitor, QualityMetrics

NOW = datetime(2024, 1, 3, tzinfo=UTC)


def frame(**columns: Any) -> pd.DataFrame:
    data = {
        "symbol": ["A", "A", "B", "B"],
        "timestamp": ["2024-01-01", "2024-01-02", "2024-01-01", "2024-01-02"],
        "price": [1.0, 2.0, 3.0, 4.0],
        "volume": [1.0, 2.0, 3.0, 4.0],
    }
    return pd.DataFrame({**data, **columns})


def test_a_right_frame_scores_one_throughout() -> None:
    metrics = DataQualityMonitor(NOW).calculate_quality_metrics(frame())
    assert metrics == QualityMetrics(1.0, 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("data", [pd.DataFrame(), frame().iloc[:0], pd.DataFrame(index=range(3))])
def test_a_frame_without_cells_scores_zero_throughout(data: pd.DataFrame) -> None:
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data) == QualityMetrics(0.0, 0.0, 0.0, 0.0, 0.0)


def test_completeness_counts_the_cells_of_every_column() -> None:
    data = frame(note=[None, "x", None, "y"])
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data).completeness == pytest.approx(18 / 20)


def test_accuracy_counts_rows_with_possible_numbers() -> None:
    data = frame(price=[1.0, -2.0, None, 4.0], volume=[1.0, 2.0, 3.0, None])
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data).accuracy == 0.5
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data.drop(columns="price")).accuracy == 0.0


def test_consistency_counts_rows_that_contradict_neither_others_nor_themselves() -> None:
    data = frame(timestamp=["2024-01-01", "2024-01-01", "2024-01-01", "2024-01-02"])
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data).consistency == 0.75
    ohlc = frame(open=[2, 2, 2, 2], high=[3, 3, 1, None], low=[1, 1, 1, 1], close=[2, 4, 2, 2])
    assert DataQualityMonitor(NOW).calculate_quality_metrics(ohlc).consistency == 0.5


def test_timeliness_falls_with_the_age_of_each_symbols_newest_row() -> None:
    """A is 1 day old and timely; B is 4 days old, so that it counts a quarter."""
    data = frame(timestamp=["2024-01-01", "2024-01-02", "2023-12-01", "2023-12-30"])
    monitor = DataQualityMonitor(NOW, max_age=timedelta(days=1))
    assert monitor.calculate_quality_metrics(data).timeliness == pytest.approx((1 + 1 / 4) / 2)
    assert monitor.calculate_quality_metrics(data, now=NOW + timedelta(days=1)).timeliness == pytest.approx(
        (1 / 2 + 1 / 5) / 2
    )


def test_without_a_clock_symbols_are_compared_with_the_newest_row() -> None:
    data = frame(timestamp=["2024-01-01", "2024-01-05", "2024-01-01", "2024-01-03"])
    assert DataQualityMonitor().calculate_quality_metrics(data).timeliness == pytest.approx((1 + 1 / 2) / 2)


def test_a_symbol_without_a_readable_time_is_not_timely() -> None:
    data = frame(timestamp=["2024-01-01", "2024-01-02", "soon", None])
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data).timeliness == 0.5


def test_validity_counts_required_cells_of_the_right_type() -> None:
    data = frame(price=[1.0, "x", None, 4.0])
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data).validity == pytest.approx(15 / 16)
    assert DataQualityMonitor(NOW).calculate_quality_metrics(data.drop(columns="volume")).validity == pytest.approx(
        11 / 16
    )


def test_an_age_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_age"):
        DataQualityMonitor(max_age=timedelta(0))
