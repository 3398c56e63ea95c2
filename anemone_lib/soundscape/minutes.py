"""Measure the spectrum of every minute: bands, third octaves, hybrid millidecades, as MANTA and PyPAM define them.

*Conventions.* A spectrum is the mean of the power of segments of one second (Hann, half overlapping), so its bins are
1 Hz apart (MANTA: Miksis-Olds et al. 2021, doi:10.3389/fmars.2021.703650). A band takes of a bin at its edge the part
that lies inside it. Third octaves are the decidecades of IEC 61260, with centres at ``10 ** (n / 10)`` Hz. Hybrid
millidecades (Martin et al. 2021, doi:10.1121/10.0003324) are 1 Hz wide up to 435 Hz and a thousandth of a decade above.
Levels are in dB re a full-scale sine, as everywhere in `anemone_lib`; `calibrate` turns them into dB re 1 µPa.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft

from anemone_lib.audio.recording import Recording
from anemone_lib.soundscape.noise import BANDS_HZ

MINUTE_S = 60


#: Samples that are transformed at once.
BLOCK_SAMPLES = 1 << 21


#: Centres of the lowest and the highest third octave, as powers of ``10 ** 0.1``: 20 Hz and 80 kHz.
THIRD_OCTAVES = range(13, 50)


#: A full-scale sine has half the mean square of full scale itself, which `calibration_db` names.
SINE_DB = 10 * math.log10(2)


@dataclass(frozen=True, eq=False)
class Minutes:
    """The levels of a recording, minute by minute from its start.

    Attributes
    ----------
    start_times : np.ndarray [shape=(n_minutes,)], in seconds from the start of the recording
    seconds : np.ndarray [shape=(n_minutes,)], audio that could be read, 0 to 60 s
    bands : dict of np.ndarray [shape=(n_minutes,)], level in each band, in dB; NaN where nothing was readable
    third_octaves : np.ndarray [shape=(n_minutes, n_third_octaves)], level in each band, in dB
    third_octaves_hz : np.ndarray [shape=(n_third_octaves,)], the centres
    millidecades : np.ndarray [shape=(n_minutes, n_millidecades)], mean level of a hertz in each band, in dB
    millidecades_hz : np.ndarray [shape=(n_millidecades + 1,)], the edges

    Examples
    --------
    >>> nothing = np.zeros((0, 0))
    >>> Minutes(np.zeros(0), np.zeros(0), {}, nothing, np.zeros(0), nothing, np.zeros(1)).start_times.size
    0
    """

    start_times: np.ndarray
    seconds: np.ndarray
    bands: dict[str, np.ndarray]
    third_octaves: np.ndarray
    third_octaves_hz: np.ndarray
    millidecades: np.ndarray
    millidecades_hz: np.ndarray


def measure_minutes(recording: Recording, *, bands_hz: dict[str, tuple[float, float]] | None = None) -> Minutes:
    """Measure the levels of every minute of a recording, a block in memory at a time.

    Parameters
    ----------
    recording : Recording
        Of at least one second; shorter ones have no minutes.
    bands_hz : dict of (low, high) by name, optional
        By default `anemone_lib.soundscape.noise.BANDS_HZ`; a band beyond half the sample rate is cut there, and NaN
        where nothing of it is left.

    Returns
    -------
    minutes : Minutes
        The last minute may be shorter; seconds with a gap are left out.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> with open_recording(path) as recording:
    ...     minutes = measure_minutes(recording)
    >>> minutes.start_times.tolist(), minutes.seconds.tolist(), minutes.millidecades.shape
    ([0.0], [10.0], (1, 1701))
    """
    bands_hz = bands_hz or BANDS_HZ
    rate = recording.sample_rate
    edges = lay_millidecades(rate / 2)
    centres = np.array([10 ** (n / 10) for n in THIRD_OCTAVES])
    centres = centres[centres * 10**0.05 <= rate / 2]
    third_edges = np.column_stack([centres * 10**-0.05, centres * 10**0.05])
    starts = np.arange(0, recording.n_samples - rate + 1, MINUTE_S * rate)
    seconds = np.zeros(len(starts))
    bands = {name: np.full(len(starts), np.nan) for name in bands_hz}
    thirds = np.full((len(starts), len(centres)), np.nan)
    millidecades = np.full((len(starts), len(edges) - 1), np.nan)
    for k, start in enumerate(starts.tolist()):
        density, seconds[k] = _measure_density(recording, start, min(start + MINUTE_S * rate, recording.n_samples))
        if density is None:
            continue
        for name, (low, high) in bands_hz.items():
            if low < rate / 2:
                bands[name][k] = _to_db(add_bands(density, np.array([[low, min(high, rate / 2)]])))[0]
        thirds[k] = _to_db(add_bands(density, third_edges))
        pairs = np.column_stack([edges[:-1], edges[1:]])
        millidecades[k] = _to_db(add_bands(density, pairs) / np.diff(edges))
    return Minutes(starts / rate, seconds, bands, thirds, centres, millidecades, edges)


def lay_millidecades(nyquist_hz: float) -> np.ndarray:
    """Lay the edges of hybrid millidecades from 0 Hz to half a sample rate, for bins of 1 Hz.

    Parameters
    ----------
    nyquist_hz : float > 0, in Hz

    Returns
    -------
    edges : np.ndarray [shape=(n_bands + 1,)], in Hz, ascending
        The bin at 0 Hz begins at −0.5 Hz.

    Examples
    --------
    >>> edges = lay_millidecades(24_000)
    >>> len(edges), edges[:3].tolist(), edges[434:437].round(2).tolist(), float(edges[-1])
    (2179, [-0.5, 0.5, 1.5], [433.5, 434.51, 435.51], 24000.0)
    """
    # Edges of millidecades lie at powers of 10 ** 0.001. From the first that is as wide as a bin, bins and millidecades
    # are counted in step, to the pair whose centres agree best: there the one scale gives way to the other.
    number = math.ceil(1000 * math.log10(1 / (10**0.0005 - 10**-0.0005)) - 0.5)
    bin_hz = round(10 ** ((number + 0.5) / 1000))
    while abs(bin_hz + 1 - 10 ** ((number + 1.5) / 1000)) < abs(bin_hz - 10 ** ((number + 0.5) / 1000)):
        number, bin_hz = number + 1, bin_hz + 1
    last = max(number, math.ceil(1000 * math.log10(nyquist_hz)))
    edges = np.r_[np.arange(bin_hz) - 0.5, 10 ** (np.arange(number, last) / 1000)]
    return np.r_[edges[edges < nyquist_hz], nyquist_hz]


def add_bands(density: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Add up the power of a spectrum between edges; of a bin at an edge counts the part inside.

    Parameters
    ----------
    density : np.ndarray [shape=(n_bins,)], power a hertz; bin k reaches from k − ½ to k + ½ Hz
    edges : np.ndarray [shape=(n_bands, 2)], in Hz

    Returns
    -------
    power : np.ndarray [shape=(n_bands,)]

    Examples
    --------
    >>> add_bands(np.array([1.0, 2.0, 4.0]), np.array([[0.5, 1.5], [1.0, 2.25]])).tolist()
    [2.0, 4.0]
    """
    below = np.r_[0.0, np.cumsum(density)]
    at = np.clip(edges + 0.5, 0, len(density))
    return np.diff(np.interp(at, np.arange(len(below)), below), axis=1)[:, 0]


def calibrate(levels: np.ndarray, calibration_db: float | None) -> tuple[np.ndarray, str]:
    """Turn levels re a full-scale sine into levels re 1 µPa, where the recorder's calibration is known.

    Parameters
    ----------
    levels : np.ndarray, in dB re a full-scale sine
    calibration_db : float or None
        Level of full scale, a sample of 1, in dB re 1 µPa: what a maker calls the end-to-end calibration.

    Returns
    -------
    levels : np.ndarray, in dB
    reference : str, what 0 dB is: ``1 µPa`` or ``full scale``

    Examples
    --------
    A sine of full scale in a recorder of 173 dB is 3 dB below the peak:

    >>> levels, reference = calibrate(np.array([0.0]), 173.0)
    >>> levels.round(2).tolist(), reference
    ([169.99], '1 µPa')
    """
    if calibration_db is None or not math.isfinite(calibration_db):
        return levels, "full scale"
    return levels + (calibration_db - SINE_DB), "1 µPa"


def _measure_density(recording: Recording, start: int, stop: int) -> tuple[np.ndarray | None, float]:
    """Mean power a hertz [shape=(rate // 2 + 1,)] re a full-scale sine, and the seconds that it is from."""
    rate = recording.sample_rate
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(rate) / rate)).astype(np.float32)
    hop = max(1, rate // 2)
    n_frames = (stop - start - rate) // hop + 1
    total, counted, readable = np.zeros(rate // 2 + 1), 0, 0
    step = max(2, BLOCK_SAMPLES // rate)
    for first in range(0, n_frames, step):
        last = min(n_frames, first + step)
        samples = recording.read(start + first * hop, start + (last - 1) * hop + rate)
        frames = np.lib.stride_tricks.sliding_window_view(samples, rate)[::hop]
        whole = np.isfinite(frames).all(axis=1)
        spectrum = rfft(frames[whole] * hann, axis=1)
        total += np.einsum("ij,ij->j", spectrum.real, spectrum.real) + np.einsum(
            "ij,ij->j", spectrum.imag, spectrum.imag
        )
        counted += int(whole.sum())
        fresh = samples if last == n_frames else samples[: (last - first) * hop]
        readable += int(np.isfinite(fresh).sum())
    if last == n_frames:  # what is left behind the last whole segment
        readable += stop - (start + (n_frames - 1) * hop + rate)
    if counted == 0:
        return None, readable / rate
    # One side of a spectrum has twice its power, but for 0 Hz and half the rate; a sine of amplitude 1 has power ½.
    total[1 : -1 if rate % 2 == 0 else None] *= 2
    return total * 2 / (counted * rate * float(np.square(hann, dtype=np.float64).sum())), readable / rate


def _to_db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-30))
