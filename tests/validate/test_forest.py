"""The exported forest: scikit-learn's own scores, from lists of numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from fintrack_tasks.validate.forest import Forest, average_path


def fitted(rows: int = 400, features: int = 4, **options: Any) -> tuple[IsolationForest, np.ndarray]:
    values = np.random.default_rng(5).standard_t(3, size=(rows, features))
    return IsolationForest(random_state=1, **options).fit(values), values


@pytest.mark.parametrize(
    ("rows", "features", "options"),
    [
        (400, 4, {}),
        (400, 4, {"n_estimators": 1}),
        (5000, 4, {"n_estimators": 64, "max_samples": 2048, "contamination": 0.0075}),
        (400, 1, {"max_samples": 1.0}),
        (3, 2, {"n_estimators": 10}),
    ],
)
def test_scores_equal_those_of_scikit_learn(rows: int, features: int, options: dict[str, Any]) -> None:
    model, seen = fitted(rows, features, **options)
    unseen = np.random.default_rng(6).normal(scale=5, size=(9000, features))
    for values in (seen, unseen):
        kept = Forest.from_json(json.loads(json.dumps(Forest.of(model).to_json())), features)
        assert np.allclose(kept.score(values), -model.score_samples(values), rtol=1e-12, atol=0)
        assert np.array_equal(kept.score(values) > -model.offset_, model.predict(values) < 0)


def test_constant_data_are_scored_as_scikit_learn_does() -> None:
    model = IsolationForest(random_state=1).fit(np.zeros((300, 2)))
    values = np.array([[0.0, 0.0], [1.0, -1.0]])
    assert np.allclose(Forest.of(model).score(values), -model.score_samples(values), rtol=1e-12)


def test_no_rows_have_no_scores() -> None:
    assert Forest.of(fitted()[0]).score(np.empty((0, 4))).tolist() == []


def test_expected_paths_are_those_of_the_paper() -> None:
    """c(n) = 2 H(n - 1) - 2 (n - 1) / n with H(i) about ln(i) + 0.5772156649; c(256) is 10.24 in the literature."""
    assert average_path(np.array([0, 1, 2])).tolist() == [0, 0, 1]
    assert average_path(np.array([256]))[0] == pytest.approx(10.2448, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roots", []),
        ("roots", [-1]),
        ("roots", [10**6]),
        ("left", [0]),
        ("feature", [4]),
        ("feature", "tree"),
        ("threshold", [[0.0]]),
        ("expected", 0),
        ("expected", None),
    ],
)
def test_what_is_no_forest_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="not a forest"):
        Forest.from_json({**Forest.of(fitted()[0]).to_json(), name: value}, 4)
    with pytest.raises(ValueError, match="not a forest"):
        Forest.from_json([name, value], 4)


def test_a_way_that_leads_back_or_to_a_missing_feature_is_refused() -> None:
    whole = Forest.of(fitted()[0]).to_json()
    looped = {**whole, "left": [0 if node else node for node in whole["left"]]}
    with pytest.raises(ValueError, match="leads nowhere"):
        Forest.from_json(looped, 4)
    with pytest.raises(ValueError, match="leads nowhere"):
        Forest.from_json(whole, 3)
    with pytest.raises(ValueError, match="not finite"):
        Forest.from_json({**whole, "path": [float("nan")] * len(whole["path"])}, 4)
