"""Events held against what a person labelled: one-to-one matching, rates, and how far they can be trusted.

*Conventions.* Intervals are arrays [shape=(n, 2)] of start and end in seconds, half-open. `reference` is the truth (a
person's, or a simulation's), `estimated` is what the detector found. Each of either is matched at most once, so that
neither one long event over ten calls nor ten short ones over one call counts for more than one.

*Metrics.* Precision: the part of the estimated events that are matched. Recall: the part of the reference that is. F1:
their harmonic mean, ``2 · matched / (n_reference + n_estimated)``. False alarms per hour: unmatched estimated events
by analysed hours. A rate whose denominator is zero is NaN: where nothing was found, precision is unknown, not perfect.

*Intervals of confidence.* Recordings are the unit: calls of one recording share a reef, a night and a hydrophone, so
they are resampled together (percentile bootstrap; Efron & Tibshirani 1993, chapter 13).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from anemone_lib.events import Annotation, Event

Intervals = np.ndarray | Sequence[Event | Annotation | Sequence[float]] | Sequence[Event] | Sequence[Annotation]

#: The rates that `Counts` knows and the bootstrap resamples.
METRICS = ("precision", "recall", "f1", "false_alarms_per_hour")


#: Seconds that a label without a length, a point in time, is taken to last, so that it can overlap something.
POINT = 1e-3


@dataclass(frozen=True)
class Counts:
    """How many were there, found and matched; counts of several recordings add up.

    Attributes
    ----------
    n_reference, n_estimated, n_matched : int
    duration : float, analysed audio in seconds
    """

    n_reference: int
    n_estimated: int
    n_matched: int
    duration: float

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.n_reference + other.n_reference,
            self.n_estimated + other.n_estimated,
            self.n_matched + other.n_matched,
            self.duration + other.duration,
        )

    @property
    def precision(self) -> float:
        """Matched part of the estimated events, 0 to 1; NaN if there are none."""
        return _ratio(self.n_matched, self.n_estimated)

    @property
    def recall(self) -> float:
        """Matched part of the reference, 0 to 1; NaN if there is none."""
        return _ratio(self.n_matched, self.n_reference)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; NaN if there is neither reference nor event."""
        return _ratio(2 * self.n_matched, self.n_reference + self.n_estimated)

    @property
    def false_alarms_per_hour(self) -> float:
        """Unmatched estimated events by analysed hours."""
        return _ratio(3600 * (self.n_estimated - self.n_matched), self.duration)

    def to_dict(self) -> dict[str, float | int | None]:
        """The fields and the rates by name, a NaN as None, as JSON wants it."""
        rates = {name: getattr(self, name) for name in METRICS}
        return {
            "n_reference": self.n_reference,
            "n_estimated": self.n_estimated,
            "n_matched": self.n_matched,
            "duration_s": self.duration,
            **{name: None if math.isnan(rate) else rate for name, rate in rates.items()},
        }


def total(counts: Iterable[Counts]) -> Counts:
    """Add up the counts of several recordings: each call weighs the same, whichever recording it is in."""
    return sum(counts, Counts(0, 0, 0, 0.0))


# ---------------------------------------------------------------------- intervals


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
    """
    if labels is not None:
        wanted = {label.strip().casefold() for label in labels}
        items = [item for item in items if _label_of(item).strip().casefold() in wanted]
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

    A detector of 1 s windows cannot hold two calls 0.3 s apart for two; to ask it to is to measure the question.

    Parameters
    ----------
    intervals : as in `as_intervals`
    max_gap : float >= 0, in seconds

    Returns
    -------
    joined : np.ndarray [shape=(n, 2)], disjoint, by start time
    """
    if not max_gap >= 0:
        raise ValueError(f"max_gap is {max_gap}; it must be 0 seconds or more")
    sorted_intervals = as_intervals(intervals)
    if len(sorted_intervals) == 0:
        return sorted_intervals
    reach = np.maximum.accumulate(sorted_intervals[:, 1])
    first = np.flatnonzero(np.r_[True, sorted_intervals[1:, 0] > reach[:-1] + max_gap])
    return np.column_stack([sorted_intervals[first, 0], reach[np.r_[first[1:] - 1, len(reach) - 1]]])


def match_intervals(
    reference: Intervals,
    estimated: Intervals,
    *,
    onset_tolerance: float | None = None,
    offset_tolerance: float | None = None,
    offset_ratio: float = 0.0,
) -> np.ndarray:
    """Match reference and estimated intervals one to one: as many pairs as possible, and of those the most overlap.

    Parameters
    ----------
    reference, estimated : as in `as_intervals`; matched in the order of their start times
    onset_tolerance : float >= 0, in seconds, optional
        By default a pair must overlap. With a tolerance, its starts must be no further apart than that instead.
    offset_tolerance : float >= 0, in seconds, optional
        The same for the ends.
    offset_ratio : float >= 0
        Widens `offset_tolerance` to this part of the reference's length where that is more (the convention of
        sed_eval and of mir_eval's note transcription).

    Returns
    -------
    pairs : np.ndarray [shape=(n_matched, 2)], int
        Index into `reference` and into `estimated`, both sorted by start time; by reference.
    """
    truth, found = as_intervals(reference), as_intervals(estimated)
    for name, tolerance in (("onset_tolerance", onset_tolerance), ("offset_tolerance", offset_tolerance)):
        if tolerance is not None and not tolerance >= 0:
            raise ValueError(f"{name} is {tolerance}; it must be 0 seconds or more")
    if len(truth) == 0 or len(found) == 0:
        return np.empty((0, 2), int)

    # Each estimated interval's candidates are a range of the reference, by start time, that is then sifted.
    if onset_tolerance is not None:
        slack = onset_tolerance + 1e-9
        low = np.searchsorted(truth[:, 0], found[:, 0] - slack)
        high = np.searchsorted(truth[:, 0], found[:, 0] + slack, side="right")
    elif offset_tolerance is None:
        low = np.searchsorted(np.maximum.accumulate(truth[:, 1]), found[:, 0], side="right")
        high = np.searchsorted(truth[:, 0], found[:, 1])
    else:
        low, high = np.zeros(len(found), int), np.full(len(found), len(truth))
    width = np.maximum(high - low, 0)
    j = np.repeat(np.arange(len(found)), width)
    i = np.arange(width.sum()) - np.repeat(np.cumsum(width) - width, width) + low[j]
    overlap = np.minimum(truth[i, 1], found[j, 1]) - np.maximum(truth[i, 0], found[j, 0])
    if onset_tolerance is None and offset_tolerance is None:
        fits = overlap > 0
    else:
        fits = np.ones(len(i), bool)
    if offset_tolerance is not None:
        allowed = np.maximum(offset_tolerance, offset_ratio * (truth[i, 1] - truth[i, 0]))
        fits &= np.abs(truth[i, 1] - found[j, 1]) <= allowed + 1e-9
    return _assign(i[fits], j[fits], np.maximum(overlap[fits], 0), len(truth), len(found))


def count_events(reference: Intervals, estimated: Intervals, *, duration: float, **tolerances: float | None) -> Counts:
    """Match and count.

    Parameters
    ----------
    reference, estimated : as in `as_intervals`
    duration : float > 0, analysed audio in seconds
    **tolerances
        Those of `match_intervals`.

    Returns
    -------
    counts : Counts
    """
    if not duration > 0:
        raise ValueError(f"duration is {duration}; rates need some seconds of analysed audio")
    pairs = match_intervals(reference, estimated, **tolerances)  # type: ignore[arg-type]
    return Counts(len(reference), len(estimated), len(pairs), float(duration))


# ---------------------------------------------------------------------- how far to trust a rate


def bootstrap(
    counts: Sequence[Counts],
    *,
    metric: str = "f1",
    baseline: Sequence[Counts] | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a rate over several recordings, or of its gain over a baseline.

    Parameters
    ----------
    counts : one Counts a recording
    metric : one of `METRICS`
    baseline : Counts of the same recordings in the same order, optional
        Then the interval is that of ``rate(counts) − rate(baseline)``, both on the same resampled recordings.
    level : float in (0, 1)
    n_resamples : int > 0
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    low, high : float
        NaN for fewer than two recordings: one recording says nothing about the next.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; it must be one of {', '.join(METRICS)}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be between 0 and 1, like 0.95")
    if baseline is not None and len(baseline) != len(counts):
        raise ValueError(f"{len(counts)} recordings and {len(baseline)} in the baseline do not belong together")
    n = len(counts)
    if n < 2:
        return math.nan, math.nan
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    rates = _rates(weights @ np.array([astuple(one) for one in counts], float))[metric]
    if baseline is not None:
        rates = rates - _rates(weights @ np.array([astuple(one) for one in baseline], float))[metric]
    rates = rates[np.isfinite(rates)]
    if len(rates) == 0:
        return math.nan, math.nan
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927): true for small `n` and near 0 and 1 too.

    Parameters
    ----------
    successes, n : int, 0 <= successes <= n
    level : float in (0, 1)

    Returns
    -------
    low, high : float in [0, 1]; 0 and 1 for `n` = 0
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; they must be between 0 and the number of trials")
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    centre = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


# ---------------------------------------------------------------------- window by window


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """Precision and recall at every threshold that makes a difference, from the lowest to the highest.

    Attributes
    ----------
    thresholds, precision, recall, f1 : np.ndarray [shape=(n,)], each at ``probability >= threshold``
    average_precision : float, area under the curve as a sum over steps of recall
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    average_precision: float


def windows_with(
    intervals: Intervals, *, start_times: np.ndarray, end_times: np.ndarray, min_overlap: float = 0.0
) -> np.ndarray:
    """Tell which windows hold some of the intervals.

    Parameters
    ----------
    intervals : as in `as_intervals`; joined where they overlap
    start_times, end_times : np.ndarray [shape=(n_windows,)], in seconds
    min_overlap : float >= 0, in seconds
        Least time of a window that must lie in intervals; 0: any.

    Returns
    -------
    present : np.ndarray [shape=(n_windows,)], bool
    """
    joined = join_intervals(intervals)
    if len(joined) == 0:
        return np.zeros(len(start_times), bool)
    # Seconds inside intervals up to any time t: piecewise linear, flat between intervals.
    edges = joined.ravel()
    inside = np.r_[0.0, np.repeat(np.cumsum(joined[:, 1] - joined[:, 0]), 2)[:-1]]
    covered = np.interp(end_times, edges, inside) - np.interp(start_times, edges, inside)
    return covered >= max(min_overlap, 1e-9)


def threshold_curve(present: np.ndarray, probabilities: np.ndarray) -> ThresholdCurve:
    """Precision and recall of windows, exact over all thresholds.

    Parameters
    ----------
    present : np.ndarray [shape=(n_windows,)], bool
    probabilities : np.ndarray [shape=(n_windows,)], of the target class; NaN where a window was skipped

    Returns
    -------
    curve : ThresholdCurve
    """
    scored = np.isfinite(probabilities)
    present, probabilities = np.asarray(present, bool)[scored], np.asarray(probabilities)[scored]
    if not present.any():
        raise ValueError("no window holds the target; a curve needs at least one that does")
    order = np.argsort(-probabilities, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(probabilities[order])), len(order) - 1]
    matched = np.cumsum(present[order])[last]
    precision, recall = matched / (last + 1), matched / present.sum()
    average = float(np.sum(np.diff(recall, prepend=0) * precision))
    f1 = 2 * matched / (last + 1 + present.sum())
    thresholds = probabilities[order][last]
    return ThresholdCurve(thresholds[::-1], precision[::-1], recall[::-1], f1[::-1], average)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often a stated probability comes true, by bins of equal width.

    Attributes
    ----------
    mean_probability, frequency : np.ndarray [shape=(n_bins,)], NaN for an empty bin
    n : np.ndarray [shape=(n_bins,)], int
    expected_calibration_error : float in [0, 1]
        Mean of ``|frequency − mean_probability|``, weighed by `n` (Guo et al. 2017).
    """

    mean_probability: np.ndarray
    frequency: np.ndarray
    n: np.ndarray
    expected_calibration_error: float


def reliability(present: np.ndarray, probabilities: np.ndarray, *, n_bins: int = 10) -> Reliability:
    """Hold stated probabilities against what was there.

    Parameters
    ----------
    present : np.ndarray [shape=(n,)], bool
    probabilities : np.ndarray [shape=(n,)], in [0, 1]; NaN where a window was skipped
    n_bins : int > 0

    Returns
    -------
    reliability : Reliability
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


def confusion_matrix(present: np.ndarray, predicted: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Count which class was taken for which.

    Parameters
    ----------
    present, predicted : np.ndarray [shape=(n,)], int, class indices
    n_classes : int > 0

    Returns
    -------
    counts : np.ndarray [shape=(n_classes, n_classes)], int; row: what it was, column: what it was taken for
    """
    flat = np.asarray(present, int) * n_classes + np.asarray(predicted, int)
    return np.bincount(flat, minlength=n_classes**2).reshape(n_classes, n_classes)


# ---------------------------------------------------------------------- inside


def _label_of(item: Any) -> str:
    if isinstance(item, Annotation):
        return item.label
    if isinstance(item, Event):
        return item.class_name
    raise ValueError(f"{item!r} has no label; give annotations or events, or no labels")


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _rates(rows: np.ndarray) -> dict[str, np.ndarray]:
    """All rates of counts in rows [shape=(n, 4)]."""
    n_reference, n_estimated, n_matched, duration = rows.astype(float).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": n_matched / n_estimated,
            "recall": n_matched / n_reference,
            "f1": 2 * n_matched / (n_reference + n_estimated),
            "false_alarms_per_hour": (n_estimated - n_matched) / (duration / 3600),
        }


def _assign(i: np.ndarray, j: np.ndarray, overlap: np.ndarray, n: int, m: int) -> np.ndarray:
    """Most pairs first, then most overlap, in each connected group of candidates by itself."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(i)), (i, n + j)), shape=(n + m, n + m))
    group = connected_components(graph, directed=False)[1][i]
    order = np.argsort(group, kind="stable")
    pairs: list[tuple[int, int]] = []
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        rows, row = np.unique(i[members], return_inverse=True)
        columns, column = np.unique(j[members], return_inverse=True)
        if len(members) == 1:
            pairs.append((rows[0], columns[0]))
            continue
        # All overlaps of a group together weigh less than one pair.
        worth = np.zeros((len(rows), len(columns)))
        worth[row, column] = 1 + overlap[members] / (1 + overlap[members].sum())
        best = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
        pairs += [(rows[r], columns[c]) for r, c in best if worth[r, c] > 0]
    return np.array(sorted(pairs), int).reshape(-1, 2)
