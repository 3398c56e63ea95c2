"""Describe the noise of a recording: levels by band, snapping shrimp, tones of boats, and faults of the recorder.

"There are no calls" and "calls could not be heard" are different answers; these measures separate them.

*Conventions.* Levels are in dB re a full-scale sine, averaged over power, uncalibrated. The recording is read in
blocks, never as a whole; of a longer recording `MAX_BLOCKS` blocks are read, spread evenly. NaN is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anemone_lib.audio.recording import Recording
from anemone_lib.soundscape.levels import measure_power

#: Bands in Hz: below the calls (flow, boats), the calls (Colleye & Parmentier 2012), above them, shrimp.
BANDS_HZ = {"below": (20.0, 300.0), "calls": (300.0, 1000.0), "above": (1000.0, 2000.0), "shrimp": (2000.0, 20_000.0)}


def lay_bands(calls_hz: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """Lay the bands of `BANDS_HZ` around the band of other calls.

    Parameters
    ----------
    calls_hz : (low, high), in Hz

    Returns
    -------
    bands_hz : dict of (low, high) by name, in Hz
        Without ``below`` if the calls begin below 40 Hz.

    Examples
    --------
    >>> lay_bands((300.0, 1000.0)) == BANDS_HZ
    True
    >>> lay_bands((25.0, 700.0))["above"]
    (700.0, 1400.0)
    """
    low, high = calls_hz
    below = {"below": (20.0, low)} if low > 2 * 20.0 else {}
    return {**below, "calls": (low, high), "above": (high, 2 * high), "shrimp": BANDS_HZ["shrimp"]}


BLOCK_S = 10.0


MAX_BLOCKS = 360


#: A snap reaches this many times the noise's standard deviation ...
SNAP_FACTOR = 8.0


#: ... and the next is at least this much later, in seconds: its echoes are not snaps.
SNAP_DEAD_TIME_S = 0.01


#: Snaps differ from fish by their energy above 1.5 kHz (Bohnenstiehl et al. 2016, doi:10.1371/journal.pone.0143691).
SNAP_LOW_HZ, SNAP_HIGH_HZ = 1500.0, 20_000.0


#: A tone stands out by this much over its neighbours ...
TONE_DB = 6.0


#: ... in at least this part of the time.
TONE_PRESENCE = 0.5


#: ... of at least this many blocks.
TONE_BLOCKS = 3


#: Noise in the calls' band this much over that of the quietest tenth hides faint calls.
MASKED_DB = 10.0


#: Amplitude from which on a sample is overdriven (full scale is 1), and level, in dB, of digital silence.
CLIPPED_AMPLITUDE = 0.999


SILENT_DB = -120.0


@dataclass(frozen=True)
class Tone:
    """A tone that lasts for much of the recording, as of an engine.

    Attributes
    ----------
    frequency_hz : float
    prominence_db : float, median level over that of the neighbouring bins
    presence : float, part of the time in which it stands out, 0 to 1
    """

    frequency_hz: float
    prominence_db: float
    presence: float


@dataclass(frozen=True, eq=False)
class NoiseContext:
    """The noise of a recording.

    Attributes
    ----------
    times : np.ndarray [shape=(n_columns,)], in seconds, the middle of each column
    levels : dict of np.ndarray [shape=(n_columns,)], dB, by the bands' names; NaN where nothing was readable
    bands_hz : dict of (low, high), by the same names
    snaps_per_minute : float, NaN below a sample rate of 6 kHz, which cannot hold a snap
    tones : list of Tone, the most prominent first
    clipped, silent : float, part of the audio that is overdriven, or digital silence, 0 to 1

    Examples
    --------
    A level that rises by 20 dB for half of the time would mask quiet calls then:

    >>> levels = np.array([-60.0, -60.0, -40.0, -40.0])
    >>> context = NoiseContext(np.arange(4.0), {"calls": levels}, {"calls": (300, 1000)}, 0.0, [], 0.0, 0.0)
    >>> context.masked
    0.5
    """

    times: np.ndarray
    levels: dict[str, np.ndarray]
    bands_hz: dict[str, tuple[float, float]]
    snaps_per_minute: float
    tones: list[Tone]
    clipped: float
    silent: float

    @property
    def masked(self) -> float:
        """Part of the time in which the calls' band is `MASKED_DB` louder than in its quietest tenth, 0 to 1.

        Calls that are just heard in the quietest tenth are not heard then.
        """
        if self.masking_level is None:
            return 1.0
        levels = self.levels["calls"]
        return float(np.mean(levels[np.isfinite(levels)] > self.masking_level))

    @property
    def masking_level(self) -> float | None:
        """Level of the calls' band, in dB, above which faint calls are masked; None where nothing is readable."""
        levels = self.levels["calls"]
        levels = levels[np.isfinite(levels) & (levels > SILENT_DB)]  # digital silence is no measure of the quiet
        return float(np.percentile(levels, 10) + MASKED_DB) if len(levels) else None

    def describe_snaps(self) -> str:
        """Say how many snaps of shrimp there are, in one line for people."""
        if np.isnan(self.snaps_per_minute):
            return f"snapping shrimp: unknown, this needs a sample rate of at least {4 * SNAP_LOW_HZ:.0f} Hz"
        return f"snapping shrimp: {self.snaps_per_minute:.0f} snaps per minute"

    def list_doubts(self) -> list[str]:
        """List the reasons why calls may have been missed, in sentences; empty if there is none."""
        found = []
        if self.silent > 0.01:
            found.append(f"{self.silent:.0%} of the audio is digital silence: the recorder recorded nothing then.")
        if self.clipped > 0.0001:
            found.append(f"{self.clipped:.2%} of the samples are overdriven: the gain was too high.")
        if self.masked > 0.1:
            found.append(
                f"In {self.masked:.0%} of the time, the band of the calls is {MASKED_DB:g} dB louder than in quiet "
                "times: the noise then masks faint calls."
            )
        if self.tones and min(tone.frequency_hz for tone in self.tones) < 1000:
            lowest = ", ".join(f"{tone.frequency_hz:.0f}" for tone in self.tones[:3])
            found.append(f"Tones stay at {lowest} Hz, as of an engine or a pump: they can mask calls.")
        return found


def describe_noise(recording: Recording, *, bands_hz: dict[str, tuple[float, float]] | None = None) -> NoiseContext:
    """Describe the noise of a recording.

    Parameters
    ----------
    recording : Recording
    bands_hz : dict of (low, high) by name, optional
        By default `BANDS_HZ`; one is named ``calls``. A band beyond half the sample rate is cut there.

    Returns
    -------
    context : NoiseContext

    Raises
    ------
    ValueError
        No band is named ``calls``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef_20230210_060000.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> recording = open_recording(path)
    >>> context = describe_noise(recording)
    >>> recording.close()
    >>> "calls" in context.levels, 0 <= context.masked <= 1
    (True, True)
    """
    bands_hz = bands_hz or BANDS_HZ
    if "calls" not in bands_hz:
        raise ValueError(f"bands_hz names {', '.join(bands_hz)}; one must be 'calls', the band they are heard in")
    times, levels = measure_band_levels(recording, bands_hz)
    n_snaps, seconds, clipped, silent, n_samples = 0, 0.0, 0, 0, 0
    for samples in _read_blocks(recording):
        finite = np.isfinite(samples)
        samples = np.where(finite, samples, 0)
        n_samples += int(finite.sum())
        clipped += int((np.abs(samples) >= CLIPPED_AMPLITUDE).sum())
        silent += int(finite.sum()) * bool(np.mean(samples**2) * 2 < 10 ** (SILENT_DB / 10))
        n_snaps += len(find_snaps(samples, recording.sample_rate))
        seconds += float(finite.sum()) / recording.sample_rate
    audible = recording.sample_rate >= 4 * SNAP_LOW_HZ
    return NoiseContext(
        times=times,
        levels=levels,
        bands_hz=bands_hz,
        snaps_per_minute=60 * n_snaps / seconds if audible and seconds else float("nan"),
        tones=find_tones(recording),
        clipped=clipped / max(1, n_samples),
        silent=silent / n_samples if n_samples else 1.0,
    )


def measure_band_levels(
    recording: Recording, bands_hz: dict[str, tuple[float, float]]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Measure the level of each band over time: the median of every second, so that calls and snaps are left out.

    Parameters
    ----------
    recording : Recording
    bands_hz : dict of (low, high) by name

    Returns
    -------
    times : np.ndarray [shape=(n_columns,)], in seconds
    levels : dict of np.ndarray [shape=(n_columns,)], dB re a full-scale sine
    """
    rate = recording.sample_rate
    n_fft = 1 << int(np.ceil(np.log2(rate / 12)))  # bins of at most 12 Hz
    power = measure_power(
        recording.read,
        recording.n_samples,
        start=0,
        stop=recording.n_samples,
        n_fft=n_fft,
        hop_length=n_fft // 2,
        n_bins=n_fft // 2,
    )
    frequency = np.arange(n_fft // 2) * rate / n_fft
    group = max(1, round(len(power) / recording.duration))
    levels = {}
    for name, (low, high) in bands_hz.items():
        inside = (frequency >= low) & (frequency < high)
        # A Hann window spreads a sine's power over bins that add up to 1.5 of it (Harris 1978).
        level = power[:, inside].sum(axis=1) / 1.5 if inside.any() else np.full(len(power), np.nan)
        levels[name] = _compute_medians(10 * np.log10(np.maximum(level, 1e-20)), group)
    n_columns = -(-len(power) // group)
    times = (np.arange(n_columns) + 0.5) * group * recording.duration / len(power)
    return np.minimum(times, recording.duration), levels


def find_snaps(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Find the snaps of shrimp: short and loud between 1.5 and 20 kHz.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32
    sample_rate : int > 0, in Hz

    Returns
    -------
    times : np.ndarray [shape=(n_snaps,)], in seconds
        Empty if the sample rate cannot hold a snap.

    Examples
    --------
    >>> samples = np.random.default_rng(0).normal(0, 0.001, 48_000).astype(np.float32)
    >>> samples[24_000:24_020] += 0.5 * np.sin(np.arange(20) * 2 * np.pi * 5000 / 48_000)  # 5 kHz for 0.4 ms
    >>> find_snaps(samples, 48_000).round(2).tolist()
    [0.5]
    """
    from scipy.signal import butter, find_peaks, sosfilt

    high = min(SNAP_HIGH_HZ, 0.45 * sample_rate)
    if high <= SNAP_LOW_HZ * 1.2 or not samples.any():
        return np.empty(0)
    envelope = np.abs(sosfilt(butter(4, (SNAP_LOW_HZ, high), "band", fs=sample_rate, output="sos"), samples))
    spread = np.median(envelope[samples != 0]) / 0.6745  # of Gaussian noise, the standard deviation
    dead_time = max(1, round(SNAP_DEAD_TIME_S * sample_rate))
    peaks, _ = find_peaks(envelope, height=max(SNAP_FACTOR * spread, 1e-6), distance=dead_time)
    return peaks / sample_rate


def find_tones(recording: Recording, *, low_hz: float = 30.0, high_hz: float = 2000.0) -> list[Tone]:
    """Find tones that stay, as engines and generators make them; fish and whales do not call for half the time.

    Parameters
    ----------
    recording : Recording
    low_hz, high_hz : float, in Hz

    Returns
    -------
    tones : list of Tone, the most prominent first
        Empty for a recording under 30 s, which is too short to show that a tone stays.
    """
    from scipy.ndimage import median_filter

    rate = recording.sample_rate
    n_fft = 1 << int(np.ceil(np.log2(rate / 2)))  # bins of at most 2 Hz
    hann = np.hanning(n_fft + 1)[:-1].astype(np.float32)
    frequency = np.fft.rfftfreq(n_fft, 1 / rate)
    inside = (frequency >= low_hz) & (frequency < min(high_hz, rate / 2))
    standing: list[np.ndarray] = []
    for samples in _read_blocks(recording):
        frames = samples[: len(samples) // n_fft * n_fft].reshape(-1, n_fft)
        frames = frames[np.isfinite(frames).all(axis=1) & frames.any(axis=1)]
        if len(frames) == 0:
            continue
        power = np.mean(np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2, axis=0)[inside]
        level = 10 * np.log10(np.maximum(power, 1e-20))
        standing.append(level - median_filter(level, size=min(61, len(level)), mode="nearest"))
    if len(standing) < TONE_BLOCKS:
        return []
    above = np.array(standing)
    prominence, presence = np.median(above, axis=0), np.mean(above >= TONE_DB, axis=0)
    padded = np.pad(prominence, 1, constant_values=-np.inf)
    peak = (prominence >= padded[:-2]) & (prominence > padded[2:])
    found = np.flatnonzero(peak & (presence >= TONE_PRESENCE) & (prominence >= TONE_DB))
    tones = [Tone(float(frequency[inside][k]), float(prominence[k]), float(presence[k])) for k in found]
    return sorted(tones, key=lambda tone: -tone.prominence_db)


def _compute_medians(values: np.ndarray, group: int) -> np.ndarray:
    """Compute the median of every `group` neighbours, without NaN."""
    rows = np.full((-(-len(values) // group), group), np.nan)
    rows.flat[: len(values)] = values
    medians = np.full(len(rows), np.nan)
    some = np.isfinite(rows).any(axis=1)
    medians[some] = np.nanmedian(rows[some], axis=1)
    return medians


def _read_blocks(recording: Recording) -> Iterator[np.ndarray]:
    """Yield all of the recording in blocks, or blocks spread evenly over it."""
    length = round(BLOCK_S * recording.sample_rate)
    n_blocks = max(1, -(-recording.n_samples // length))
    for k in range(min(n_blocks, MAX_BLOCKS)):
        first = (k if n_blocks <= MAX_BLOCKS else k * n_blocks // MAX_BLOCKS) * length
        yield recording.read(first, min(recording.n_samples, first + length))
