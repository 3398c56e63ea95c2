"""Tables with a line of column names: Raven, CSV, BirdNET, Kaleidoscope, PAMGuard, one-hot.

*Conventions.* Columns are found by their names (`anemone_lib.tables.columns`). A table may give a start and an end, or
a start and a duration (Kaleidoscope), or the date and the time of day in UTC (PAMGuard), from which the start of the
recording is subtracted. Rows of other recordings are counted, never mixed in.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anemone_lib.detection.events import Annotation
from anemone_lib.detection.marks import DETECTED_BY
from anemone_lib.errors import AnnotationError, spell_count
from anemone_lib.tables import columns as names
from anemone_lib.tables.columns import describe_columns, find_column, find_labels, is_present, simplify_name
from anemone_lib.tables.matching import choose_rows
from anemone_lib.tables.table import AnnotationTable, check_band, check_times, parse_number

#: The key of cells beyond the last column in `iterate_rows`.
EXTRA_CELLS = "(beyond the last column)"
_BLANK = ("", "na", "nan", "none", "null")


@dataclass(frozen=True)
class Question:
    """The options of reading a table: see `anemone_lib.tables.reading.read_annotations`."""

    label: str | None = None
    blank_label: str = ""
    label_column: str | None = None
    recording_name: str | None = None
    start_time: datetime | None = None


@dataclass(frozen=True)
class _Sheet:
    """The cells of a table."""

    name: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    columns: Mapping[str, int]

    def cell(self, row: Sequence[str], place: int | None) -> str:
        return row[place].strip() if place is not None and place < len(row) else ""

    def has(self, *names_of: str) -> bool:
        return all(simplify_name(name) in self.columns for name in names_of)


def read_delimited(text: str, path: Path, question: Question) -> AnnotationTable:
    """Read a table with a line of column names.

    Parameters
    ----------
    text : str, the content of the file
    path : pathlib.Path, of the file, for messages
    question : Question

    Returns
    -------
    table : AnnotationTable
    """
    sheet = _read_sheet(text, path)
    timing = _Timing.of(sheet, question)
    label_place, classes = find_labels(sheet.header, sheet.rows, label_column=question.label_column, table=sheet.name)
    if label_place is None and not classes and question.label is None and not sheet.has("selection"):
        raise AnnotationError(
            f"{sheet.name} has no column of labels among {', '.join(n.strip() for n in sheet.header if n.strip())} "
            f"({describe_columns(sheet.header, sheet.rows)}); name it with label_column "
            "(--label-column), or give the label of all rows with label"
        )
    file_place = find_column(sheet.columns, names.FILES)
    files = [_find_file(sheet, row, file_place) for row in sheet.rows]
    chosen = choose_rows(files, question.recording_name, table=sheet.name)
    others = Counter(_strip_folder(files[k]) for k in range(len(files)) if k not in chosen)
    if question.recording_name is None and file_place is not None and timing.offset is None:
        _check_one_recording(files, sheet.name)
    reader = _RowReader(sheet, timing, question, label_place, classes)
    annotations = _skip_second_views(sheet, sorted(chosen), files, reader)
    notes = []
    if others:
        listed = ", ".join(sorted(others)[:3]) + ", …" * (len(others) > 3)
        rows = sum(others.values())
        notes.append(
            f"{spell_count(rows, 'row')} of {sheet.name} {'is' if rows == 1 else 'are'} of other recordings ({listed})"
        )
    if timing.outside:
        notes.append(
            f"{spell_count(len(timing.outside), 'row')} of {sheet.name} began before the recording and "
            f"{'was' if len(timing.outside) == 1 else 'were'} left out"
        )
    blank = sum(not annotation.label for annotation in annotations)
    if blank and label_place is not None:
        notes.append(
            f"{spell_count(blank, 'row')} of {sheet.name} {'has' if blank == 1 else 'have'} no label in "
            f"{sheet.header[label_place].strip()!r}: that is not the target"
        )
    return AnnotationTable(
        path=path,
        annotations=annotations,
        format=_name_format(sheet, classes),
        label_column=sheet.header[label_place].strip() if label_place is not None else "",
        made_by=_find_maker(sheet, label_place),
        names_recordings=any(files),
        other_recordings=dict(others),
        runs_on=sheet.has("selection", "Begin Time (s)") and timing.offset is None and len({*files}) > 1,
        notes=tuple(notes),
    )


def list_columns(text: str, path: Path) -> dict[str, list[str]]:
    """List the cells of every column that has a name; see `anemone_lib.tables.reading.read_columns`."""
    sheet = _read_sheet(text, path)
    names_of = {k: name.strip() for k, name in enumerate(sheet.header) if name.strip()}
    return {name: [sheet.cell(row, k) for row in sheet.rows] for k, name in names_of.items()}


def iterate_rows(text: str) -> "csv.DictReader[str]":
    """Iterate over the rows of a table of our own, by the names of its columns, however a spreadsheet saved it.

    Parameters
    ----------
    text : str
        Cells are separated by commas, semicolons or tabs; a first line like ``sep=;`` is passed over.

    Returns
    -------
    rows : csv.DictReader
        Cells beyond the header are in `EXTRA_CELLS`.

    Examples
    --------
    >>> [row["site"] for row in iterate_rows("sep=;\\npath;site\\nreef.wav;north\\n")]
    ['north']
    """
    first, _, rest = text.partition("\n")
    is_marked = first[:4].lower() == "sep="
    delimiter = _choose_delimiter(rest.partition("\n")[0] if is_marked else first)
    rows = csv.DictReader(io.StringIO(text, newline=""), restkey=EXTRA_CELLS, delimiter=delimiter)
    if is_marked:
        next(rows.reader)  # it counts, so that the numbers of lines stay correct
    return rows


def _choose_delimiter(header: str) -> str:
    return max("\t,;", key=header.count)


def _blank_remarks(text: str) -> str:
    """Blank the lines of remarks before the header, also those of spreadsheets; line numbers stay correct."""
    lines = text.split("\n")
    starts = {simplify_name(name) for name in names.STARTS}
    for number, line in enumerate(lines):
        is_header = starts & {simplify_name(cell) for cell in re.split("[\t,;]", line)}
        if line.strip() and (is_header or not re.match(r"#|sep=.?$", line)):
            break
        lines[number] = ""
    return "\n".join(lines)


def _read_sheet(text: str, path: Path) -> _Sheet:
    text = _blank_remarks(text)
    first = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = _choose_delimiter(first)
    # Raven does not quote cells, so a quotation mark is part of the cell; R and spreadsheets also quote the header.
    unquoted = delimiter == "\t" and '"' not in first
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE if unquoted else csv.QUOTE_MINIMAL
    )
    header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    rows, lines = [], []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if any(cell.strip() for cell in row[len(header) :]):
            raise AnnotationError(
                f"{path.name}, line {reader.line_num}: {len(row)} cells for {len(header)} columns; a cell that holds "
                f"the separator ({delimiter!r}) must be in quotation marks, and a decimal comma be a point"
            )
        rows.append(row)
        lines.append(reader.line_num)
    columns = {simplify_name(name): k for k, name in reversed(list(enumerate(header))) if simplify_name(name)}
    return _Sheet(path.name, header, rows, lines, columns)


class _Timing:
    """The columns that say when a row begins and ends."""

    def __init__(self, sheet: _Sheet, began: datetime | None) -> None:
        self.sheet, self.began = sheet, began
        self.start: int | None = None
        self.end: int | None = None
        self.duration: int | None = None
        self.offset: int | None = None
        self.utc: int | None = None
        self.utc_end: int | None = None
        self.milliseconds: int | None = None
        #: Lines of the rows before the recording.
        self.outside: list[int] = []

    @classmethod
    def of(cls, sheet: _Sheet, question: Question) -> "_Timing":
        timing = cls(sheet, question.start_time)
        columns = sheet.columns
        timing.duration = find_column(columns, names.DURATIONS)
        timing.offset = find_column(columns, names.FILE_OFFSETS)
        if sheet.has("in_file", "offset", "duration"):  # Kaleidoscope: place in the file, and duration
            timing.start = columns["offset"]
            return timing
        timing.start, timing.end = find_column(columns, names.STARTS), find_column(columns, names.ENDS)
        if timing.start is None and sheet.has("utc") and (sheet.has("uid") or sheet.has("pc_local_time")):
            timing.utc, timing.milliseconds = columns["utc"], columns.get("utcmilliseconds")
            timing.utc_end, timing.end = columns.get("eventend"), None
            if timing.began is None:
                raise AnnotationError(
                    f"{sheet.name} is a PAMGuard export: its rows have the time of day, not the seconds from the start "
                    "of the recording; give start_time, when the recording began, or let its name tell it "
                    "(--timezone, --start-time-format)"
                )
            if timing.utc_end is None and timing.duration is None:
                raise AnnotationError(
                    f"{sheet.name} is a PAMGuard export without a column of durations or ends (duration, EventEnd) "
                    f"among {', '.join(sheet.header)}; export a table that has one"
                )
            return timing
        if timing.start is None or (timing.end is None and timing.duration is None):
            found = ", ".join(name.strip() for name in sheet.header if name.strip())[:200] or "nothing"
            raise AnnotationError(
                f"{sheet.name} is no table of annotations: its first line is {found!r}; it must name a column of "
                "start and one of end times in seconds, like 'Begin Time (s)' and 'End Time (s)', or start_time and "
                "end_time; Audacity labels have no such line but numbers in it"
            )
        return timing

    def read(self, row: Sequence[str], where: str, *, in_file: bool) -> tuple[float, float] | None:
        """Return start and end of a row in seconds; None if it lies before the recording."""
        if self.utc is not None:
            return self._read_utc(row, where)
        start = self._read_number(row, self.start, where)
        if self.end is not None:
            end = self._read_number(row, self.end, where)
        else:
            end = start + self._read_number(row, self.duration, where)
        check_times(start, end, where)
        if in_file and self.sheet.cell(row, self.offset).lower() not in _BLANK:
            offset = self._read_number(row, self.offset, where)
            return offset, offset + (end - start)
        return start, end

    def _read_utc(self, row: Sequence[str], where: str) -> tuple[float, float] | None:
        begin = self._read_moment(row, self.utc, where)
        if self.milliseconds is not None and not begin.microsecond:
            begin += timedelta(milliseconds=self._read_number(row, self.milliseconds, where))
        assert self.began is not None
        start = round((begin - self.began).total_seconds(), 6)
        if self.utc_end is not None:
            end = round((self._read_moment(row, self.utc_end, where) - self.began).total_seconds(), 6)
        else:
            end = start + self._read_number(row, self.duration, where)
        if start < 0:
            self.outside.append(0)
            return None
        check_times(start, end, where)
        return start, end

    def _read_moment(self, row: Sequence[str], place: int | None, where: str) -> datetime:
        text = self.sheet.cell(row, place)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            column = self.sheet.header[place or 0].strip()
            raise AnnotationError(
                f"{where}: {column} is {text!r}; it must be a date and time like 2023-02-10 00:00:46.2"
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _read_number(self, row: Sequence[str], place: int | None, where: str) -> float:
        return parse_number(self.sheet.cell(row, place), self.sheet.header[place or 0].strip(), where)


class _RowReader:
    """Make the annotations of one row: one, or in a one-hot table one for every class that is present."""

    def __init__(
        self, sheet: _Sheet, timing: _Timing, question: Question, label: int | None, classes: Sequence[int]
    ) -> None:
        self.sheet, self.timing, self.question, self.label, self.classes = sheet, timing, question, label, classes
        self.low, self.high = find_column(sheet.columns, names.LOWS), find_column(sheet.columns, names.HIGHS)
        self.id = find_column(sheet.columns, names.IDS)
        self.plural = label is not None and simplify_name(sheet.header[label]) in map(
            simplify_name, names.PLURAL_LABELS
        )

    def read(self, index: int, *, in_file: bool) -> list[Annotation]:
        row, where = self.sheet.rows[index], f"{self.sheet.name}, line {self.sheet.lines[index]}"
        times = self.timing.read(row, where, in_file=in_file)
        if times is None:
            return []
        low, high = (
            None if self.sheet.cell(row, place).lower() in _BLANK else self.timing._read_number(row, place, where)
            for place in (self.low, self.high)
        )
        check_band(low, high, where)
        identity = self.sheet.cell(row, self.id)
        return [Annotation(*times, label, low, high, identity) for label in self._read_labels(row)]

    def _read_labels(self, row: Sequence[str]) -> list[str]:
        if self.classes:
            return [self.sheet.header[k].strip() for k in self.classes if is_present(self.sheet.cell(row, k))]
        if self.label is None:
            return [self.question.label or ""]
        text = re.sub(r"\s*\n\s*", " ", self.sheet.cell(row, self.label))  # a cell may have several lines
        if self.plural and re.search("[;|,]", text):
            return [part.strip() for part in re.split("[;|,]", text) if part.strip()]
        return [text or self.question.blank_label]


def _skip_second_views(
    sheet: _Sheet, chosen: Sequence[int], files: Sequence[str], reader: _RowReader
) -> list[Annotation]:
    """Read the rows; a selection that is shown as waveform and as spectrogram has a row for each view."""
    selection, view = (sheet.columns.get(name) for name in ("selection", "view"))
    kept: list[list[Annotation]] = []
    views: dict[tuple[str, ...], tuple[int, str]] = {}  # place of a selection in the list, and its view
    for index in chosen:
        row = sheet.rows[index]
        found = reader.read(index, in_file=reader.question.recording_name is not None)
        start, end = (sheet.cell(row, place) for place in (reader.timing.start, reader.timing.end))
        key = (sheet.cell(row, selection), files[index], start, end)
        position, seen_in = views.get(key, (0, sheet.cell(row, view)))
        if key[0] and seen_in != sheet.cell(row, view):
            if sheet.cell(row, view).startswith("Spectrogram"):
                kept[position] = found
            continue
        views[key] = len(kept), sheet.cell(row, view)
        kept.append(found)
    return [annotation for found in kept for annotation in found]


def _find_file(sheet: _Sheet, row: Sequence[str], place: int | None) -> str:
    """Return the file of a row, with its folder if the table has a column of folders (Kaleidoscope)."""
    name, folder = sheet.cell(row, place), sheet.cell(row, sheet.columns.get("folder"))
    return f"{folder}/{name}" if name and folder and not re.search(r"[/\\]", name) else name


def _check_one_recording(files: Sequence[str], table: str) -> None:
    found = sorted({_strip_folder(file) for file in files if file})
    if len(found) > 1:
        raise AnnotationError(
            f"{table} has annotations of {len(found)} recordings ({', '.join(found[:3])}, …); "
            "choose one with recording_name"
        )


def _name_format(sheet: _Sheet, classes: Sequence[int]) -> str:
    if sheet.has("in_file", "offset", "duration"):
        return "Kaleidoscope CSV"
    if classes:
        return "one-hot CSV"
    if sheet.has("selection", "Begin Time (s)"):
        return "Raven selection table"
    if sheet.has("utc", "uid"):
        return "PAMGuard CSV"
    return "CSV"


def _find_maker(sheet: _Sheet, label: int | None) -> str:
    """Return the program that decided the rows; empty if the table names none, as for the table of a person."""
    if sheet.has(DETECTED_BY):
        return "anemone"
    windows = find_column(sheet.columns, ("windows", "num_windows"))
    confidence = sheet.columns.get("meanconfidence")
    if windows is not None and any(sheet.cell(row, confidence) for row in sheet.rows):
        return "anemone"  # as version 0.1 wrote it, before its tables said so
    if sheet.has("confidence") and (sheet.has("common_name") or sheet.has("scientific_name")):
        return "BirdNET"
    if sheet.has("in_file", "offset", "duration") and (
        label is None or simplify_name(sheet.header[label]) != "manualid"
    ):
        return "Kaleidoscope"
    return ""


def _strip_folder(file: str) -> str:
    return re.split(r"[/\\]", file)[-1]
