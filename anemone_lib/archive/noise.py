"""The noise of a recording, minute by minute, as a run keeps it.

*Conventions.* The levels depend only on the recording and on how it is read (channel, rate). They are kept as hybrid
millidecades in steps of 1/128 dB, in dB re a full-scale sine. Bands of any width are added up from them, with an error
of at most 0.01 dB.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anemone_lib.archive.request import Request
from anemone_lib.soundscape.minutes import Minutes, add_bands, lay_millidecades, to_db

#: Steps in a decibel, and the number for a level that is not known.
STEPS, UNKNOWN = 128, -32768
#: Changes when the levels are measured in another way: earlier files are then measured again.
VERSION = 1


def name_noise(folder: Path, sha256: str, request: Request) -> Path:
    """Return the path of a recording's levels in the archive's folder."""
    rate = request.config.target_sr or "own"
    return folder / "noise" / f"{sha256[:32]}-{request.channel}-{rate}-{VERSION}.npz"


@dataclass(frozen=True, eq=False)
class Noise:
    """The levels of a recording, minute by minute from its start.

    Attributes
    ----------
    sample_rate : int, in Hz
    seconds : np.ndarray [shape=(n_minutes,)], audio that could be read, 0 to 60 s
    millidecades : np.ndarray [shape=(n_minutes, n_bands)], float32
        Mean level of a hertz, in dB re a full-scale sine; NaN where nothing could be read.

    Examples
    --------
    >>> noise = Noise(2000, np.array([60.0]), np.full((1, 797), -60, np.float32))
    >>> noise.add_up([(100.0, 200.0), (2000.0, 3000.0)]).round(2).tolist()
    [[-40.0, nan]]
    """

    sample_rate: int
    seconds: np.ndarray
    millidecades: np.ndarray

    def add_up(self, bands_hz: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
        """Return the level of every minute in wider bands [shape=(n_minutes, n_bands)], in dB re a full-scale sine.

        A band beyond half the sample rate is cut there, and NaN where nothing of it is left.
        """
        edges, half = lay_millidecades(self.sample_rate / 2), self.sample_rate / 2
        power = 10 ** (self.millidecades.astype(np.float64) / 10) * np.diff(edges)
        bands = np.array(bands_hz, float).reshape(-1, 2)
        found = np.full((len(self.seconds), len(bands)), np.nan)
        heard = bands[:, 0] < half
        # Edges in numbers of bands: a part of a band has that part of its power.
        at = np.interp(np.minimum(bands[heard], half), edges, np.arange(len(edges))) - 0.5
        for row, minute in zip(found, power, strict=True):
            row[heard] = to_db(add_bands(minute, at))
        return found


def pack_minutes(minutes: Minutes, sample_rate: int) -> bytes:
    """Return the content of a file that `Noise` is read from.

    Parameters
    ----------
    minutes : Minutes
    sample_rate : int, in Hz, that they were measured at

    Examples
    --------
    >>> from anemone_lib.soundscape.minutes import MinuteMeter
    >>> meter = MinuteMeter(2000)
    >>> meter.add(0, (0.1 * np.sin(np.arange(4000) / 2)).astype(np.float32))
    >>> noise = unpack_minutes(pack_minutes(meter.finish(4000), 2000))
    >>> noise.seconds.tolist(), noise.add_up([(100.0, 200.0)]).round(1).tolist()
    ([2.0], [[-20.0]])
    """
    steps = np.nan_to_num(np.rint(STEPS * np.clip(minutes.millidecades, -255, 255)), nan=UNKNOWN).astype(np.int16)
    file = io.BytesIO()
    np.savez_compressed(file, sample_rate=sample_rate, seconds=minutes.seconds, millidecades=steps)
    return file.getvalue()


def unpack_minutes(content: bytes) -> Noise:
    """Return the levels that `pack_minutes` packed."""
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        steps = kept["millidecades"]
        levels = np.where(steps == UNKNOWN, np.float32(np.nan), steps.astype(np.float32) / STEPS)
        return Noise(int(kept["sample_rate"]), kept["seconds"], levels)
