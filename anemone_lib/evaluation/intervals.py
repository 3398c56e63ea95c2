"""Intervals of time: arrays of start and end in seconds, half-open."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from anemone_lib.detection.events import Annotation, Event, fold_label

Intervals = np.ndarray | Sequence[Event | Annotation | Sequence[float]] | Sequence[Event] | Sequence[Annotation]

#: Seconds that a label without a length, a point in time, is taken to last, so that it can overlap something.
POINT = 1e-3


def as_intervals(items: Intervals, *, labels: Iterable[str] | None = None) -> np.ndarray:
    """Return events, annotations or pairs of numbers as an array of intervals, by start time.

    Parameters
    ----------
    items : np.ndarray [shape=(n, 2)], or a sequence of Event, Annotation or (start, end)
    labels : names, optional
        Only annotations with one of these labels (or events of these classes); upper and lower case are the same.

    Returns
    -------
    intervals : np.ndarray [shape=(n, 2)], float64, in seconds
        Point labels get a length of `POINT`.

    Raises
    ------
    ValueError
        Not pairs, not finite, or an end before its start; or `labels` with items that have none.

    Examples
    --------
    >>> annotations = [Annotation(3.0, 4.0, "call"), Annotation(1.0, 2.0, "Call"), Annotation(5.0, 6.0, "boat")]
    >>> as_intervals(annotations, labels=["call"])
    array([[1., 2.],
           [3., 4.]])
    """
    if labels is not None:
        chosen = {fold_label(label) for label in labels}
        items = [item for item in items if fold_label(_read_label(item)) in chosen]
    rows = [(item.start_time, item.end_time) if isinstance(item, Event | Annotation) else item for item in items]
    intervals = np.asarray(rows, np.float64).reshape(len(rows), -1) if len(rows) else np.empty((0, 2))
    if intervals.shape[1] != 2:
        raise ValueError(f"intervals have {intervals.shape[1]} columns; they must be pairs of start and end")
    wrong = ~(np.isfinite(intervals).all(axis=1) & (intervals[:, 0] <= intervals[:, 1]))
    if wrong.any():
        start, end = intervals[wrong][0]
        raise ValueError(f"interval {start} to {end} s; both must be finite and the end not before the start")
    intervals[:, 1] = np.maximum(intervals[:, 1], intervals[:, 0] + POINT)
    return intervals[np.lexsort(intervals.T[::-1])]


def join_intervals(intervals: Intervals, *, max_gap: float = 0.0) -> np.ndarray:
    """Join intervals that overlap, touch, or lie no further apart than `max_gap`: calls become bouts.

    A detector with windows of 1 s cannot separate two calls that are 0.3 s apart; joined, they count as one bout.

    Parameters
    ----------
    intervals : as in `as_intervals`
    max_gap : float >= 0, in seconds

    Returns
    -------
    joined : np.ndarray [shape=(n, 2)], disjoint, by start time

    Examples
    --------
    >>> join_intervals([(0.0, 1.0), (1.5, 2.0), (9.0, 9.5)], max_gap=1.0)
    array([[0. , 2. ],
           [9. , 9.5]])
    """
    if not max_gap >= 0:
        raise ValueError(f"max_gap is {max_gap}; it must be 0 seconds or more")
    sorted_intervals = as_intervals(intervals)
    if len(sorted_intervals) == 0:
        return sorted_intervals
    reach = np.maximum.accumulate(sorted_intervals[:, 1])
    first = np.flatnonzero(np.r_[True, sorted_intervals[1:, 0] > reach[:-1] + max_gap])
    return np.column_stack([sorted_intervals[first, 0], reach[np.r_[first[1:] - 1, len(reach) - 1]]])


def mark_windows(
    intervals: Intervals, *, start_times: np.ndarray, end_times: np.ndarray, min_overlap: float = 0.0
) -> np.ndarray:
    """Mark the windows that overlap the intervals.

    Parameters
    ----------
    intervals : as in `as_intervals`; joined where they overlap
    start_times, end_times : np.ndarray [shape=(n_windows,)], in seconds
    min_overlap : float >= 0, in seconds
        Least time of a window that must lie in intervals; 0: any.

    Returns
    -------
    present : np.ndarray [shape=(n_windows,)], bool

    Examples
    --------
    >>> mark_windows([(1.2, 1.4)], start_times=np.array([0.0, 1.0, 2.0]), end_times=np.array([1.0, 2.0, 3.0])).tolist()
    [False, True, False]
    """
    joined = join_intervals(intervals)
    if len(joined) == 0:
        return np.zeros(len(start_times), bool)
    # Seconds inside intervals up to any time t: piecewise linear, flat between intervals.
    edges = joined.ravel()
    inside = np.r_[0.0, np.repeat(np.cumsum(joined[:, 1] - joined[:, 0]), 2)[:-1]]
    covered = np.interp(end_times, edges, inside) - np.interp(start_times, edges, inside)
    return covered >= max(min_overlap, 1e-9)


def _read_label(item: Any) -> str:
    if isinstance(item, Annotation):
        return item.label
    if isinstance(item, Event):
        return item.class_name
    raise ValueError(f"{item!r} has no label; pass annotations or events, or leave `labels` out")
