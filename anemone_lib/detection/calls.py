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
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from anemone_lib.audio.recording import Recording
from anemone_lib.detection.pulses import MIN_DIP_DB, SILENCE, Pulses, find_pulses, lower_rate
from anemone_lib.soundscape.noise import BANDS_HZ

if TYPE_CHECKING:
    from anemone_lib.detection.events import Event

#: Where anemonefish are heard, in Hz.
CALL_BAND_HZ = BANDS_HZ["calls"]
#: Below this, flow and handling are louder than animals: where a class has no band of its own, its band begins here.
LOWEST_HZ = 50.0
#: What is read before and after an event, to know the noise around it.
MARGIN_S = 1.0
#: An event longer than this is measured piece by piece; shorter ones are measured together, up to this much.
PIECE_S = 60.0
MAX_PULSE_GAP_S, MIN_EXCESS_DB = 0.15, 5.0
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
    max_pulse_gap: float = MAX_PULSE_GAP_S,
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
    [5, 5, 7]
    """
    band_hz = _check_band(band_hz, recording.sample_rate)
    if not max_pulse_gap > 0:
        raise ValueError(f"max_pulse_gap is {max_pulse_gap}; it must be a positive number of seconds")
    return [
        call
        for batch in _cut_batches(recording, [event])
        for _, call in _measure(recording, batch, band_hz, max_pulse_gap, calibration_db)
    ]


def _check_band(band_hz: tuple[float, float], rate: int) -> tuple[float, float]:
    low, high = band_hz[0], min(band_hz[1], 0.5 * rate)
    if not 0 <= low < high - 50:
        raise ValueError(f"band_hz is {band_hz}; at {rate} Hz it must be (low, high) with 0 ≤ low < high ≤ {rate // 2}")
    return low, high


def _cut_holes(samples: np.ndarray, begin: int, end: int) -> tuple[int, np.ndarray]:
    """Cut the margins where samples are missing; those missing inside the event count as silence."""
    if not len(samples) or not np.isnan(samples.min()):
        return 0, samples
    holes = np.isnan(samples)
    before, after = np.flatnonzero(holes[:begin]), np.flatnonzero(holes[end:])
    start = int(before[-1]) + 1 if len(before) else 0
    stop = end + int(after[0]) if len(after) else len(samples)
    return start, np.nan_to_num(samples[start:stop])


def add_calls(
    recording: Recording, events: Sequence["Event"], *, band_hz: tuple[float, float], calibration_db: float = 0.0
) -> list["Event"]:
    """Measure the calls of many events at once: in less time than one after another, and each with the same calls.

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
        band_hz = _check_band(band_hz, recording.sample_rate)
    except ValueError:
        return list(events)
    calls: list[list[Call]] = [[] for _ in events]
    with ThreadPoolExecutor(os.cpu_count(), "anemone-calls") as pool:
        for found in pool.map(
            lambda batch: _measure(recording, batch, band_hz, MAX_PULSE_GAP_S, calibration_db),
            _cut_batches(recording, events),
        ):
            for number, call in found:
                calls[number].append(call)
    return [replace(event, calls=tuple(found)) for event, found in zip(events, calls, strict=True)]


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


# ---------------------------------------------------------------------- many pieces of sound


def _cut_batches(recording: Recording, events: Sequence["Event"]) -> list[list[tuple[int, int, int]]]:
    """Cut events into pieces (number of the event, first sample, last), and put pieces together into batches."""
    rate, piece = recording.sample_rate, round(PIECE_S * recording.sample_rate)
    batches: list[list[tuple[int, int, int]]] = []
    length = piece
    for number, event in enumerate(events):
        first, last = round(event.start_time * rate), min(round(event.end_time * rate), recording.n_samples)
        for begin in range(first, last, piece):
            end = min(begin + piece, last)
            if length + end - begin > piece:
                batches.append([])
                length = 0
            batches[-1].append((number, begin, end))
            length += end - begin
    return batches


def _measure(
    recording: Recording,
    pieces: Sequence[tuple[int, int, int]],
    band_hz: tuple[float, float],
    max_pulse_gap: float,
    calibration_db: float,
) -> list[tuple[int, Call]]:
    """The calls that begin in pieces of events, each with the number of its event."""
    rate, margin = recording.sample_rate, round(MARGIN_S * recording.sample_rate)
    sounds, seconds = [], []
    for _, begin, end in pieces:
        start, stop = max(0, begin - margin), min(recording.n_samples, end + margin)
        offset, samples = _cut_holes(recording.read(start, stop), begin - start, end - start)
        lowered, lowered_rate = lower_rate(samples, rate, band_hz)
        sounds.append(lowered)
        seconds.append((start + offset) / rate)
    found = _describe_calls(find_pulses(sounds, lowered_rate, band_hz), band_hz, max_pulse_gap, seconds, calibration_db)
    # A call belongs to the piece in which it begins; one that began before the event is none of its own.
    return [(pieces[k][0], call) for k, call in found if pieces[k][1] <= round(call.start_time * rate) < pieces[k][2]]


def _describe_calls(
    pulses: Pulses,
    band_hz: tuple[float, float],
    max_pulse_gap: float,
    seconds: Sequence[float],
    calibration_db: float,
) -> list[tuple[int, Call]]:
    """Group pulses into calls and measure these, each with the number of its stretch, which begins at `seconds`."""
    apart = (np.diff(pulses.peaks) > max_pulse_gap * pulses.rate) | (np.diff(pulses.stretches) > 0)
    groups = np.split(np.arange(len(pulses.peaks)), np.flatnonzero(apart) + 1)
    groups = [group for group in groups if len(group) > 1 or (pulses.excess_db[group] >= MIN_EXCESS_DB).any()]
    if not groups:
        return []
    stretches = pulses.stretches[[group[0] for group in groups]]
    starts, ends = pulses.starts[[group[0] for group in groups]], pulses.ends[[group[-1] for group in groups]]
    edges = np.stack([starts, ends], axis=1).ravel()
    means, around = (
        np.add.reduceat(values, edges, dtype=float)[::2] / (ends - starts) for values in (pulses.power, pulses.floor)
    )
    bands = _measure_bands(pulses, stretches, starts, ends, band_hz)
    calls = []
    for group, stretch, end, mean, noise, band in zip(groups, stretches, ends, means, around, bands, strict=True):
        onsets = pulses.starts[group]
        times = (seconds[stretch] + (onsets - pulses.begins[stretch]) / pulses.rate).tolist()
        call = Call(
            start_time=times[0],
            end_time=seconds[stretch] + float(end - pulses.begins[stretch]) / pulses.rate,
            low_hz=band[0],
            high_hz=band[2],
            peak_hz=band[1],
            pulse_times=tuple(times),
            pulse_period_s=median(np.diff(onsets).tolist()) / pulses.rate if len(onsets) > 1 else None,
            pulse_duration_s=median((pulses.ends[group] - onsets).tolist()) / pulses.rate,
            snr_db=10 * math.log10(max(mean - noise, SILENCE) / noise),
            level_db=10 * math.log10(mean + SILENCE) + calibration_db,
        )
        calls.append((int(stretch), call))
    return calls


def _measure_bands(
    pulses: Pulses, stretches: np.ndarray, starts: np.ndarray, ends: np.ndarray, band_hz: tuple[float, float]
) -> list[list[float]]:
    """Low end, peak and high end of the spectrum of each call, in Hz: the ends are where it is 10 dB below the peak.

    Of a spectrum, that of the quiet in the same stretch is taken away.
    """
    numbers, places = np.unique(stretches, return_inverse=True)
    quiet = []
    for begin, stop in zip(pulses.begins[numbers], pulses.stops[numbers], strict=True):
        quiet.append(pulses.signal[begin:stop][pulses.level[begin:stop] < MIN_DIP_DB])
    heard = [pulses.signal[start:end] for start, end in zip(starts, ends, strict=True)]
    spectra = _measure_spectra([*quiet, *heard], pulses.rate)
    step = pulses.rate / spectra.shape[1]
    spectra = spectra[:, : int((band_hz[1] - pulses.origin_hz) / step) + 1]
    spectra = np.maximum(spectra[len(quiet) :] - spectra[places], 0)
    peaks = spectra.argmax(axis=1)
    loud = spectra >= spectra.max(axis=1, keepdims=True) / 10
    lows, highs = loud.argmax(axis=1), loud.shape[1] - 1 - loud[:, ::-1].argmax(axis=1)
    return (pulses.origin_hz + np.stack([lows, peaks, highs], axis=1) * step).round(1).tolist()


def _measure_spectra(signals: Sequence[np.ndarray], rate: float) -> np.ndarray:
    """Mean power spectra of complex samples, in pieces of `SPECTRUM_S`, Hann, half overlapping, finely sampled."""
    from scipy.fft import fft, ifft

    size = round(SPECTRUM_S * rate)
    pieces = []
    for signal in signals:
        starts = np.arange(0, max(1, len(signal) - size + 1), max(1, size // 2))
        starts = starts[:: -(-len(starts) // MAX_PIECES)]
        whole = signal if len(signal) >= size else np.pad(signal, (0, size - len(signal)))
        pieces.append(whole[starts[:, np.newaxis] + np.arange(size)])
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    spectra = fft(np.concatenate(pieces) * window, 2 * size, axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    numbers = np.array([len(some) for some in pieces])
    means = np.add.reduceat(power, np.cumsum(numbers) - numbers, axis=0) / numbers[:, np.newaxis]
    # Twice the length of a piece holds all that its power has; what lies between is found from the autocorrelation.
    lags = np.zeros((len(means), 1 << (8 * size - 1).bit_length()), complex)
    lags[:, :size], lags[:, -size:] = np.split(ifft(means, axis=1), 2, axis=1)
    return fft(lags, axis=1).real


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
