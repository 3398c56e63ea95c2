"""Labelled windows of simulated recordings, at the sample rates of common recorders."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import soxr

from anemone_lib.config import InferenceConfig
from anemone_lib.scoring.fit import scale_transform
from anemone_lib.scoring.windows import cut_windows, lay_grid
from anemone_lib.simulation.augmentation import augment
from anemone_lib.simulation.noises import TRANSIENTS
from anemone_lib.simulation.reef import choose_noises, simulate_recording
from anemone_lib.training.examples import Stretch
from anemone_lib.training.labelled import (
    LabelledWindows,
    choose_windows,
    concatenate,
    draw_bytes,
    find_background,
    label_windows,
)

#: Sample rates of simulated training recordings in Hz and how often each is drawn: those of common recorders.
SAMPLE_RATES = {
    8_000: 0.09,
    16_000: 0.12,
    22_050: 0.09,
    24_000: 0.09,
    32_000: 0.11,
    44_100: 0.13,
    48_000: 0.18,
    64_000: 0.02,
    96_000: 0.10,
    192_000: 0.05,
    200_000: 0.02,
}
Seconds = float


def simulate_windows(
    *,
    n_recordings: int,
    seed: int,
    config: InferenceConfig | None = None,
    channels: int = 1,
    transform_sr: int | None = None,
    duration: Seconds = 20.0,
    snr_db: tuple[float, float] = (-3.0, 24.0),
    max_windows: int = 24,
    quiet: Sequence[Stretch] = (),
    quiet_part: float = 1.0,
    workers: int | None = None,
) -> LabelledWindows:
    """Simulate recordings at many sample rates, augment them, and cut labelled windows from them.

    Parameters
    ----------
    n_recordings : int > 0
    seed : int >= 0
        Recordings `seed` to ``seed + n_recordings - 1`` of `anemone_lib.simulation.reef`; keep those of sets apart.
    config : InferenceConfig, optional
    channels : int, 1 or 3
    transform_sr : int > 0, in Hz, optional
        The rate that ``n_fft`` and ``hop_length`` are for; at another they are scaled (`ModelCard.transform_sr`).
    duration : float > 0, in seconds, of each recording
    snr_db : (lowest, highest), in dB
    max_windows : int > 0, from each recording
    quiet : sequence of Stretch, optional
        Recorded sound without calls, over which recordings are simulated instead of over simulated noise.
    quiet_part : float in [0, 1], part of the recordings that are simulated over it, where there is some
    workers : int > 0, optional
        Number of threads; by default one for each core. The windows do not depend on it.

    Returns
    -------
    windows : LabelledWindows

    Examples
    --------
    >>> windows = simulate_windows(n_recordings=2, seed=1, duration=5.0, max_windows=4)
    >>> windows.classes, len(windows) <= 8
    (('noise', 'anemonefish', 'biological'), True)
    """
    config = config or InferenceConfig()
    one = partial(
        _simulate_recording_windows,
        config=config,
        channels=channels,
        transform_sr=transform_sr,
        duration=duration,
        snr_db=snr_db,
        max_windows=max_windows,
        quiet=quiet,
        quiet_part=quiet_part,
    )
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return concatenate(list(pool.map(one, range(seed, seed + n_recordings))))


def _simulate_recording_windows(
    seed: int,
    *,
    config: InferenceConfig,
    channels: int,
    transform_sr: int | None,
    duration: Seconds,
    snr_db: tuple[float, float],
    max_windows: int,
    quiet: Sequence[Stretch],
    quiet_part: float,
) -> LabelledWindows:
    rng = np.random.default_rng([seed, 99])
    rate = config.target_sr or int(rng.choice(list(SAMPLE_RATES), p=list(SAMPLE_RATES.values())))
    samples, annotations = simulate_recording(
        duration=duration,
        seed=seed,
        sample_rate=rate,
        snr_db=snr_db,
        bouts_per_minute=float(rng.choice([0.0, 6.0], p=[0.3, 0.7])),
        neighbours_per_minute=float(rng.choice([0.0, 6.0, 25.0], p=[0.15, 0.3, 0.55])),
        mammals_per_minute=float(rng.choice([0.0, 6.0, 20.0], p=[0.5, 0.25, 0.25])),
        noises=_draw_noises(rng),
        background=_draw_background(quiet, rate, rng) if quiet and rng.random() < quiet_part else None,
    )
    samples = augment(samples, sample_rate=rate, rng=rng)
    grid = lay_grid(len(samples), sample_rate=rate, **config.grid_settings)
    labels = label_windows(
        annotations,
        start_times=grid.start_times,
        end_times=grid.end_times,
        classes=config.classes,
        target_class=config.target_class,
        background_class=find_background(config),
    )
    chosen = choose_windows(labels, max_windows, rng)
    windows = cut_windows(
        samples, n_windows=grid.n_windows, window_samples=grid.window_samples, stride_samples=grid.stride_samples
    )[chosen]
    seen = scale_transform(config, rate, transform_sr=transform_sr)
    return LabelledWindows(
        draw_bytes(windows, rate, seen, channels),
        labels[chosen],
        np.full(len(chosen), f"simulated-{seed}"),
        grid.start_times[chosen],
        config.classes,
    )


def _draw_noises(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw the noises of a reef, and in half of the recordings one or two more kinds of `TRANSIENTS`."""
    noises = choose_noises(rng)
    if rng.random() < 0.5:
        others = [kind for kind in TRANSIENTS if kind not in noises]
        noises += tuple(rng.choice(others, int(rng.integers(1, 3)), replace=False).tolist())
    return noises


def _draw_background(quiet: Sequence[Stretch], sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a stretch, and resample it so that it plays up to a fifth faster or slower."""
    one = quiet[int(rng.integers(len(quiet)))]
    speed = np.exp(rng.uniform(-0.2, 0.2))
    return soxr.resample(np.nan_to_num(one.samples), one.sample_rate * speed, sample_rate).astype(np.float32)
