"""Measure the spectrum of every minute: bands, third octaves, hybrid millidecades, as MANTA and PyPAM define them.

*Conventions.* A spectrum is the mean of the power of segments of one second (Hann, half overlapping), so its bins are
1 Hz apart (MANTA: Miksis-Olds et al. 2021, doi:10.3389/fmars.2021.703650). A band takes of a bin at its edge the part
that lies inside it. Third octaves are the decidecades of IEC 61260, with centres at ``10 ** (n / 10)`` Hz. Hybrid
millidecades (Martin et al. 2021, doi:10.1121/10.0003324) are 1 Hz wide up to 435 Hz and a thousandth of a decade above.
Levels are in dB re a full-scale sine; `calibrate` turns them into dB re 1 µPa, or re full scale, as the tables of an
archive have them.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anemone_lib.audio.recording import Recording
from anemone_lib.soundscape.noise import BANDS_HZ, SILENT_DB

MINUTE_S = 60


#: Samples that are transformed at once, and that are read at once.
BLOCK_SAMPLES, READ_SAMPLES = 1 << 19, 1 << 21


#: Centres of the lowest and the highest third octave, as powers of ``10 ** 0.1``: 20 Hz and 80 kHz.
THIRD_OCTAVES = range(13, 50)


#: Bins into which the window puts a constant value.
OFFSET_BINS = 2
#: A full-scale sine has half the mean square of full scale itself, which `calibration_db` names.
SINE_DB = 10 * math.log10(2)


@dataclass(frozen=True, eq=False)
class Minutes:
    """The levels of a recording, minute by minute from its start.

    Attributes
    ----------
    start_times : np.ndarray [shape=(n_minutes,)], in seconds from the start of the recording
    seconds : np.ndarray [shape=(n_minutes,)], audio that could be read, 0 to 60 s
    bands : dict of np.ndarray [shape=(n_minutes,)], level in each band, in dB
        NaN where nothing was readable, or the recorder was dead: digital silence is no measure of the quiet.
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
    meter = MinuteMeter(recording.sample_rate, bands_hz=bands_hz)
    for start in range(0, recording.n_samples, READ_SAMPLES):
        meter.add(start, recording.read(start, min(recording.n_samples, start + READ_SAMPLES)))
    return meter.finish(recording.n_samples)


class MinuteMeter:
    """Measure the levels of every minute from samples that are read for another purpose, too.

    Parameters
    ----------
    sample_rate : int > 0, in Hz
    bands_hz : dict of (low, high) by name, optional
        As in `measure_minutes`.

    Examples
    --------
    The pieces may have any length; the levels are the same bits:

    >>> samples = np.random.default_rng(1).normal(0, 0.1, 90 * 8000).astype(np.float32)
    >>> levels = []
    >>> for length in (7001, 90 * 8000):
    ...     meter = MinuteMeter(8000)
    ...     for start in range(0, len(samples), length):
    ...         meter.add(start, samples[start : start + length])
    ...     levels.append(meter.finish(len(samples)).bands["calls"])
    >>> levels[0].tolist() == levels[1].tolist(), levels[0].shape
    (True, (2,))
    """

    def __init__(self, sample_rate: int, *, bands_hz: dict[str, tuple[float, float]] | None = None) -> None:
        self._rate, self._bands_hz = sample_rate, bands_hz or BANDS_HZ
        self._edges = lay_millidecades(sample_rate / 2)
        self._centres, self._third_octaves = lay_third_octaves(sample_rate / 2)
        self._hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(sample_rate) / sample_rate)).astype(np.float32)
        self._hop = max(1, sample_rate // 2)
        # A fixed number of segments, counted from the start of the minute, is transformed at once: the sum then does
        # not depend on how the samples arrive. The transform takes four at a time.
        n_segments = max(4, BLOCK_SAMPLES // sample_rate // 4 * 4)
        self._block = np.empty((n_segments - 1) * self._hop + sample_rate, np.float32)
        self._windowed = np.empty((n_segments, sample_rate), np.float32)
        self._position = 0
        self._seconds: list[float] = []
        self._rows: list[tuple[list[float], np.ndarray, np.ndarray]] = []
        self._begin_minute()

    def add(self, start: int, samples: np.ndarray) -> None:
        """Add the samples from `start` on; samples between the last piece and `start` count as lost.

        Parameters
        ----------
        start : int, not before the end of the samples that were added last
        samples : np.ndarray [shape=(n,)], float32, NaN where they are lost
        """
        self._take(np.broadcast_to(np.float32(np.nan), max(0, start - self._position)))
        self._take(samples[max(0, self._position - start) :])

    def finish(self, n_samples: int) -> Minutes:
        """Return the levels of a recording that has `n_samples` samples."""
        self.add(n_samples, np.zeros(0, np.float32))
        begun = self._position % (MINUTE_S * self._rate)
        if begun >= self._rate:
            self._end_minute()
        n_minutes = len(self._rows)
        bands = np.array([row[0] for row in self._rows]).reshape(n_minutes, len(self._bands_hz))
        thirds = np.array([row[1] for row in self._rows]).reshape(n_minutes, len(self._centres))
        millidecades = np.array([row[2] for row in self._rows]).reshape(n_minutes, len(self._edges) - 1)
        return Minutes(
            np.arange(n_minutes) * float(MINUTE_S),
            np.array(self._seconds),
            {name: bands[:, k] for k, name in enumerate(self._bands_hz)},
            thirds,
            self._centres,
            millidecades,
            self._edges,
        )

    def _begin_minute(self) -> None:
        self._total, self._counted, self._readable = np.zeros(2 * (self._rate // 2 + 1)), 0, 0
        self._filled = self._seen = 0

    def _take(self, samples: np.ndarray) -> None:
        minute = MINUTE_S * self._rate
        while len(samples):
            part = samples[: min(len(self._block) - self._filled, minute - self._position % minute)]
            self._block[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            self._position += len(part)
            samples = samples[len(part) :]
            if self._position % minute == 0:
                self._end_minute()
            elif self._filled == len(self._block):
                self._transform()

    def _transform(self) -> None:
        """Add the power of the segments that are complete, and keep what the next one needs of them."""
        from scipy.fft import rfft

        samples = self._block[: self._filled]
        lost = bool(np.isnan(samples.min(initial=0)))
        self._readable += int(np.isfinite(samples[self._seen :]).sum()) if lost else len(samples) - self._seen
        n_segments = max(0, (len(samples) - self._rate) // self._hop + 1)
        if n_segments:
            segments = np.lib.stride_tricks.sliding_window_view(samples, self._rate)[:: self._hop]
            if lost:
                segments = segments[np.isfinite(segments).all(axis=1)]
            windowed = np.multiply(segments, self._hann, out=self._windowed[: len(segments)])
            power = rfft(windowed, axis=1).view(np.float32)
            self._total += np.square(power, out=power).sum(axis=0)
            self._counted += len(segments)
        rest = samples[n_segments * self._hop :].copy()
        self._block[: len(rest)] = rest
        self._filled = self._seen = len(rest)

    def _end_minute(self) -> None:
        rate = self._rate
        self._transform()
        density = self._total[0::2] + self._total[1::2]
        # One side of a spectrum has twice its power, but for 0 Hz and half the rate; a sine of amplitude 1 has power ½.
        density[1 : -1 if rate % 2 == 0 else None] *= 2
        window = float(np.square(self._hann, dtype=np.float64).sum())
        density *= 2 / (max(1, self._counted) * rate * max(window, 1e-9))
        # A recorder that was dead has no level, whatever value it wrote (the window puts that into the first bins).
        if not density[OFFSET_BINS:].sum() >= 10 ** (SILENT_DB / 10) / 2:
            density[:] = np.nan
        self._seconds.append(self._readable / rate)
        bands = [
            float(to_db(add_bands(density, np.array([[low, min(high, rate / 2)]])))[0]) if low < rate / 2 else np.nan
            for low, high in self._bands_hz.values()
        ]
        thirds = to_db(add_bands(density, self._third_octaves))
        pairs = np.column_stack([self._edges[:-1], self._edges[1:]])
        millidecades = to_db(add_bands(density, pairs) / np.diff(self._edges))
        self._rows.append((bands, thirds, millidecades))
        self._begin_minute()


@lru_cache(maxsize=32)
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
    edges = np.r_[edges[edges < nyquist_hz], nyquist_hz]
    edges.flags.writeable = False  # all who ask share it
    return edges


def lay_third_octaves(nyquist_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Lay the third octaves (decidecades, IEC 61260) that lie below half a sample rate.

    Parameters
    ----------
    nyquist_hz : float > 0, in Hz

    Returns
    -------
    centres : np.ndarray [shape=(n_bands,)], in Hz, from 20 Hz on
    edges : np.ndarray [shape=(n_bands, 2)], in Hz

    Examples
    --------
    >>> centres, edges = lay_third_octaves(4_000)
    >>> len(centres), centres[:2].round(1).tolist(), edges[0].round(2).tolist()
    (23, [20.0, 25.1], [17.78, 22.39])
    """
    centres = np.array([10 ** (n / 10) for n in THIRD_OCTAVES])
    centres = centres[centres * 10**0.05 <= nyquist_hz]
    return centres, np.column_stack([centres * 10**-0.05, centres * 10**0.05])


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


def find_reference(calibration_db: float | None) -> tuple[float, str]:
    """Return the dB to add to levels re a full-scale sine, and the reference that they have then.

    Parameters
    ----------
    calibration_db : as in `calibrate`

    Returns
    -------
    shift_db : float
    reference : str, ``1 µPa``, or ``full scale`` (a mean square of 1)

    Examples
    --------
    >>> [(round(shift, 2), reference) for shift, reference in map(find_reference, (None, 173.0))]
    [(-3.01, 'full scale'), (169.99, '1 µPa')]
    """
    if calibration_db is None or not math.isfinite(calibration_db):
        return -SINE_DB, "full scale"
    return calibration_db - SINE_DB, "1 µPa"


def calibrate(levels: np.ndarray, calibration_db: float | None) -> tuple[np.ndarray, str]:
    """Turn levels re a full-scale sine into levels re 1 µPa, or re full scale if the recorder is not calibrated.

    Parameters
    ----------
    levels : np.ndarray, in dB re a full-scale sine
    calibration_db : float or None
        Level of full scale, a sample of 1, in dB re 1 µPa: what a maker calls the end-to-end calibration.

    Returns
    -------
    levels : np.ndarray, in dB
    reference : str, what 0 dB is: ``1 µPa`` or ``full scale`` (a mean square of 1, 3 dB more than a sine has)

    Examples
    --------
    A sine of full scale in a recorder of 173 dB is 3 dB below the peak:

    >>> levels, reference = calibrate(np.array([0.0]), 173.0)
    >>> levels.round(2).tolist(), reference
    ([169.99], '1 µPa')
    """
    shift, reference = find_reference(calibration_db)
    return levels + shift, reference


def to_db(power: np.ndarray) -> np.ndarray:
    """Return the level of a power, in dB; NaN stays NaN.

    >>> to_db(np.array([1.0, 0.01])).tolist()
    [0.0, -20.0]
    """
    return 10 * np.log10(np.maximum(power, 1e-30))
