"""Change a recording as if another recorder had made it."""

import numpy as np


def augment(samples: np.ndarray, *, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Change a recording as if another recorder had made it: response, gain, clipping, offset, coding, mixing.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32
    sample_rate : int > 0, in Hz
    rng : np.random.Generator

    Returns
    -------
    augmented : np.ndarray [shape=(n,)], float32

    Examples
    --------
    >>> samples = np.sin(2 * np.pi * 500 * np.arange(8000) / 8000).astype(np.float32)
    >>> augmented = augment(samples, sample_rate=8000, rng=np.random.default_rng(1))
    >>> augmented.shape, augmented.dtype
    ((8000,), dtype('float32'))
    """
    from scipy.fft import irfft, next_fast_len, rfft

    n = next_fast_len(len(samples), real=True)
    frequency = np.arange(n // 2 + 1) * sample_rate / n
    # A response that bends by up to 6 dB an octave band, and a low-pass such as codecs and anti-alias filters have.
    knots = np.log2(np.maximum(sample_rate / 2, 1) / 2.0 ** np.arange(12, -1, -1))
    level_db = np.interp(np.log2(np.maximum(frequency, 1)), knots, rng.normal(0, 3.0, len(knots)))
    if rng.random() < 0.3:
        level_db -= 96 / (1 + np.exp(-(frequency - rng.uniform(2200, 16_000)) / 50))
    augmented = irfft(rfft(samples, n) * (10 ** (level_db / 20)).astype(np.float32), n)[: len(samples)]
    if rng.random() < 0.3:  # the recorder's own noise, or electric noise
        mains = np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * np.arange(len(samples)) / sample_rate)
        hiss = rng.standard_normal(len(samples), np.float32)
        level = augmented.std() * 10 ** rng.uniform(-2.5, -0.5)
        augmented = augmented + np.float32(level) * (hiss if rng.random() < 0.6 else mains.astype(np.float32))
    peak = np.abs(augmented).max() + 1e-12
    augmented = augmented / np.float32(peak) * np.float32(10 ** rng.uniform(-2.5, 0))
    if rng.random() < 0.1:  # too much gain
        ceiling = np.abs(augmented).max() * rng.uniform(0.2, 0.7)
        augmented = np.clip(augmented, -ceiling, ceiling)
    if rng.random() < 0.2:
        augmented = augmented + np.float32(rng.normal(0, 0.01))
    bits = rng.choice([12, 16, 24], p=[0.1, 0.6, 0.3])
    return (np.round(augmented * 2.0 ** (bits - 1)) / 2.0 ** (bits - 1)).astype(np.float32)
