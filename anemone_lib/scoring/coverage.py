"""Windows that contain lost samples, and the places to which they are moved.

*Rule.* A window that contains lost samples is moved, by at most half its length, to the nearest place without lost
samples. So the audio up to the edge of a gap is analysed, and lost samples are not replaced. A window that cannot be
moved in this way is skipped. If a stretch between two gaps is shorter than a window, but at least half as long, it is
analysed with zeros after it, as a recording that is shorter than a window. The rule needs the gaps near a window only,
so that it does not matter how a recording was cut into chunks.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from anemone_lib.audio.gaps import Gap, Lost, find_lost, find_reason, join_lost
from anemone_lib.audio.recording import NOT_FINITE, Recording
from anemone_lib.errors import AudioError
from anemone_lib.scoring.condition import LOST
from anemone_lib.scoring.windows import WindowGrid

#: Lost samples closer than this are one gap, seconds, so that single bad samples do not make millions of gaps.
JOIN_S = 0.01


def place_windows(
    lost: Sequence[Lost], *, first: int, stop: int, n_samples: int, window_samples: int, stride_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the place at which each window is analysed.

    Parameters
    ----------
    lost : Lost, by start, none overlapping; at least all within a window's length of the windows asked for
    first, stop : int, windows
    n_samples : int, length of the recording
    window_samples, stride_samples : int > 0

    Returns
    -------
    starts, ends : np.ndarray [shape=(stop - first,)], int
        Samples of the recording. Both are -1 for a window that is skipped; a window may be shorter than
        `window_samples` and is then followed by zeros.

    Examples
    --------
    >>> grid = {"n_samples": 40, "window_samples": 10, "stride_samples": 5}
    >>> starts, ends = place_windows([Lost(15, 17, "")], first=0, stop=4, **grid)
    >>> starts.tolist(), ends.tolist()
    ([0, 5, 5, 17], [10, 15, 15, 27])
    """
    starts = np.arange(first, stop) * stride_samples
    ends = np.minimum(starts + window_samples, n_samples)
    if not lost:
        return starts, ends
    lost_starts = np.array([span.start for span in lost])
    lost_stops = np.array([span.stop for span in lost])
    touched = np.searchsorted(lost_stops, starts, side="right") < np.searchsorted(lost_starts, ends, side="left")
    edges = [0, *(edge for span in lost for edge in (span.start, span.stop)), n_samples]
    clean_starts, clean_ends = np.array(edges[0::2]), np.array(edges[1::2])
    for k in np.flatnonzero(touched):
        start, end = int(starts[k]), int(ends[k])
        near = slice(
            int(np.searchsorted(clean_ends, start, side="right")), int(np.searchsorted(clean_starts, end, side="left"))
        )
        begins, stops = clean_starts[near], clean_ends[near]
        inside = np.minimum(stops, end) - np.maximum(begins, start)
        starts[k] = ends[k] = -1
        if not len(inside) or 2 * inside.max() < window_samples:
            continue
        best = int(inside.argmax())
        begin, limit = int(begins[best]), int(stops[best])
        starts[k] = max(begin, min(start, limit - window_samples))
        ends[k] = min(limit, starts[k] + window_samples)
    return starts, ends


def cut_moved_windows(recording: Recording, first: int, stop: int, grid: WindowGrid) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows `first` to `stop`, some of which contain lost samples.

    Returns
    -------
    windows : np.ndarray [shape=(n, window_samples)], float32
    rows : np.ndarray [shape=(n,)], int, counted from `first`, those that can be analysed
    """
    begin, end = grid.find_samples(first, stop)
    begin, end = max(0, begin - grid.window_samples), min(grid.n_samples, end + grid.window_samples)
    samples = recording.read(begin, end)
    join = max(1, round(JOIN_S * grid.sample_rate))
    lost = join_lost((Lost(begin + a, begin + b, "") for a, b in find_lost(samples).tolist()), closer_than=join)
    starts, ends = place_windows(
        lost,
        first=first,
        stop=stop,
        n_samples=grid.n_samples,
        window_samples=grid.window_samples,
        stride_samples=grid.stride_samples,
    )
    rows = np.flatnonzero(starts >= 0)
    windows = np.zeros((len(rows), grid.window_samples), np.float32)
    for window, row in zip(windows, rows, strict=True):
        window[: ends[row] - starts[row]] = samples[starts[row] - begin : ends[row] - begin]
    return windows, rows


def find_uncovered(starts: np.ndarray, ends: np.ndarray, n_samples: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches that no window covers.

    Parameters
    ----------
    starts, ends : np.ndarray [shape=(n,)], int, of the windows that were analysed, in any order
    n_samples : int
    """
    covered = 0
    order = np.argsort(starts, kind="stable")
    for start, end in zip(starts[order].tolist(), ends[order].tolist(), strict=True):
        if start > covered:
            yield covered, start
        covered = max(covered, end)
    if covered < n_samples:
        yield covered, n_samples


def find_gaps(
    recording: Recording, probabilities: np.ndarray, measures: np.ndarray, reasons: np.ndarray, grid: WindowGrid
) -> Iterator[Gap]:
    """Find the intervals that no scored window covers; with the scored windows, they make up the whole recording."""
    lost = _find_lost(recording, measures[:, LOST], grid)
    starts, ends = place_windows(
        lost,
        first=0,
        stop=grid.n_windows,
        n_samples=grid.n_samples,
        window_samples=grid.window_samples,
        stride_samples=grid.stride_samples,
    )
    scored = np.isfinite(probabilities).all(axis=1) & (starts >= 0)
    for start, stop in find_uncovered(starts[scored], ends[scored], grid.n_samples):
        first, last = start // grid.stride_samples, -(-stop // grid.stride_samples)
        failed = next((text for text in reasons[first:last] if text), NOT_FINITE)
        reason = find_reason(lost, start, stop, failed)
        yield Gap(start / grid.sample_rate, stop / grid.sample_rate, reason)


def _find_lost(recording: Recording, shares: np.ndarray, grid: WindowGrid) -> list[Lost]:
    """Find the lost samples again; `shares` says in which windows' own samples there are some."""
    spans: list[Lost] = []
    for first, stop in find_lost(np.where(shares == 1, np.float32(np.nan), np.float32(0))).tolist():
        begin = first * grid.stride_samples
        end = grid.n_samples if stop == grid.n_windows else stop * grid.stride_samples
        spans.append(Lost(begin, end, recording.explain_loss(begin, end)))
    for k in np.flatnonzero((shares > 0) & (shares < 1)).tolist():
        begin = k * grid.stride_samples
        end = grid.n_samples if k + 1 == grid.n_windows else begin + grid.stride_samples
        try:
            runs = find_lost(recording.read(begin, end)).tolist()
        except AudioError as error:
            spans.append(Lost(begin, end, str(error)))
            continue
        spans += [Lost(begin + a, begin + b, recording.explain_loss(begin + a, begin + b)) for a, b in runs]
    return join_lost(spans, closer_than=max(1, round(JOIN_S * grid.sample_rate)))
