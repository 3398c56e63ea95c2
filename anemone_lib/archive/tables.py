"""The tables of an archive: their columns, where they lie, and how they are read.

*Layout.* A run writes into one folder::

    archive.json                          what made the tables: source, model, settings, counts, SHA-256 of each file
    recordings.parquet                    one row a recording: the inventory, and what became of it
    events.parquet/<site>/<month>.parquet one row an event
    effort.parquet/<site>/<month>.parquet one row an interval that was analysed or skipped
    hours.parquet/<site>/<month>.parquet  one row a site, hour and class
    minutes.parquet/<site>/<month>.parquet one row a minute of a recording: the levels of the sound
    timeline.png                          which hours were recorded
    verdicts.csv                          what reviewers said of events
    scores/                               the probabilities, kept for other event settings
    noise/                                the levels of every recording
    state/                                what is done and what is not, so that a stopped run goes on; levels of hours

A month is that of the recorder's own clock, like ``2023-02``; ``undated`` where nothing tells when a recording began.
The columns `site` and times are in the files, so that each file is whole by itself; every reader of Parquet reads a
folder as one table (pandas, polars, DuckDB, arrow for R).

*Conventions.* What is not known is null, never NaN, 0 or an empty text. Times of day are written twice, in UTC and by
the recorder's own clock (without a zone: the difference of both is the offset). Tables hold no time of a run, and
their rows have one order, so that the same recordings and settings give the same bytes.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from anemone_lib.archive.schemas import SCHEMAS
from anemone_lib.audio.channels import parse_channel
from anemone_lib.errors import ConfigError
from anemone_lib.files import shorten_name, write_atomically

if TYPE_CHECKING:
    import pandas as pd

#: The tables that are a folder with one file a site and month.
PARTITIONED = ("events", "effort", "hours", "minutes")
#: The month of what has no time of day.
UNDATED = "undated"
#: The file of verdicts in an archive's folder.
VERDICTS_NAME = "verdicts.csv"
#: The format of ``archive.json``.
FORMAT = "anemone-archive-1"
#: Rows in a row group: what a reader holds at once. A minute is as large as a hundred other rows.
GROUP_ROWS, GROUP_MINUTES = 1 << 13, 1 << 9


class Archive:
    """The tables of an archive as DataFrames, each read when it is first asked for; see `open_archive`.

    Attributes
    ----------
    folder : pathlib.Path
    provenance : dict, the content of ``archive.json``
        ``sources``, ``model`` (``version``, ``sha256``), ``config`` (all settings), ``config_fingerprint``, ``classes``
        (of the events), ``anemone`` and ``code_sha256`` (what ran), ``recordings`` (how many are analysed, duplicate,
        failed), ``effort_s``, ``skipped_s``, ``events``, ``noise`` (whether it was measured, and the band of the calls
        of each class), ``masking`` (by site, from which noise on the reference call is not heard), ``tables`` (SHA-256
        of each file of a table).

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
        name : ``"events"``, ``"effort"``, ``"hours"``, ``"minutes"`` or ``"recordings"``
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

    @property
    def channel(self) -> int | str:
        """The channel that was analysed: a number from 1, ``"mean"`` or ``"loudest"``."""
        return parse_channel(self.provenance.get("channel", "mean"))

    @cached_property
    def events(self) -> "pd.DataFrame":
        """One row an event: the columns of `anemone_lib.archive.schemas.EVENTS`."""
        return self.read("events")

    @cached_property
    def effort(self) -> "pd.DataFrame":
        """One row an interval that was analysed or skipped: the columns of `anemone_lib.archive.schemas.EFFORT`."""
        return self.read("effort")

    @cached_property
    def hours(self) -> "pd.DataFrame":
        """One row a site, hour and class: the columns of `anemone_lib.archive.schemas.HOURS`."""
        return self.read("hours")

    @cached_property
    def minutes(self) -> "pd.DataFrame":
        """One row a minute: `anemone_lib.archive.schemas.MINUTES` but the lists, which `read` has: 3 MB a day."""
        return self.read(
            "minutes", columns=[field.name for field in SCHEMAS["minutes"] if not pa.types.is_list(field.type)]
        )

    @cached_property
    def recordings(self) -> "pd.DataFrame":
        """One row a recording: the columns of `anemone_lib.archive.schemas.RECORDINGS`."""
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
    with _explain_damage(folder, name):
        data = _open_dataset(folder, name)
        return data.to_table(columns=columns, filter=None if site is None else pa.dataset.field("site") == site)


def read_batches(
    folder: str | os.PathLike[str],
    name: str,
    *,
    columns: Sequence[str] | None = None,
    rows: pa.dataset.Expression | None = None,
    batch_size: int = 1 << 17,
) -> Iterator[pa.RecordBatch]:
    """Yield a table of an archive a part at a time.

    Parameters
    ----------
    folder : path, the archive's
    name : str, the table's
    columns : names of columns, optional
    rows : pyarrow.dataset.Expression, optional
        Which rows; by default all.
    batch_size : int > 0, rows of a part, at most

    Raises
    ------
    ConfigError
        A file of the table is damaged.
    """
    with _explain_damage(folder, name):
        yield from _open_dataset(folder, name).to_batches(columns=columns, filter=rows, batch_size=batch_size)


def _open_dataset(folder: str | os.PathLike[str], name: str) -> pa.dataset.Dataset:
    files = list_files(folder, name)
    if not files:
        return pa.dataset.dataset(SCHEMAS[name].empty_table())
    return pa.dataset.dataset(files, schema=SCHEMAS[name], format="parquet")


@contextmanager
def _explain_damage(folder: str | os.PathLike[str], name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(
            f"the table {Path(folder) / name}.parquet cannot be read ({error}); `anemone archive report` writes it "
            "again from the scores"
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


@contextmanager
def open_table(path: Path, name: str) -> Iterator[Callable[[pa.Table], None]]:
    """Open a table to be written part by part, whole or not at all; some parts are one group of rows.

    Parameters
    ----------
    path : pathlib.Path
    name : str, the table's

    Yields
    ------
    add : callable (table), that takes the next rows
    """
    parts: list[pa.Table] = []
    n_rows = 0
    with (
        write_atomically(path) as file,
        pa.parquet.ParquetWriter(file, SCHEMAS[name], compression="zstd") as writer,
    ):

        def add(table: pa.Table) -> None:
            nonlocal n_rows
            parts.append(table)
            n_rows += len(table)
            if n_rows >= GROUP_MINUTES:
                writer.write_table(pa.concat_tables(parts))
                parts.clear()
                n_rows = 0

        yield add
        writer.write_table(pa.concat_tables([SCHEMAS[name].empty_table(), *parts]))


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
            f"{path} cannot be read ({error}); `anemone archive report {folder}` writes it again"
        ) from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ConfigError(f"{path} was written by another version; run `anemone archive run` into a new folder")
    return content
