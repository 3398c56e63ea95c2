"""A simulated dataset: several annotated recordings of one reef, all of them different."""

import os
from pathlib import Path

import numpy as np

from anemone_lib.errors import ConfigError
from anemone_lib.simulation.reef import write_recording
from anemone_lib.tables.writing import write_raven

#: Noises in addition to wind on different days, by the names of `anemone_lib.simulation.reef.NOISES`.
WEATHER: tuple[tuple[str, ...], ...] = (
    ("wind",),
    ("wind", "snaps", "shrimp_bed"),
    ("wind", "boat"),
    ("wind", "rain"),
    ("wind", "flow", "knocks"),
    ("wind", "snaps", "distant_chorus"),
)


BOUTS_PER_MINUTE = (0.0, 2.0, 4.0, 6.0)


NEIGHBOURS_PER_MINUTE = (10.0, 25.0, 40.0)


def write_dataset(
    folder: str | os.PathLike[str],
    *,
    n_recordings: int = 12,
    duration: float = 120.0,
    seed: int = 0,
    sample_rate: int = 24_000,
    snr_db: tuple[float, float] = (0.0, 12.0),
) -> list[tuple[Path, Path]]:
    """Write simulated recordings with their truth as Raven tables.

    Call rates, neighbours and noises differ from recording to recording, in turn, so that each kind of day occurs;
    a quarter of the recordings has no anemonefish at all. The SNR of calls is drawn between the two of `snr_db`.

    Parameters
    ----------
    folder : path, made if it is missing
    n_recordings : int > 0
    duration : float > 0, of each, in seconds
    seed : int >= 0
        Datasets of different seeds have nothing in common.
    sample_rate : int, in Hz
    snr_db : (lowest, highest), in dB

    Returns
    -------
    pairs : list of (recording, table), paths

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> pairs = write_dataset(mkdtemp(), n_recordings=2, duration=5, sample_rate=8000)
    >>> [recording.suffix for recording, table in pairs], all(table.exists() for recording, table in pairs)
    (['.wav', '.wav'], True)
    """
    if n_recordings < 1:
        raise ConfigError(f"n_recordings is {n_recordings}; a season has at least 1")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 4])
    noise_order = rng.permutation(n_recordings)
    samples = []
    for k in range(n_recordings):
        recording = folder / f"reef-{seed}_202302{10 + k % 18:02d}_{6 + k // 18 % 12:02d}0000.wav"
        truth = write_recording(
            recording,
            duration=duration,
            seed=1_000_000 + 1000 * seed + k,
            sample_rate=sample_rate,
            snr_db=snr_db,
            bouts_per_minute=BOUTS_PER_MINUTE[k % 4],
            neighbours_per_minute=NEIGHBOURS_PER_MINUTE[(k // 4 + k) % 3],
            noises=WEATHER[noise_order[k] % len(WEATHER)],
        )
        table = folder / f"{recording.stem}.Table.1.selections.txt"
        write_raven(table, truth, high_hz=min(2000.0, sample_rate / 2), recording_name=recording.name)
        samples.append((recording, table))
    return samples
