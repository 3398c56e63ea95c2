"""Find pulses: short rises of the level in a band over the noise around them.

*How.* The sound in the band becomes a level over time, smoothed over `SMOOTH_S`. The noise floor is the level that lies
below 70 % of the `FLOOR_S` around. A pulse is a peak of the level at least `MIN_LEVEL_DB` over the floor, with a dip of
`MIN_DIP_DB` before and after, at most `MAX_FALL_DB` below the loudest pulse near it. What stands out more above the
band than in it is no pulse of the band: a snap, a bite, a scrape.

Many stretches of sound are measured at once, since most are so short that calling a function takes longer than its
work. They lie one after another, with silence between, so that what is found in one does not depend on the others.

The constants are chosen: with them the number of pulses is right most often on simulated calls of anemonefish in the
simulated noise of reefs, between 6 and 18 dB (`benchmarks/calls.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SMOOTH_S = 0.002
#: The floor is made of the mean powers of blocks about this long; of those around, so many are quieter.
BLOCK_S, FLOOR_S, FLOOR_PERCENT = 0.05, 2.0, 30
MIN_LEVEL_DB, MIN_DIP_DB, MAX_FALL_DB, NEAR_S = 9.0, 3.0, 8.0, 0.3
#: How far the band above reaches, in which snaps, bites and scrapes stand out: times the upper end of the calls' band.
ABOVE = 2.5
#: What is loudest above the band in this time counts.
ABOVE_S = 0.02
#: The sound is resampled to at least this many times the highest frequency that is needed.
SPARE_RATE = 3.0
#: The filter for it: what is folded down is this much lower, and the shape of the window that this needs.
ATTENUATION_DB, KAISER_BETA = 60.0, 5.65
#: Multiplications of one product of matrices: for more, OpenBLAS starts threads, which cost more than they gain.
PRODUCT = 1 << 18
#: Blocks of one transform, and those at either end of it that are left to the ringing of the filter.
TRANSFORMED, RINGING = 32, 2
#: Where a band is cut out, it rises and falls over this much, against ringing; complex samples a second, at least.
EDGE_HZ, MIN_RATE = 40.0, 1000.0
#: Pulses cannot be told apart below this.
MIN_PERIOD_S = 0.012
#: A pulse lasts as long as its level is within this of its peak, on either side.
ONSET_DB, EXTENT_DB = 6.0, 10.0
#: Longest time from a pulse's onset to its peak that is looked at.
MAX_RISE_S, MAX_DECAY_S = 0.03, 2.0
#: What counts as no sound at all, as a mean square: −100 dB re full scale.
SILENCE = 1e-10


@dataclass(frozen=True, eq=False)
class Pulses:
    """The pulses in stretches of sound, as places in what `signal` and the arrays of its length have.

    Attributes
    ----------
    signal : np.ndarray [shape=(n,)], complex64, the band alone, moved down so that `origin_hz` is 0 Hz
        Its mean square is that of the sound in the band.
    rate : float, complex samples a second
    origin_hz : float
    power, floor : np.ndarray [shape=(n,)], mean squares of the signal and of the noise around it
    level : np.ndarray [shape=(n,)], dB, smoothed level over the floor; infinite between the stretches
    begins, stops : np.ndarray [shape=(n_stretches,)], int, where each stretch is
    peaks, starts, ends : np.ndarray [shape=(n_pulses,)], int, where each pulse is loudest, begins and ends
    stretches : np.ndarray [shape=(n_pulses,)], int, the number of the stretch in which each is, from 0
    excess_db : np.ndarray [shape=(n_pulses,)], how much more each stands out in the band than above it
    """

    signal: np.ndarray
    rate: float
    origin_hz: float
    power: np.ndarray
    floor: np.ndarray
    level: np.ndarray
    begins: np.ndarray
    stops: np.ndarray
    peaks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    stretches: np.ndarray
    excess_db: np.ndarray


def find_pulses(sounds: Sequence[np.ndarray], rate: float, band_hz: tuple[float, float]) -> Pulses:
    """Find the pulses in a band; see the module.

    Parameters
    ----------
    sounds : sequence of np.ndarray [shape=(n,)], float32, finite
        One or more stretches of sound. Nothing is found in one of less than about `BLOCK_S`.
    rate : float > 0, sample rate in Hz
        It costs less at a rate that `lower_rate` gives.
    band_hz : (low, high), in Hz, below half the sample rate

    Returns
    -------
    pulses : Pulses

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> samples = 1e-4 * rng.standard_normal(16_000, np.float32)
    >>> burst = np.sin(2 * np.pi * 600 * np.arange(160) / 8000) * np.exp(-np.arange(160) / 50)
    >>> for start in (8000, 8400):
    ...     samples[start : start + 160] += 0.1 * burst
    >>> pulses = find_pulses([samples, samples[4000:]], 8000, (300, 1000))
    >>> ((pulses.starts - pulses.begins[pulses.stretches]) / pulses.rate).round(2).tolist()
    [1.0, 1.05, 0.5, 0.55]
    """
    from scipy.fft import next_fast_len, rfft

    block = next_fast_len(max(1, round(BLOCK_S * rate)), real=True)
    rows, firsts = _lay_out(sounds, block)
    spectra = rfft(rows, axis=1)
    n_blocks = np.array([len(samples) // block for samples in sounds])
    lengths = np.where(n_blocks > 0, [len(samples) for samples in sounds], 0)

    signal, origin_hz, size = _cut_band(spectra, rate, band_hz)
    signal_rate, begins = rate * size / block, firsts * size
    stops = begins + (lengths * (size / block)).astype(int)
    power = np.square(signal.real) + np.square(signal.imag)
    floor = _measure_floor(power, size, firsts, n_blocks, np.arange(len(power)))
    level = 10 * np.log10(_smooth(power, signal_rate) / floor)
    for begin, end in zip([0, *stops.tolist()], [*begins.tolist(), len(level)], strict=True):
        level[begin:end] = np.inf
    peaks = _find_peaks(level, distance=max(1, int(MIN_PERIOD_S * signal_rate)))
    excess_db = level[peaks] - _hear_above(spectra, rate, band_hz, firsts, n_blocks, peaks / size)
    peaks, excess_db = peaks[excess_db > 0], excess_db[excess_db > 0]
    stretches = np.searchsorted(begins, peaks, side="right") - 1
    loud = _find_loud(peaks, level, signal_rate, stretches)
    peaks, excess_db, stretches = peaks[loud], excess_db[loud], stretches[loud]
    starts, ends = _find_extents(level, peaks, signal_rate, stops[stretches])
    return Pulses(
        signal, signal_rate, origin_hz, power, floor, level, begins, stops, peaks, starts, ends, stretches, excess_db
    )


# ---------------------------------------------------------------------- a lower rate


def lower_rate(samples: np.ndarray, rate: float, band_hz: tuple[float, float]) -> tuple[np.ndarray, float]:
    """Lower the sample rate as far as the pulses of a band can still be found.

    A low-pass filter without delay, of which only the values that are kept are computed. A block of so many samples
    that the filter, from the block's first value, ends in the next block, gives its part of the block's own values and
    of those of the block before: one product of matrices.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32
    rate : float > 0, sample rate in Hz
    band_hz : (low, high), in Hz

    Returns
    -------
    samples : np.ndarray, float32
        The same array where the rate cannot be lower.
    rate : float, in Hz

    Examples
    --------
    >>> samples, rate = lower_rate(np.ones(48_000, np.float32), 48_000, (300, 1000))
    >>> len(samples), round(rate), samples[1000:1003].round(3).tolist()
    (8000, 8000, [1.0, 1.0, 1.0])
    """
    top = _reach_above(rate, band_hz)
    factor = int(rate / (SPARE_RATE * top))
    if factor < 2:
        return samples, rate
    matrix, half = _design_low_pass(factor, top / rate)
    length, n_values = len(matrix), matrix.shape[1] // 2
    n = -(-len(samples) // factor)
    n_together = max(1, PRODUCT // matrix.size)
    n_products = -(-(n // n_values + 2) // n_together)
    padded = np.zeros(n_products * n_together * length, np.float32)
    padded[half : half + len(samples)] = samples
    parts = (padded.reshape(n_products, n_together, length) @ matrix).reshape(-1, 2, n_values)
    return (parts[:-1, 0] + parts[1:, 1]).ravel()[:n], rate / factor


def _reach_above(rate: float, band_hz: tuple[float, float]) -> float:
    """How high the band above goes."""
    return min(ABOVE * band_hz[1], 0.45 * rate)


@lru_cache(maxsize=8)
def _design_low_pass(factor: int, top: float) -> tuple[np.ndarray, int]:
    """A low-pass filter as the matrix of `lower_rate`, and its delay: above the new rate less `top` it is 60 dB down.

    With the window of J. F. Kaiser, whose formula gives the length (Oppenheim and Schafer, Discrete-Time Signal
    Processing).
    """
    half = math.ceil((ATTENUATION_DB - 7.95) / (2 * 14.36 * (1 / factor - 2 * top)))
    at = np.arange(-half, half + 1)
    taps = np.sinc(at / factor) * np.i0(KAISER_BETA * np.sqrt(1 - (at / (half + 1)) ** 2))
    n_values = -(-2 * half // factor)
    matrix = np.zeros((2, n_values * factor, n_values), np.float32)
    for k in range(n_values):
        matrix.reshape(-1, n_values)[k * factor : k * factor + len(at), k] = taps / taps.sum()
    return np.concatenate([*matrix], axis=1), half


# ---------------------------------------------------------------------- bands and their levels


def _lay_out(sounds: Sequence[np.ndarray], block: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay stretches of sound out in rows that overlap, with a block of silence before and after; see `_cut_band`.

    Returns the rows, and the block with which each stretch begins in what is left of the rows.
    """
    hop = TRANSFORMED - 2 * RINGING
    n_rows = [-(-(-(-len(samples) // block) + 2) // hop) for samples in sounds]
    firsts = np.cumsum([0, *n_rows])
    rows = np.empty((firsts[-1], TRANSFORMED * block), np.float32)
    for samples, n, first in zip(sounds, n_rows, firsts, strict=False):
        padded = np.zeros((n * hop + 2 * RINGING) * block, np.float32)
        padded[(RINGING + 1) * block :][: len(samples)] = samples
        rows[first : first + n] = np.lib.stride_tricks.sliding_window_view(padded, rows.shape[1])[:: hop * block]
    return rows, firsts[:-1] * hop + 1


def _cut_band(spectra: np.ndarray, rate: float, band_hz: tuple[float, float]) -> tuple[np.ndarray, float, int]:
    """A band alone, moved down, as complex samples at a rate not much higher than it is wide.

    `spectra` are the real FFT of rows of `TRANSFORMED` blocks that overlap by twice `RINGING`. Returns the samples,
    whose mean square is that of the sound in the band, the frequency that became 0 Hz, and the samples of a block.
    """
    from scipy.fft import ifft, next_fast_len

    n = 2 * (spectra.shape[1] - 1)
    first, last = math.ceil(band_hz[0] * n / rate), math.floor(band_hz[1] * n / rate)
    origin = first - first % (TRANSFORMED // (2 * RINGING))  # a whole number of periods from row to row
    edge = np.clip((np.arange(last + 1 - first) + 1) / max(1.0, EDGE_HZ * n / rate), 0, 1)
    size = next_fast_len(math.ceil(max(1.25 * len(edge), MIN_RATE * n / rate) / TRANSFORMED))
    padded = np.zeros((len(spectra), TRANSFORMED * size), np.complex64)
    scale = math.sqrt(2) * padded.shape[1] / n
    band = padded[:, first - origin : last + 1 - origin]
    np.multiply(spectra[:, first : last + 1], (scale * np.minimum(edge, edge[::-1])).astype(np.float32), out=band)
    signal = ifft(padded, axis=1, overwrite_x=True)[:, RINGING * size : (TRANSFORMED - RINGING) * size]
    return signal.ravel(), origin * rate / n, size


def _smooth(power: np.ndarray, rate: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(power, SMOOTH_S * rate) + np.float32(SILENCE)


def _measure_floor(
    power: np.ndarray, size: int, firsts: np.ndarray, n_blocks: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """The noise around places: the power of the quiet blocks of `size` near them, in the same stretch."""
    from scipy.ndimage import percentile_filter

    means = power.reshape(-1, size).mean(axis=1)
    floors = np.ones_like(means)
    for first, n, stop in zip(firsts, n_blocks, [*(firsts[1:] - 1), len(means)], strict=True):
        if n:
            around, last = min(round(FLOOR_S / BLOCK_S) | 1, 2 * n - 1), first + n
            floors[first:last] = percentile_filter(means[first:last], FLOOR_PERCENT, size=around, mode="nearest")
            floors[first - 1], floors[last:stop] = floors[first], floors[last - 1]
    return (np.interp(places, (np.arange(len(floors)) + 0.5) * size, floors) + SILENCE).astype(np.float32)


def _hear_above(
    spectra: np.ndarray,
    rate: float,
    band_hz: tuple[float, float],
    firsts: np.ndarray,
    n_blocks: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """The highest level above the band near places, which are in blocks; −∞ where the rate holds nothing above."""
    top = _reach_above(rate, band_hz)
    if top <= band_hz[1] + 100:
        return np.full(len(places), -np.inf)
    signal, _, size = _cut_band(spectra, rate, (band_hz[1], top))
    signal_rate = rate * size * TRANSFORMED / (2 * (spectra.shape[1] - 1))
    power = np.square(signal.real) + np.square(signal.imag)
    width, spare = max(1, int(ABOVE_S * signal_rate)), math.ceil(4 * SMOOTH_S * signal_rate)
    near = (places * size).astype(int)[:, np.newaxis] + np.arange(-spare, width + spare) - width // 2
    loud = slice(spare, spare + width)
    levels = _smooth(power[near], signal_rate)[:, loud] / _measure_floor(power, size, firsts, n_blocks, near[:, loud])
    return 10 * np.log10(levels.max(axis=1, initial=SILENCE))


# ---------------------------------------------------------------------- peaks of a level


def _find_peaks(level: np.ndarray, *, distance: int) -> np.ndarray:
    """Where the level has a peak of `MIN_LEVEL_DB`, with a dip of `MIN_DIP_DB` on both sides; of near ones the highest.

    The same as `scipy.signal.find_peaks`, whose import takes longer than that of all else here.
    """
    level = np.pad(level, 1, constant_values=np.inf)
    inner = level[1:-1]
    rises = np.flatnonzero((inner >= MIN_LEVEL_DB) & (inner > level[:-2]) & (inner >= level[2:]) & (inner < np.inf)) + 1
    heights = level[rises]
    falls = _walk(level, rises, 1, low=np.nextafter(heights, -np.inf), high=heights)  # after one value or several
    peaks = ((rises + falls - 1) // 2)[level[falls] < heights]
    kept = np.ones(len(peaks), bool)
    begins, ends = np.searchsorted(peaks, peaks - distance, side="right"), np.searchsorted(peaks, peaks + distance)
    for k in np.argsort(level[peaks])[::-1]:
        if kept[k]:
            kept[begins[k] : ends[k]] = False
            kept[k] = True
    peaks = peaks[kept]
    heights = level[peaks]
    for way in (-1, 1):
        dips = _walk(level, peaks, way, low=heights - MIN_DIP_DB, high=heights)
        peaks, heights = (values[level[dips] < heights] for values in (peaks, heights))
    return peaks - 1


def _walk(level: np.ndarray, peaks: np.ndarray, way: int, *, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The first place before (−1) or after (1) each peak where the level is at most `low` or above `high`.

    The level is infinite at both ends.
    """
    places, left, steps = peaks.copy(), np.arange(len(peaks)), way * np.arange(1, 33)
    while len(left):
        at = places[left, np.newaxis] + steps
        near = level.take(at, mode="clip")
        met = (near <= low[left, np.newaxis]) | (near > high[left, np.newaxis])
        met[:, -1] |= (found := met.any(axis=1)) == 0
        places[left] = at[np.arange(len(left)), met.argmax(axis=1)]
        left = left[~found]
    return places


def _find_loud(peaks: np.ndarray, level: np.ndarray, rate: float, stretches: np.ndarray) -> np.ndarray:
    """Which peaks are not much fainter than the loudest near them: echoes and other animals go."""
    heights, near = level[peaks], NEAR_S * rate
    places = peaks + stretches * near  # those of different stretches are not near each other
    firsts, lasts = np.searchsorted(places, places - near), np.searchsorted(places, places + near, side="right")
    loudest = np.maximum.reduceat(np.append(heights, 0), np.stack([firsts, lasts], axis=1).ravel())[::2]
    return heights >= loudest - MAX_FALL_DB


def _find_extents(
    level: np.ndarray, peaks: np.ndarray, rate: float, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pulse begins and ends: it rises and falls through a level below its peak, or turns up again.

    `stops` is where the stretch ends in which each peak is.
    """
    heights, anything = level[peaks], np.full(len(peaks), np.finfo(level.dtype).max)
    earliest = np.maximum(np.append(0, peaks)[:-1], peaks - int(MAX_RISE_S * rate))
    latest = np.minimum(np.minimum(np.append(peaks, len(level))[1:], stops), peaks + int(MAX_DECAY_S * rate))
    starts = _walk(level, peaks, -1, low=heights - ONSET_DB, high=anything) + 1
    for k in np.flatnonzero(starts <= earliest):
        starts[k] = earliest[k] + level[earliest[k] : peaks[k] + 1].argmin()
    ends = _walk(level, peaks, 1, low=np.maximum(heights - EXTENT_DB, MIN_DIP_DB), high=anything)
    for k in np.flatnonzero(ends >= latest):
        ends[k] = peaks[k] + level[peaks[k] : latest[k]].argmin() + 1
    return starts, ends
