"""The table of minutes, and the levels in the band of the calls, from which hours and masked time are computed.

*Conventions.* Levels are files in ``noise/``, named after the SHA-256 of the recording, its channel and its rate.
Tables have dB re full scale (a mean square of 1, as the levels of calls), or dB re 1 µPa if the recorder is calibrated.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from anemone_lib.archive.inventory import spell_times
from anemone_lib.archive.noise import STEPS, Noise, name_noise, unpack_minutes
from anemone_lib.archive.request import Request
from anemone_lib.archive.schemas import MINUTES
from anemone_lib.detection.calls import choose_band
from anemone_lib.soundscape.minutes import MINUTE_S, find_reference, lay_third_octaves
from anemone_lib.soundscape.noise import BANDS_HZ

if TYPE_CHECKING:
    import pandas as pd


def load_noise(folder: Path, sha256: str | None, request: Request) -> Noise | None:
    """Return the levels of a recording; None where they were not measured, or the file is damaged."""
    if not (request.noise and sha256):
        return None
    path = name_noise(folder, sha256, request)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    try:
        return unpack_minutes(content)
    except Exception:  # noqa: BLE001 the next run measures a damaged file again, whatever is wrong with it
        path.unlink(missing_ok=True)
        return None


def choose_call_bands(request: Request) -> dict[str, tuple[float, float]]:
    """Return the band of the calls of every class, in Hz: that in which the calls inside events are measured."""
    bands = request.classifier.card.bands_hz if request.classifier.card else {}
    return {name: choose_band(name, bands, fmax_hz=request.config.fmax_hz) for name in request.classes}


class Dated(Protocol):
    """A recording that has a row of the table `RECORDINGS`, and knows when its seconds were."""

    @property
    def row(self) -> Mapping[str, Any]: ...
    @property
    def began(self) -> datetime | None: ...
    def measure_elapsed(self, seconds: float | None) -> float | None:
        """Return the seconds after its start at which a time of the recording was."""


def tabulate_minutes(one: Dated, noise: Noise, call_levels: np.ndarray) -> pa.Table:
    """Return the rows of a recording in the table `MINUTES`.

    Parameters
    ----------
    one : Dated, the recording
    noise : Noise
    call_levels : np.ndarray [shape=(n_minutes,)], in the band of the calls, in dB with the reference of the table
    """
    shift, reference = find_reference(one.row["calibration_db"])
    n = len(noise.seconds)
    times = [spell_times("start", one.began, one.measure_elapsed(MINUTE_S * k)) for k in range(n)]
    _, octaves_hz = lay_third_octaves(noise.sample_rate / 2)
    thirds = noise.add_up(octaves_hz)
    bands = {f"{name}_db": level for name, level in BANDS_HZ.items() if name != "calls"}
    beside = noise.add_up(list(bands.values())) + shift
    columns: dict[str, Any] = {
        "site": [one.row["site"]] * n,
        "recording": [one.row["recording"]] * n,
        "start_utc": [time["start_utc"] for time in times],
        "start_local": [time["start_local"] for time in times],
        "start_s": [float(MINUTE_S * k) for k in range(n)],
        "seconds": noise.seconds,
        "sample_rate_hz": np.full(n, noise.sample_rate, np.int32),
        "reference": [reference] * n,
        "calls_db": _round(call_levels, 100),
        **{name: _round(beside[:, k], 100) for k, name in enumerate(bands)},
        "third_octaves_db": _list_rows(_round(thirds + shift, 100)),
        "millidecades_db": _list_rows(_round(noise.millidecades + shift, STEPS)),
    }
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in MINUTES]
    return pa.Table.from_arrays(arrays, schema=MINUTES)


#: Columns from which hours and masked seconds are computed, with the levels of every class.
_STAMPS = ("recording", "start_utc", "start_local", "start_s", "seconds", "reference")
LEVELS = pa.schema([*(MINUTES.field(name) for name in _STAMPS), pa.field("levels", pa.list_(pa.float32()))])


def tabulate_levels(minutes: pa.Table, levels: np.ndarray) -> pa.Table:
    """Return the levels of a recording's minutes [shape=(n_minutes, n_classes)], as `SiteLevels` takes them."""
    offsets = np.arange(len(levels) + 1, dtype=np.int32) * levels.shape[1]
    values = pa.array(levels.astype(np.float32).ravel())
    columns = [*minutes.select(_STAMPS).columns, pa.ListArray.from_arrays(pa.array(offsets), values)]
    return pa.Table.from_arrays(columns, schema=LEVELS)


class SiteLevels:
    """The levels of all minutes of a site, in the bands of the calls.

    Parameters
    ----------
    classes : sequence of str
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._months: dict[str, pa.Table] = {}

    def add(self, month: str, table: pa.Table) -> None:
        """Add the minutes of a month, as `tabulate_levels` gives those of its recordings."""
        self._months[month] = table

    def to_frame(self, site: str) -> "pd.DataFrame | None":
        """Return one row a minute and class, as `anemone_lib.archive.hours.count_hours` reads it; None if empty."""
        import pandas as pd

        if not any(map(len, self._months.values())):
            return None
        table = pa.concat_tables(self._months.values())
        stamps = table.select(["start_utc", "start_local", "reference"]).to_pandas()
        levels = _spread_levels(table, len(self._classes)).astype(np.float64)
        frames = [
            stamps.assign(site=site, **{"class": name, "calls_db": levels[:, k]})
            for k, name in enumerate(self._classes)
        ]
        return pd.concat(frames, ignore_index=True)

    def mark(self, month: str, effort: list[dict[str, Any]], limit_db: float) -> None:
        """Add to a month's intervals of effort their seconds in minutes with more noise than a limit."""
        loud = self._find_loud(month, limit_db)
        for row in effort:
            if row["analysed"] and row["recording"] in loud:
                starts = loud[row["recording"]]
                inside = np.minimum(starts + MINUTE_S, row["end_s"]) - np.maximum(starts, row["start_s"])
                row["masked_s"] = round(float(np.maximum(inside, 0).sum()), 6)

    def _find_loud(self, month: str, limit_db: float) -> dict[str, np.ndarray]:
        """Starts of the minutes, in seconds, with more noise than a limit, of every recording that has minutes."""
        table = self._months.get(month)
        if table is None or not len(table):
            return {}
        starts, too_loud = table["start_s"].to_numpy(), _spread_levels(table, len(self._classes))[:, 0] > limit_db
        names = table["recording"].to_pylist()
        edges = [k for k in range(len(names)) if k == 0 or names[k] != names[k - 1]]
        return {
            names[begin]: starts[begin:end][too_loud[begin:end]]
            for begin, end in zip(edges, [*edges[1:], len(names)], strict=True)
        }


def _spread_levels(table: pa.Table, n_classes: int) -> np.ndarray:
    """Return the levels of minutes [shape=(n_minutes, n_classes)]."""
    return table["levels"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(table), n_classes)


def _round(levels: np.ndarray, steps: int) -> np.ndarray:
    return (np.rint(np.asarray(levels, np.float64) * steps) / steps).astype(np.float32)


def _list_rows(levels: np.ndarray) -> pa.Array:
    """Return one list for each minute; null where the levels are not known."""
    kept = np.isfinite(levels).all(axis=1) if levels.shape[1] else np.zeros(len(levels), bool)
    offsets = np.r_[0, np.cumsum(np.where(kept, levels.shape[1], 0))].astype(np.int32)
    values = pa.array(levels[kept].ravel(), pa.float32())
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(~kept))
