"""Find the tables of the recordings in a folder, and the recordings without a table.

*Conventions.* A table belongs to ``reef.wav`` if its name begins with ``reef.`` and it lies in the same folder, or in
the same folder below the folder of the tables. If a recording has several tables, ``docs/tables.md`` has the order:
never the detections of this package; the table of a person before the table of a program; Raven's own names first.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from anemone_lib.audio.finding import FoundRecording, find_recordings
from anemone_lib.errors import AnnotationError, spell_count
from anemone_lib.tables.matching import fold
from anemone_lib.tables.reading import ANY_TIME, is_detection, read_table
from anemone_lib.tables.table import AnnotationTable
from anemone_lib.tables.verdicts import is_verdicts

#: Ends of the names of tables after the recording's name, in the order in which they count.
TABLE_SUFFIXES = (".selections.txt", ".csv", ".tsv", ".txt", ".json")
#: Suffixes of workbooks, which are not read, only named.
WORKBOOK_SUFFIXES = (".xlsx", ".xls", ".ods")
#: Bytes at the beginning of a JSON file that show what it is.
HEAD_BYTES = 1 << 12
#: Largest number of names in a list; the rest are counted.
SHOWN_NAMES = 3


@dataclass(frozen=True)
class AnnotatedFile(Sequence[Path]):
    """A recording and its table, a pair of paths.

    Attributes
    ----------
    recording, table : pathlib.Path
    name : str, the recording's path from the folder that was given, with ``/``

    Examples
    --------
    >>> recording, table = AnnotatedFile(Path("reef.wav"), Path("reef.Table.1.selections.txt"), "reef.wav")
    >>> table.name
    'reef.Table.1.selections.txt'
    """

    recording: Path
    table: Path
    name: str

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        """Return the recording (0) or the table (1)."""
        return (self.recording, self.table)[index]

    def __len__(self) -> int:
        """Return 2."""
        return 2


@dataclass(frozen=True)
class AnnotatedFolder(Sequence[AnnotatedFile]):
    """The recordings of a folder that have a table, by name; `notes` says what is left out.

    Attributes
    ----------
    files : tuple of AnnotatedFile
    notes : tuple of str

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> folder = mkdtemp()
    >>> _ = write_dataset(folder, n_recordings=2, duration=5, sample_rate=8000)
    >>> annotated = pair_tables(folder)
    >>> len(annotated), annotated[0].recording.suffix, annotated.notes
    (2, '.wav', ())
    """

    files: tuple[AnnotatedFile, ...]
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> AnnotatedFile: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[AnnotatedFile]: ...
    def __getitem__(self, index: int | slice) -> AnnotatedFile | Sequence[AnnotatedFile]:
        """Return one recording with its table, or several."""
        return self.files[index]

    def __len__(self) -> int:
        """Return the number of recordings with a table."""
        return len(self.files)


def pair_tables(
    folder: str | os.PathLike[str], *, annotations: str | os.PathLike[str] | None = None
) -> AnnotatedFolder:
    """Find the recordings of a folder, and of those in it, that have a table of annotations.

    Parameters
    ----------
    folder : path of a folder with recordings
    annotations : path, optional
        Folder with the tables, if they do not lie beside the recordings; or one table that names its recordings.

    Returns
    -------
    annotated : AnnotatedFolder
        If it is empty, `notes` has the reasons.

    Raises
    ------
    AnnotationError
        The folder does not exist, or the table has detections by this package.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> folder = mkdtemp()
    >>> _ = write_dataset(folder, n_recordings=2, duration=5, sample_rate=8000)
    >>> [file.recording.suffix for file in pair_tables(folder)]
    ['.wav', '.wav']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AnnotationError(f"{folder} is no folder; name a folder with recordings and their tables")
    finding = find_recordings([folder])
    notes = list(finding.notes)
    if annotations is not None and Path(annotations).is_file():
        if is_verdicts(annotations):
            raise AnnotationError(
                f"{annotations} has verdicts of a review, which are no annotations of whole recordings; name it as "
                "verdicts in dataset.yaml"
            )
        files = _pair_in_one_table(finding.recordings, Path(annotations), notes)
    else:
        tables_folder = Path(annotations or folder)
        if not tables_folder.is_dir():
            raise AnnotationError(f"{tables_folder} is no folder; name a folder with recordings and their tables")
        files = _pair_in_folder(finding.recordings, tables_folder, notes, elsewhere=annotations is not None)
        if workbooks := _find_workbooks(tables_folder):
            notes.append(
                f"{spell_count(len(workbooks), 'workbook')} left out ({_join_names(workbooks)}): save as CSV to be read"
            )
    without = sorted({recording.name for recording in finding.recordings} - {file.name for file in files})
    if without:
        notes.append(f"{spell_count(len(without), 'recording')} without a table left out ({_join_names(without)})")
    return AnnotatedFolder(tuple(sorted(files, key=lambda file: file.name)), tuple(notes))


def _pair_in_one_table(recordings: Sequence[FoundRecording], table: Path, notes: list[str]) -> list[AnnotatedFile]:
    """Pair every recording that a table of many names with it."""
    named: dict[str, list[tuple[FoundRecording, AnnotationTable]]] = defaultdict(list)
    for recording in recordings:
        found = read_table(table, label_column="", label="", start_time=ANY_TIME, recording_name=recording.name)
        if found.annotations or not found.names_recordings:
            named[fold(Path(recording.name).stem)].append((recording, found))
    files = []
    for alike in named.values():
        for recording, found in alike:
            twins = [r.name for r, other in alike if other.annotations == found.annotations]
            if len(twins) > 1 and found.names_recordings:  # only the folders could tell these recordings apart
                notes.append(f"{table.name} does not say which of {_join_names(twins)} it means: left out")
                break
            files.append(AnnotatedFile(Path(recording.source), table, recording.name))
    return files


def _pair_in_folder(
    recordings: Sequence[FoundRecording], folder: Path, notes: list[str], *, elsewhere: bool
) -> list[AnnotatedFile]:
    tables = _find_tables(folder)
    own = _assign(recordings, tables, anywhere=elsewhere)
    files, detected, passed_over = [], [], []
    for recording in recordings:
        candidates = own.get(recording.name, [])
        ours = [table for table in candidates if is_detection(table)]
        detected += ours
        candidates = sorted((table for table in candidates if table not in ours), key=_rank)
        if candidates:
            files.append(AnnotatedFile(Path(recording.source), candidates[0], recording.name))
            if candidates[1:]:
                passed_over.append(f"{candidates[0].name} before {_join_names([t.name for t in candidates[1:]])}")
    if detected:
        notes.append(
            f"{spell_count(len(detected), 'table')} with detections by anemone skipped: they are no annotations "
            f"({_join_names([table.name for table in detected])})"
        )
    if passed_over:
        notes.append(
            f"{spell_count(len(passed_over), 'recording')} with several tables, of which one counts: "
            f"{_join_names(passed_over)}; put their rows into one table if all of them are annotations"
        )
    used = {table for tables in own.values() for table in tables}
    orphans = [table for tables_here in tables.values() for table in tables_here if table not in used]
    reviews = [table.name for table in orphans if is_verdicts(table)]
    if reviews:
        notes.append(
            f"{spell_count(len(reviews), 'table')} of verdicts skipped: they are no annotations of whole recordings "
            f"({_join_names(reviews)}): name it as verdicts in dataset.yaml"
        )
    orphans = [table for table in orphans if table.name not in reviews]
    files += _pair_in_common_tables(
        [r for r in recordings if r.name not in {file.name for file in files}], orphans, notes
    )
    return files


def _pair_in_common_tables(
    recordings: Sequence[FoundRecording], tables: Sequence[Path], notes: list[str]
) -> list[AnnotatedFile]:
    """Pair recordings without a table of their own with a table of many recordings that names them."""
    files: list[AnnotatedFile] = []
    unused = []
    for table in sorted(tables):
        left = [recording for recording in recordings if recording.name not in {file.name for file in files}]
        try:
            common = read_table(table, label_column="", label="", start_time=ANY_TIME, recording_name="*")
            found = _pair_in_one_table(left, table, notes) if common.names_recordings else []
        except AnnotationError:
            found = []
        files += found
        if not found and table.name.lower().endswith(TABLE_SUFFIXES[:2]):
            unused.append(table.name)
    if unused:
        notes.append(f"{spell_count(len(unused), 'table')} of no recording here ({_join_names(unused)})")
    return files


def _find_tables(folder: Path) -> dict[str, list[Path]]:
    """Find the tables, by their normalised folder relative to `folder`."""
    tables: dict[str, list[Path]] = defaultdict(list)
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = fold(Path(os.path.relpath(parent, folder)).as_posix())
        tables[here] += [Path(parent, name) for name in sorted(names) if _may_be_table(parent, name)]
    return tables


def _find_workbooks(folder: Path) -> list[str]:
    """Find the names of workbooks, which often contain annotations."""
    return sorted(
        name
        for _, _, names in os.walk(folder, followlinks=False)
        for name in names
        if name.lower().endswith(WORKBOOK_SUFFIXES) and not name.startswith((".", "~$"))
    )


def _may_be_table(parent: str, name: str) -> bool:
    if name.startswith(".") or not name.lower().endswith(TABLE_SUFFIXES) or not Path(parent, name).is_file():
        return False
    if not name.lower().endswith(".json"):
        return True
    try:  # most JSON beside recordings is something else
        content = Path(parent, name).read_bytes()[:HEAD_BYTES]
    except OSError:
        return False
    return b'"collection_type"' in content or b'"predictions"' in content


def _assign(
    recordings: Sequence[FoundRecording], tables: dict[str, list[Path]], *, anywhere: bool
) -> dict[str, list[Path]]:
    """Give every table to the recording in its folder with whose name its own name begins; the longest name counts.

    If all tables lie in a separate folder (`anywhere`), a table also belongs to a recording in another folder, if only
    one has this name.
    """
    stems: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for recording in recordings:
        path = Path(recording.name)
        stems[fold(path.parent.as_posix())].append((fold(path.stem), recording.name))
    everywhere = [pair for pairs in stems.values() for pair in pairs]
    own: dict[str, list[Path]] = defaultdict(list)
    for here, paths in tables.items():
        for table in paths:
            owners = _find_owners(table, stems.get(here, []))
            if not owners and anywhere and here == ".":
                owners = _find_owners(table, everywhere)
                owners = owners if len(owners) == 1 else []
            for owner in owners:
                own[owner].append(table)
    return own


def _find_owners(table: Path, stems: Sequence[tuple[str, str]]) -> list[str]:
    """Return the recordings with whose name a table's name begins; the longest name counts."""
    fitting = [(len(stem), owner) for stem, owner in stems if fold(table.name).startswith(f"{stem}.")]
    longest = max(fitting, default=(0, ""))[0]
    return [owner for length, owner in fitting if length == longest]


def _rank(table: Path) -> tuple[bool, bool, int, str]:
    """Return the sort key of a table: the table that counts comes first."""
    try:
        by_program = bool(read_table(table, label="").made_by)
    except AnnotationError:
        by_program = False  # reading it will give the error
    name = table.name.lower()
    ending = next(k for k, suffix in enumerate(TABLE_SUFFIXES) if name.endswith(suffix))
    return by_program, ".table." not in name, ending, name


def _join_names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + ", …" * (len(names) > SHOWN_NAMES)
