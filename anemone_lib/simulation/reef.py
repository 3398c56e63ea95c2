"""Recordings of a reef, with exact truth.

*Conventions.* A sound's level is its SNR: mean power of the sound within its annotation's box (start to end, `low_hz`
to `high_hz`) over that of the noise alone in the same band, from half a second before to half a second after.
Anemonefish call in bouts, a few calls at most 1.2 s apart, as when one fish chases another, then are silent for at
least 6 s (chosen). They, their neighbours and the mammals far away are annotated call by call, with the kind of call
in the annotation's id; noise is not annotated. Everything is drawn from the seed: a seed and the settings give the same
samples, in memory or written minute by minute. `anemone_lib.simulation.sounds` says how each sound is made, with its
sources.
"""

import os
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import next_fast_len, rfft

from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError
from anemone_lib.files import write_atomically
from anemone_lib.simulation import mammals, sounds
from anemone_lib.simulation import noises as noise_sounds
from anemone_lib.simulation.background import Background, RecordedBackground

#: Length of the blocks in which a recording is made.
BLOCK_S = 60


#: Shortest silence of the anemonefish between two bouts, seconds.
BOUT_GAP_S = 6.0


#: Values of `noises`; ``snaps`` are the snaps of single pistol shrimp.
NOISES = (*noise_sounds.CONTINUOUS, *noise_sounds.TRANSIENTS, "snaps")


SAMPLE_RATES_HZ = (8_000, 200_000)


#: A sound in the recording: start in seconds, label ("" for noise), kind, sound, SNR in dB.
_Heard = tuple[float, str, str, sounds.Sound, float]


def simulate_recording(
    *,
    duration: float,
    seed: int,
    sample_rate: int = 48_000,
    snr_db: tuple[float, float] = (6.0, 18.0),
    bouts_per_minute: float = 3.0,
    neighbours_per_minute: float = 6.0,
    mammals_per_minute: float = 0.0,
    noises: Sequence[str] | None = None,
    background: np.ndarray | None = None,
) -> tuple[np.ndarray, list[Annotation]]:
    """Simulate a recording.

    Parameters
    ----------
    duration : float > 0, in seconds
    seed : int >= 0
    sample_rate : int, 8000 to 200000 Hz
    snr_db : (lowest, highest), in dB, of every anemonefish bout and every neighbour, drawn evenly
    bouts_per_minute : float, 0 to 6, bouts of anemonefish
    neighbours_per_minute : float, 0 to 120, sounds of other reef animals
    mammals_per_minute : float, 0 to 120, voices of whales, dolphins and seals
    noises : names of `NOISES`
        By default wind and some noises of a quiet reef, drawn by the seed.
    background : np.ndarray [shape=(n,)], float32, optional
        A second or more of recorded noise at `sample_rate`, in [-1, 1], repeated instead of the continuous noises.

    Returns
    -------
    samples : np.ndarray [shape=(round(duration * sample_rate),)], float32 in [-1, 1), of 16 bits
    annotations : list of Annotation, by start time

    Raises
    ------
    ConfigError
        A value is out of range, or a noise unknown.

    Examples
    --------
    >>> samples, annotations = simulate_recording(duration=10, seed=1, sample_rate=8000)
    >>> len(samples), {annotation.label for annotation in annotations} <= {"anemonefish", "biological"}
    (80000, True)
    """
    blocks = list(
        simulate_blocks(
            duration=duration,
            seed=seed,
            sample_rate=sample_rate,
            snr_db=snr_db,
            bouts_per_minute=bouts_per_minute,
            neighbours_per_minute=neighbours_per_minute,
            mammals_per_minute=mammals_per_minute,
            noises=noises,
            background=background,
        )
    )
    pcm = np.concatenate([samples for samples, _ in blocks])
    return pcm.astype(np.float32) / np.float32(32768), [a for _, annotations in blocks for a in annotations]


def write_recording(path: str | os.PathLike[str], **settings: Any) -> list[Annotation]:
    """Write a simulated recording of any length, a minute in memory at a time.

    Parameters
    ----------
    path : ``.wav`` or ``.flac``; beyond 4 GiB a ``.wav`` is written as RF64
    settings : as for `simulate_recording`

    Returns
    -------
    annotations : list of Annotation, by start time

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> path.stat().st_size  # 10 s of 16 bits, and a header of 44 bytes
    320044
    >>> all(0 <= annotation.start_time < annotation.end_time <= 10 for annotation in truth)
    True
    """
    import soundfile

    path = Path(path)
    sample_rate = settings.get("sample_rate", 48_000)
    large = settings["duration"] * sample_rate * 2 > 2**32 - 4096 and path.suffix.lower() == ".wav"
    kind = "RF64" if large else path.suffix[1:].upper()
    annotations: list[Annotation] = []
    blocks = simulate_blocks(**settings)
    first = next(blocks)  # a wrong setting is refused before a file is made
    with (
        write_atomically(path) as file,
        soundfile.SoundFile(file, "w", sample_rate, 1, subtype="PCM_16", format=kind) as audio,
    ):
        for samples, heard in chain([first], blocks):
            audio.write(samples)
            annotations += heard
    return annotations


def simulate_blocks(
    *,
    duration: float,
    seed: int,
    sample_rate: int = 48_000,
    snr_db: tuple[float, float] = (6.0, 18.0),
    bouts_per_minute: float = 3.0,
    neighbours_per_minute: float = 6.0,
    mammals_per_minute: float = 0.0,
    noises: Sequence[str] | None = None,
    background: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, list[Annotation]]]:
    """Simulate a recording minute by minute; see `simulate_recording`.

    Yields
    ------
    samples : np.ndarray [shape=(n,)], int16
    annotations : list of Annotation that start in this block, by start time
    """
    _check_settings(
        duration=duration,
        seed=seed,
        sample_rate=sample_rate,
        snr_db=snr_db,
        bouts_per_minute=bouts_per_minute,
        neighbours_per_minute=neighbours_per_minute,
        mammals_per_minute=mammals_per_minute,
        noises=noises,
    )
    streams = [np.random.default_rng([seed, k]) for k in range(7)]
    chosen = choose_noises(streams[0]) if noises is None else tuple(noises)
    lasting: Background | RecordedBackground = (
        Background(streams[1], sample_rate, chosen)
        if background is None
        else RecordedBackground(streams[1], background, sample_rate)
    )
    heard = _merge_sounds(
        streams, sample_rate, duration, snr_db, chosen, (bouts_per_minute, neighbours_per_minute, mammals_per_minute)
    )
    n_samples, block = round(duration * sample_rate), BLOCK_S * sample_rate
    queue, tail, count = _Queue(heard), np.zeros(0, np.float32), 0
    for first in range(0, n_samples, block):
        noise = lasting.read(min(block, n_samples - first))
        mixed = noise.copy()
        annotations = []
        after = np.zeros(0, np.float32)  # the part that continues in the next block
        mixed[: len(tail)] += tail[: len(mixed)]
        for start, label, kind, sound, level in queue.take(first + len(noise), sample_rate):
            begin = round(start * sample_rate) - first
            loud = sounds.echoes(streams[5], sample_rate, _scale_to_level(sound, noise, begin, sample_rate, level))
            here = min(len(loud), len(mixed) - begin)
            mixed[begin : begin + here] += loud[:here]
            if len(loud) - here > len(after):
                after = np.pad(after, (0, len(loud) - here - len(after)))
            after[: len(loud) - here] += loud[here:]
            if label:
                count += 1
                name = f"{kind}-{count:05d}"
                annotations.append(_annotate(sound, label, name, first + begin, n_samples, sample_rate))
        tail = after
        yield np.clip(np.round(mixed * 32768), -32768, 32767).astype(np.int16), annotations


def _merge_sounds(
    streams: Sequence[np.random.Generator],
    sample_rate: int,
    duration: float,
    snr_db: tuple[float, float],
    noises: Sequence[str],
    per_minute: tuple[float, float, float],
) -> Iterator[_Heard]:
    """Return all sounds in addition to the background, by start time; every group has its own random generator."""
    bouts, neighbours, voices = per_minute
    transients = {kind: make for kind, make in noise_sounds.TRANSIENTS.items() if kind in noises}
    strikes = streams[0].uniform(1, 12) if transients else 0.0
    return merge(
        _simulate_anemonefish(streams[2], sample_rate, duration, bouts, snr_db),
        _simulate_others(streams[3], sample_rate, duration, neighbours, snr_db, sounds.NEIGHBOURS, "biological"),
        _simulate_others(streams[4], sample_rate, duration, strikes, (0.0, 20.0), transients, ""),
        _simulate_others(streams[6], sample_rate, duration, voices, snr_db, mammals.MAMMALS, "biological"),
        key=lambda item: item[0],
    )


class _Queue:
    """Sounds in the order of their times, taken block by block."""

    def __init__(self, heard: Iterator[_Heard]) -> None:
        self._heard, self._next = heard, next(heard, None)

    def take(self, stop: int, sample_rate: int) -> Iterator[_Heard]:
        """Yield the sounds that begin before sample `stop`."""
        while self._next is not None and round(self._next[0] * sample_rate) < stop:
            yield self._next
            self._next = next(self._heard, None)


def _check_settings(
    *,
    duration: float,
    seed: int,
    sample_rate: int,
    snr_db: tuple[float, float],
    bouts_per_minute: float,
    neighbours_per_minute: float,
    mammals_per_minute: float,
    noises: Sequence[str] | None,
) -> None:
    """Refuse settings out of their ranges; see `simulate_recording`."""
    if not SAMPLE_RATES_HZ[0] <= sample_rate <= SAMPLE_RATES_HZ[1]:
        raise ConfigError(f"sample_rate is {sample_rate}; it must be 8000 to 200000 Hz")
    if not duration * sample_rate >= 1:
        raise ConfigError(f"duration is {duration}; it must be at least one sample (1/{sample_rate} s)")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if not snr_db[0] <= snr_db[1]:
        raise ConfigError(f"snr_db is {snr_db}; it must be (lowest, highest), in dB")
    if not 0 <= bouts_per_minute <= 6:
        raise ConfigError(f"bouts_per_minute is {bouts_per_minute}; it must be 0 to 6, because more bouts would touch")
    for name, number in (("neighbours", neighbours_per_minute), ("mammals", mammals_per_minute)):
        if not 0 <= number <= 120:
            raise ConfigError(f"{name}_per_minute is {number}; it must be 0 to 120")
    if unknown := set(noises or ()) - set(NOISES):
        raise ConfigError(f"noises has {', '.join(sorted(unknown))}; each must be one of {', '.join(NOISES)}")


def _annotate(sound: sounds.Sound, label: str, name: str, begin: int, n_samples: int, sample_rate: int) -> Annotation:
    """Describe a sound that begins at sample `begin` of the recording."""
    return Annotation(
        start_time=begin / sample_rate,
        end_time=min((begin + len(sound.samples)) / sample_rate, n_samples / sample_rate),
        label=label,
        low_hz=round(sound.low_hz, 1),
        high_hz=round(min(sound.high_hz, sample_rate / 2), 1),
        id=name,
    )


def choose_noises(rng: np.random.Generator) -> tuple[str, ...]:
    """Choose wind and some of the default noises of a reef, each with a plausible frequency (chosen)."""
    likely = {"flow": 0.5, "rain": 0.2, "shrimp_bed": 0.8, "distant_chorus": 0.3, "boat": 0.35, "hum": 0.15}
    likely |= {"knocks": 0.3, "bubbles": 0.3, "snaps": 0.9}
    return ("wind", *(kind for kind, chance in likely.items() if rng.random() < chance))


# ---------------------------------------------------------------------- times of the sounds


def _simulate_anemonefish(
    rng: np.random.Generator, sample_rate: int, duration: float, per_minute: float, snr_db: tuple[float, float]
) -> Iterator[_Heard]:
    """Make bouts: one fish calls one to seven times, and sometimes a smaller one answers with submissive calls."""
    now = 0.0
    while per_minute > 0:
        # A bout lasts about 2 s; what remains of the mean spacing is drawn.
        now += BOUT_GAP_S + rng.exponential(max(0.1, 60 / per_minute - BOUT_GAP_S - 2)) - BOUT_GAP_S * (now == 0)
        length_mm, level = rng.uniform(55, 130), rng.uniform(*snr_db)
        period_s, chirps = sounds.draw_period(rng), rng.random() < 0.4
        for _ in range(rng.choice(np.arange(1, 8), p=[0.1, 0.2, 0.25, 0.2, 0.12, 0.08, 0.05])):
            kind, draw = "aggressive_train", rng.random()
            if draw < 0.12:
                kind = "submissive_call"
                smaller = max(55.0, length_mm * rng.uniform(0.5, 0.9))
                sound = sounds.make_submissive_call(rng, sample_rate, length_mm=smaller)
            elif chirps and draw < 0.7:
                kind, sound = "chirp", sounds.make_chirp(rng, sample_rate, length_mm=length_mm)
            else:
                sound = sounds.make_aggressive_train(rng, sample_rate, length_mm=length_mm, period_s=period_s)
            end = now + len(sound.samples) / sample_rate
            if end > duration:
                return
            yield now, "anemonefish", kind, sound, level + rng.uniform(-1, 1)
            now = end + rng.uniform(0.2, 1.2)


def _simulate_others(
    rng: np.random.Generator,
    sample_rate: int,
    duration: float,
    per_minute: float,
    level_db: tuple[float, float],
    makers: dict[str, Any],
    label: str,
) -> Iterator[_Heard]:
    """Make sounds at random times; sounds of one kind tend to come together, as animals stay for a while."""
    now, kinds, kind = 0.0, list(makers), ""
    while per_minute > 0:
        now += rng.exponential(60 / per_minute)
        if not kind or rng.random() < 0.5:
            kind = str(rng.choice(kinds))
        sound = makers[kind](rng, sample_rate)
        if now + len(sound.samples) / sample_rate > duration:
            return
        yield now, label, kind, sound, rng.uniform(*level_db)


def _scale_to_level(
    sound: sounds.Sound, noise: np.ndarray, begin: int, sample_rate: int, level_db: float
) -> np.ndarray:
    """Scale a sound to its SNR over the noise around it."""
    half = sample_rate // 2
    around = noise[max(0, begin - half) : begin + len(sound.samples) + half]
    noise_power = measure_band_power(around, sample_rate=sample_rate, low_hz=sound.low_hz, high_hz=sound.high_hz)
    power = measure_band_power(sound.samples, sample_rate=sample_rate, low_hz=sound.low_hz, high_hz=sound.high_hz)
    return sound.samples * np.float32(np.sqrt(noise_power * 10 ** (level_db / 10) / max(power, 1e-20)))


def measure_band_power(samples: np.ndarray, *, sample_rate: int, low_hz: float, high_hz: float) -> float:
    """Return the mean power within a band.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)]
    sample_rate : int > 0, in Hz
    low_hz, high_hz : float, in Hz

    Returns
    -------
    power : float, mean square of the samples in the band
    """
    n = next_fast_len(len(samples), real=True)
    spectrum = rfft(samples, n)
    band = spectrum[int(low_hz * n / sample_rate) : int(np.ceil(high_hz * n / sample_rate)) + 1]
    return float(2 * np.sum(band.real**2 + band.imag**2, dtype=np.float64) / n / len(samples))
