"""Match events with annotations, one to one."""

import numpy as np

from anemone_lib.evaluation.intervals import Intervals, as_intervals
from anemone_lib.evaluation.rates import Counts


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

    Examples
    --------
    Two calls in one long event: the event matches one of them.

    >>> match_intervals([(1.0, 2.0), (3.0, 4.0)], [(1.5, 4.0), (8.0, 9.0)])
    array([[1, 0]])
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
    """Match events with annotations, and count.

    Parameters
    ----------
    reference, estimated : as in `as_intervals`
    duration : float > 0, analysed audio in seconds
    **tolerances
        Those of `match_intervals`.

    Returns
    -------
    counts : Counts

    Examples
    --------
    >>> counts = count_events([(1.0, 2.0), (5.0, 6.0)], [(1.5, 2.5), (8.0, 9.0)], duration=3600.0)
    >>> counts.precision, counts.recall, counts.false_alarms_per_hour
    (0.5, 0.5, 1.0)
    """
    if not duration > 0:
        raise ValueError(f"duration is {duration}; rates need some seconds of analysed audio")
    pairs = match_intervals(reference, estimated, **tolerances)  # type: ignore[arg-type]
    return Counts(len(reference), len(estimated), len(pairs), float(duration))


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
