"""Which windows hold what was lost, and where they are looked at instead.

*Rule.* A window that holds lost samples is moved, by at most half its length, to the nearest place where it holds none;
so the audio up to the edge of a gap is analysed, and nothing is put in its place. A window that cannot be moved so is
skipped. Where a stretch between two gaps is shorter than a window, but at least half of one, it is analysed with zeros
after it, as a recording shorter than a window is. The rule needs the gaps near a window only, so that it does not
matter how a recording was cut into chunks.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from anemone_lib.audio.gaps import Lost

#: Lost samples closer than this are one gap, seconds: single bad samples must not make millions of gaps.
JOIN_S = 0.01


def place_windows(
    lost: Sequence[Lost], *, first: int, stop: int, n_samples: int, window_samples: int, stride_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Say where each window is looked at.

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
