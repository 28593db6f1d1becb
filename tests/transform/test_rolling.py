"""Windows: the number is that of the window alone, whatever lies before it."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from fintrack_tasks.transform import rolling

RANDOM = np.random.default_rng(11)
VALUES = RANDOM.normal(0.001, 0.02, 700)


@pytest.mark.parametrize("length", [2, 3, 20, 59, 60, 64, 252, 700])
def test_sum_mean_and_deviation_are_those_of_the_last_values(length: int) -> None:
    ends = range(length, len(VALUES) + 1)
    for function, plain in (
        (rolling.total, sum),
        (rolling.mean, statistics.fmean),
        (rolling.deviation, statistics.stdev),
    ):
        got = function(VALUES, length)
        assert np.isnan(got[: length - 1]).all()
        assert got[length - 1 :] == pytest.approx([plain(VALUES[end - length : end].tolist()) for end in ends], 1e-11)


@pytest.mark.parametrize("length", [2, 20, 60, 252])
def test_a_part_gives_the_same_number_to_the_last_bit(length: int) -> None:
    for function in (rolling.total, rolling.mean, rolling.deviation):
        whole = function(VALUES, length)
        for end in (length, 400, 699):
            assert function(VALUES[end - length : end], length)[-1] == whole[end - 1]


def test_a_quantile_lies_linearly_between_its_neighbours() -> None:
    got = rolling.quantile(np.array([4.0, 1.0, 3.0, 2.0, 10.0]), 4, 0.25)
    assert np.isnan(got[:3]).all()
    assert got[3:].tolist() == [1.75, 1.75]  # of 1 2 3 4 and of 1 2 3 10


def test_too_few_values_and_windows_with_an_unknown_one_are_unknown() -> None:
    for function in (rolling.total, rolling.mean, rolling.deviation):
        assert np.isnan(function(VALUES[:5], 6)).all()
        assert len(function(VALUES[:0], 6)) == 0
        assert np.isnan(function(np.r_[1.0, np.nan, 1.0, 1.0, 2.0], 2)).tolist() == [True, True, True, False, False]
    assert np.isnan(rolling.quantile(VALUES[:5], 6, 0.05)).all()


def test_values_that_are_all_the_same_do_not_deviate() -> None:
    assert rolling.deviation(np.full(300, 0.1 + 0.2), 252)[-1] == 0.0
