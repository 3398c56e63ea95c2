"""Find the recordings of sources: folders, globs, files, manifests, prefixes of buckets, listings of web servers.

*Conventions.* The name of a recording is its path below the source. Its site is the site in the manifest; else what
a regular expression finds in the path; else the first folder of the path; else the folder that was given as the source.

A manifest is a CSV file with the column ``path`` and any of `MANIFEST_COLUMNS`. A path is relative to the manifest, or
an address. If it is a folder, every recording in it gets the site, recorder and clock of the row.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from anemone_lib.archive.kept import SUFFIX, find_channel, find_folder, is_kept, name_kept, read_kept
from anemone_lib.audio.clock import read_clock
from anemone_lib.audio.finding import find_recordings
from anemone_lib.audio.recording import AUDIO_SUFFIXES
from anemone_lib.audio.s3_client import open_s3_client
from anemone_lib.audio.sources import open_file_system
from anemone_lib.errors import AnemoneError, ConfigError, spell_count
from anemone_lib.files import find_in_path, spell_name
from anemone_lib.scoring.scores import Scores
from anemone_lib.tables.delimited import EXTRA_CELLS, iterate_rows

#: Optional columns of a manifest; ``path`` is required.
MANIFEST_COLUMNS = ("site", "recorder", "start_time", "timezone", "calibration_db", "latitude", "longitude")
_NUMBERS = {"calibration_db": (-50.0, 300.0), "latitude": (-90.0, 90.0), "longitude": (-180.0, 180.0)}
_REMOTE = ("s3", "gs", "http", "https")


@dataclass(frozen=True)
class Item:
    """A recording that a source names.

    Attributes
    ----------
    recording : str, its path below the source
    source : str, the path or address that opens it
    site : str
    size : int, in bytes, and modified : str, where the listing of a remote source tells
    about : mapping, the columns of its row in a manifest that are not empty, of `MANIFEST_COLUMNS`
    scores : Scores or None, of a recording that was scored before: they were read to name it
    """

    recording: str
    source: str
    site: str
    size: int | None = None
    modified: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    scores: Scores | None = None


@dataclass
class Listing:
    """The recordings that sources name; `notes` and `failures` are complete after the iteration."""

    sources: tuple[str, ...]
    site: str | None = None
    channel: str = "mean"
    notes: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    _other_channels: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Item]:
        """Yield the recordings, each once."""
        plain = [source for source in self.sources if not _is_manifest(source) and not _is_remote(source)]
        yield from self._find_local(plain)
        for source in self.sources:
            if _is_manifest(source):
                yield from self._find_listed(Path(source))
            elif _is_remote(source):
                yield from self._find_remote(source)
        for channel, number in sorted(self._other_channels.items()):
            self.notes.append(f"{spell_count(number, 'file')} of scores left out: of channel {channel} (--channel)")

    def _find_local(self, sources: list[str]) -> Iterator[Item]:
        if not sources:
            return
        finding = find_recordings(sources, suffixes=(*AUDIO_SUFFIXES, SUFFIX))
        self.notes += finding.notes
        self.failures += finding.failures
        while finding.recordings:  # removes each, so that memory becomes free
            found = finding.recordings.pop()
            source = found.source if "://" in found.source else os.path.abspath(found.source)
            name, size, modified = spell_name(found.name), None, ""
            if spell_name(source) != source:  # no table holds such a path; an address is text
                with suppress(OSError):
                    about = os.stat(source)
                    size, modified = about.st_size, str(about.st_mtime_ns)
                source = Path(source).as_uri()
            if is_kept(source):
                yield from self._find_kept(name, source, size, modified)
            else:
                yield Item(name, source, self._find_site(name, source), size, modified)

    def _find_kept(self, name: str, source: str, size: int | None = None, modified: str = "") -> Iterator[Item]:
        """Yield the recording of scores that were made before, by the name in the scores."""
        if (channel := find_channel(source)) and channel != self.channel:
            self._other_channels[channel] += 1
            return
        named, scores = name, None
        with suppress(AnemoneError):  # it is read again, and then has its reason
            scores = read_kept(source)
            named = name_kept(name, scores.recording_name)
        site = self._find_site(named, f"{find_folder(source)}/{named}")
        yield Item(named, source, site, size, modified, scores=scores)

    def _find_site(self, name: str, source: str) -> str:
        if self.site:
            if site := find_in_path(self.site, name, "--site"):
                return site
            self.failures.append((name, f"--site is {self.site!r}, which is not in this path"))
        folders = PurePosixPath(name).parts[:-1]
        if folders:
            return folders[0]
        parent = urlsplit(source).path if "://" in source else os.path.abspath(source)
        folder = spell_name(unquote(PurePosixPath(Path(parent).as_posix()).parent.name, errors="surrogateescape"))
        return folder or urlsplit(source).netloc or "recordings"

    # ------------------------------------------------------------------ manifests

    def _find_listed(self, path: Path) -> Iterator[Item]:
        taken: dict[str, int] = {}
        other = [name for name in _open_manifest(path)[1] if name and name not in ("path", *MANIFEST_COLUMNS)]
        if other:
            known = f"path, {', '.join(MANIFEST_COLUMNS)}"
            self.notes.append(f"columns of {path.name} that are not used: {', '.join(other)} (known are {known})")
        for line, row in read_manifest(path):
            place = row.pop("path")
            below = f"{path.parent}{os.sep}" if "://" not in place and not os.path.isabs(place) else ""
            if "\\" in place and not os.path.exists(below + place):  # the manifest was written on Windows
                place = place.replace("\\", "/")
            if os.name != "nt" and re.match("[A-Za-z]:/", place) and not os.path.exists(below + place):
                raise ConfigError(
                    f"{path.name}, line {line}: {place} is on a drive of Windows, which this computer does not have; "
                    "write paths as they are from the folder of the manifest"
                )
            if _is_remote(place):
                items = list(self._find_remote(place)) if not _is_recording(place) else [_describe_remote(place)]
            elif os.path.isdir(below + place):
                items = [
                    replace(
                        one, recording=f"{PurePosixPath(Path(place).as_posix())}/{one.recording}".removeprefix("./")
                    )
                    for one in self._find_local([below + place])
                ]
            else:
                items = [Item(Path(place).as_posix(), os.path.abspath(below + place), "")]
            if row.get("start_time") and len(items) > 1:
                raise ConfigError(
                    f"{path.name}, line {line}: start_time is when one recording began, but {place} has {len(items)}; "
                    "write a line for each of them, or leave start_time empty if their names tell it"
                )
            outside = ""  # the folder of what lies outside of the manifest's own: its path begins anywhere
            if "://" not in place and (os.path.isabs(place) or place.startswith("..")):
                there = Path(os.path.abspath(below + place))
                outside = spell_name((there if there.is_dir() else there.parent).name)
            for item in items:
                if taken.setdefault(item.source, line) != line:
                    raise ConfigError(
                        f"{path.name}, line {line}: {place} is in line {taken[item.source]}, too; leave one of them out"
                    )
                site = row.get("site") or ("" if self.site else outside) or self._find_site(item.recording, item.source)
                yield replace(item, site=str(site), about={key: row[key] for key in row if key != "site"})

    # ------------------------------------------------------------------ buckets and web servers

    def _find_remote(self, address: str) -> Iterator[Item]:
        """Yield the recordings below an address, by name as the server gives them."""
        n_before, other = 0, 0
        if _is_recording(address):
            yield replace(_describe_remote(address), site=self._find_site(_describe_remote(address).recording, address))
            return
        try:
            for name, source, size, modified in _list_remote(address):
                if is_kept(name):
                    n_before += 1
                    yield from self._find_kept(name, source, size, modified)
                    continue
                if not _is_recording(name):
                    other += 1
                    continue
                n_before += 1
                yield Item(name, source, self._find_site(name, source), size, modified)
        except AnemoneError as error:
            self.failures.append((address, str(error)))
            return
        if other:
            self.notes.append(f"{spell_count(other, 'object')} below {address} left out: no suffix of a recording")
        if not n_before:
            self.failures.append((address, f"there are no recordings below it ({', '.join(AUDIO_SUFFIXES)})"))


def _is_manifest(source: str) -> bool:
    return source.lower().endswith(".csv") and "://" not in source and not os.path.isdir(source)


def _is_remote(source: str) -> bool:
    return urlsplit(source).scheme in _REMOTE


def _is_recording(name: str) -> bool:
    return PurePosixPath(urlsplit(name).path if "://" in name else name).suffix.lower() in AUDIO_SUFFIXES


def _describe_remote(address: str) -> Item:
    return Item(PurePosixPath(unquote(urlsplit(address).path)).name, address, "")


def _list_remote(address: str) -> Iterator[tuple[str, str, int | None, str]]:
    """Yield name below the address, address, size, and a text that changes with the content, for all."""
    if urlsplit(address).scheme == "s3":
        yield from _list_s3(address)
        return
    files, root = open_file_system(address)
    root = root.rstrip("/")
    try:
        for folder, _, found in files.walk(root, detail=True):
            for about in sorted(found.values(), key=lambda one: str(one["name"])):
                path = str(about["name"])
                source = path if "://" in path else f"{urlsplit(address).scheme}://{path}"
                name = path.removeprefix(folder.rstrip("/") if not path.startswith(root) else root).lstrip("/")
                size = about.get("size")
                yield unquote(name), source, size, str(about.get("md5Hash") or about.get("ETag") or size or "")
    except Exception as error:  # noqa: BLE001 each file system has errors of its own
        raise ConfigError(f"cannot list {address}: {error or type(error).__name__}") from None


def _list_s3(address: str) -> Iterator[tuple[str, str, int | None, str]]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigError(f"listing {address} needs boto3: pip install 'anemone-lib[serve]'") from None
    parts = urlsplit(address)
    prefix = unquote(parts.path.lstrip("/"))
    below = prefix if prefix.endswith("/") or not prefix else prefix.rpartition("/")[0] + "/"
    try:
        pages = open_s3_client(boto3).get_paginator("list_objects_v2").paginate(Bucket=parts.netloc, Prefix=prefix)
        for page in pages:
            for one in page.get("Contents", ()):
                key = one["Key"]
                yield key.removeprefix(below).lstrip("/"), f"s3://{parts.netloc}/{quote(key)}", one["Size"], one["ETag"]
    except (BotoCoreError, ClientError) as error:
        raise ConfigError(f"cannot list {address}: {error}") from None


def read_manifest(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a manifest.

    Parameters
    ----------
    path : pathlib.Path

    Yields
    ------
    line : int, its number in the file
    row : dict with ``path`` and the other columns that are not empty, numbers as float

    Raises
    ------
    ConfigError
        There is no such file, no column ``path``, or a value is wrong; the message names the line.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "season.csv")
    >>> _ = path.write_text("path,site,calibration_db\\na.wav,north reef,174.2\\n")
    >>> list(read_manifest(path))
    [(2, {'path': 'a.wav', 'site': 'north reef', 'calibration_db': 174.2})]
    """
    reader, names = _open_manifest(path)
    n_rows = 0
    for row in _read_rows(reader, path):
        where = f"{path.name}, line {reader.line_num}"
        values = {name: (row.get(names[name]) or "").strip() for name in ("path", *MANIFEST_COLUMNS) if name in names}
        if any(cell.strip() for cell in row.get(EXTRA_CELLS) or ()):
            raise ConfigError(
                f"{where}: there are more values than columns; put quotation marks around a value that has a comma"
            )
        if not any(values.values()):
            continue
        n_rows += 1
        yield reader.line_num, _check_row(where, values)
    if not n_rows:
        raise ConfigError(f"the manifest {path} names no recordings")


def _open_manifest(path: Path) -> tuple["csv.DictReader[str]", dict[str, str]]:
    """Return the rows of a manifest, and its columns as the file writes them, by their names in lower case."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read the manifest {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the manifest {path} is not text in UTF-8; save it as CSV in UTF-8") from None
    reader = iterate_rows(text)
    try:
        names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    except csv.Error as error:
        raise ConfigError(f"the manifest {path} is not CSV: {error}") from None
    if "path" not in names:
        raise ConfigError(
            f"the manifest {path} has no column path (it has {', '.join(names) or 'no columns'}); its columns are path "
            f"and, where known, {', '.join(MANIFEST_COLUMNS)}"
        )
    return reader, names


def _read_rows(reader: "csv.DictReader[str]", path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ConfigError(f"the manifest {path} is not CSV: line {reader.line_num}: {error}") from None


def _check_row(where: str, values: dict[str, str]) -> dict[str, Any]:
    if not values["path"]:
        raise ConfigError(f"{where}: path is empty")
    row: dict[str, Any] = {name: text for name, text in values.items() if text}
    for name, (low, high) in _NUMBERS.items():
        if name in row:
            try:
                row[name] = float(row[name])
            except ValueError:
                raise ConfigError(f"{where}: {name} is {row[name]!r}; it must be a number") from None
            if not low <= row[name] <= high:
                raise ConfigError(f"{where}: {name} is {row[name]:g}; it must be from {low:g} to {high:g}")
    if ("latitude" in row) != ("longitude" in row):
        raise ConfigError(f"{where}: give both latitude and longitude, or neither")
    try:
        read_clock("", timezone=row.get("timezone"), start_time=row.get("start_time"))
    except AnemoneError as error:
        raise ConfigError(f"{where}: {error}") from None
    return row


def check_sources(sources: Iterable[str | os.PathLike[str]], site: str | None = None, channel: str = "mean") -> Listing:
    """Check sources before hours of work: read manifests, and try the expression for sites.

    Raises
    ------
    ConfigError
        A manifest or the expression is wrong.
    """
    listing = Listing(tuple(os.fspath(source) for source in sources), site, channel)
    if site is not None:
        find_in_path(site, "", "--site")
    for source in listing.sources:
        if _is_manifest(source):
            for _ in read_manifest(Path(source)):
                pass
    return listing
