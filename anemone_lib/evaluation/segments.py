"""The published measure of segments, and intervals of confidence by group.

*Conventions.* Segments of 3 s lie end to end over the audio; a last piece that is shorter is left out. A segment holds
a class when any of its annotations overlaps it, and its score is the highest of the windows that lie in it (of windows
longer than a segment, of those whose middle does). Groups, not windows, are resampled for an interval: windows of one
group share a reef, a night and a hydrophone.
"""

import math
from collections.abc import Sequence

import numpy as np

from anemone_lib.evaluation.intervals import Intervals, mark_windows

#: Length of a segment in seconds.
SEGMENT_S = 3.0


def cut_segments(
    intervals: Intervals,
    probabilities: np.ndarray,
    *,
    start_times: np.ndarray,
    end_times: np.ndarray,
    span: tuple[float, float],
    segment: float = SEGMENT_S,
) -> tuple[np.ndarray, np.ndarray]:
    """Score segments from windows.

    Parameters
    ----------
    intervals : annotations of one class, as in `anemone_lib.evaluation.intervals.as_intervals`
    probabilities : np.ndarray [shape=(n_windows,)], of that class; NaN where a window was skipped
    start_times, end_times : np.ndarray [shape=(n_windows,)], in seconds
    span : (start, end) in seconds, the stretch that is cut
    segment : float > 0, in seconds

    Returns
    -------
    present : np.ndarray [shape=(n_segments,)], bool
    scores : np.ndarray [shape=(n_segments,)], NaN where no window was scored

    Examples
    --------
    >>> present, scores = cut_segments(
    ...     [(4.0, 4.5)],
    ...     np.array([0.1, 0.2, 0.9]),
    ...     start_times=np.array([0.0, 2.0, 4.0]),
    ...     end_times=np.array([1.0, 3.0, 5.0]),
    ...     span=(0.0, 7.0),
    ... )
    >>> present.tolist(), scores.tolist()
    ([False, True], [0.2, 0.9])
    """
    n = int((span[1] - span[0]) / segment + 1e-6)
    starts = span[0] + segment * np.arange(n)
    present = mark_windows(intervals, start_times=starts, end_times=starts + segment)
    scores = np.full(n, np.nan)
    middle = (start_times + end_times) / 2
    for k, start in enumerate(starts):
        inside = (start_times >= start - 1e-6) & (end_times <= start + segment + 1e-6)
        if not inside.any():
            inside = (middle >= start) & (middle < start + segment)
        values = probabilities[inside]
        values = values[np.isfinite(values)]
        if len(values):
            scores[k] = values.max()
    return present, scores


def compute_f1(present: np.ndarray, found: np.ndarray, *, weights: np.ndarray | None = None) -> float | None:
    """F1 of segments; None where nothing is present.

    Examples
    --------
    >>> compute_f1(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    weights = np.ones(len(present)) if weights is None else weights
    there = float((weights * present).sum())
    if there == 0:
        return None
    return float(2 * (weights * (present & found)).sum() / (there + (weights * found).sum()))


def resample_groups(groups: Sequence[str], *, n_resamples: int = 400, seed: int = 0) -> list[np.ndarray]:
    """Draw groups with replacement; return how often each item then counts, one array a resample.

    Parameters
    ----------
    groups : one name an item
    n_resamples : int > 0
    seed : int

    Returns
    -------
    weights : list of np.ndarray [shape=(n_items,)]; empty for fewer than two groups
    """
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return []
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_resamples)
    return [row[which].astype(float) for row in drawn]


def take_interval(values: Sequence[float | None], *, level: float = 0.95) -> list[float] | None:
    """Percentile interval of resampled values; None where fewer than half of them are known."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < max(2, len(values) / 2):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return [round(float(low), 4), round(float(high), 4)]
