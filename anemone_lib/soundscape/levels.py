"""Measure levels of a recording of any length, for the columns of a picture.

*Conventions.* Power is relative to a full-scale sine (amplitude 1) and averaged as power, not as dB. It is not
calibrated: without the hydrophone's sensitivity nobody knows the sound pressure.
"""

from collections.abc import Callable, Iterator

import numpy as np

#: Columns of a spectrogram, at most.
MAX_COLUMNS = 1500


#: A column with many frames is the mean of only this many stretches, spread evenly ...
STRETCHES = 4


#: ... of this many consecutive frames each.
STRETCH_FRAMES = 32


#: Samples in the frames that are transformed at once.
BLOCK_SAMPLES = 1 << 21


def measure_power(
    read: Callable[[int, int], np.ndarray],
    n_samples: int,
    *,
    start: int,
    stop: int,
    n_fft: int,
    hop_length: int,
    n_bins: int,
) -> np.ndarray:
    """Average the power spectrum into at most `MAX_COLUMNS` columns, reading block by block.

    Frame f is centred at sample ``start + (f + ½) · hop_length``, with zeros beyond the recording; the window is a
    periodic Hann. Frames with NaN are left out.

    Parameters
    ----------
    read : callable (start, stop) -> samples
    n_samples : int > 0, length of what `read` reads
    start, stop : int, the samples to show
    n_fft, hop_length : int > 0, in samples
    n_bins : int > 0, bins from 0 Hz on

    Returns
    -------
    power : np.ndarray [shape=(n_columns, n_bins)], re a full-scale sine; NaN in columns without a readable frame

    Examples
    --------
    A sine of amplitude 1 at 1 kHz:

    >>> sine = np.sin(2 * np.pi * np.arange(8000) / 8).astype(np.float32)
    >>> power = measure_power(
    ...     lambda start, stop: sine[start:stop], 8000, start=0, stop=8000, n_fft=256, hop_length=128, n_bins=129
    ... )
    >>> power.shape, int(power[30].argmax()) * 8000 / 256, round(float(power[30].max()), 3)
    ((63, 129), 1000.0, 1.0)
    """
    from scipy.fft import rfft

    n_frames = max(1, -(-(stop - start) // hop_length))
    n_columns = min(MAX_COLUMNS, n_frames)
    edges = np.arange(n_columns + 1) * n_frames // n_columns
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    hann *= 4 / n_fft  # a sine of amplitude 1 on a bin has power 1
    total, counted = np.zeros((n_columns, n_bins)), np.zeros(n_columns)
    for first, last in _cut_stretches(edges, max(1, BLOCK_SAMPLES // n_fft)):
        begin = start + first * hop_length + hop_length // 2 - n_fft // 2
        end = begin + (last - first - 1) * hop_length + n_fft
        samples = np.zeros(end - begin, np.float32)
        inside = slice(max(0, begin), min(n_samples, end))
        if inside.start < inside.stop:
            samples[inside.start - begin : inside.stop - begin] = read(inside.start, inside.stop)
        frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[::hop_length]
        spectrum = rfft(frames * hann, axis=1)[:, :n_bins]
        power = spectrum.real**2 + spectrum.imag**2
        readable = np.isfinite(power).all(axis=1)
        power[~readable] = 0
        column = np.searchsorted(edges, np.arange(first, last), side="right") - 1
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        total[column[starts]] += np.add.reduceat(power, starts, axis=0)
        counted[column[starts]] += np.add.reduceat(readable, starts, dtype=np.float64)
    return np.divide(total, counted[:, None], out=np.full_like(total, np.nan), where=counted[:, None] > 0)


def compute_fraction_shown(n_frames: int) -> float:
    """Return which part of `n_frames` frames `measure_power` reads: 1 is all of them.

    Examples
    --------
    >>> compute_fraction_shown(1000), compute_fraction_shown(384_000)
    (1.0, 0.5)
    """
    return min(1.0, MAX_COLUMNS * STRETCHES * STRETCH_FRAMES / max(1, n_frames))


def _cut_stretches(edges: np.ndarray, block: int) -> Iterator[tuple[int, int]]:
    """Yield runs of frames to transform: all frames, or some of each column."""
    n_frames = int(edges[-1])
    if compute_fraction_shown(n_frames) == 1:
        for first in range(0, n_frames, block):
            yield first, min(n_frames, first + block)
        return
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        for k in range(STRETCHES):
            first = low + (2 * k + 1) * (high - low) // (2 * STRETCHES) - STRETCH_FRAMES // 2
            yield first, first + STRETCH_FRAMES
