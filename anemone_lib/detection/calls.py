"""Events → calls and their pulses: what a biologist measures inside an event.

An event is seconds long and as high as the picture that the model sees; a call is a tenth of a second in a band of its
own. `measure_calls` finds the calls of one event and measures each.

*How.* The pulses are found in the band of the calls (`anemone_lib.detection.pulses`). Pulses less than `max_pulse_gap`
apart are one call; a pulse alone is one only if it stands out `MIN_EXCESS_DB` more in the band than above it, since
snaps of shrimp are alone, too. The spectrum of a call is the mean of short pieces, less that of the quiet around it.

*Where the figures come from.* The band of 300 to 1000 Hz holds the dominant frequencies of anemonefish, 370 to 900 Hz
(Parmentier, Colleye & Mann 2009, J. Exp. Biol. 212:2023). The other constants are chosen: with them the number of
pulses is right most often on simulated calls in the simulated noise of reefs, between 6 and 18 dB. What is reached is
in the documentation (*How good is it*). No recording of a real anemonefish was ever measured with this.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from anemone_lib.audio.recording import Recording
from anemone_lib.detection.pulses import FLOOR_BLOCK_S, MIN_DIP_DB, SILENCE, find_pulses
from anemone_lib.soundscape.noise import BANDS_HZ

if TYPE_CHECKING:
    from anemone_lib.detection.events import Event

#: Where anemonefish are heard, in Hz.
CALL_BAND_HZ = BANDS_HZ["calls"]
#: Below this, flow and handling are louder than animals: where a class has no band of its own, its band begins here.
LOWEST_HZ = 50.0
#: What is read before and after an event, to know the noise around it.
MARGIN_S = 1.0
#: An event longer than this is measured piece by piece.
PIECE_S = 60.0
MIN_EXCESS_DB = 5.0
#: Length of the pieces of a spectrum, and how many of them are averaged at most.
SPECTRUM_S, MAX_PIECES = 0.016, 64


@dataclass(frozen=True)
class Call:
    """One call inside an event, measured.

    Attributes
    ----------
    start_time, end_time : float, in seconds from the start of the recording
        From the first pulse's onset to the last one's end.
    low_hz, high_hz : float, the band in which the spectrum is within 10 dB of its peak
    peak_hz : float, where the spectrum has its peak: the dominant frequency
    pulse_times : tuple of float, the onset of each pulse, in seconds from the start of the recording
    pulse_period_s : float, median time from one pulse's onset to the next one's, or None of a single pulse
    pulse_duration_s : float, median time for which a pulse is within 10 dB of its peak
    snr_db : float, power in the calls' band from start to end, less the noise's, over the noise's around it
    level_db : float, level in the calls' band from start to end, in dB re full scale (a mean square of 1), or re 1 µPa
        where a calibration was given

    Examples
    --------
    >>> call = Call(1.2, 1.31, 420.0, 610.0, 505.0, (1.2, 1.241, 1.283), 0.0415, 0.018, 14.2, -38.5)
    >>> call.n_pulses, round(call.duration, 2)
    (3, 0.11)
    """

    start_time: float
    end_time: float
    low_hz: float
    high_hz: float
    peak_hz: float
    pulse_times: tuple[float, ...]
    pulse_period_s: float | None
    pulse_duration_s: float
    snr_db: float
    level_db: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end_time - self.start_time

    @property
    def n_pulses(self) -> int:
        """Number of pulses, 1 or more."""
        return len(self.pulse_times)


def measure_calls(
    recording: Recording,
    event: "Event",
    *,
    band_hz: tuple[float, float] = CALL_BAND_HZ,
    max_pulse_gap: float = 0.15,
    calibration_db: float = 0.0,
) -> list[Call]:
    """Find the calls inside an event, and measure them.

    Parameters
    ----------
    recording : Recording
    event : Event, or anything with `start_time` and `end_time` in seconds
    band_hz : (low, high), in Hz
        Where the calls are heard; cut at half the sample rate.
    max_pulse_gap : float, in seconds
        Pulses farther apart are in different calls.
    calibration_db : float, in dB
        What is added to levels re full scale to make them levels re 1 µPa: the calibration of recorder and hydrophone.

    Returns
    -------
    calls : list of Call, by start time
        Empty if nothing stands out of the noise: an event may be there without a call that can be measured.

    Raises
    ------
    ValueError
        The band holds nothing at this sample rate, or a value is out of range.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib import detect, open_recording
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> event = detect(path).events[0]
    >>> with open_recording(path) as recording:
    ...     calls = measure_calls(recording, event)
    >>> [call.n_pulses for call in calls]
    [5, 5, 8]
    """
    rate = recording.sample_rate
    band_hz = _check_band(band_hz, rate)
    if not max_pulse_gap > 0:
        raise ValueError(f"max_pulse_gap is {max_pulse_gap}; it must be a positive number of seconds")
    first, last = round(event.start_time * rate), min(round(event.end_time * rate), recording.n_samples)
    calls: list[Call] = []
    margin, piece = round(MARGIN_S * rate), round(PIECE_S * rate)
    for begin in range(first, last, piece):
        end = min(begin + piece, last)
        start, stop = max(0, begin - margin), min(recording.n_samples, end + margin)
        samples = recording.read(start, stop)
        offset, samples = _cut_holes(samples, begin - start, end - start)
        found = _measure(samples, rate, band_hz, max_pulse_gap)
        placed = [_place(call, (start + offset) / rate, calibration_db) for call in found]
        # A call belongs to the piece in which it begins; one that began before the event is none of its own.
        calls += [call for call in placed if begin <= round(call.start_time * rate) < end]
    return calls


def _check_band(band_hz: tuple[float, float], rate: int) -> tuple[float, float]:
    low, high = band_hz[0], min(band_hz[1], 0.5 * rate)
    if not 0 <= low < high - 50:
        raise ValueError(f"band_hz is {band_hz}; at {rate} Hz it must be (low, high) with 0 ≤ low < high ≤ {rate // 2}")
    return low, high


def _cut_holes(samples: np.ndarray, begin: int, end: int) -> tuple[int, np.ndarray]:
    """Cut the margins where samples are missing; those missing inside the event count as silence."""
    holes = np.isnan(samples)
    if not holes.any():
        return 0, samples
    before, after = np.flatnonzero(holes[:begin]), np.flatnonzero(holes[end:])
    start = int(before[-1]) + 1 if len(before) else 0
    stop = end + int(after[0]) if len(after) else len(samples)
    return start, np.nan_to_num(samples[start:stop])


def _place(call: Call, seconds: float, calibration_db: float) -> Call:
    """Move a call in time, and calibrate its level."""
    return replace(
        call,
        start_time=call.start_time + seconds,
        end_time=call.end_time + seconds,
        pulse_times=tuple(seconds + time for time in call.pulse_times),
        level_db=call.level_db + calibration_db,
    )


def add_calls(
    recording: Recording, events: Sequence["Event"], *, band_hz: tuple[float, float], calibration_db: float = 0.0
) -> list["Event"]:
    """Measure the calls of many events at once, in threads.

    Parameters
    ----------
    recording : Recording
    events : sequence of Event
    band_hz, calibration_db : as in `measure_calls`

    Returns
    -------
    events : list of Event, the same, with their `calls`; None where the sample rate cannot hold the band

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib import detect, open_recording
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> events = detect(path, calls=False).events
    >>> with open_recording(path) as recording:
    ...     [len(event.calls) for event in add_calls(recording, events, band_hz=(300, 1000))]
    [3]
    """
    try:
        _check_band(band_hz, recording.sample_rate)
    except ValueError:
        return list(events)
    with ThreadPoolExecutor(thread_name_prefix="anemone-calls") as pool:
        found = pool.map(
            lambda event: measure_calls(recording, event, band_hz=band_hz, calibration_db=calibration_db), events
        )
        return [replace(event, calls=tuple(calls)) for event, calls in zip(events, found, strict=True)]


def choose_band(class_name: str, bands_hz: Mapping[str, tuple[float, float]], *, fmax_hz: float) -> tuple[float, float]:
    """Choose the band in which the calls of a class are measured.

    Parameters
    ----------
    class_name : str
    bands_hz : mapping, by class, from the model's card
    fmax_hz : float, the highest frequency that the model sees

    Returns
    -------
    band_hz : (low, high), in Hz
        That on the card; else, of anemonefish, `CALL_BAND_HZ`; else from `LOWEST_HZ` to `fmax_hz`.

    Examples
    --------
    >>> choose_band("anemonefish", {}, fmax_hz=2000.0)
    (300.0, 1000.0)
    >>> choose_band("toadfish", {"toadfish": (60.0, 700.0)}, fmax_hz=2000.0)
    (60.0, 700.0)
    """
    if class_name in bands_hz:
        return tuple(bands_hz[class_name])  # type: ignore[return-value]
    return CALL_BAND_HZ if class_name == "anemonefish" else (LOWEST_HZ, max(fmax_hz, 2 * LOWEST_HZ + 50))


# ---------------------------------------------------------------------- one stretch of sound


def _measure(samples: np.ndarray, rate: int, band_hz: tuple[float, float], max_pulse_gap: float) -> list[Call]:
    """The calls in a stretch of sound; times from its start."""
    if len(samples) < rate * FLOOR_BLOCK_S:
        return []
    pulses = find_pulses(samples, rate, band_hz)
    signal, signal_rate, peaks, starts, ends = pulses.signal, pulses.rate, pulses.peaks, pulses.starts, pulses.ends
    if not len(peaks):
        return []
    groups = np.split(np.arange(len(peaks)), np.flatnonzero(np.diff(peaks) > max_pulse_gap * signal_rate) + 1)
    groups = [group for group in groups if len(group) > 1 or pulses.excess_db[group[0]] >= MIN_EXCESS_DB]
    if not groups:
        return []
    edges = [(int(starts[group[0]]), int(ends[group[-1]])) for group in groups]
    heard = [signal[start:end] for start, end in edges]
    noise, *spectra = _measure_spectra([signal[pulses.level < MIN_DIP_DB], *heard], signal_rate)
    calls = []
    for group, (start, end), spectrum in zip(groups, edges, spectra, strict=True):
        low, peak, high = _describe_spectrum(np.maximum(spectrum - noise, 0), signal_rate, band_hz)
        mean, around = float(pulses.power[start:end].mean()), float(pulses.floor[start:end].mean())
        periods, durations = np.diff(starts[group]), ends[group] - starts[group]
        calls.append(
            Call(
                start_time=start / signal_rate,
                end_time=end / signal_rate,
                low_hz=low,
                high_hz=high,
                peak_hz=peak,
                pulse_times=tuple((starts[group] / signal_rate).tolist()),
                pulse_period_s=float(np.median(periods)) / signal_rate if len(periods) else None,
                pulse_duration_s=float(np.median(durations)) / signal_rate,
                snr_db=10 * math.log10(max(mean - around, SILENCE) / around),
                level_db=10 * math.log10(mean + SILENCE),
            )
        )
    return calls


def _measure_spectra(signals: Sequence[np.ndarray], rate: float) -> np.ndarray:
    """Mean power spectra of complex samples, in pieces of `SPECTRUM_S`, Hann, half overlapping, finely sampled."""
    from scipy.fft import fft

    size = round(SPECTRUM_S * rate)
    pieces = []
    for signal in signals:
        starts = np.arange(0, max(1, len(signal) - size + 1), max(1, size // 2))
        starts = starts[:: -(-len(starts) // MAX_PIECES)]
        whole = signal if len(signal) >= size else np.pad(signal, (0, size - len(signal)))
        pieces.append(whole[starts[:, np.newaxis] + np.arange(size)])
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    spectra = fft(np.concatenate(pieces) * window, 1 << (8 * size - 1).bit_length(), axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    numbers = np.array([len(some) for some in pieces])
    return np.add.reduceat(power, np.cumsum(numbers) - numbers, axis=0) / numbers[:, np.newaxis]


def _describe_spectrum(spectrum: np.ndarray, rate: float, band_hz: tuple[float, float]) -> tuple[float, float, float]:
    """Low end, peak and high end of a spectrum, in Hz: the ends are where it is 10 dB below the peak."""
    step = rate / len(spectrum)
    inside = spectrum[: int((band_hz[1] - band_hz[0]) / step) + 1]
    peak = int(inside.argmax())
    loud = np.flatnonzero(inside >= inside[peak] / 10)
    return tuple(round(band_hz[0] + k * step, 1) for k in (int(loud[0]), peak, int(loud[-1])))  # type: ignore[return-value]


# ---------------------------------------------------------------------- what frequency says about the fish


def estimate_length(peak_hz: float | Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate the length of an anemonefish from the dominant frequency of its calls.

    Larger fish call lower, in all of 14 species alike (Colleye et al. 2011, BMC Evol. Biol. 11:365). Dominant
    frequencies of 370 to 900 Hz belong to fish of 130 to 55 mm (Parmentier, Colleye & Mann 2009, J. Exp. Biol.
    212:2023), hence 49,000 / Hz. The interval is derived from the correlation given there, R = 0.95, over these
    lengths: ± 8 % is one standard deviation, ± 16 % the interval of 95 %. It is an estimate: a lower fish may be
    farther, or another species.

    Parameters
    ----------
    peak_hz : float or array of float > 0, in Hz

    Returns
    -------
    length_mm, low_mm, high_mm : np.ndarray, in mm; NaN where the frequency is outside of 300 to 1000 Hz

    Examples
    --------
    >>> length, low, high = estimate_length(490.0)
    >>> float(length), float(low.round()), float(high.round())
    (100.0, 85.0, 117.0)
    """
    frequency = np.asarray(peak_hz, float)
    known = (frequency >= CALL_BAND_HZ[0]) & (frequency <= CALL_BAND_HZ[1])
    length = np.where(known, LENGTH_MM_HZ / np.where(known, frequency, 1.0), np.nan)
    factor = math.exp(1.96 * LENGTH_SPREAD)
    return length, length / factor, length * factor


#: Length in mm times dominant frequency in Hz.
LENGTH_MM_HZ = 49_000.0
# Lengths from 55 to 130 mm, evenly on a logarithmic scale, have a standard deviation of ln(130/55)/√12 = 0.248; what
# R = 0.95 leaves unexplained is 0.248 · √(1 − R²) / R = 0.081.
LENGTH_SPREAD = math.log(130 / 55) / math.sqrt(12) * math.sqrt(1 - 0.95**2) / 0.95
