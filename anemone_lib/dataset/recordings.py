"""The recordings that a description names, their tables, their groups, and the part of the split they belong to.

*Conventions.* Tables belong to recordings as `anemone_lib.tables.pairing` says, here as in every other command. A
recording without a table is not annotated, and is left out and named; one with an empty table holds no call.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.finding import find_recordings
from anemone_lib.audio.recording import open_recording
from anemone_lib.dataset.description import PARTS, Dataset, SplitByTime
from anemone_lib.dataset.reviewed import add_verdicts, read_reviewed
from anemone_lib.detection.events import Annotation, fold_label
from anemone_lib.errors import AnnotationError, AudioError, ConfigError, spell_count
from anemone_lib.files import find_in_path, hash_file
from anemone_lib.tables.pairing import AnnotatedFile, AnnotatedFolder, pair_tables
from anemone_lib.tables.reading import read_annotations, read_columns

#: A column with more different values than this does not hold labels.
MAX_LABELS = 60
_DATE = re.compile(r"(?<!\d)(19|20)(\d\d)[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True, eq=False)
class LabelledRecording:
    """A recording with the annotations of its classes.

    Attributes
    ----------
    path, table : pathlib.Path
    group : str, that of the recordings that stay on one side of a split
    duration : float, in seconds
    sample_rate : int, in Hz, of the file
    annotations : tuple of Annotation, whose labels are names of classes
    unclear : tuple of Annotation, whose labels are of no class
    spans : mapping of each part of the split that it belongs to, to (start, end) in seconds
    channel : int or str, which of several hydrophones is listened to
    start_time : datetime or None, when it began, where its name or its header tells
    """

    path: Path
    table: Path
    group: str
    duration: float
    sample_rate: int
    annotations: tuple[Annotation, ...]
    unclear: tuple[Annotation, ...] = ()
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    channel: Channel = "mean"
    start_time: datetime | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the file."""
        return hash_file(self.path)

    def count_calls(self, part: str | None = None) -> Counter[str]:
        """Count the annotations of each class: all, or those of which one part holds the most."""
        return Counter(one.label for one in self.annotations if part is None or self._find_part(one) == part)

    def _find_part(self, one: Annotation) -> str | None:
        overlaps = {
            part: min(one.end_time, end) - max(one.start_time, start) for part, (start, end) in self.spans.items()
        }
        best = max(overlaps, key=lambda part: overlaps[part], default=None)
        return best if best is not None and overlaps[best] >= 0 else None


def find_files(dataset: Dataset) -> AnnotatedFolder:
    """Find the recordings and their tables; `anemone_lib.tables.pair_tables` says which table counts.

    Returns
    -------
    files : AnnotatedFolder
        The recordings that have a table, by path; `notes` name those that are left out.

    Raises
    ------
    ConfigError
        A folder or file that is not there, or no recording has a table.
    """
    tables_at = None if dataset.annotations == "same" else dataset.folder / dataset.annotations
    if tables_at is not None and not tables_at.exists():
        raise ConfigError(f"annotations is {dataset.annotations}; there is no such folder or table in {dataset.folder}")
    files: dict[Path, AnnotatedFile] = {}
    notes: list[str] = []
    for item in dataset.recordings:
        place = dataset.folder / item
        found = find_recordings([place])
        if not found.recordings:
            raise ConfigError(
                f"recordings names {item}; there is no such folder or file with recordings in "
                f"{dataset.folder.resolve()}"
            )
        chosen = {Path(one.source).resolve() for one in found.recordings}
        for folder in [place] if place.is_dir() else sorted({path.parent for path in chosen}):
            annotated = pair_tables(folder, annotations=tables_at)
            here = {file.recording.resolve(): file for file in annotated}
            files |= {path: file for path, file in here.items() if path in chosen}
            notes += annotated.notes if place.is_dir() else []
        missing = sorted(path.name for path in chosen - files.keys())
        if missing and not place.is_dir():
            notes.append(f"{spell_count(len(missing), 'recording')} without a table left out ({', '.join(missing)})")
    if not files and not dataset.verdicts:
        raise ConfigError(
            f"no recording in {', '.join(dataset.recordings)} has a table; the name of a table starts with the name "
            "of its recording: reef.wav and reef.Table.1.selections.txt, reef.csv or reef.txt (Audacity labels)"
            + "".join(f"; {note}" for note in notes)
        )
    return AnnotatedFolder(tuple(files[path] for path in sorted(files)), tuple(dict.fromkeys(notes)))


def read_recordings(dataset: Dataset, *, label: str | None = None) -> list[LabelledRecording]:
    """Read the recordings of a description: headers and tables, not the audio.

    Parameters
    ----------
    dataset : Dataset
    label : str, optional
        Label of the annotations of tables that have no labels.

    Returns
    -------
    recordings : list of LabelledRecording, by path, those that the split leaves out with no span

    Raises
    ------
    ConfigError
        A label of no class, a file that is missing, a split that names a recording that is not there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> import soundfile
    >>> folder = Path(mkdtemp())
    >>> soundfile.write(folder / "reef.wav", np.zeros(40_000), 4_000)
    >>> _ = (folder / "reef.csv").write_text("start,end,label\\n1.0,1.8,lt\\n4.0,4.7,lt\\n6.0,6.2,?\\n")
    >>> from anemone_lib.dataset import draft_dataset
    >>> draft = draft_dataset(folder, labels={"lt": "toadfish", "?": None})
    >>> recording = read_recordings(draft.dataset)[0]
    >>> recording.name, len(recording.annotations), len(recording.unclear), recording.spans["train"]
    ('reef.wav', 2, 1, (0.0, 5.0))
    """
    reviewed = read_reviewed(dataset)
    recordings = []
    files = find_files(dataset)
    options: dict[str, Any] = {"label": label, "label_column": dataset.label_column}
    tables = [read_annotations(file.table, recording_name=file.name, **options) for file in files]
    for file, one in zip(files, label_recordings(files, tables, dataset), strict=True):
        verdicts = reviewed.pop(file.recording.resolve(), ())
        annotated, unclear = add_verdicts(one.annotations, one.unclear, verdicts, dataset)
        recordings.append(replace(one, annotations=annotated, unclear=unclear))
    for path, verdicts in sorted(reviewed.items()):  # no table: annotated where somebody listened
        one = label_recording(path, dataset.folder / str(dataset.verdicts), (), dataset)
        annotated, unclear = add_verdicts((), (), verdicts, dataset, duration=one.duration)
        recordings.append(replace(one, annotations=annotated, unclear=unclear))
    return assign_spans(separate_namesakes(recordings, dataset), dataset)


def label_recordings(
    files: Sequence[AnnotatedFile], tables: Sequence[Sequence[Annotation]], dataset: Dataset
) -> list[LabelledRecording]:
    """Give the annotations of recordings the names of their classes; see `LabelledRecording`.

    Raises
    ------
    AudioError
        Some recordings cannot be read; the message names them all.
    """
    labelled, unreadable = [], []
    for file, annotations in zip(files, tables, strict=True):
        try:
            labelled.append(label_recording(file.recording, file.table, annotations, dataset))
        except ConfigError:
            raise
        except AudioError as error:
            unreadable.append(str(error))
    if unreadable:
        raise AudioError(
            f"{spell_count(len(unreadable), 'annotated recording')} cannot be read: {'; '.join(unreadable)}. Copy them "
            "again, or move their tables elsewhere, so that they are left out"
        )
    return labelled


def label_recording(path: Path, table: Path, annotations: Sequence[Annotation], dataset: Dataset) -> LabelledRecording:
    """Give the annotations of a recording the names of their classes; see `LabelledRecording`."""
    zone, form = dataset.timezone, dataset.start_time_format
    with open_recording(path, timezone=zone, start_time_format=form, channel=dataset.channel) as audio:
        duration, rate, start = audio.duration, audio.original_sample_rate, audio.start_time
    named, unclear = [], []
    for one in annotations:
        try:
            name = dataset.find_class(one.label)
        except ConfigError as error:
            raise ConfigError(f"{table.name}: {error}") from None
        if name is None:
            unclear.append(one)
        elif name != dataset.classes[0]:
            named.append(replace(one, label=name))
    day = start.date().isoformat() if start else None
    group = find_group(path.relative_to(dataset.folder) if path.is_relative_to(dataset.folder) else path, dataset, day)
    own, unknown = tuple(named), tuple(unclear)
    return LabelledRecording(
        path, table, group, duration, rate, own, unknown, channel=dataset.channel, start_time=start
    )


def find_group(path: Path, dataset: Dataset, day: str | None = None) -> str:
    """Name the group of a recording; see `Dataset.group`.

    Parameters
    ----------
    path : pathlib.Path, from the folder of the description
    dataset : Dataset
    day : str, optional
        The day on which the recording began, for names without a date.

    Raises
    ------
    ConfigError
        `Dataset.group` is not a regular expression, or is not in the path.

    Examples
    --------
    >>> dataset = Dataset(recordings=("reef/",), classes=("noise", "grunt"), target_class="grunt", group="day")
    >>> find_group(Path("north/buoy7_20210712_210000.wav"), dataset)
    '2021-07-12'
    """
    if dataset.group == "recording":
        return path.stem
    if dataset.group == "site":
        return path.parent.as_posix()
    if dataset.group == "day":
        match = _DATE.search(path.stem)
        return "-".join((match[1] + match[2], match[3], match[4])) if match else day or path.stem
    group = find_in_path(dataset.group, path.as_posix(), "group")
    if group is None:
        raise ConfigError(f"group is {dataset.group!r}, which is not in {path.as_posix()}; use recording, day or site")
    return group


def assign_spans(recordings: Iterable[LabelledRecording], dataset: Dataset) -> list[LabelledRecording]:
    """Say which seconds of each recording are of which part."""
    recordings, split = list(recordings), dataset.split
    if isinstance(split, SplitByTime):
        edges = (0.0, split.fractions[0], split.fractions[0] + split.fractions[1], 1.0)
        return [
            replace(
                one,
                spans={
                    part: (low * one.duration, high * one.duration)
                    for part, low, high in zip(PARTS, edges, edges[1:], strict=False)
                    if high > low
                },
            )
            for one in recordings
        ]
    parts = {name: part for part in PARTS for name in getattr(split, part)}
    known = {name for one in recordings for name in _list_names(one, dataset)}
    if missing := sorted(set(parts) - known):
        raise ConfigError(
            f"the split names {missing[0]}, which is not an annotated recording of the dataset; the recordings are "
            f"{', '.join(sorted(one.name for one in recordings)[:6])}"
        )
    spanned, unused = [], set(parts)
    for one in recordings:
        name = next((name for name in _list_names(one, dataset) if name in parts), None)
        spanned.append(replace(one, spans={parts[name]: (0.0, one.duration)} if name else {}))
        unused -= {other for other in _list_names(one, dataset) if parts.get(other) == parts.get(name or "")}
    if unused:
        raise ConfigError(
            f"the split has {min(unused)} in {parts[min(unused)]}, and the same recording under another name in "
            "another part; leave it in one of them"
        )
    return spanned


def name_recordings(recordings: Sequence[LabelledRecording], dataset: Dataset) -> list[str]:
    """Return what a split calls recordings: the file's name, or its path where another file has the same name."""
    twins = Counter(one.name for one in recordings)
    return [one.name if twins[one.name] == 1 else _list_names(one, dataset)[0] for one in recordings]


def separate_namesakes(recordings: Sequence[LabelledRecording], dataset: Dataset) -> list[LabelledRecording]:
    """Call groups that are single recordings by their paths where files in other folders have the same name."""
    named = [one for one in recordings if one.group == one.path.stem]
    paths = {one: Path(_list_names(one, dataset)[0]).with_suffix("").as_posix() for one in named}
    twins = Counter(stem for stem, _ in {(one.group, path) for one, path in paths.items()})
    return [replace(one, group=paths[one]) if one in paths and twins[one.group] > 1 else one for one in recordings]


def cut_annotations(annotations: Sequence[Annotation], span: tuple[float, float]) -> tuple[Annotation, ...]:
    """Return the annotations of a stretch, cut at its edges.

    Parameters
    ----------
    annotations : sequence of Annotation
    span : (start, end), in seconds

    Examples
    --------
    >>> calls = [Annotation(1.0, 3.0, "grunt"), Annotation(8.0, 9.0, "grunt")]
    >>> [(one.start_time, one.end_time) for one in cut_annotations(calls, (2.0, 5.0))]
    [(2.0, 3.0)]
    """
    return tuple(
        replace(one, start_time=max(one.start_time, span[0]), end_time=min(one.end_time, span[1]))
        for one in annotations
        if one.start_time < span[1] and one.end_time > span[0]
    )


def _list_names(one: LabelledRecording, dataset: Dataset) -> tuple[str, ...]:
    relative = one.path.relative_to(dataset.folder) if one.path.is_relative_to(dataset.folder) else one.path
    return relative.as_posix(), one.path.name, one.path.stem


def find_label_column(files: Sequence[AnnotatedFile], *, labels: Iterable[str] = ()) -> str | None:
    """Find the column that holds the labels where it has none of the usual names.

    Parameters
    ----------
    files : sequence of AnnotatedFile
    labels : names that the column must hold some of, optional

    Returns
    -------
    column : str, or None where the tables have a column of one of the usual names

    Raises
    ------
    AnnotationError
        No column, or more than one, could be it; the message names them.
    """
    unusual = list(dict.fromkeys(file.table for file in files if _needs_column(file)))
    if not unusual:
        return None
    names = {fold_label(label) for label in labels}
    found: Counter[str] = Counter()
    fitting: Counter[str] = Counter()
    for table in unusual:
        for column, values in _read_words(table).items():
            found[column] += 1
            fitting[column] += bool(names & {fold_label(value) for value in values})
    best = [column for column, n in fitting.items() if n] if names else list(found)
    if len(best) == 1:
        return best[0]
    columns = ", ".join(found) or "none"
    raise AnnotationError(
        f"{unusual[0].name}: it is not clear which column has the labels ({columns} could); say it with --label-column"
    )


def _needs_column(file: AnnotatedFile) -> bool:
    """Tell whether a recording's table has rows of it, but no row has a label."""
    try:
        annotations = read_annotations(file.table, recording_name=file.name)
    except AnnotationError as error:
        if "column" in str(error):
            return True
        raise
    return bool(annotations) and not any(one.label for one in annotations)


def _read_words(table: Path) -> dict[str, set[str]]:
    """Columns of words, with their values: neither numbers nor file names nor Raven's views."""
    columns: dict[str, set[str]] = {}
    for name, cells in read_columns(table).items():
        if re.search(r"view|channel|selection|time|freq|file|path|confidence|score", name, re.IGNORECASE):
            continue
        values = set(cells) - {""}
        numbers = sum(bool(re.fullmatch(r"[-+]?[\d.,:eE]+", value)) for value in values)
        if values and len(values) <= MAX_LABELS and numbers < len(values):
            columns[name] = values
    return columns
