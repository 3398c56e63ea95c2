"""Find recordings by files, folders, globs and addresses, and say which files are left out, and why.

*Conventions.* Every real file is found once, however many links, folders or globs lead to it. A recording is named by
its path from the folder that was given, with ``/``; from the folder before the first ``*`` of a glob; by its file
name if the file itself was given; and by more of its path if two would have the same name. `Finding.notes` names
everything that is left out, with the reason.
"""

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from anemone_lib.audio.recording import AUDIO_SUFFIXES
from anemone_lib.audio.sources import refuse_special_file
from anemone_lib.errors import ConfigError, spell_count

#: Folders of deleted files, and folders of the system.
TRASH = (
    *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx", "@eadir", "#recycle"),
    *("#snapshot", "trash", "found.000", "__pycache__"),
)
#: Suffixes of files that usually lie beside recordings; other files that are no recordings are reported.
BESIDE_RECORDINGS = (
    *(
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".cfg",
        ".conf",
        ".log",
        ".md",
    ),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".svg", ".pdf", ".html", ".htm", ".css", ".js", ".rst", ".tex"),
    *(".xlsx", ".xls", ".ods", ".docx", ".doc", ".odt", ".pptx", ".rtf", ".npz", ".npy", ".mat", ".h5", ".hdf5", ".nc"),
    *(
        ".parquet",
        ".feather",
        ".pkl",
        ".rds",
        ".rdata",
        ".r",
        ".py",
        ".ipynb",
        ".m",
        ".sh",
        ".bat",
        ".sqlite",
        ".sqlite3",
    ),
    *(
        ".db",
        ".keras",
        ".tflite",
        ".tfvars",
        ".tf",
        ".kml",
        ".kmz",
        ".gpx",
        ".shp",
        ".geojson",
        ".sha256",
        ".md5",
        ".url",
    ),
    *(".lnk", ".bak", ".tmp", ".part", ".pgdf", ".pgdx", ".pgnf", ".psf", ".psfx", ".wac", ".lastrun"),
)


@dataclass(frozen=True)
class FoundRecording:
    """A recording that was found.

    Attributes
    ----------
    source : str, the path or address that opens it
    name : str, its path from the folder that was given, with ``/``

    Examples
    --------
    >>> FoundRecording("/data/2023/site b/reef.wav", "site b/reef.wav").name
    'site b/reef.wav'
    """

    source: str
    name: str


@dataclass
class Finding:
    """The recordings that were found, and notes on what was left out.

    Attributes
    ----------
    recordings : list of FoundRecording, in the order of the sources, within a folder by name
    failures : list of (source, reason): sources that cannot be analysed at all
    omissions : dict of str to list of str: reason, and the files and folders that were left out for it
    suffixes : tuple of str, suffixes of recordings in folders

    Examples
    --------
    >>> finding = find_recordings(["nothing_here/*.wav"])
    >>> len(finding.recordings), [source for source, reason in finding.failures]
    (0, ['nothing_here/*.wav'])
    """

    recordings: list[FoundRecording] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    omissions: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    suffixes: tuple[str, ...] = AUDIO_SUFFIXES

    @property
    def notes(self) -> list[str]:
        """The files that were left out, one sentence for each reason."""
        return [
            f"{reason}: {spell_count(len(paths), 'place')} left out ({', '.join(paths[:3])}{', …' * (len(paths) > 3)})"
            for reason, paths in self.omissions.items()
        ]


def find_recordings(
    sources: Iterable[str | os.PathLike[str]], *, suffixes: tuple[str, ...] = AUDIO_SUFFIXES
) -> Finding:
    """Find the recordings that files, folders, globs and addresses mean.

    Parameters
    ----------
    sources : paths of files, of folders (searched with all that is in them), globs, ``s3://`` and ``file://`` addresses
    suffixes : tuple of str, suffixes of recordings in folders, in lower case

    Returns
    -------
    finding : Finding

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> (folder / "site b").mkdir()
    >>> _ = (folder / "site b" / "reef.wav").write_bytes(b""), (folder / "reef.ape").write_bytes(b"")
    >>> finding = find_recordings([folder])
    >>> [recording.name for recording in finding.recordings], len(finding.notes)
    (['site b/reef.wav'], 1)
    """
    finding = Finding(suffixes=suffixes)
    places: list[tuple[str, str, str]] = []  # source, name, and the whole path, which makes the name unique
    seen: dict[str, str] = {}
    for source in [os.fspath(source) for source in sources]:
        before = len(places), len(finding.failures)
        for path, name in _find_paths(source, finding):
            if "://" in path:
                real, whole = path, unquote(urlsplit(path).netloc + urlsplit(path).path)
            else:
                real, whole = os.path.realpath(path), os.path.abspath(path)
            if real in seen:
                if os.path.abspath(seen[real]) != whole and "://" not in path:
                    finding.omissions["another name of a recording that is analysed already"].append(path)
                continue
            seen[real] = path
            places.append((path, name, Path(whole).as_posix()))
        if before == (len(places), len(finding.failures)) and not _is_known(source, seen):
            finding.failures.append((source, _explain_nothing(source)))
    names = _tell_apart(places)
    finding.recordings = [FoundRecording(path, name) for (path, _, _), name in zip(places, names, strict=True)]
    return finding


def _find_paths(source: str, finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield the recordings of one source: the path, and the name relative to what was given."""
    if not source:
        return
    if "://" in source:
        yield source, Path(unquote(urlsplit(source).path)).name or source
    elif os.path.isdir(source):
        yield from _find_inside(source, finding)
    elif not os.path.lexists(source) and any(letter in source for letter in "*?["):
        yield from _find_matching(source, finding)
    elif why := refuse_special_file(source):
        finding.failures.append((source, why))
    elif os.path.islink(source) and not os.path.exists(source):
        finding.failures.append((source, f"it is a link to {os.readlink(source)}, which is not there"))
    else:
        yield source, os.path.basename(source) or source  # opening it gives the error


def _find_matching(pattern: str, finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield what a glob matches: files with the suffix of a recording or of the glob, and recordings in folders."""
    fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    root = os.path.dirname(fixed) or "."
    names_suffix = "." in re.split(r"[*?\]]", os.path.basename(pattern))[-1]
    for path in sorted(glob.glob(pattern, recursive=True)):
        name = Path(os.path.relpath(path, root)).as_posix()
        if os.path.isdir(path):
            if _is_trash(os.path.basename(path)):
                finding.omissions["trash and hidden folders are not searched"].append(path)
            elif "**" not in pattern:
                for inside, below in _find_inside(path, finding):
                    yield inside, f"{name}/{below}"
        elif not os.path.isfile(path):
            why = "a link to a missing file" if os.path.islink(path) else "not a file (a pipe, a device or a socket)"
            finding.omissions[why].append(path)
        elif names_suffix or not (why := _explain_omission(path, os.path.basename(path), finding.suffixes)):
            yield path, name
        elif why != "beside":
            finding.omissions[why].append(path)


def _find_inside(folder: str, finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield the recordings in a folder and its sub-folders, by name; note what is left out."""

    def unreadable(error: OSError) -> None:
        finding.omissions[f"the folder cannot be read ({error.strerror})"].append(str(error.filename))

    visited = {_identify(folder)}
    for parent, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        folders[:] = sorted(_choose_folders(parent, folders, visited, finding))
        for name in sorted(files):
            path = os.path.join(parent, name)
            if why := _explain_omission(path, name, finding.suffixes):
                if why != "beside":
                    finding.omissions[why].append(path)
                continue
            yield path, Path(os.path.relpath(path, folder)).as_posix()


def _choose_folders(parent: str, folders: list[str], visited: set[tuple[int, int]], finding: Finding) -> Iterator[str]:
    for name in folders:
        path = os.path.join(parent, name)
        if _is_trash(name):
            if name not in (".git", ".venv", ".ipynb_checkpoints", "__pycache__"):
                finding.omissions["trash and hidden folders are not searched"].append(path)
        elif (identity := _identify(path)) in visited:
            finding.omissions["the folder is searched already, under another name"].append(path)
        else:
            visited.add(identity)
            yield name


def _is_trash(name: str) -> bool:
    return name.lower() in TRASH or name.startswith(".")


def _explain_omission(path: str, name: str, suffixes: tuple[str, ...]) -> str:
    """Say why a file in a folder is left out; empty if it is a recording, ``beside`` if it needs no note."""
    suffix = os.path.splitext(name)[1].lower()
    if name.lower().endswith(suffixes):
        if name.startswith("."):
            return "hidden files are not taken"
        if os.path.islink(path) and not os.path.exists(path):
            return "a link to a missing file"
        if not os.path.isfile(path):
            return "not a file (a pipe, a device or a socket)"
        return ""
    if name.startswith(".") or suffix in BESIDE_RECORDINGS or name.lower() in ("thumbs.db", "desktop.ini"):
        return "beside"
    if not suffix:
        return "files without a suffix are not taken; name them one by one to try"
    return f"{suffix} is not among the suffixes of recordings; name such files one by one to try"


def _identify(path: str) -> tuple[int, int]:
    try:
        about = os.stat(path)
    except OSError:
        return (-1, hash(path))
    return about.st_dev, about.st_ino


def _is_known(source: str, seen: dict[str, str]) -> bool:
    """Return whether a source gave nothing because other sources had already named all of its recordings."""
    if "://" in source or (os.path.lexists(source) and not os.path.isdir(source)):
        return True
    here = os.path.realpath(source)
    if os.path.isdir(source):
        return any(real.startswith(here + os.sep) for real in seen)
    return any(os.path.realpath(path) in seen for path in glob.glob(source, recursive=True))


def _explain_nothing(source: str) -> str:
    if not source:
        return "the name is empty; give the path of a recording or a folder"
    if os.path.isdir(source):
        return f"the folder has no recordings ({', '.join(AUDIO_SUFFIXES)})"
    return "no file matches"


def _tell_apart(places: list[tuple[str, str, str]]) -> list[str]:
    """Give every recording a unique name, with as much of its path as is necessary."""
    names = [name for _, name, _ in places]
    while True:
        alike = Counter(names)
        longer = [
            _add_folder(name, whole) if alike[name] > 1 else name
            for name, (_, _, whole) in zip(names, places, strict=True)
        ]
        if longer == names:
            return names
        names = longer


def _add_folder(name: str, whole: str) -> str:
    """Put one more folder before a name."""
    parts, n_parts = [part for part in whole.split("/") if part], len(name.split("/"))
    return "/".join(parts[-n_parts - 1 :])


def list_audio(folder: str | os.PathLike[str], option: str) -> list[Path]:
    """List the recordings of a folder by name.

    Parameters
    ----------
    folder : path
    option : str, the option that names the folder, for the message: ``--without-calls``

    Returns
    -------
    paths : list of pathlib.Path, at least one

    Raises
    ------
    ConfigError
        There are no recordings in it.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> (folder / "quiet.wav").touch()
    >>> [path.name for path in list_audio(folder, "--without-calls")]
    ['quiet.wav']
    """
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise ConfigError(f"{option} is {folder}; there are no recordings in it")
    return paths
