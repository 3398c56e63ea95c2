"""The voices of whales, dolphins and seals between 50 Hz and some kHz: tones that glide and break, barks, pulse trains.

*Conventions.* As in `anemone_lib.simulation.sounds`. Tonal voices have harmonics up to 8 kHz, which rise and fall by
themselves; harmonics above are far from the frequencies of anemonefish. The animals are far away, so most voices have a
tail of reverberation (`reverberate`). The voices are for training, so that a detector learns sounds that are *not*
fish. They are no references for the species: frequencies and durations come from the papers that are named, everything
else is chosen.
"""

from collections.abc import Callable

import numpy as np

from anemone_lib.simulation.sounds import Sound

#: Highest harmonic that is made, in Hz.
TOP_HZ = 8000.0


def reverberate(rng: np.random.Generator, sample_rate: int, samples: np.ndarray) -> np.ndarray:
    """Add a tail: noise that falls by 60 dB in 0.2 to 3 s, 6 to 20 dB below the sound (chosen).

    Parameters
    ----------
    rng : np.random.Generator
    sample_rate : int > 0, in Hz
    samples : np.ndarray [shape=(n,)], float32

    Returns
    -------
    reverberant : np.ndarray [shape=(m,)], float32, longer than `samples` by half the time of the fall
    """
    from scipy.signal import fftconvolve  # takes longer to import than all other imports here

    fall_s = np.exp(rng.uniform(np.log(0.2), np.log(3.0)))
    t = np.arange(round(0.5 * fall_s * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(t), np.float32) * np.exp(-6.9 * t / fall_s).astype(np.float32)
    tail *= np.float32(10 ** (-rng.uniform(6, 20) / 20) / np.sqrt(np.sum(tail**2)))
    tail[0] = 1.0
    return fftconvolve(samples, tail).astype(np.float32)


def make_humpback_song(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a piece of humpback song: a phrase of 2 to 6 units, sung one to three times (Payne & McVay 1971, Science
    173:585); moans, cries and grunts of 0.2 to 3 s at 80 to 1500 Hz (Au et al. 2006, J. Acoust. Soc. Am. 120:1103)."""
    units = []
    for _ in range(rng.integers(2, 7)):
        base = np.exp(rng.uniform(np.log(80), np.log(1200)))
        units.append(
            _sing(
                rng,
                sample_rate,
                base * np.exp(rng.normal(0, rng.uniform(0.02, 0.4), rng.integers(2, 6))),
                length_s=np.exp(rng.uniform(np.log(0.2), np.log(2.5))),
                n_harmonics=int(rng.integers(1, 9)),
                roughness_hz=rng.uniform(15, 80) if rng.random() < 0.3 else 0.0,
            )
        )
    gap_s = rng.uniform(0.2, 1.5)
    return _join_in_a_row(rng, sample_rate, units * int(rng.integers(1, 4)), gap_s)


def make_killer_whale_call(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make pulsed calls of killer whales: 0.5 to 1.5 s, pulses at 250 to 2000 a second heard as harmonics, with sudden
    shifts between parts (Ford 1989, Can. J. Zool. 67:727); 1 to 4 calls."""
    calls = []
    for _ in range(rng.integers(1, 5)):
        parts = int(rng.integers(1, 4))
        contours = [
            np.exp(rng.uniform(np.log(250), np.log(1600))) * np.exp(rng.normal(0, 0.12, 3)) for _ in range(parts)
        ]
        length_s = rng.uniform(0.5, 1.5) / parts
        calls.append(
            np.concatenate(
                [_sing(rng, sample_rate, c, length_s=length_s, n_harmonics=12, rolloff=0.9).samples for c in contours]
            )
        )
    sounds = [Sound(call, 250, 2500) for call in calls]
    return _join_in_a_row(rng, sample_rate, sounds, rng.uniform(0.1, 1.5))


def make_sea_lion_barks(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make barks of a sea lion under water: bursts of harmonics below 2 kHz, mostly under 1 kHz (Schusterman, Gentry &
    Schmook 1967, Zoologica 52:21); 2 to 15 barks of 0.1 to 0.35 s, 1 to 4 a second (chosen)."""
    base = rng.uniform(180, 600)
    barks = [
        _sing(
            rng,
            sample_rate,
            base * np.array([0.85, 1.0, 0.9]) * np.exp(rng.normal(0, 0.04)),
            length_s=rng.uniform(0.1, 0.35),
            n_harmonics=6,
            roughness_hz=rng.uniform(20, 90),
        )
        for _ in range(rng.integers(2, 16))
    ]
    return _join_in_a_row(rng, sample_rate, barks, rng.uniform(0.05, 0.6))


def make_seal_trill(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a trill of a bearded seal: a tone that winds down over seconds, from up to 6 kHz to some hundred Hz
    (Cleator, Stirling & Smith 1989, Can. J. Zool. 67:1900), here of 2 to 8 s and from 600 to 3000 Hz (chosen)."""
    high, low = np.exp(rng.uniform(np.log(600), np.log(3000))), rng.uniform(150, 500)
    length_s, wobble_hz = rng.uniform(2, 8), rng.uniform(2, 12)
    points = np.geomspace(high, low, max(3, round(4 * wobble_hz * length_s)))
    points *= 1 + rng.uniform(0.01, 0.1) * np.sin(np.pi / 2 * np.arange(len(points)))
    return _sing(rng, sample_rate, points, length_s=length_s, n_harmonics=int(rng.integers(1, 4)))


def make_seal_roar(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a roar of a harbour seal: noise below 1 kHz, most at some hundred Hz, that pulses (Hanggi & Schusterman
    1994, Anim. Behav. 48:1275); 1 to 6 s, swelling (chosen)."""
    n = round(rng.uniform(1, 6) * sample_rate)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.maximum(np.arange(len(spectrum)) * sample_rate / n, 1)
    centre, width = rng.uniform(200, 800), rng.uniform(0.2, 0.6)
    roar = np.fft.irfft(spectrum * np.exp(-0.5 * (np.log(f / centre) / width) ** 2), n)
    t = np.arange(n) / sample_rate
    roar *= 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rng.uniform(5, 40) * t)
    roar *= np.linspace(rng.uniform(0.1, 1), 1, n) * np.clip((n - np.arange(n)) / (0.05 * n), 0, 1)
    return Sound(roar.astype(np.float32), centre * 0.5, centre * 2)


def make_right_whale_call(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make calls of right whales: an up-call of 0.5 to 1.5 s from 50 to 100 up to 150 to 250 Hz, or a moan below
    500 Hz (Clark 1982, Anim. Behav. 30:1060)."""
    if rng.random() < 0.5:
        contour = np.array([rng.uniform(50, 100), rng.uniform(80, 130), rng.uniform(150, 250)])
    else:
        contour = np.exp(rng.uniform(np.log(80), np.log(450))) * np.exp(rng.normal(0, 0.15, 4))
    return _sing(rng, sample_rate, contour, length_s=rng.uniform(0.5, 1.5), n_harmonics=int(rng.integers(1, 6)))


def make_minke_pulses(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a thump train of a minke whale: pulses of 40 to 60 ms, 3 to 5 a second, over 10 to 60 s, 50 to 400 Hz with
    most near 130 Hz (Risch et al. 2013, Bioacoustics 22:229); here 8 to 40 pulses up to 700 Hz (chosen)."""
    base, n = np.exp(rng.uniform(np.log(80), np.log(700))), int(rng.integers(8, 41))
    thump = _sing(rng, sample_rate, base * np.array([1.1, 1.0]), length_s=rng.uniform(0.04, 0.08), n_harmonics=3)
    return _join_in_a_row(rng, sample_rate, [thump] * n, 1 / rng.uniform(3, 5) - 0.06, jitter=0.03)


def make_boing(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make a boing of a minke whale: a pulse, then 2 to 3 s of a tone near 1.4 kHz, modulated at 92 or 115 Hz (Rankin &
    Barlow 2005, J. Acoust. Soc. Am. 118:3346)."""
    tone = np.array([1400.0, 1390.0, 1385.0]) * rng.uniform(0.95, 1.05)
    modulation = float(rng.choice([92.0, 115.0]))
    return _sing(rng, sample_rate, tone, length_s=rng.uniform(2, 3), n_harmonics=1, roughness_hz=modulation)


def make_whistles(rng: np.random.Generator, sample_rate: int) -> Sound:
    """Make whistles of dolphins and pilot whales: 0.3 to 1.5 s, winding within 1 to 20 kHz (Richardson et al. 1995,
    Marine Mammals and Noise), here 0.6 kHz to 8 kHz (chosen), 1 to 5 in a row."""
    whistles = [
        _sing(
            rng,
            sample_rate,
            np.exp(rng.uniform(np.log(600), np.log(6000))) * np.exp(rng.normal(0, 0.3, rng.integers(3, 7))),
            length_s=rng.uniform(0.3, 1.5),
            n_harmonics=int(rng.integers(1, 3)),
        )
        for _ in range(rng.integers(1, 6))
    ]
    return _join_in_a_row(rng, sample_rate, whistles, rng.uniform(0.05, 1.0))


# ---------------------------------------------------------------------- what voices are made of


def _sing(
    rng: np.random.Generator,
    sample_rate: int,
    contour_hz: np.ndarray,
    *,
    length_s: float,
    n_harmonics: int,
    rolloff: float = 0.7,
    roughness_hz: float = 0.0,
) -> Sound:
    """Make a tone along a contour, with harmonics that rise and fall, and rough if its level is modulated."""
    from scipy.interpolate import PchipInterpolator  # takes long to import, too

    n = max(8, round(length_s * sample_rate))
    t = np.arange(n) / sample_rate
    pitch = PchipInterpolator(np.linspace(0, n / sample_rate, len(contour_hz)), contour_hz)(t)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    samples = np.zeros(n)
    top = min(TOP_HZ, 0.45 * sample_rate)
    for k in range(n_harmonics):
        gain = rng.uniform(0.2, 1) * rolloff**k
        swell = np.interp(t, np.linspace(0, n / sample_rate, 5), rng.uniform(0.2, 1, 5))
        samples += np.where((k + 1) * pitch < top, gain * swell * np.sin((k + 1) * phase), 0)
    if roughness_hz:
        depth = rng.uniform(0.3, 1)
        samples *= 1 + depth * np.sin(2 * np.pi * roughness_hz * t * (1 + 0.02 * np.sin(2 * np.pi * 3 * t)))
    edge_s = min(0.4 * length_s, np.exp(rng.uniform(np.log(0.005), np.log(0.3))))
    samples *= np.clip(np.minimum(t, n / sample_rate - t) / edge_s, 0, 1)
    low, high = 0.8 * float(pitch.min()), min(1.3 * float(pitch.max()), 0.45 * sample_rate)
    return Sound((samples + 1e-6).astype(np.float32), min(low, 0.9 * high), high)


def _join_in_a_row(
    rng: np.random.Generator, sample_rate: int, sounds: list[Sound], gap_s: float, *, jitter: float = 0.2
) -> Sound:
    """Join sounds one after the other, some louder than others, and return their common band."""
    pieces = []
    for sound in sounds:
        silence = max(0.0, gap_s * (1 + jitter * rng.standard_normal()))
        pieces += [
            np.float32(rng.uniform(0.6, 1)) * sound.samples,
            np.zeros(round(silence * sample_rate), np.float32),
        ]
    low, high = min(sound.low_hz for sound in sounds), max(sound.high_hz for sound in sounds)
    return Sound(np.concatenate(pieces[:-1]), low, high)


Maker = Callable[[np.random.Generator, int], Sound]


def _move_away(make: Maker) -> Maker:
    """Return the same voice, in seven of ten cases with reverberation."""

    def made(rng: np.random.Generator, sample_rate: int) -> Sound:
        sound = make(rng, sample_rate)
        if rng.random() < 0.7:
            return Sound(reverberate(rng, sample_rate, sound.samples), sound.low_hz, sound.high_hz)
        return sound

    return made


_VOICES: dict[str, Maker] = {
    "humpback_song": make_humpback_song,
    "killer_whale_call": make_killer_whale_call,
    "sea_lion_barks": make_sea_lion_barks,
    "seal_trill": make_seal_trill,
    "seal_roar": make_seal_roar,
    "right_whale_call": make_right_whale_call,
    "minke_pulses": make_minke_pulses,
    "boing": make_boing,
    "whistles": make_whistles,
}


#: Voices of mammals at a distance, annotated as ``biological``, by kind.
MAMMALS: dict[str, Maker] = {kind: _move_away(make) for kind, make in _VOICES.items()}
