"""The soundscape of a site: levels of bands by day, third octaves, the long-term spectral average.

*Conventions.* All of it is read from the table of minutes, a group of rows at a time, so that a season of spectra does
not have to fit into memory. Hours of the clock are those of the recorder. Levels of recorders with and without a
calibration are not put together.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.dataset

from anemone_lib.archive.schemas import MINUTES
from anemone_lib.archive.tables import Archive, read_batches
from anemone_lib.errors import ConfigError
from anemone_lib.soundscape.minutes import lay_millidecades, lay_third_octaves, to_db

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the picture, at most, and the lengths of time that a column may have, minutes.
MAX_COLUMNS, STEPS_MIN = 1000, (1, 2, 5, 10, 20, 30, 60, 120, 180, 240, 360, 720, 1440)
#: The bands of the table and their names, in the order of a legend.
BANDS = {
    "calls_db": "band of the calls",
    "below_db": "20 to 300 Hz",
    "above_db": "1 to 2 kHz",
    "shrimp_db": "2 to 20 kHz",
}


@dataclass(frozen=True, eq=False)
class Soundscape:
    """What a site sounds like.

    Attributes
    ----------
    reference : str, what 0 dB is
    dates : np.ndarray [shape=(n_days,)], datetime64[D], every day from the first to the last
    bands : dict of np.ndarray [shape=(n_days,)]
        Median of the minutes of a day, in dB, by the names that `BANDS` gives them; NaN where nothing is known.
    thirds_hz : np.ndarray [shape=(n_bands,)], centres of the third octaves
    thirds : np.ndarray [shape=(3, n_bands)], 10th percentile, median and 90th percentile over all minutes, in dB
    times : np.ndarray [shape=(n_times,)], datetime64[m], start of each column of the long-term spectral average
    step_min : int, minutes of a column
    edges_hz : np.ndarray [shape=(n_millidecades + 1,)]
    spectra : np.ndarray [shape=(n_times, n_millidecades)], mean power of a hertz, in dB; NaN where nothing was recorded
    """

    reference: str
    dates: np.ndarray
    bands: dict[str, np.ndarray]
    thirds_hz: np.ndarray
    thirds: np.ndarray
    times: np.ndarray
    step_min: int
    edges_hz: np.ndarray
    spectra: np.ndarray


def measure_soundscape(source: "Archive | pd.DataFrame", site: str) -> Soundscape:
    """Sum up the minutes of a site.

    Parameters
    ----------
    source : Archive, or its table of minutes with the lists
    site : str

    Returns
    -------
    soundscape : Soundscape

    Raises
    ------
    ConfigError
        The site has no minutes with a time of day, or some of its recorders are calibrated and others are not.

    Examples
    --------
    >>> from anemone_lib.simulation.season import simulate_minutes, simulate_season
    >>> minutes = simulate_minutes(simulate_season(n_days=2, seed=1, outage=0), sample_rate=2000)
    >>> found = measure_soundscape(minutes, minutes["site"].iloc[0])
    >>> found.reference, len(found.dates), list(found.bands)[:2]
    ('full scale', 2, ['band of the calls', '20 to 300 Hz'])
    """
    columns = ["start_local", "sample_rate_hz", "reference", *BANDS]
    minutes = (
        source.read("minutes", columns=columns, site=site)
        if isinstance(source, Archive)
        else source.loc[source["site"] == site, columns]
    ).dropna(subset="start_local")
    if not len(minutes):
        raise ConfigError(f"the sound of {site} was not measured, or it is not known when it was recorded")
    if minutes["reference"].nunique() > 1:
        raise ConfigError(
            f"some recorders of {site} are calibrated and others are not, so their levels cannot be put together; give "
            "calibration_db of all in the manifest, or of none"
        )
    stamps = minutes["start_local"].to_numpy("M8[m]")
    days = stamps.astype("M8[D]")
    dates = np.arange(days.min(), days.max() + 1)
    medians = minutes[list(BANDS)].groupby(days).median().reindex(dates)
    step = choose_step(stamps.min(), stamps.max())
    first = stamps.min().astype(np.int64) // step
    n_columns = int(stamps.max().astype(np.int64) // step - first + 1)
    edges = lay_millidecades(int(minutes["sample_rate_hz"].max()) / 2)
    power, counted = np.zeros((n_columns, len(edges) - 1)), np.zeros((n_columns, len(edges) - 1))
    parts: list[np.ndarray] = []
    thirds_hz, _ = lay_third_octaves(edges[-1])
    n_thirds = len(thirds_hz)
    for batch in _read_spectra(source, site):
        column = batch["start_local"].to_numpy(zero_copy_only=False).astype("M8[m]").astype(np.int64) // step - first
        for rows, levels in _split_by_length(batch["millidecades_db"]):
            width = levels.shape[1]
            np.add.at(power[:, :width], column[rows], 10 ** (levels / 10))
            np.add.at(counted[:, :width], column[rows], 1)
        for _, levels in _split_by_length(batch["third_octaves_db"]):
            parts.append(np.pad(levels, ((0, 0), (0, n_thirds - levels.shape[1])), constant_values=np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        spectra = to_db(power / counted)
    return Soundscape(
        reference=str(minutes["reference"].iloc[0]),
        dates=dates,
        bands={name: medians[column].to_numpy(float) for column, name in BANDS.items()},
        thirds_hz=thirds_hz,
        thirds=_take_percentiles(parts, n_thirds),
        times=((np.arange(n_columns) + first) * step).astype("M8[m]"),
        step_min=step,
        edges_hz=edges,
        spectra=spectra,
    )


def choose_step(first: np.datetime64, last: np.datetime64) -> int:
    """Choose how many minutes a column of the picture is long.

    >>> choose_step(np.datetime64("2023-02-01T00:00"), np.datetime64("2023-02-01T01:00"))
    1
    >>> choose_step(np.datetime64("2023-02-01T00:00"), np.datetime64("2023-04-01T00:00"))
    120
    """
    span = (last - first) / np.timedelta64(1, "m")
    return next((step for step in STEPS_MIN if span / step <= MAX_COLUMNS), STEPS_MIN[-1])


def _read_spectra(source: "Archive | pd.DataFrame", site: str) -> Any:
    """Yield the lists of a site's minutes, a group of rows at a time."""
    field, columns = pyarrow.dataset.field, ["start_local", "third_octaves_db", "millidecades_db"]
    of_site = (field("site") == site) & field("start_local").is_valid()
    if isinstance(source, Archive):
        return read_batches(source.folder, "minutes", columns=columns, rows=of_site, batch_size=1 << 10)
    data = pyarrow.dataset.dataset(pa.Table.from_pandas(source, MINUTES, preserve_index=False))
    return data.to_batches(columns=columns, filter=of_site, batch_size=1 << 10)


def _split_by_length(lists: Any) -> Any:
    """Yield, for lists of each length, their rows and their content [shape=(n_rows, length)]."""
    lengths = pyarrow.compute.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    for length in np.unique(lengths[lengths > 0]).tolist():
        rows = np.flatnonzero(lengths == length)
        values = lists.take(rows).flatten().to_numpy(zero_copy_only=False)
        yield rows, values.reshape(len(rows), length).astype(np.float64)


def _take_percentiles(parts: list[np.ndarray], n_bands: int) -> np.ndarray:
    levels = np.concatenate(parts) if parts else np.full((1, n_bands), np.nan)
    found = np.full((3, n_bands), np.nan)
    for k in range(n_bands):
        known = levels[np.isfinite(levels[:, k]), k]
        if len(known):
            found[:, k] = np.percentile(known, (10, 50, 90))
    return found
