"""An isolation forest as arrays: exported from scikit-learn, stored as JSON, scored with numpy alone.

A stored forest is lists of numbers, validated when it is read: nothing of it is executed. The scores are those of
:class:`sklearn.ensemble.IsolationForest` (Liu, Ting, Zhou: Isolation Forest, ICDM 2008): 2 ** -(mean path length /
expected path length), in (0, 1), higher for what is isolated sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LEAF: Final = -1
_ROWS: Final = 4_096
"""Rows scored at once: working memory is rows x trees."""


@dataclass(frozen=True, slots=True)
class Forest:
    """All trees in one table of nodes: arrays of one length; ``roots`` are the positions of the trees' first nodes.

    A node sends a row with ``value[feature] <= threshold`` to ``left``, any other to ``right``; at a leaf, whose
    ``feature`` is -1, ``path`` is the length of the row's way to it.
    """

    roots: Integers
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    path: Floats
    expected: float
    """The expected path length for random data of a tree's sample size, by which the score is normalised."""

    @classmethod
    def of(cls, fitted: Any) -> Self:
        """The trees of a fitted ``IsolationForest`` whose trees see every feature."""
        parts: list[list[NDArray[Any]]] = []
        roots, size = [], 0
        for each in fitted.estimators_:
            tree = each.tree_
            leaf = tree.children_left < 0
            path = _depths(tree.children_left, tree.children_right) + average_path(tree.n_node_samples)
            parts.append(
                [
                    np.where(leaf, _LEAF, tree.feature),
                    np.where(leaf, 0.0, tree.threshold),
                    np.where(leaf, 0, tree.children_left + size),
                    np.where(leaf, 0, tree.children_right + size),
                    np.where(leaf, path, 0.0),
                ]
            )
            roots.append(size)
            size += tree.node_count
        feature, threshold, left, right, path = (np.concatenate(column) for column in zip(*parts, strict=True))
        expected = float(average_path(np.array([fitted.max_samples_]))[0])
        return cls(np.array(roots, dtype=np.int64), feature, threshold, left, right, path, expected)

    def score(self, values: Floats) -> Floats:
        """The anomaly score in (0, 1) of each row of a finite float64 array of shape (rows, features)."""
        # scikit-learn compares float32 values with its thresholds; float64 would take other branches.
        single = values.astype(np.float32)
        parts = [self._depth(single[first : first + _ROWS]) for first in range(0, len(single), _ROWS)]
        depth = np.concatenate(parts) if parts else np.empty(0)
        scores: Floats = 2.0 ** (-depth / (len(self.roots) * self.expected))
        return scores

    def to_json(self) -> dict[str, Any]:
        """Lists of numbers; :meth:`from_json` gives the same scores to the last bit."""
        return {
            "roots": self.roots.tolist(),
            "feature": self.feature.tolist(),
            "threshold": self.threshold.tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "path": self.path.tolist(),
            "expected": self.expected,
        }

    @classmethod
    def from_json(cls, kept: Any, features: int) -> Self:
        """The forest that :meth:`to_json` wrote, over so many features.

        :raises ValueError: for other types or lengths, or a node that leads out of the table or back.
        """
        try:
            columns: dict[str, Any] = {
                name: np.array(kept[name], dtype=np.float64 if name in ("threshold", "path") else np.int64)
                for name in ("roots", "feature", "threshold", "left", "right", "path")
            }
            made = cls(**columns, expected=float(kept["expected"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"not a forest: {error!r:.120}") from None
        made._check(features)
        return made

    def _depth(self, values: NDArray[np.float32]) -> Floats:
        """The sum over all trees of each row's path length."""
        rows = np.arange(len(values))[:, None]
        node = np.broadcast_to(self.roots, (len(values), len(self.roots)))
        while True:
            feature = self.feature[node]
            inner = feature != _LEAF
            if not inner.any():
                depth: Floats = self.path[node].sum(axis=1)
                return depth
            goes_left = values[rows, feature] <= self.threshold[node]  # -1 reads the last feature, and is not used
            node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)

    def _check(self, features: int) -> None:
        size = self.feature.size
        flat = all(part.ndim == 1 for part in (self.roots, self.feature, self.left, self.right, self.path))
        if not flat or {self.threshold.shape, self.left.shape, self.right.shape, self.path.shape} != {(size,)}:
            raise ValueError("not a forest: its columns have other lengths")
        if not self.roots.size or self.roots.min() < 0 or self.roots.max() >= size or not self.expected > 0:
            raise ValueError("not a forest: it has no trees")
        inner = np.flatnonzero(self.feature != _LEAF)
        ahead = (self.left[inner] > inner) & (self.right[inner] > inner)
        inside = (self.left[inner] < size) & (self.right[inner] < size)
        if not (ahead & inside).all() or self.feature.min() < _LEAF or self.feature.max() >= features:
            raise ValueError("not a forest: a way leads nowhere")
        if not (np.isfinite(self.threshold).all() and np.isfinite(self.path).all()):
            raise ValueError("not a forest: a number is not finite")


def average_path(samples: NDArray[Any]) -> Floats:
    """c(n) of the paper: the mean length of an unsuccessful search in a binary tree of n samples."""
    n = samples.astype(np.float64)
    many = np.maximum(n, 3.0)
    long: Floats = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, long))


def _depths(left: NDArray[Any], right: NDArray[Any]) -> Floats:
    """The number of steps from a tree's root to each of its nodes; children stand behind their parents."""
    depth = np.zeros(len(left))
    for node in np.flatnonzero(left >= 0):
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    return depth
