"""The tables of an archive: their columns, where they lie, and how they are read.

*Layout.* A run writes into one folder::

    archive.json                          what made the tables: source, model, settings, counts, SHA-256 of each file
    recordings.parquet                    one row a recording: the inventory, and what became of it
    events.parquet/<site>/<month>.parquet one row an event
    effort.parquet/<site>/<month>.parquet one row an interval that was analysed or skipped
    hours.parquet/<site>/<month>.parquet  one row a site, hour and class
    timeline.png                          which hours were recorded
    verdicts.csv                          what reviewers said of events
    scores/                               the probabilities, kept for other event settings
    state/                                what is done and what is not, so that a stopped run goes on

A month is that of the recorder's own clock, like ``2023-02``; ``undated`` where nothing tells when a recording began.
The columns `site` and times are in the files, so that each file is whole by itself; every reader of Parquet reads a
folder as one table (pandas, polars, DuckDB, arrow for R).

*Conventions.* What is not known is null, never NaN, 0 or an empty text. Times of day are written twice, in UTC and by
the recorder's own clock (without a zone: the difference of both is the offset). Tables hold no time of a run, and
their rows have one order, so that the same recordings and settings give the same bytes.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from anemone_lib.errors import ConfigError
from anemone_lib.files import shorten_name, write_atomically

if TYPE_CHECKING:
    import pandas as pd

_UTC, _LOCAL = pa.timestamp("ms", "UTC"), pa.timestamp("ms")
_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int32()


def _schema(*columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"meaning": meaning}) for name, kind, meaning in columns])


#: One row an event, by site, recording and start.
EVENTS = _schema(
    ("id", _TEXT, "Identifier of the event. The same recording and the same event give the same id."),
    ("site", _TEXT, "Where the recorder was: from the manifest, or the folder of the recording."),
    ("recording", _TEXT, "Path of the recording below the source."),
    ("start_utc", _UTC, "Start in UTC; null where nothing says when the recording began."),
    ("end_utc", _UTC, "End in UTC."),
    ("start_local", _LOCAL, "Start by the recorder's own clock."),
    ("end_local", _LOCAL, "End by the recorder's own clock."),
    ("start_s", _NUMBER, "Start, in seconds from the start of the recording."),
    ("end_s", _NUMBER, "End, in seconds from the start of the recording."),
    ("class", _TEXT, "Class of the event."),
    ("confidence", pa.float32(), "Mean of the smoothed probability over the event's windows, 0 to 1."),
    ("max_confidence", pa.float32(), "Highest smoothed probability of the event's windows, 0 to 1."),
    ("windows", _COUNT, "Number of windows that reached the threshold."),
    (
        "calls",
        _COUNT,
        "Number of calls in the event, also 0; null where they were not measured: `notes` of `recordings` says why.",
    ),
    ("peak_hz", _NUMBER, "Median peak frequency of the calls, in Hz; null without calls."),
    (
        "level_db",
        _NUMBER,
        "Median level of the calls in their band, in dB re 1 µPa where `recordings` has a `calibration_db`, else in dB "
        "re full scale; null without calls.",
    ),
    ("snr_db", _NUMBER, "Median level of the calls over the noise around them, in dB; null without calls."),
    ("model", _TEXT, "Version of the model, and the first 12 digits of its SHA-256."),
    ("config", _TEXT, "First 12 digits of the SHA-256 of the settings."),
    ("verdict", _TEXT, "What a person said of the event in a review; null where nobody did."),
)

#: One row an interval, by site, recording and start; together the intervals of a recording are the whole of it.
EFFORT = _schema(
    ("site", _TEXT, "Where the recorder was."),
    ("recording", _TEXT, "Path of the recording below the source."),
    ("start_utc", _UTC, "Start of the interval in UTC; null where nothing says when the recording began."),
    ("end_utc", _UTC, "End of the interval in UTC."),
    ("start_local", _LOCAL, "Start by the recorder's own clock."),
    ("end_local", _LOCAL, "End by the recorder's own clock."),
    ("start_s", _NUMBER, "Start, in seconds from the start of the recording; null where nothing could be opened."),
    ("end_s", _NUMBER, "End, in seconds from the start of the recording."),
    ("analysed", pa.bool_(), "True where at least one window was scored; false where the interval was skipped."),
    ("reason", _TEXT, "Why the interval was skipped; null where it was analysed."),
    ("masked_s", _NUMBER, "Seconds in which noise would have hidden a call; null where noise was not measured."),
    ("gain", _TEXT, "Gain of the recorder, as the file states it; null where it does not."),
    ("dead_s", _NUMBER, "Seconds in which every sample has one value: nothing was heard there; null where skipped."),
    ("clipped", _NUMBER, "Share of the samples at full scale, 0 to 1; null where skipped."),
)

#: One row a site, hour and class, by site and time; hours without effort have no row.
HOURS = _schema(
    ("site", _TEXT, "Where the recorder was."),
    ("hour_utc", _UTC, "Start of the hour in UTC."),
    ("hour_local", _LOCAL, "Start of the hour by the recorder's own clock."),
    ("class", _TEXT, "Class of the events that are counted. With several classes an hour has a row for each."),
    ("effort_s", _NUMBER, "Seconds that were analysed; of several recorders at a site, together."),
    ("skipped_s", _NUMBER, "Seconds that were recorded and skipped."),
    ("events", _COUNT, "Number of events that start in the hour."),
    ("calls", _COUNT, "Number of calls in these events; null where calls were not measured."),
    ("occupancy", _NUMBER, "Part of the effort that is in an event, 0 to 1; null without effort."),
    (
        "noise_low_db",
        _NUMBER,
        "10th percentile of the level a minute in the band of the calls, in dB; null: not known.",
    ),
    ("noise_db", _NUMBER, "Median level a minute in the band of the calls, in dB; null where it was not measured."),
    ("noise_high_db", _NUMBER, "90th percentile of the level a minute in the band of the calls, in dB."),
    ("noise_reference", _TEXT, "What 0 dB is: `full scale`, or `1 µPa` where the recorder is calibrated."),
    ("sun_altitude_deg", _NUMBER, "Altitude of the sun in the middle of the hour, in degrees; null without a place."),
    ("moon_phase_deg", _NUMBER, "Phase of the moon, in degrees: 0 is new, 90 the first quarter, 180 full."),
    ("moon_illumination", _NUMBER, "Part of the moon's disc that is lit, 0 to 1."),
)

#: One row a recording, by site, start and path.
RECORDINGS = _schema(
    ("recording", _TEXT, "Path of the recording below the source."),
    ("source", _TEXT, "Path or address that opens it."),
    ("site", _TEXT, "Where the recorder was: from the manifest, or the folder of the recording."),
    ("recorder", _TEXT, "Which recorder it was: from the manifest; null where nothing tells."),
    ("size_bytes", pa.int64(), "Size in bytes; null where it could not be found."),
    ("format", _TEXT, "Container and encoding."),
    ("sample_rate_hz", pa.int32(), "Sample rate in Hz."),
    ("channels", pa.int32(), "Number of channels."),
    ("duration_s", _NUMBER, "Length in seconds."),
    ("start_utc", _UTC, "When it began, in UTC; null where nothing tells."),
    ("start_local", _LOCAL, "When it began, by the recorder's own clock."),
    ("clock", _TEXT, "Where the time at which it began was found."),
    ("gap_before_s", _NUMBER, "Seconds between the end of the recording before it, at the same site, and its start."),
    ("overlap_s", _NUMBER, "Seconds that it shares with the recording before it, at the same site."),
    ("duplicate_of", _TEXT, "The recording that has the same bytes, which counts instead of this one."),
    ("calibration_db", _NUMBER, "Level of full scale in dB re 1 µPa, from the manifest; null where it is not known."),
    ("latitude", _NUMBER, "Latitude of the site in degrees, north positive, from the manifest."),
    ("longitude", _NUMBER, "Longitude of the site in degrees, east positive, from the manifest."),
    ("sha256", _TEXT, "SHA-256 of the file's bytes; null where it was not analysed."),
    ("status", _TEXT, "`found`, `analysed`, `duplicate` or `failed`."),
    ("problem", _TEXT, "Why it could not be opened or analysed."),
    ("notes", _TEXT, "What was odd about the file and the sound in it."),
)

#: Name → schema, for every table.
SCHEMAS: Mapping[str, pa.Schema] = {"events": EVENTS, "effort": EFFORT, "hours": HOURS, "recordings": RECORDINGS}
#: The tables that are a folder with one file a site and month.
PARTITIONED = ("events", "effort", "hours")
#: The month of what has no time of day.
UNDATED = "undated"
#: The file of verdicts in an archive's folder.
VERDICTS_NAME = "verdicts.csv"
#: The format of ``archive.json``.
FORMAT = "anemone-archive-1"
#: Rows in a row group: what a reader holds at once.
GROUP_ROWS = 1 << 16


class Archive:
    """The tables of an archive as DataFrames, each read when it is first asked for; see `open_archive`.

    Attributes
    ----------
    folder : pathlib.Path
    provenance : dict, the content of ``archive.json``
        ``sources``, ``model`` (``version``, ``sha256``), ``config`` (all settings), ``config_fingerprint``, ``classes``
        (of the events), ``anemone`` and ``code_sha256`` (what ran), ``recordings`` (how many are analysed, duplicate,
        failed), ``effort_s``, ``skipped_s``, ``events``, ``tables`` (SHA-256 of each file of a table).

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> rows = [{"recording": "reef/a.wav", "site": "reef", "status": "found", "duration_s": 60.0}]
    >>> _ = write_table(folder / "recordings.parquet", "recordings", rows)
    >>> _ = write_provenance(folder, {"recordings": 1})
    >>> archive = Archive(folder)
    >>> archive.recordings.loc[0, "site"], len(archive.events)
    ('reef', 0)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.provenance = read_provenance(self.folder)

    def read(self, name: str, *, columns: Sequence[str] | None = None, site: str | None = None) -> "pd.DataFrame":
        """Read a table, or a part of it.

        Parameters
        ----------
        name : ``"events"``, ``"effort"``, ``"hours"`` or ``"recordings"``
        columns : names of columns, optional
        site : str, optional
            Only the rows of this site.

        Returns
        -------
        table : pandas.DataFrame
            With all columns, and no rows, where there is no such table yet.
        """
        import pandas as pd

        kinds = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
        return read_table(self.folder, name, columns=columns, site=site).to_pandas(types_mapper=kinds.get)

    @cached_property
    def events(self) -> "pd.DataFrame":
        """One row an event: the columns of `EVENTS`."""
        return self.read("events")

    @cached_property
    def effort(self) -> "pd.DataFrame":
        """One row an interval that was analysed or skipped: the columns of `EFFORT`."""
        return self.read("effort")

    @cached_property
    def hours(self) -> "pd.DataFrame":
        """One row a site, hour and class: the columns of `HOURS`."""
        return self.read("hours")

    @cached_property
    def recordings(self) -> "pd.DataFrame":
        """One row a recording: the columns of `RECORDINGS`."""
        return self.read("recordings")

    def __repr__(self) -> str:
        return f"<Archive {self.folder}>"


def open_archive(folder: str | os.PathLike[str]) -> Archive:
    """Open the folder that ``anemone archive run`` wrote.

    Parameters
    ----------
    folder : path

    Returns
    -------
    archive : Archive
        Its attributes `events`, `effort`, `hours` and `recordings` are DataFrames.

    Raises
    ------
    ConfigError
        There is no archive, or another version wrote it.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = write_provenance(folder, {})
    >>> open_archive(folder).hours.empty
    True
    """
    return Archive(folder)


def read_table(
    folder: str | os.PathLike[str], name: str, *, columns: Sequence[str] | None = None, site: str | None = None
) -> pa.Table:
    """Read a table of an archive as an Arrow table; see `Archive.read`."""
    path, schema = Path(folder) / f"{name}.parquet", SCHEMAS[name]
    files = list_files(folder, name)
    if not files:
        table = schema.empty_table()
        return table.select(columns) if columns else table
    try:
        data = pa.dataset.dataset(files, schema=schema, format="parquet")
        return data.to_table(columns=columns, filter=None if site is None else pa.dataset.field("site") == site)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(
            f"the table {path} cannot be read ({error}); `anemone archive report` writes it anew from the scores"
        ) from None


def list_files(folder: str | os.PathLike[str], name: str) -> list[str]:
    """Return the files of a table, by path; none where it is not written yet."""
    path = Path(folder) / f"{name}.parquet"
    return sorted(map(str, path.rglob("*.parquet"))) if path.is_dir() else [str(path)] if path.exists() else []


def write_table(path: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as one Parquet file, whole or not at all, a group of rows at a time.

    Parameters
    ----------
    path : pathlib.Path
    name : str, the table's
    rows : iterable of mappings, what a row lacks is null

    Returns
    -------
    path : pathlib.Path
    """
    schema = SCHEMAS[name]
    with write_atomically(path) as file, pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[Mapping[str, Any]] = []
        for row in rows:
            group.append(row)
            if len(group) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                group = []
        writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return path


def name_partition(name: str, site_folder: str, month: str) -> Path:
    """Return the path, in the archive's folder, of one site's and month's file of a table.

    >>> name_partition("events", "north reef", "2023-02").as_posix()
    'events.parquet/north reef/2023-02.parquet'
    """
    return Path(f"{name}.parquet") / site_folder / f"{month}.parquet"


def name_site_folders(sites: Iterable[str]) -> dict[str, str]:
    """Give every site a folder of its own, whatever it is called, on disks that take upper and lower case for one.

    >>> name_site_folders(["north reef", "A/1", "a/1"])
    {'north reef': 'north reef', 'A/1': 'A%2F1', 'a/1': 'a%2F1~773232ab'}
    """
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for site in sites:
        folder = shorten_name(quote(site, safe=" ()+,-@[]").replace(".", "%2E"), "") or "unnamed"
        if folder.casefold() in taken:
            import hashlib

            folder = f"{folder}~{hashlib.sha256(site.encode()).hexdigest()[:8]}"
        taken.add(folder.casefold())
        folders[site] = folder
    return folders


def write_provenance(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write ``archive.json``."""
    path = folder / "archive.json"
    with write_atomically(path) as file:
        file.write(json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False).encode() + b"\n")
    return path


def read_provenance(folder: Path) -> dict[str, Any]:
    """Read ``archive.json``.

    Raises
    ------
    ConfigError
        There is none, or another version wrote it.
    """
    path = folder / "archive.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"there is no archive in {folder}; `anemone archive run SOURCE --out {folder}` makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); `anemone archive report {folder}` writes it anew"
        ) from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ConfigError(f"{path} was written by another version; run `anemone archive run` into a new folder")
    return content
