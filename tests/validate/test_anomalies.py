"""Anomaly detection: features counted by hand, errors put into the real history of IBM, and models that are kept."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from fintrack_tasks.domain import to_micros
from fintrack_tasks.sandbox.prices import real_daily, real_splits
from fintrack_tasks.validate import anomalies
from fintrack_tasks.validate.anomalies import Anomaly, Model, features, score, train

DAY = 86_400_000_000
FIELDS = ("open", "high", "low", "close", "volume")


def history(symbol: str) -> dict[str, np.ndarray]:
    days = real_daily()[symbol]
    stamps = [to_micros(datetime(d.day.year, d.day.month, d.day.day, tzinfo=UTC)) for d in days]
    return {
        "timestamp": np.array(stamps),
        **{name: np.array([float(getattr(day, name)) for day in days]) for name in FIELDS},
    }


def part(bars: dict[str, np.ndarray], first: int, last: int) -> dict[str, np.ndarray]:
    return {name: values[first:last].copy() for name, values in bars.items()}


def even(size: int = 25, **last: float) -> dict[str, np.ndarray]:
    """Bars that are all alike: from 99 to 101 around 100, 1,000 traded; the last one as given."""
    usual = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 1000.0}
    bars: dict[str, np.ndarray] = {name: np.full(size, value) for name, value in usual.items()}
    for name, value in last.items():
        bars[name][-1] = value
    return {"timestamp": np.arange(size) * DAY, **bars}


@pytest.fixture(scope="module")
def ibm() -> dict[str, np.ndarray]:
    return history("IBM")


@pytest.fixture(scope="module")
def model(ibm: dict[str, np.ndarray]) -> Model:
    return train(part(ibm, 0, 2000))


# --- the numbers of a bar


def test_a_bar_is_measured_by_the_true_ranges_and_volumes_before_it() -> None:
    unit = math.log(101 / 99)
    found = features(even(open=102, high=104, low=100, close=103, volume=2000))[-1]
    wanted = [math.log(1.03) / unit, math.log(1.04) / unit, math.log(1.02) / unit, math.log(2)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-12)


def test_what_comes_later_does_not_change_a_bars_numbers(ibm: dict[str, np.ndarray]) -> None:
    whole = features(ibm)
    assert np.array_equal(features(part(ibm, 0, 500)), whole[:500], equal_nan=True)
    assert np.array_equal(features(part(ibm, 400 - anomalies.ANOMALY_LOOKBACK - 1, 500))[-100:], whole[400:500])


def test_bars_with_too_few_before_them_have_no_numbers() -> None:
    found = features(even(30))
    assert np.isnan(found[:21]).all()  # a range needs a close before it: the 22nd bar is the first with 20 ranges
    assert np.isfinite(found[21:]).all()
    for size in (0, 1, 20):
        assert np.isnan(features(even(size))).all()


@pytest.mark.parametrize("unknown", [0.0, np.nan])
def test_an_unknown_volume_is_as_usual(unknown: float) -> None:
    assert features(even(volume=unknown))[-1, 3] == 0
    bars = even()
    bars["volume"][:] = unknown
    assert features(bars)[-1].tolist() == pytest.approx([0, 1, 0, 0])


def test_a_known_split_is_no_move() -> None:
    halved = even(open=50, high=50.5, low=49.5, close=50, volume=2000)
    assert features(halved, [(24 * DAY, 2.0)])[-1].tolist() == pytest.approx(
        [0, math.log(50.5 / 49.5) / math.log(101 / 99), 0, 0]
    )
    assert abs(features(halved)[-1, 0]) > 30


@pytest.mark.parametrize("close", [-1.0, 0.0, np.nan, np.inf])
def test_nonsense_has_no_numbers_and_raises_nothing(close: float) -> None:
    assert np.isnan(features(even(close=close))[-1]).all()


# --- training and scoring


def test_real_years_that_were_not_trained_on_are_hardly_flagged(ibm: dict[str, np.ndarray], model: Model) -> None:
    later = [one for one in score(model, ibm) if one.row >= 2000]
    assert len(later) <= 0.01 * (len(ibm["timestamp"]) - 2000)


def flags(model: Model, bars: dict[str, np.ndarray], row: int) -> list[Anomaly]:
    return [one for one in score(model, bars) if one.row == row]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"open": 100.0, "high": 100.0, "low": 100.0, "close": 100.0}, {"return", "gap"}),
        ({"close": 1.25, "high": 1.25}, {"return", "range"}),
        ({"volume": 100.0}, {"volume"}),
        ({"volume": 0.01}, {"volume"}),
    ],
)
def test_a_broken_bar_is_flagged_with_what_is_odd_about_it(
    ibm: dict[str, np.ndarray], model: Model, change: dict[str, float], said: set[str]
) -> None:
    bars = part(ibm, 0, 2600)
    for name, factor in change.items():
        bars[name][2500] *= factor
    [flag] = flags(model, bars, 2500)
    assert "robust" in flag.detectors
    assert flag.timestamp == ibm["timestamp"][2500]
    assert said <= {name for name, z in flag.z.items() if abs(z) > model.z_limit}


def test_the_forest_flags_the_day_on_which_all_is_odd_at_once(ibm: dict[str, np.ndarray], model: Model) -> None:
    """No number alone is beyond ten deviations; together no trained day came near."""
    bars = part(ibm, 0, 2600)
    close = bars["close"][2499]
    bars["open"][2500], bars["low"][2500], bars["high"][2500] = close * 0.92, close * 0.90, close * 1.02
    bars["close"][2500] = close * 0.91
    bars["volume"][2500] *= 5
    usual = replace(model, z_limit=math.inf)
    assert [flag.detectors for flag in flags(usual, bars, 2500)] == [("forest",)]


def test_a_split_that_is_known_is_not_flagged_and_one_that_is_not_is() -> None:
    bars, [(first, _), (second, ratio)] = history("AAPL"), real_splits("AAPL")
    known = [
        (to_micros(datetime(d.year, d.month, d.day, tzinfo=UTC)), float(r)) for d, r in ((first, 2), (second, ratio))
    ]
    row = int(np.searchsorted(bars["timestamp"], known[1][0]))
    trained = train(part(bars, 0, 1000), known)
    assert flags(trained, bars, row) != []
    assert [one for one in score(trained, bars, known) if one.row == row] == []


def test_the_same_bars_give_the_same_model_and_others_another(ibm: dict[str, np.ndarray], model: Model) -> None:
    again = train(part(ibm, 0, 2000))
    assert again.summary() == model.summary()
    assert again.forest.to_json() == model.forest.to_json()
    assert train(part(ibm, 1, 2001)).fingerprint != model.fingerprint


def test_a_model_says_what_it_saw(ibm: dict[str, np.ndarray], model: Model) -> None:
    assert model.bars == 2000 - 21
    assert model.span == (ibm["timestamp"][21], ibm["timestamp"][1999])
    assert model.parameters["random_state"] == 20240506
    assert model.parameters["contamination"] == 0.005
    flagged = [one for one in score(model, part(ibm, 0, 2000)) if "forest" in one.detectors]
    assert len(flagged) == math.ceil(0.005 * model.bars)


def test_too_few_bars_are_refused(ibm: dict[str, np.ndarray]) -> None:
    assert train(part(ibm, 0, 271)).bars == 250
    with pytest.raises(ValueError, match="249 bars with numbers: a training takes 250"):
        train(part(ibm, 0, 270))
    with pytest.raises(ValueError, match="0 bars"):
        train(part(ibm, 0, 0))


@pytest.mark.filterwarnings("error")
def test_closes_alone_can_be_trained_on() -> None:
    bars = history("^VIX")
    assert (bars["open"] == bars["close"]).all()
    trained = train(bars)
    assert len(score(trained, bars)) < 0.02 * len(bars["timestamp"])


# --- models that are kept


def test_a_kept_model_gives_the_same_flags(ibm: dict[str, np.ndarray], model: Model) -> None:
    summary, forest = json.dumps(model.summary()), json.dumps(model.forest.to_json())
    read = Model.of(json.loads(summary), json.loads(forest))
    assert score(read, ibm) == score(model, ibm)
    assert read.fingerprint == model.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["return"]},
        {"centers": [0.0]},
        {"scales": "none"},
        {"span": None},
        {"threshold": "high"},
    ],
)
def test_what_is_no_model_is_refused(model: Model, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"model|could not convert"):
        Model.of({**model.summary(), **change}, model.forest.to_json())


def test_scoring_imports_no_scikit_learn() -> None:
    code = (
        "import sys, numpy as np; from fintrack_tasks.validate import anomalies; "
        "assert 'sklearn' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
