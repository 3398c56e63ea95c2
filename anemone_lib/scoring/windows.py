"""The grid of windows over a recording.

*Conventions.* Window `k` starts at sample ``k * stride_samples``. All windows that fit are in the grid, and one more,
zero-padded, if samples are left uncovered; a recording shorter than a window is one padded window. Times are always
``sample_index / sample_rate``, never accumulated.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WindowGrid:
    """Where the windows of one recording lie.

    Attributes
    ----------
    n_samples : int > 0, length of the recording
    sample_rate : int > 0, in Hz
    window_samples, stride_samples : int > 0

    Examples
    --------
    >>> grid = WindowGrid(n_samples=20_000, sample_rate=8000, window_samples=8000, stride_samples=8000)
    >>> grid.start_times.tolist(), grid.end_times.tolist()
    ([0.0, 1.0, 2.0], [1.0, 2.0, 2.5])
    >>> grid.find_samples(1, 3)
    (8000, 20000)
    """

    n_samples: int
    sample_rate: int
    window_samples: int
    stride_samples: int

    @property
    def n_windows(self) -> int:
        """Number of windows; the last one may be padded."""
        beyond = max(0, self.n_samples - self.window_samples)
        return 1 + -(-beyond // self.stride_samples)

    @property
    def start_times(self) -> np.ndarray:
        """Start of every window [shape=(n_windows,)], in seconds, float64."""
        return np.arange(self.n_windows) * self.stride_samples / self.sample_rate

    @property
    def end_times(self) -> np.ndarray:
        """End of every window [shape=(n_windows,)], in seconds, never past the recording's end."""
        ends = np.arange(self.n_windows) * self.stride_samples + self.window_samples
        return np.minimum(ends, self.n_samples) / self.sample_rate

    def find_samples(self, first: int, stop: int) -> tuple[int, int]:
        """Sample range [start, stop) of the recording that windows `first` to `stop` (exclusive) cover."""
        start = first * self.stride_samples
        return start, min(self.n_samples, (stop - 1) * self.stride_samples + self.window_samples)


def lay_grid(n_samples: int, *, sample_rate: int, window_duration: float, stride_duration: float) -> WindowGrid:
    """Lay the grid over a recording.

    Parameters
    ----------
    n_samples : int > 0
    sample_rate : int > 0, in Hz
    window_duration, stride_duration : float > 0, in seconds
        Rounded to whole samples, at least one.

    Returns
    -------
    grid : WindowGrid

    Examples
    --------
    >>> grid = lay_grid(80_000, sample_rate=8000, window_duration=1.0, stride_duration=0.4)
    >>> grid.n_windows, grid.start_times[:3].tolist()
    (24, [0.0, 0.4, 0.8])
    """
    if n_samples <= 0:
        raise ValueError(f"a recording of {n_samples} samples has no windows")
    return WindowGrid(
        n_samples=n_samples,
        sample_rate=sample_rate,
        window_samples=max(1, round(window_duration * sample_rate)),
        stride_samples=max(1, round(stride_duration * sample_rate)),
    )


def cut_windows(samples: np.ndarray, *, n_windows: int, window_samples: int, stride_samples: int) -> np.ndarray:
    """Return a stretch of samples as overlapping windows.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32
        From the start of the first window; zeros are appended if the last window needs them.
    n_windows, window_samples, stride_samples : int > 0

    Returns
    -------
    windows : np.ndarray [shape=(n_windows, window_samples)], a read-only view that shares the overlaps

    Examples
    --------
    >>> cut_windows(np.arange(5.0), n_windows=2, window_samples=4, stride_samples=2).tolist()
    [[0.0, 1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 0.0]]
    """
    needed = (n_windows - 1) * stride_samples + window_samples
    if len(samples) < needed:
        samples = np.concatenate([samples, np.zeros(needed - len(samples), samples.dtype)])
    view = np.lib.stride_tricks.sliding_window_view(samples[:needed], window_samples)
    return view[::stride_samples]
