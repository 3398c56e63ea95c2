"""Read annotations from the tables that people and programs write.

Raven, Audacity, CSV of every kind, BirdNET, Kaleidoscope, PAMGuard, one-hot tables, AOEF.

*Conventions.* Times are seconds from the start of the recording, with every digit that the table has. A label is one
line without white space at its ends. The point label of Audacity, an instant instead of an interval, is an annotation
with ``start_time == end_time``. A line that cannot be read is an error and never left out. Rows that do not belong to
the recording are left out, and the notes of the table count them.

Detections by this package are no annotations: its tables are marked (`DETECTED_BY`), and are refused.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from anemone_lib.detection.events import Annotation
from anemone_lib.detection.marks import DETECTED_LABEL
from anemone_lib.errors import AnnotationError
from anemone_lib.tables.audacity import read_audacity
from anemone_lib.tables.delimited import Question, list_columns, read_delimited
from anemone_lib.tables.table import AnnotationTable

_RESULT = re.compile(rb'\s*\{\s*"predictions"')
#: A start time for reading a table only to see what is in it.
ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_AUDACITY_LINE = re.compile(r"\s*[-+]?[\d.,]+\t")


def read_annotations(
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    label_column: str | None = None,
    recording_name: str | None = None,
    blank_label: str = "",
    start_time: datetime | None = None,
    detections: bool = False,
) -> list[Annotation]:
    """Read a table of annotations, whose format is found by its content.

    Raven selection tables (a selection shown in two views counts once), Audacity labels with or without frequencies,
    CSV of opensoundscape (also one-hot), BirdNET, Kaleidoscope or PAMGuard, or with columns like ``start, end, label``,
    and AOEF, for which the package ``soundevent`` must be installed.

    Parameters
    ----------
    path : path
    label : str, optional
        Label of all annotations of a table that has no labels.
    label_column : str, optional
        Name of the column of labels, if it is not one of the usual names; empty if there is none.
    recording_name : str, optional
        Read only the rows of this recording (file name or path, with or without its extension) from a table that
        names the recordings. If it has ``File Offset (s)``, as Raven's tables of many files, times then count from the
        start of that file; without `recording_name`, they count from the start of the whole sequence.
    blank_label : str
        Label of rows whose cell is blank in a table that has labels. They are not the target unless this says so.
    start_time : datetime, optional
        When the recording began, for tables that have the time of day (PAMGuard).
    detections : bool
        Also read detections by this package; otherwise they are an error, because they are not the truth.

    Returns
    -------
    annotations : list of Annotation, in the order of the table

    Raises
    ------
    AnnotationError
        The file does not exist, it has none of these formats, no column is known to have the labels, a line has a wrong
        value (the message names file, line and value), or the table has detections by this package.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.csv")
    >>> _ = path.write_text("start,end,species\\n1.5,2.25,clarkii\\n")
    >>> read_annotations(path)
    [Annotation(start_time=1.5, end_time=2.25, label='clarkii', low_hz=None, high_hz=None, id='')]
    """
    return read_table(
        path,
        label=label,
        label_column=label_column,
        recording_name=recording_name,
        blank_label=blank_label,
        start_time=start_time,
        detections=detections,
    ).annotations


def read_table(
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    label_column: str | None = None,
    recording_name: str | None = None,
    blank_label: str = "",
    start_time: datetime | None = None,
    detections: bool = False,
) -> AnnotationTable:
    """Read a table of annotations with notes on what was left out; see `read_annotations`.

    Returns
    -------
    table : AnnotationTable
        The annotations and the notes.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "all.csv")
    >>> _ = path.write_text("file,start,end,label\\na.wav,1,2,pop\\nb.wav,1,3,pop\\n")
    >>> read_table(path, recording_name="b.wav").notes
    ('1 row of all.csv is of other recordings (a.wav)',)
    """
    path = Path(path)
    text = read_text(path)
    question = Question(label, blank_label, label_column, recording_name, start_time)
    first = next((line for line in text.split("\n") if line.strip()), "")
    if path.suffix.lower() == ".json" or first.lstrip().startswith(("{", "[")):
        table = _read_json(text, path, question)
    elif _AUDACITY_LINE.match(first) or (not first and path.suffix.lower() not in (".csv", ".tsv")):
        found = read_audacity(text, path.name, label=label or "", blank_label=blank_label)
        ours = [a for a in found if a.label.startswith(f"{DETECTED_LABEL} anemone")]
        found = [a for a in found if a not in ours]
        table = AnnotationTable(path, found, format="Audacity labels", made_by="anemone" if ours else "")
    else:
        table = read_delimited(text, path, question)
    if table.made_by == "anemone" and not detections:
        raise AnnotationError(
            f"{path.name} has detections by anemone, not annotations by a person, so it cannot be the truth. "
            "If a person has checked every row and added what was missed, let them remove the column or the label "
            "that says so; to read detections, use detections=True"
        )
    return table


def read_columns(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read the cells of a table with a line of column names, column by column, without interpreting them.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.csv")
    >>> _ = path.write_text("start;end;heard by Ana\\n1;2;pop\\n")
    >>> read_columns(path)["heard by Ana"]
    ['pop']
    """
    path = Path(path)
    return list_columns(read_text(path), path)


def is_detection(path: str | os.PathLike[str]) -> bool:
    """Return whether a file has detections by this package, by its content, not its name.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.txt")
    >>> _ = path.write_text("1.5\\t2.25\\tpop\\n")
    >>> is_detection(path)
    False
    """
    try:
        with open(path, "rb") as file:
            if _RESULT.match(file.read(1 << 10)):  # a day's is large
                return True
        return read_table(path, label_column="", label="", detections=True, start_time=ANY_TIME).made_by == "anemone"
    except (AnnotationError, OSError):
        return False


def read_text(path: Path) -> str:
    """Read the text of a table as programs and systems write it: UTF-8, UTF-16 with a mark, or an older Windows."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"cannot read the table {path}: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise AnnotationError(f"{path.name} is a workbook of a spreadsheet program; save it there as CSV")
    elif b"\0" in content:
        raise AnnotationError(f"{path.name} is not a text file; annotations are a Raven table, Audacity labels or CSV")
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:  # written on an older Windows
        text = content.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_json(text: str, path: Path, question: Question) -> AnnotationTable:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise AnnotationError(f"{path.name} is not a result of this program ({error})") from None
    if isinstance(content, dict) and "events" not in content and "collection_type" in (content.get("data") or {}):
        from anemone_lib.tables.aoef import read_aoef

        return read_aoef(path, question)
    try:
        return AnnotationTable(path, list(_read_events(content)), format="JSON result", made_by="anemone")
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(
            f"{path.name} is not a result of this program ({type(error).__name__}: {error}); "
            "its events need start_time, end_time and class"
        ) from None


def _read_events(content: dict[str, list[dict[str, object]]]) -> Iterator[Annotation]:
    for event in content["events"]:
        start, end = float(str(event["start_time"])), float(str(event["end_time"]))
        yield Annotation(start, end, str(event["class"]), id=str(event.get("id", "")))
