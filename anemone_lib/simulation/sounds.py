"""The single sounds of a reef: anemonefish, their neighbours, and other sources of noise.

*Conventions.* A sound is made alone, at any level, together with its frequency band; `anemone_lib.simulation.reef` sets
the level. All random numbers come from the generator that is passed in. Sounds are correct from 8 to 200 kHz.

*Anemonefish* call in trains of 1 to 8 pulses, in *A. clarkii* 26 ms long, 35 ms apart and between 450 and 800 Hz on
average (Parmentier et al. 2007, Science 316:1006). Dominant frequencies of 370 to 900 Hz belong to fish of 130 to
55 mm (Parmentier, Colleye & Mann 2009, J. Exp. Biol. 212:2023), hence 49,000 / length in mm. All 14 species lie on
one line, larger fish have longer pulses, and the period is what differs most between species (Colleye et al. 2011,
BMC Evol. Biol. 11:365). Chirps of several pulses last 89 ms on average (dosits.org, Clownfish). Submissive sounds,
made while shaking the head, come beside the aggressive ones, and in both the smaller fish have the higher and shorter
pulses (Colleye & Parmentier 2012, PLoS ONE 7:e49179). No frequency sweep is documented, and none is made.

A figure called *chosen* has no source: it covers a plausible range, so that no model learns a single value.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sound:
    """One single sound.

    Attributes
    ----------
    samples : np.ndarray [shape=(n,)], float32, of any level
    low_hz, high_hz : float, the frequency band of the sound
    onsets_s : tuple of float, when each pulse of a train begins, in seconds from the first; empty for other sounds
    """

    samples: np.ndarray
    low_hz: float
    high_hz: float
    onsets_s: tuple[float, ...] = ()


# ---------------------------------------------------------------------- what sounds are made of


def _make_pulses(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    starts_s: np.ndarray,
    durations_s: np.ndarray,
    frequency_hz: float,
    gains: np.ndarray,
    spread: float = 0.2,
    click: float = 0.1,
) -> np.ndarray:
    """Make damped pulses of one source: resonances within `spread` of the frequency, and a click at the onset."""
    n = round((starts_s[-1] + durations_s[-1]) * sample_rate) + 1
    samples = np.zeros(n)
    ratios = np.array([1.0, 1 - spread * rng.uniform(0.3, 1), 1 + spread * rng.uniform(0.3, 1)])
    weights, phases = np.array([1.0, *rng.uniform(0.2, 0.7, 2)]), rng.uniform(0, 2 * np.pi, 3)
    for start, duration, gain in zip(starts_s, durations_s, gains, strict=True):
        first = round(start * sample_rate)
        t = np.arange(min(round(duration * sample_rate), n - first)) / sample_rate
        tones = weights @ np.sin(2 * np.pi * frequency_hz * ratios[:, None] * t + phases[:, None])
        # Rises within a millisecond, 30 dB down at the end: a struck, lightly damped bladder.
        shape = (1 - np.exp(-t / 7e-4)) * np.exp(-3.5 * t / duration)
        knock = click * rng.standard_normal(len(t)) * np.exp(-t / 8e-4)
        samples[first : first + len(t)] += gain * (tones * shape + knock)
    return samples.astype(np.float32)


def echoes(rng: np.random.Generator, sample_rate: int, samples: np.ndarray) -> np.ndarray:
    """Add one to three reflections from bottom and surface, 1 to 12 ms late (chosen: a few metres of water)."""
    delays = np.round(rng.uniform(1e-3, 12e-3, rng.integers(1, 4)) * sample_rate).astype(int)
    heard = np.zeros(len(samples) + delays.max(), np.float32)
    heard[: len(samples)] = samples
    for delay in delays:
        heard[delay : delay + len(samples)] += np.float32(rng.uniform(-0.5, 0.5)) * samples
    return heard


def _train(
    rng: np.random.Generator,
    sample_rate: int,
    *,
    n: int,
    period_s: float,
    duration_s: float,
    frequency_hz: float,
    jitter: float = 0.08,
    band: tuple[float, float] = (0.6, 1.6),
    **shape: float,
) -> Sound:
    """Make pulses about a period apart, some louder than others."""
    gaps = period_s * (1 + jitter * rng.standard_normal(n - 1)).clip(0.6, 1.6)
    starts = np.concatenate([[0.0], np.cumsum(gaps)])
    samples = _make_pulses(
        rng,
        sample_rate,
        starts_s=starts,
        durations_s=duration_s * rng.uniform(0.85, 1.15, n),
        frequency_hz=frequency_hz,
        gains=rng.uniform(0.6, 1.0, n),
        **shape,
    )
    return Sound(samples, band[0] * frequency_hz, band[1] * frequency_hz, tuple(starts.tolist()))


# ---------------------------------------------------------------------- anemonefish


def make_aggressive_train(
    rng: np.random.Generator, sample_rate: int, *, length_mm: float = 90.0, period_s: float | None = None
) -> Sound:
    """Make an aggressive call: 1 to 8 pulses of 10 to 26 ms, longer in larger fish.

    Parameters
    ----------
    rng : np.random.Generator
    sample_rate : int > 0, in Hz
    length_mm : float, 55 to 130 mm
    period_s : float, in seconds, from one pulse to the next
        By default 25 to 110 ms, most often about 40 (35 ms in *A. clarkii*; the range over species is chosen).

    Returns
    -------
    sound : Sound
    """
    n = int(rng.choice(np.arange(1, 9), p=[0.04, 0.1, 0.17, 0.2, 0.18, 0.14, 0.1, 0.07]))
    period = period_s or draw_period(rng)
    duration = min(0.010 + 0.016 * (length_mm - 55) / 75, 0.8 * period)
    return _train(rng, sample_rate, n=n, period_s=period, duration_s=duration, frequency_hz=49_000 / length_mm)


def make_chirp(rng: np.random.Generator, sample_rate: int, *, length_mm: float = 90.0) -> Sound:
    """Make a chirp: about 89 ms long, 3 to 5 pulses (number chosen); see `make_aggressive_train`."""
    n = int(rng.integers(3, 6))
    period = 0.089 * rng.uniform(0.8, 1.25) / n
    return _train(rng, sample_rate, n=n, period_s=period, duration_s=0.9 * period, frequency_hz=49_000 / length_mm)


def make_submissive_call(rng: np.random.Generator, sample_rate: int, *, length_mm: float = 70.0) -> Sound:
    """Make a head-shaking call: 3 to 8 short pulses (5 to 10 ms, 15 to 40 ms apart, chosen), a little higher."""
    return _train(
        rng,
        sample_rate,
        n=int(rng.integers(3, 9)),
        period_s=rng.uniform(0.015, 0.040),
        duration_s=rng.uniform(0.005, 0.010),
        frequency_hz=min(900.0, 1.1 * 49_000 / length_mm),
    )


def draw_period(rng: np.random.Generator) -> float:
    """Draw a pulse period, in seconds: about 40 ms, 25 to 110 ms; see `make_aggressive_train`."""
    return float(np.clip(0.042 * np.exp(0.4 * rng.standard_normal()), 0.025, 0.110))


# ---------------------------------------------------------------------- neighbours


def make_damselfish_pops(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make *Plectroglyphidodon*: 2 to 5 pops of 56 ms and 18 to 25 cycles, 100 to 1000 Hz (Parmentier et al. 2006,
    J. Fish Biol. 69:491); period 80 to 160 ms (chosen)."""
    duration = 0.056 * rng.uniform(0.9, 1.1)
    return _train(
        rng,
        sample_rate,
        n=int(rng.integers(2, 6)),
        period_s=rng.uniform(0.08, 0.16),
        duration_s=duration,
        frequency_hz=rng.uniform(18, 25) / duration,
        spread=0.45,
    )


def make_damselfish_courtship(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make *Dascyllus albisella*: courtship of 6 ± 4 pulses in 262 ± 57 ms or mating of 3 ± 1 in 127 ± 45 ms, at 334
    to 390 Hz (Lobel & Mann 1995, Bioacoustics 6:187); kept under 360 Hz here, below the largest anemonefish."""
    mean, sd, length, width = ((6, 4, 0.262, 0.057), (3, 1, 0.127, 0.045))[rng.integers(2)]
    n = int(np.clip(round(rng.normal(mean, sd)), 2, 12))
    period = max(0.02, rng.normal(length, width) / n)
    return _train(
        rng,
        sample_rate,
        n=n,
        period_s=period,
        duration_s=min(0.03, period),
        frequency_hz=rng.uniform(320, 360),
        spread=0.08,
    )


def make_damselfish_pop(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make *Dascyllus aruanus*: one pulse of 6.7 ms at 680 to 1300 Hz (Parmentier et al. 2006)."""
    return _train(
        rng,
        sample_rate,
        n=1,
        period_s=0.1,
        duration_s=0.0067 * rng.uniform(0.8, 1.4),
        frequency_hz=rng.uniform(680, 1300),
    )


def chorus(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make pops of nocturnal planktivores: 5 to 28 ms, 500 to 750 Hz (McCauley & Cato 2000, Phil. Trans. R. Soc. B
    355:1289), some near 405 Hz and 7.9 ms (Radford et al. 2015, J. Exp. Biol. 218:940); 1 to 25 a second for 1 to 6 s
    (chosen), at random, never in trains."""
    length, rate = rng.uniform(1, 6), np.exp(rng.uniform(0, np.log(25)))
    n = 1 + rng.poisson(length * rate)
    starts = np.sort(rng.uniform(0, length, n))
    samples = np.zeros(round((length + 0.1) * sample_rate), np.float32)
    for start in starts:
        low = rng.random() < 0.2
        pop = _make_pulses(
            rng,
            sample_rate,
            starts_s=np.zeros(1),
            durations_s=np.array([0.0079 if low else rng.uniform(0.005, 0.028)]),
            frequency_hz=rng.normal(405, 12) if low else rng.uniform(500, 750),
            gains=np.exp(rng.normal(0, 0.6, 1)),
        )
        first = round(start * sample_rate)
        samples[first : first + len(pop)] += pop
    return Sound(samples, 300, 1200)


def grunt(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a grunt of grinding teeth: 11 to 21 pulses at 87 to 121 Hz (chosen), about 700 Hz in *Haemulon*
    (Bertucci et al. 2014, J. Exp. Biol. 217:1862), here 570 to 1465 Hz."""
    return _train(
        rng,
        sample_rate,
        n=int(rng.integers(11, 22)),
        period_s=1 / rng.uniform(87, 121),
        duration_s=0.009,
        frequency_hz=rng.uniform(570, 1465),
        spread=0.4,
        click=0.4,
    )


def make_squirrelfish_call(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a holocentrid: 4 to 11 pulses of a drumming bladder, 80 to 130 Hz with harmonics, the periods growing
    (Parmentier et al. 2011, Front. Zool. 8:12)."""
    n, fundamental = int(rng.integers(4, 12)), rng.uniform(80, 130)
    gaps = np.linspace(1, rng.uniform(1.2, 2), n - 1) / fundamental
    samples = _make_pulses(
        rng,
        sample_rate,
        starts_s=np.concatenate([[0.0], np.cumsum(gaps)]),
        durations_s=np.full(n, 1.2 / fundamental),
        frequency_hz=fundamental * rng.integers(1, 4),
        gains=rng.uniform(0.7, 1, n),
        spread=0.5,
    )
    return Sound(samples, 60, 600)


def make_reef_pulses(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make usual pulses of reef fish: 1 to 20 pulses under 100 ms at 100 to 300 Hz, some with a loud broadband onset
    (Tricas & Boyle 2014, Mar. Ecol. Prog. Ser. 511:1, for 45 species; numbers and periods of 25 to 300 ms chosen)."""
    period = np.exp(rng.uniform(np.log(0.025), np.log(0.3)))
    return _train(
        rng,
        sample_rate,
        n=int(np.exp(rng.uniform(0, np.log(20.9)))),
        period_s=period,
        duration_s=min(rng.uniform(0.01, 0.09), period),
        frequency_hz=rng.uniform(100, 300),
        jitter=rng.uniform(0.02, 0.3),
        spread=rng.uniform(0.1, 0.5),
        click=np.exp(rng.uniform(np.log(0.05), np.log(1.5))),
    )


def make_long_train(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make one of the long calls of reef fish: 14 to 40 pulses (nearly 40: McCauley & Cato 2000), 250 to 1000 Hz,
    15 to 80 ms apart (chosen)."""
    period = rng.uniform(0.015, 0.08)
    return _train(
        rng,
        sample_rate,
        n=int(rng.integers(14, 41)),
        period_s=period,
        duration_s=min(rng.uniform(0.008, 0.03), period),
        frequency_hz=rng.uniform(250, 1000),
        jitter=rng.uniform(0.02, 0.2),
        click=rng.uniform(0.05, 0.6),
    )


def scrape(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a bite or scrape of a feeding fish: 1 to 6 bursts of broadband noise of 20 to 250 ms (chosen)."""
    n = int(rng.integers(1, 7))
    lengths = rng.uniform(0.02, 0.25, n)
    starts = np.cumsum(np.concatenate([[0.0], lengths[:-1] + rng.uniform(0.05, 0.4, n - 1)]))
    samples = np.zeros(round((starts[-1] + lengths[-1]) * sample_rate) + 1, np.float32)
    for start, length in zip(starts, lengths, strict=True):
        first, burst = round(start * sample_rate), rng.standard_normal(round(length * sample_rate), np.float32)
        burst *= np.hanning(len(burst)).astype(np.float32)
        burst[1:] -= np.float32(rng.uniform(0, 0.95)) * burst[:-1]
        samples[first : first + len(burst)] += burst[: len(samples) - first]
    return Sound(samples, 300, min(6000, 0.45 * sample_rate))


def moan(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a tonal fish, toadfish or the like: 100 to 300 Hz with harmonics, 0.3 to 1.5 s (chosen)."""
    length, fundamental = rng.uniform(0.3, 1.5), rng.uniform(100, 300)
    return _make_tone(rng, sample_rate, np.array([1.05, 1.0, 0.95]) * fundamental, length, n_harmonics=5)


def whale(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a unit of humpback song: 0.5 to 3 s, gliding within 80 to 1500 Hz, with harmonics (Au et al. 2006,
    J. Acoust. Soc. Am. 120:1103, for the kind; the figures are chosen)."""
    base = np.exp(rng.uniform(np.log(80), np.log(700)))
    contour = base * np.exp(rng.uniform(-0.5, 0.7, 4))
    return _make_tone(rng, sample_rate, contour, rng.uniform(0.5, 3), n_harmonics=int(rng.integers(1, 5)))


def make_dolphin_clicks(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a train of broadband clicks of about 50 µs, 10 to 200 a second, 0.5 to 2 s (chosen)."""
    n = round(rng.uniform(0.5, 2) * sample_rate)
    samples = np.zeros(n, np.float32)
    period = np.exp(rng.uniform(np.log(0.005), np.log(0.1)))
    at = np.cumsum(period * rng.uniform(0.9, 1.1, int(n / sample_rate / period) + 1))
    at = np.round(at[at * sample_rate < n - 1] * sample_rate).astype(int)
    samples[at] = 1
    samples[np.minimum(at + max(1, round(25e-6 * sample_rate)), n - 1)] -= 0.9
    samples[0] += 1e-3
    return Sound(samples, 500, 0.45 * sample_rate)


def _make_tone(
    rng: np.random.Generator, sample_rate: int, contour_hz: np.ndarray, length_s: float, *, n_harmonics: int
) -> Sound:
    from scipy.interpolate import PchipInterpolator  # takes longer to import than all other imports here

    t = np.arange(round(length_s * sample_rate)) / sample_rate
    pitch = PchipInterpolator(np.linspace(0, length_s, len(contour_hz)), contour_hz)(t)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    highest = float(pitch.max())
    gains = rng.uniform(0.2, 0.7) ** np.arange(n_harmonics)
    kept = [k for k in range(n_harmonics) if (k + 1) * highest < 0.45 * sample_rate]
    samples = sum(gains[k] * np.sin((k + 1) * phase) for k in kept)
    edge = np.minimum(t, length_s - t) / (0.15 * length_s)
    return Sound((samples * np.clip(edge, 0, 1)).astype(np.float32), 0.8 * float(pitch.min()), 1.3 * highest)


#: Sounds that are annotated as ``biological``, by kind.
NEIGHBOURS: dict[str, Callable[[np.random.Generator, int], Sound]] = {
    "damselfish_pops": make_damselfish_pops,
    "damselfish_courtship": make_damselfish_courtship,
    "damselfish_pop": make_damselfish_pop,
    "chorus": chorus,
    "grunt": grunt,
    "squirrelfish_call": make_squirrelfish_call,
    "reef_pulses": make_reef_pulses,
    "long_train": make_long_train,
    "scrape": scrape,
    "moan": moan,
    "whale": whale,
    "dolphin_clicks": make_dolphin_clicks,
}
