"""Find pulses: short rises of the level in a band over the noise around them.

*How.* The sound in the band becomes a level over time, smoothed over `SMOOTH_S`. The noise floor is the level that lies
below 70 % of the `FLOOR_S` around. A pulse is a peak of the level at least `MIN_LEVEL_DB` over the floor, with a dip of
`MIN_DIP_DB` before and after, at most `MAX_FALL_DB` below the loudest pulse near it. What stands out more above the
band than in it is no pulse of the band: a snap, a bite, a scrape.

The constants are chosen: with them the number of pulses is right most often on simulated calls of anemonefish in the
simulated noise of reefs, between 6 and 18 dB (`benchmarks/calls.py`).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SMOOTH_S = 0.002
FLOOR_BLOCK_S, FLOOR_S, FLOOR_PERCENT = 0.05, 2.0, 30
MIN_LEVEL_DB, MIN_DIP_DB, MAX_FALL_DB, NEAR_S = 9.0, 3.0, 8.0, 0.3
#: How far the band above reaches, in which snaps, bites and scrapes stand out: times the upper end of the calls' band.
ABOVE = 2.5
#: The sound is resampled to at least this many times the highest frequency that is needed, in blocks of this length.
SPARE_RATE, BLOCK = 2.5, 512
#: The filter for it: what is folded down is this much lower, and the shape of the window that this needs.
ATTENUATION_DB, KAISER_BETA = 60.0, 5.65
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
    """The pulses in a stretch of sound, as places in what `signal` and the arrays of its length have.

    Attributes
    ----------
    signal : np.ndarray [shape=(n,)], complex64, the band alone, moved down to 0 Hz
        Its mean square is that of the sound in the band.
    rate : float, complex samples a second
    power, floor : np.ndarray [shape=(n,)], mean squares of the signal and of the noise around it
    level : np.ndarray [shape=(n,)], dB, smoothed level over the floor
    peaks, starts, ends : np.ndarray [shape=(n_pulses,)], int, where each pulse is loudest, begins and ends
    excess_db : np.ndarray [shape=(n_pulses,)], how much more each stands out in the band than above it
    """

    signal: np.ndarray
    rate: float
    power: np.ndarray
    floor: np.ndarray
    level: np.ndarray
    peaks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    excess_db: np.ndarray


def find_pulses(samples: np.ndarray, rate: float, band_hz: tuple[float, float]) -> Pulses:
    """Find the pulses in a band; see the module.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32, finite, at least `FLOOR_BLOCK_S` long
    rate : float > 0, sample rate in Hz
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
    >>> pulses = find_pulses(samples, 8000, (300, 1000))
    >>> (pulses.starts / pulses.rate).round(2).tolist()
    [1.0, 1.05]
    """
    from scipy.fft import next_fast_len, rfft
    from scipy.ndimage import maximum_filter1d

    top = min(ABOVE * band_hz[1], 0.45 * rate)
    samples, rate = _decimate(samples, rate, top)
    n = next_fast_len(len(samples) + int(rate / 20), real=True)  # padded, so that the end does not ring into the start
    spectrum = rfft(samples, n)
    signal, signal_rate = _shift_band(spectrum, n, len(samples), rate, band_hz)
    power, floor, level = _measure_level(signal, signal_rate)
    peaks = _find_peaks(level, distance=max(1, int(MIN_PERIOD_S * signal_rate)))
    above = np.full(len(level), -np.inf)
    if top > band_hz[1] + 100:
        signal_above, rate_above = _shift_band(spectrum, n, len(samples), rate, (band_hz[1], top))
        heard = maximum_filter1d(_measure_level(signal_above, rate_above)[2], max(1, int(0.02 * rate_above)))
        above = heard[np.minimum((np.arange(len(level)) * (rate_above / signal_rate)).astype(int), len(heard) - 1)]
    peaks = peaks[above[peaks] < level[peaks]]
    peaks = _drop_faint(peaks, level, signal_rate)
    extents = _find_extents(level, peaks, signal_rate)
    return Pulses(signal, signal_rate, power, floor, level, peaks, *extents, level[peaks] - above[peaks])


def _decimate(samples: np.ndarray, rate: float, top_hz: float) -> tuple[np.ndarray, float]:
    """Samples at a lower rate that still holds all up to `top_hz`, and that rate; as they are where it is not lower.

    A low-pass filter without delay, by overlapping blocks of which many are transformed at once, in a third of the time
    of one long transform; what is above half the new rate is folded down, as in a filter of which some values are kept.
    """
    from scipy.fft import irfft, rfft

    factor = int(rate / (SPARE_RATE * top_hz))
    if factor < 2:
        return samples, rate
    response, half = _design_low_pass(factor, top_hz / rate)
    lost = -(-2 * half // factor)  # values of a block that those before it reach into
    n, step = -(-len(samples) // factor), BLOCK - lost
    padded = np.zeros(factor * (step * -(-n // step) + BLOCK), np.float32)
    before = lost * factor - half
    padded[before : before + len(samples)] = samples
    blocks = np.lib.stride_tricks.sliding_window_view(padded, factor * BLOCK)[:: factor * step][: -(-n // step)]
    spectra = rfft(blocks, axis=1) * response
    folded = spectra[:, : BLOCK // 2 + 1] + spectra[:, BLOCK : BLOCK // 2 - 1 : -1].conj()
    return irfft(folded, BLOCK, axis=1)[:, lost:].ravel()[:n] / np.float32(factor), rate / factor


@lru_cache(maxsize=8)
def _design_low_pass(factor: int, top: float) -> tuple[np.ndarray, int]:
    """The transform of a low-pass filter, and its delay: above the new rate less `top`, of the rate, it is 60 dB down.

    With the window of J. F. Kaiser, whose formula gives the length (Oppenheim and Schafer, Discrete-Time Signal
    Processing).
    """
    from scipy.fft import rfft

    half = math.ceil((ATTENUATION_DB - 7.95) / (2 * 14.36 * (1 / factor - 2 * top)))
    at = np.arange(-half, half + 1)
    taps = np.sinc(at / factor) * np.i0(KAISER_BETA * np.sqrt(1 - (at / (half + 1)) ** 2))
    return rfft((taps / taps.sum()).astype(np.float32), factor * BLOCK), half


def _shift_band(
    spectrum: np.ndarray, n: int, n_samples: int, rate: float, band_hz: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """A band alone, moved down to 0 Hz, as complex samples at a rate not much higher than it is wide.

    `spectrum` is the real FFT of `n_samples` samples that were padded to `n`. The mean square of the complex samples
    is that of the sound in the band.
    """
    from scipy.fft import ifft, next_fast_len

    first, last = math.ceil(band_hz[0] * n / rate), math.floor(band_hz[1] * n / rate)
    band = spectrum[first : last + 1].copy()
    edge = np.clip((np.arange(len(band)) + 1) / max(1.0, 40 * n / rate), 0, 1)  # 40 Hz, against ringing
    band *= np.minimum(edge, edge[::-1]).astype(np.float32)
    m = next_fast_len(max(round(1.25 * len(band)), math.ceil(1000 * n / rate)))
    padded = np.zeros(m, np.complex64)
    padded[: len(band)] = band
    signal = ifft(padded) * np.float32(math.sqrt(2) * m / n)
    signal_rate = rate * m / n
    return signal[: int(n_samples * signal_rate / rate)], signal_rate


def _measure_level(signal: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power, noise floor, and smoothed level over the floor in dB."""
    from scipy.ndimage import gaussian_filter1d

    power = np.square(signal.real) + np.square(signal.imag)
    floor = _measure_floor(power, rate)
    smoothed = gaussian_filter1d(power, SMOOTH_S * rate) + SILENCE
    return power, floor, 10 * np.log10(smoothed / floor)


def _measure_floor(power: np.ndarray, rate: float) -> np.ndarray:
    """The noise around each sample: the power of the quiet blocks near it."""
    from scipy.ndimage import percentile_filter

    block = max(1, round(FLOOR_BLOCK_S * rate))
    n_blocks = len(power) // block
    means = power[: n_blocks * block].reshape(n_blocks, block).mean(axis=1)
    size = min(round(FLOOR_S / FLOOR_BLOCK_S) | 1, 2 * n_blocks - 1)
    floors = percentile_filter(means, FLOOR_PERCENT, size=size, mode="nearest")
    return np.interp(np.arange(len(power)), (np.arange(n_blocks) + 0.5) * block, floors) + SILENCE


def _find_peaks(level: np.ndarray, *, distance: int) -> np.ndarray:
    """Where the level has a peak of `MIN_LEVEL_DB`, with a dip of `MIN_DIP_DB` on both sides; of near ones the highest.

    The same as `scipy.signal.find_peaks`, whose import takes longer than that of all else here.
    """
    if len(level) < 3:
        return np.zeros(0, int)
    turns = np.flatnonzero(np.diff(level))
    firsts, lasts = np.append(0, turns + 1), np.append(turns, len(level) - 1)  # of runs of one value
    values = level[firsts]
    runs = (
        np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] > values[2:]) & (values[1:-1] >= MIN_LEVEL_DB)) + 1
    )
    peaks = (firsts[runs] + lasts[runs]) // 2
    kept = np.ones(len(peaks), bool)
    begins, ends = np.searchsorted(peaks, peaks - distance, side="right"), np.searchsorted(peaks, peaks + distance)
    for k in np.argsort(level[peaks])[::-1]:
        if kept[k]:
            kept[begins[k] : ends[k]] = False
            kept[k] = True
    heights = level.tolist()
    return np.array([peak for peak in peaks[kept].tolist() if _has_dips(heights, peak)], int)


def _has_dips(heights: list[float], peak: int) -> bool:
    """Whether the level falls by `MIN_DIP_DB` before and after a peak, before it is higher than there."""
    for way in (range(peak - 1, -1, -1), range(peak + 1, len(heights))):
        for k in way:
            if heights[k] > heights[peak]:
                return False
            if heights[peak] - heights[k] >= MIN_DIP_DB:
                break
        else:
            return False
    return True


def _drop_faint(peaks: np.ndarray, level: np.ndarray, rate: float) -> np.ndarray:
    """Peaks that are not much fainter than the loudest near them: echoes and other animals go."""
    if not len(peaks):
        return peaks
    heights, near = level[peaks], NEAR_S * rate
    firsts, lasts = np.searchsorted(peaks, peaks - near), np.searchsorted(peaks, peaks + near, side="right")
    loudest = np.array([heights[a:b].max() for a, b in zip(firsts, lasts, strict=True)])
    return peaks[heights >= loudest - MAX_FALL_DB]


def _find_extents(level: np.ndarray, peaks: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each pulse begins and ends: it rises and falls through a level below its peak, or turns up again."""
    starts, ends = np.empty(len(peaks), int), np.empty(len(peaks), int)
    for k, peak in enumerate(peaks):
        earliest = max(peaks[k - 1] if k else 0, peak - int(MAX_RISE_S * rate))
        before = level[earliest : peak + 1]
        below = np.flatnonzero(before < level[peak] - ONSET_DB)
        starts[k] = earliest + (below[-1] + 1 if len(below) else int(before.argmin()))
        latest = min(peaks[k + 1] if k + 1 < len(peaks) else len(level), peak + int(MAX_DECAY_S * rate))
        after = level[peak:latest]
        below = np.flatnonzero(after < max(level[peak] - EXTENT_DB, MIN_DIP_DB))
        ends[k] = peak + (below[0] if len(below) else int(after.argmin()) + 1)
    return starts, ends
