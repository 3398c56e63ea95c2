"""The noises of a reef: strikes, bubbles, shrimp, and continuous noises."""

from collections.abc import Callable

import numpy as np
from scipy.fft import irfft, rfft

from anemone_lib.simulation.sounds import (
    Sound,
)

# ---------------------------------------------------------------------- noise


def knocks(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a mooring knock or a chain: 1 to 4 inharmonic strikes with modes from 60 to 3000 Hz (chosen)."""
    samples = np.zeros(round(1.5 * sample_rate), np.float32)
    modes = np.exp(rng.uniform(np.log(60), np.log(3000), rng.integers(3, 9)))
    for start in rng.uniform(0, 0.8, rng.integers(1, 5)):
        first = round(start * sample_rate)
        t = np.arange(min(round(0.3 * sample_rate), len(samples) - first)) / sample_rate
        for mode in modes[modes < 0.45 * sample_rate]:
            damping = rng.uniform(0.005, 0.05)
            tone = rng.uniform(0.2, 1) * np.sin(2 * np.pi * mode * t) * np.exp(-t / damping)
            samples[first : first + len(t)] += tone.astype(np.float32)
        samples[first : first + 3] += np.float32(rng.uniform(0, 4))
    return Sound(samples, 60, min(3000, 0.45 * sample_rate))


def bubbles(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a breath of a diver or a breaking wave: 0.3 to 2 s of hundreds of damped bubbles, 200 to 4000 Hz (a bubble
    of radius r mm rings at 3260 / r Hz: Minnaert 1933); numbers chosen."""
    length = rng.uniform(0.3, 2.0)
    n = round(length * sample_rate)
    spectrum = rfft(rng.standard_normal(n, np.float32))
    f = np.arange(len(spectrum)) * sample_rate / n
    centre, width = np.exp(rng.uniform(np.log(300), np.log(2000))), rng.uniform(0.3, 1)
    spectrum *= np.exp(-0.5 * (np.log(np.maximum(f, 1) / centre) / width) ** 2)
    flutter = np.interp(np.arange(n), np.linspace(0, n, round(40 * length) + 2), rng.random(round(40 * length) + 2))
    edge = np.minimum(np.arange(n), n - 1 - np.arange(n)) / (0.2 * n)
    return Sound(
        (irfft(spectrum, n) * flutter * np.clip(edge, 0, 1)).astype(np.float32), 200, min(4000, 0.45 * sample_rate)
    )


def make_snaps(rng: np.random.Generator, sample_rate: int, n: int = 24) -> np.ndarray:
    """Make snaps of pistol shrimp: a spike of a few µs and 0.1 to 0.4 ms of reflections from the bottom beside it
    (Versluis et al. 2000, Science 289:2114; duration: Uch. Zap. Fiz. Fak. Mosk. Univ. 2017, 1750103), with weaker
    echoes for 4 ms [shape=(n, 5 ms)]."""
    length = max(8, round(0.005 * sample_rate))
    t = np.arange(length) / sample_rate
    decay = rng.uniform(3e-5, 1.2e-4, (n, 1))
    shapes = rng.standard_normal((n, length)) * np.exp(-t / decay)
    shapes[:, 0] += rng.choice([-3.0, 3.0], n)
    shapes += 0.05 * rng.standard_normal((n, length)) * np.exp(-t / 1.2e-3)
    return (shapes / np.abs(shapes).max(axis=1, keepdims=True)).astype(np.float32)


def make_sonar(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make pings: tones or sweeps of 0.02 to 1 s, 1 to 8 of them, 0.3 to 3 s apart, at 300 to 8000 Hz (sonars and
    echo sounders, of which the lowest are heard here: Richardson et al. 1995, Marine Mammals and Noise; chosen)."""
    from scipy.signal import fftconvolve  # takes longer to import than all other imports here

    low = np.exp(rng.uniform(np.log(300), np.log(min(8000, 0.4 * sample_rate))))
    high = min(0.45 * sample_rate, low * np.exp(abs(rng.normal(0, 0.3)) * (rng.random() < 0.5)))
    n = max(8, round(np.exp(rng.uniform(np.log(0.02), np.log(1.0))) * sample_rate))
    t = np.arange(n) / sample_rate
    ping = np.sin(2 * np.pi * (low + (high - low) * np.arange(n) / n / 2) * t) * np.hanning(n) ** 0.2
    tail_s = rng.uniform(0.1, 1.5)
    tail = rng.standard_normal(round(tail_s * sample_rate)) * np.exp(
        -6.9 * np.arange(round(tail_s * sample_rate)) / sample_rate / tail_s
    )
    tail *= 10 ** -rng.uniform(0.3, 1) / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    ping = fftconvolve(ping, tail)
    starts = np.round(np.arange(rng.integers(1, 9)) * rng.uniform(0.3, 3) * sample_rate).astype(int)
    samples = np.zeros(starts[-1] + len(ping), np.float32)
    for start in starts:
        samples[start : start + len(ping)] += ping.astype(np.float32)
    return Sound(samples, 0.9 * low, min(1.1 * high, 0.49 * sample_rate))


def make_explosions(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make seal bombs or shots of an airgun: a spike and 0.3 to 3 s of echoes that lose their high frequencies, most
    below 1 kHz (Wiggins et al. 2021, J. Acoust. Soc. Am. 149:4309; chosen), 1 to 4 of them, 0.5 to 4 s apart."""
    length = rng.uniform(0.3, 3)
    n = round(length * sample_rate)
    t = np.arange(n) / sample_rate
    tail = rng.standard_normal(n) * np.exp(-6.9 * t / length)
    spectrum = rfft(tail)
    f = np.arange(len(spectrum)) * sample_rate / n
    tail = irfft(spectrum / (1 + (f / rng.uniform(150, 1500)) ** 2), n)
    shot = (0.3 * tail / np.abs(tail).max()).astype(np.float32)
    shot[: max(2, round(2e-3 * sample_rate))] += np.float32(rng.uniform(0.3, 2))
    starts = np.round(np.arange(rng.integers(1, 5)) * rng.uniform(0.5, 4) * sample_rate).astype(int)
    samples = np.zeros(starts[-1] + n, np.float32)
    for start in starts:
        samples[start : start + n] += np.float32(rng.uniform(0.5, 1)) * shot
    return Sound(samples, 50, min(1500, 0.45 * sample_rate))


def make_chain(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a chain that is dragged: 5 to 60 strikes of one set of modes, 100 to 4000 Hz, 2 to 25 a second (chosen)."""
    n = int(rng.integers(5, 61))
    starts = np.cumsum(rng.exponential(1 / rng.uniform(2, 25), n))
    n_ring = round(0.15 * sample_rate)
    samples = np.zeros(round(starts[-1] * sample_rate) + n_ring + 1, np.float32)
    modes = np.exp(rng.uniform(np.log(100), np.log(min(4000, 0.45 * sample_rate)), rng.integers(3, 9)))
    t = np.arange(n_ring) / sample_rate
    rings = np.sin(2 * np.pi * modes[:, None] * t) * np.exp(-t / rng.uniform(0.003, 0.03, (len(modes), 1)))
    for start in starts:
        first = round(start * sample_rate)
        samples[first : first + n_ring] += (rng.uniform(0, 1, len(modes)) @ rings).astype(np.float32)
        samples[first : first + 3] += np.float32(rng.uniform(0, 3))
    return Sound(samples, 100, min(4000, 0.45 * sample_rate))


def make_propeller(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a small boat that passes: lines of engine and gear that glide as it speeds up, 60 to 1200 Hz, and cavitation
    noise that beats with the blades (Wenz 1962; Richardson et al. 1995; chosen), 2 to 10 s."""
    n = round(rng.uniform(2, 10) * sample_rate)
    t = np.arange(n) / sample_rate
    speed = np.interp(t, np.linspace(0, t[-1], 5), np.exp(np.cumsum(rng.normal(0, 0.12, 5))))
    base = np.exp(rng.uniform(np.log(30), np.log(250)))
    phase = 2 * np.pi * np.cumsum(base * speed) / sample_rate
    samples = np.zeros(n)
    for k in rng.choice(np.arange(1, 13), rng.integers(2, 8), replace=False):
        samples += rng.uniform(0.1, 1) * np.sin(k * phase + rng.uniform(0, 6)) * (k * base * 2 < 0.45 * sample_rate)
    hiss = rng.standard_normal(n) * (1 + rng.uniform(0, 1) * np.sin(phase * rng.choice([0.25, 0.5, 1.0])))
    samples += rng.uniform(0.1, 3) * hiss
    pass_by = np.exp(-0.5 * ((t - 0.5 * t[-1]) / (rng.uniform(0.15, 0.4) * t[-1])) ** 2)
    edge = np.clip(np.minimum(t, t[-1] - t) / 0.3, 0, 1)
    return Sound((samples * pass_by * edge + 1e-6).astype(np.float32), 60, min(2000, 0.45 * sample_rate))


#: Transient noise by kind; not annotated. Only knocks and bubbles are among those that a recording has by default.
TRANSIENTS: dict[str, Callable[[np.random.Generator, int], Sound]] = {
    "knocks": knocks,
    "bubbles": bubbles,
    "sonar": make_sonar,
    "explosions": make_explosions,
    "chain": make_chain,
    "propeller": make_propeller,
}


def wind(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of wind and waves: -17 dB a decade above 500 Hz (Knudsen; Wenz 1962, J. Acoust. Soc. Am. 34:1936), 12
    to 20 here, and flat or falling below."""
    slope = rng.uniform(1.2, 2.0)
    f = np.maximum(frequency_hz, 1)
    return (f / 500) ** -slope / (1 + (f / rng.uniform(50, 400)) ** -(slope + rng.uniform(0, 0.5)))


def flow(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of turbulence at the hydrophone: 1 to 100 Hz and steep above (Wenz 1962)."""
    return 3 * (np.maximum(frequency_hz, 5) / rng.uniform(60, 200)) ** -rng.uniform(2.5, 4)


def rain(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of rain: nearly white, with a peak of bubbles at 13 to 15 kHz (Wenz 1962; Nystuen 1986, J. Acoust. Soc.
    Am. 79:972)."""
    f = np.maximum(frequency_hz, 1)
    return (f / (f + 200)) + 4 * np.exp(-0.5 * (np.log(f / 14_000) / 0.25) ** 2)


def shrimp_bed(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of a distant bed of shrimp: about level from 2 to 24 kHz, less below (Everest et al. 1948, J. Acoust.
    Soc. Am. 20:137)."""
    f = np.maximum(frequency_hz, 1)
    return (f / 2000) ** 2 / (1 + (f / rng.uniform(1500, 4000)) ** 2)


def distant_chorus(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of a fish chorus too far to hear single pops: a hump at 500 to 750 Hz, felt from 100 Hz to 3 kHz
    (McCauley & Cato 2000)."""
    f = np.maximum(frequency_hz, 1)
    return 2 * np.exp(-0.5 * (np.log(f / rng.uniform(400, 1100)) / rng.uniform(0.2, 0.6)) ** 2)


def boat(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of a vessel: broadband, falling above 50 to 300 Hz, and lines at multiples of the blade rate (10 to
    1000 Hz: Wenz 1962); numbers chosen."""
    f = np.maximum(frequency_hz, 1)
    broadband = 1 / (1 + (f / rng.uniform(50, 300)) ** rng.uniform(0.8, 2))
    return 4 * (broadband + _draw_lines(rng, f, rng.uniform(12, 90), rng.uniform(0.7, 0.95), 20.0))


def hum(rng: np.random.Generator, frequency_hz: np.ndarray) -> np.ndarray:
    """Density of electric hum: 50 or 60 Hz and harmonics."""
    return _draw_lines(rng, frequency_hz, rng.choice([50.0, 60.0]), rng.uniform(0.4, 0.9), 100.0)


def _draw_lines(
    rng: np.random.Generator, frequency_hz: np.ndarray, fundamental_hz: float, decay: float, height: float
) -> np.ndarray:
    step = frequency_hz[1]
    density = np.zeros(len(frequency_hz))
    for k in range(1, 40):
        bin_ = round(k * fundamental_hz / step)
        if bin_ + 2 < len(density):
            width = 1 + int(rng.integers(0, 3))
            density[bin_ : bin_ + width] += height * decay**k * rng.uniform(0.1, 2) / (width * step)
    return density


#: Continuous noises, as power density relative to wind at 500 Hz.
CONTINUOUS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "wind": wind,
    "flow": flow,
    "rain": rain,
    "shrimp_bed": shrimp_bed,
    "distant_chorus": distant_chorus,
    "boat": boat,
    "hum": hum,
}
