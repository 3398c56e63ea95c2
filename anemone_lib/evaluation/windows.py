"""Judge probabilities window by window: precision and recall over thresholds, calibration, confusion."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """Precision and recall at every threshold that changes them, from the lowest to the highest.

    Attributes
    ----------
    thresholds, precision, recall, f1 : np.ndarray [shape=(n,)], each at ``probability >= threshold``
    average_precision : float, area under the curve as a sum over steps of recall

    Examples
    --------
    >>> curve = trace_thresholds(np.array([False, True, True]), np.array([0.2, 0.6, 0.9]))
    >>> curve.thresholds.tolist(), curve.recall.tolist()
    ([0.2, 0.6, 0.9], [1.0, 1.0, 0.5])
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    average_precision: float


def trace_thresholds(present: np.ndarray, probabilities: np.ndarray) -> ThresholdCurve:
    """Compute precision and recall of windows, exact over all thresholds.

    Parameters
    ----------
    present : np.ndarray [shape=(n_windows,)], bool
    probabilities : np.ndarray [shape=(n_windows,)], of the target class; NaN where a window was skipped

    Returns
    -------
    curve : ThresholdCurve

    Examples
    --------
    >>> curve = trace_thresholds(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.6, 0.9]))
    >>> curve.precision.round(2).tolist(), curve.recall.tolist()
    ([0.5, 0.67, 0.5, 1.0], [1.0, 1.0, 0.5, 0.5])
    """
    scored = np.isfinite(probabilities)
    present, probabilities = np.asarray(present, bool)[scored], np.asarray(probabilities)[scored]
    if not present.any():
        raise ValueError("no window holds the target; a curve needs at least one that does")
    order = np.argsort(-probabilities, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(probabilities[order])), len(order) - 1]
    matched = np.cumsum(present[order])[last]
    precision, recall = matched / (last + 1), matched / present.sum()
    average = compute_average_precision(present, probabilities) or 0.0
    f1 = 2 * matched / (last + 1 + present.sum())
    thresholds = probabilities[order][last]
    return ThresholdCurve(thresholds[::-1], precision[::-1], recall[::-1], f1[::-1], average)


def compute_average_precision(
    present: np.ndarray, scores: np.ndarray, *, weights: np.ndarray | None = None
) -> float | None:
    """Area under precision over recall as a sum over steps of recall; None where nothing is present.

    Parameters
    ----------
    present : np.ndarray [shape=(n,)], bool
    scores : np.ndarray [shape=(n,)], finite
    weights : np.ndarray [shape=(n,)], how often each counts, optional

    Examples
    --------
    >>> compute_average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.2]))
    0.8333333333333333
    """
    weights = np.ones(len(present)) if weights is None else weights
    positive = np.asarray(present, float) * weights
    if positive.sum() == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(order) - 1]
    matched, found = np.cumsum(positive[order])[last], np.cumsum(weights[order])[last]
    precision = np.divide(matched, found, out=np.zeros_like(matched), where=found > 0)
    return float(np.sum(np.diff(matched / positive.sum(), prepend=0) * precision))


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often a probability by the model is true, by bins of equal width.

    Attributes
    ----------
    mean_probability, frequency : np.ndarray [shape=(n_bins,)], NaN for an empty bin
    n : np.ndarray [shape=(n_bins,)], int
    expected_calibration_error : float in [0, 1]
        Mean of ``|frequency − mean_probability|``, weighted by `n` (Guo et al. 2017).

    Examples
    --------
    >>> present = np.array([True, True, False, False])
    >>> reliability = measure_reliability(present, np.array([0.9, 0.9, 0.1, 0.1]), n_bins=2)
    >>> reliability.frequency.tolist(), reliability.n.tolist()
    ([0.0, 1.0], [2, 2])
    """

    mean_probability: np.ndarray
    frequency: np.ndarray
    n: np.ndarray
    expected_calibration_error: float


def measure_reliability(present: np.ndarray, probabilities: np.ndarray, *, n_bins: int = 10) -> Reliability:
    """Compare probabilities by the model with how often they are true.

    Parameters
    ----------
    present : np.ndarray [shape=(n,)], bool
    probabilities : np.ndarray [shape=(n,)], in [0, 1]; NaN where a window was skipped
    n_bins : int > 0

    Returns
    -------
    reliability : Reliability

    Examples
    --------
    >>> present = np.array([True, True, True, False])
    >>> reliability = measure_reliability(present, np.array([0.8, 0.8, 0.8, 0.8]), n_bins=5)
    >>> round(reliability.expected_calibration_error, 3)  # 0.8 by the model, true in 0.75
    0.05
    """
    scored = np.isfinite(probabilities)
    present, probabilities = np.asarray(present, float)[scored], np.asarray(probabilities, float)[scored]
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    n = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bins, probabilities, n_bins) / n
        frequency = np.bincount(bins, present, n_bins) / n
    error = float(np.nansum(n * np.abs(frequency - mean)) / max(1, n.sum()))
    return Reliability(mean, frequency, n, error)


def count_confusions(present: np.ndarray, predicted: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Count how often each class was taken for each other.

    Parameters
    ----------
    present, predicted : np.ndarray [shape=(n,)], int, class indices
    n_classes : int > 0

    Returns
    -------
    counts : np.ndarray [shape=(n_classes, n_classes)], int; row: true class, column: predicted class

    Examples
    --------
    >>> count_confusions(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), n_classes=2)
    array([[1, 1],
           [0, 2]])
    """
    flat = np.asarray(present, int) * n_classes + np.asarray(predicted, int)
    return np.bincount(flat, minlength=n_classes**2).reshape(n_classes, n_classes)
