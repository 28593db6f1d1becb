"""Anomaly detection on bars with a model trained per instrument: robust z-scores and an isolation forest.

Anomalies are flagged, never rejected; the fixed rules for jumps and volumes are in :mod:`.sequence`. Both detectors use
the same four features of a bar (:func:`features`), each relative to the bars just before it, so that years of low and
of high volatility are treated alike.

- ``robust``: the modified z-score 0.6745 (x - median) / MAD of some feature exceeds :data:`Z_LIMIT` (Iglewicz and
  Hoaglin, How to Detect and Handle Outliers, 1993).
- ``forest``: scikit-learn's IsolationForest isolates the bar sooner than all but the share :data:`CONTAMINATION` of
  the bars that it was trained on.

Training imports scikit-learn; scoring needs numpy alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fintrack_tasks.validate.forest import Forest

__all__ = [
    "ANOMALY_LOOKBACK",
    "CONTAMINATION",
    "FEATURES",
    "MINIMUM",
    "Z_LIMIT",
    "Anomaly",
    "Model",
    "features",
    "score",
    "train",
]

Floats = NDArray[np.float64]
BarColumns = Mapping[str, NDArray[Any]]
"""Columns of one length: ``timestamp`` (int64 microseconds, ascending), ``open``, ``high``, ``low``, ``close`` (floats
above zero) and ``volume`` (NaN or 0 where unknown)."""

FEATURES: Final = ("return", "range", "gap", "volume")
ANOMALY_LOOKBACK: Final = 60
"""How many bars before a bar its features are relative to: about a quarter of daily ones."""
WARM_UP: Final = 20
"""So many of them have to be known; a bar with fewer has no features and is not scored."""
MINIMUM: Final = 250
"""The fewest bars with features for a training: about a year of daily ones."""
Z_LIMIT: Final = 10.0
"""Returns have fat tails: the usual 3.5 would flag one real bar in 20, 10 flags one in 300."""
CONTAMINATION: Final = 0.005
"""The share of the training's bars that the forest flags."""
_FLOORS: Final = (0.25, 0.25, 0.25, 0.1)
_TREES: Final = 64
_SAMPLE: Final = 1_024
"""Bars in the sample of each tree: with the paper's 256, extreme bars mask one another."""
_SEED: Final = 20_240_506
_TINY: Final = 1e-6
"""The smallest usual range that features are divided by: a pegged fx rate moves by less."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A flagged bar: its position in what was scored, which detectors flag it, and its features.

    ``score`` is the forest's, in (0, 1); ``z`` holds the modified z-score of each of ``values``, both by the names of
    :data:`FEATURES`.
    """

    row: int
    timestamp: int
    detectors: tuple[str, ...]
    score: float
    values: Mapping[str, float]
    z: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model of one instrument.

    :ivar centers: the median of each of :data:`FEATURES`.
    :ivar scales: its MAD / 0.6745, at least a quarter of u (volume: 0.1): a feature that hardly ever moves (an index
        whose open is the previous close) is not anomalous when it moves a little.
    :ivar z_limit: the z-score above which ``robust`` flags; ``threshold`` the score above which ``forest`` does.
    :ivar bars: how many bars with features it was trained on; ``span`` the times of the first and the last of them, in
        microseconds.
    :ivar fingerprint: SHA-256 of the features, the parameters and scikit-learn's version: equal fingerprints mean equal
        models.
    """

    centers: tuple[float, ...]
    scales: tuple[float, ...]
    z_limit: float
    threshold: float
    forest: Forest
    bars: int
    span: tuple[int, int]
    fingerprint: str
    parameters: Mapping[str, Any]

    def summary(self) -> dict[str, Any]:
        """All but the forest, as a JSON object."""
        return {
            "features": list(FEATURES),
            "centers": list(self.centers),
            "scales": list(self.scales),
            "z_limit": self.z_limit,
            "threshold": self.threshold,
            "bars": self.bars,
            "span": list(self.span),
            "fingerprint": self.fingerprint,
            "parameters": dict(self.parameters),
        }

    @classmethod
    def of(cls, summary: Mapping[str, Any], forest: Any) -> Self:
        """The model of a stored summary and a stored forest.

        :raises ValueError: when they are not what :meth:`summary` and :meth:`Forest.to_json` gave.
        """
        try:
            if tuple(summary["features"]) != FEATURES:
                raise ValueError(f"a model of other features: {summary['features']!r:.80}")
            first, last = summary["span"]
            made = cls(
                tuple(float(value) for value in summary["centers"]),
                tuple(float(value) for value in summary["scales"]),
                float(summary["z_limit"]),
                float(summary["threshold"]),
                Forest.from_json(forest, len(FEATURES)),
                int(summary["bars"]),
                (int(first), int(last)),
                str(summary["fingerprint"]),
                dict(summary["parameters"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a model: {error!r:.120}") from None
        if {len(made.centers), len(made.scales)} != {len(FEATURES)}:
            raise ValueError("not a model: it has other features")
        return made


def features(bars: BarColumns, splits: Sequence[tuple[int, float]] = ()) -> Floats:
    """The features as a float64 array of shape (bars, 4); a row of NaN where too few bars stand before it.

    With TR the log true range, ln(max(high, previous close) / min(low, previous close)), and u its median over the
    :data:`ANOMALY_LOOKBACK` bars before:

    - return = ln(close / previous close) / u
    - range = ln(high / low) / u
    - gap = ln(open / previous close) / u
    - volume = ln(volume / median of the known volumes of the bars before); 0, as usual, where one of them is unknown

    :param splits: the opening time of the first bar in new shares (microseconds), and new shares for one old one.
    """
    size = len(bars["timestamp"])
    found = np.full((size, len(FEATURES)), np.nan)
    if size <= WARM_UP:
        return found
    factor = _shares(bars["timestamp"], splits)
    before = np.full(size, np.nan)
    before[1:] = bars["close"][:-1] * factor[:-1] / factor[1:]
    # A negative price gives NaN, which is not scored: the rules reject such rows.
    with np.errstate(invalid="ignore", divide="ignore"):
        move, gap = np.log(bars["close"] / before), np.log(bars["open"] / before)
        spread = np.log(bars["high"] / bars["low"])
        true = np.log(np.fmax(bars["high"], before) / np.fmin(bars["low"], before))
        true[0] = np.nan
        unit = np.maximum(_median_before(true), _TINY)
        volume = np.where(bars["volume"] > 0, bars["volume"] * 1.0, np.nan) / factor
        busy = np.nan_to_num(np.log(volume / _median_before(volume)), nan=0.0)
    found[:] = np.column_stack([move / unit, spread / unit, gap / unit, busy])
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return found


def train(bars: BarColumns, splits: Sequence[tuple[int, float]] = ()) -> Model:
    """Train a model on an instrument's bars. The same bars give the same model. It imports scikit-learn.

    :raises ValueError: when fewer than :data:`MINIMUM` bars have features.
    """
    import sklearn  # noqa: PLC0415  # 100 MB that only the weekly training needs
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415  # see above

    values = features(bars, splits)
    known = np.isfinite(values).all(axis=1)
    seen, stamps = values[known], bars["timestamp"][known]
    if len(seen) < MINIMUM:
        raise ValueError(f"{len(seen)} bars with numbers: a training takes {MINIMUM}")
    parameters = {
        "n_estimators": _TREES,
        "max_samples": min(_SAMPLE, len(seen)),
        "contamination": CONTAMINATION,
        "random_state": _SEED,
    }
    fitted = IsolationForest(**parameters).fit(_folded(seen))
    centers = np.median(seen, axis=0)
    parameters |= {"look_back": ANOMALY_LOOKBACK, "warm_up": WARM_UP, "scikit_learn": sklearn.__version__}
    return Model(
        centers=tuple(centers.tolist()),
        scales=tuple(np.fmax(np.median(np.abs(seen - centers), axis=0) / 0.6745, _FLOORS).tolist()),
        z_limit=Z_LIMIT,
        threshold=float(-fitted.offset_),
        forest=Forest.of(fitted),
        bars=len(seen),
        span=(int(stamps[0]), int(stamps[-1])),
        fingerprint=_fingerprint(seen, parameters),
        parameters=parameters,
    )


def score(model: Model, bars: BarColumns, splits: Sequence[tuple[int, float]] = ()) -> list[Anomaly]:
    """The flagged bars, in their order. It needs :data:`ANOMALY_LOOKBACK` bars before the first one to be scored."""
    values = features(bars, splits)
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    values = values[rows]
    z = (values - np.array(model.centers)) / np.array(model.scales)
    scores = model.forest.score(_folded(values))
    robust, isolated = (np.abs(z) > model.z_limit).any(axis=1), scores > model.threshold
    return [
        Anomaly(
            row=int(rows[at]),
            timestamp=int(bars["timestamp"][rows[at]]),
            detectors=tuple(name for name, flags in (("robust", robust), ("forest", isolated)) if flags[at]),
            score=float(scores[at]),
            values=dict(zip(FEATURES, values[at].tolist(), strict=True)),
            z=dict(zip(FEATURES, z[at].tolist(), strict=True)),
        )
        for at in np.flatnonzero(robust | isolated)
    ]


def _folded(values: Floats) -> Floats:
    """The forest's input: log1p of the absolute features, without signs and with shorter tails."""
    folded: Floats = np.log1p(np.abs(values))
    return folded


def _shares(stamps: NDArray[np.int64], splits: Sequence[tuple[int, float]]) -> Floats:
    """How many shares one share of the first bar has become at each bar."""
    factor = np.ones(len(stamps))
    for at, ratio in splits:
        factor[np.searchsorted(stamps, at) :] *= ratio
    return factor


def _median_before(values: Floats) -> Floats:
    """For each value the median of the known ones among the :data:`ANOMALY_LOOKBACK` before it.

    NaN where fewer than :data:`WARM_UP` of them are known.
    """
    padded = np.concatenate([np.full(ANOMALY_LOOKBACK, np.nan), values[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, ANOMALY_LOOKBACK)
    enough = np.isfinite(windows).sum(axis=1) >= WARM_UP
    found = np.full(len(values), np.nan)
    if enough.any():
        found[enough] = np.nanmedian(windows[enough], axis=1)
    return found


def _fingerprint(seen: Floats, parameters: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(seen).tobytes())
    digest.update(repr(sorted(parameters.items())).encode())
    return digest.hexdigest()
