"""Annotations out of the tables that people and programs write: Raven, Audacity, CSV.

*Conventions.* Times are seconds from the start of the recording, with every digit that the table has. A label is one
line without white space at its ends. The point label of Audacity, an instant instead of an interval, is an annotation
with ``start_time == end_time``. A line that cannot be understood is an error, never left out.
"""

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from anemone_lib.detection.events import Annotation
from anemone_lib.errors import AnnotationError

# Names of columns as they are found in tables of Raven, opensoundscape, BirdNET and ours, in the order they are
# looked for, all in the spelling of _plain: "Begin Time (s)" is begin_time_s.
_START = ("begin_time_s", "start_time_s", "start_time", "start_s", "start", "begin_time", "begin", "onset_s", "onset")


_END = ("end_time_s", "end_time", "end_s", "end", "stop", "offset_s", "offset")


_LOW = ("low_freq_hz", "low_hz", "low_freq", "low_f", "low_frequency", "low_frequency_hz", "min_freq", "fmin")


_HIGH = ("high_freq_hz", "high_hz", "high_freq", "high_f", "high_frequency", "high_frequency_hz", "max_freq", "fmax")


_LABEL = (
    *("annotation", "annotations", "label", "labels", "class", "class_name", "event_label"),
    *("species", "common_name", "scientific_name", "species_code", "call_type", "sound_type", "type"),
)


_ID = ("event_id", "id")


_FILE = ("begin_file", "recording", "file", "filename", "file_name", "audio_file", "sound_file", "begin_path")


_BLANK = ("", "na", "nan", "none", "null")


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read_annotations(
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    label_column: str | None = None,
    recording_name: str | None = None,
) -> list[Annotation]:
    """Read a table of annotations; its content tells what it is.

    Raven selection tables (a selection shown in two views counts once), Audacity labels with or without frequencies,
    CSV of this package, opensoundscape or BirdNET or with columns like ``start, end, label``, and the events of a JSON
    result.

    Parameters
    ----------
    path : path
    label : str, optional
        Label of the annotations that have none; otherwise theirs is empty.
    label_column : str, optional
        Name of the column that holds the labels, where it is not one of the usual.
    recording_name : str, optional
        Read only the rows of this recording (file name, with or without its extension) from a table that names the
        recordings. Where it has ``File Offset (s)``, as Raven's tables of many files do, times then count from the
        start of that file; without `recording_name` they are those of the whole sequence.

    Returns
    -------
    annotations : list of Annotation, in the order of the table

    Raises
    ------
    AnnotationError
        No such file, none of these formats, or a line with a wrong value; the message names file, line and value.

    Examples
    --------
    >>> read_annotations("reef.Table.1.selections.txt", label="anemonefish")  # doctest: +SKIP
    """
    path = Path(path)
    text = _text_of(path)
    if path.suffix.lower() == ".json":
        return list(_from_json(text, path))
    first = next((line for line in text.split("\n") if line.strip()), "")
    if re.match(r"\s*[-+]?[\d.,]+\t", first) or (not first and path.suffix.lower() not in (".csv", ".tsv")):
        return list(_from_audacity(text, path, label or ""))
    return _from_table(text, first, path, label, label_column, recording_name)


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"cannot read the annotations {path}: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content:
        raise AnnotationError(f"{path.name} is not a text file; annotations are a Raven table, Audacity labels or CSV")
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:  # written on an older Windows
        text = content.decode("cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _from_json(text: str, path: Path) -> Iterator[Annotation]:
    try:
        for event in json.loads(text)["events"]:
            start, end = float(event["start_time"]), float(event["end_time"])
            yield Annotation(start, end, str(event["class"]), id=str(event.get("id", "")))
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(
            f"{path.name} is not a result of this program ({type(error).__name__}: {error}); "
            "its events need start_time, end_time and class"
        ) from None


def _from_audacity(text: str, path: Path, label: str) -> Iterator[Annotation]:
    current: Annotation | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        cells = line.split("\t")
        if len(cells) < 2 + (cells[0] == "\\"):
            raise AnnotationError(f"{where}: {line!r} is no label; it must be start, end and text separated by tabs")
        if cells[0] == "\\":
            if current is None:
                raise AnnotationError(f"{where}: the frequencies {line!r} follow no label; remove the line")
            # Audacity writes −1 for a frequency that was not selected.
            low, high = (_number(cell, "frequency", where) for cell in cells[1:3])
            low_hz, high_hz = (None if hz < 0 else hz for hz in (low, high))
            _check_band(low_hz, high_hz, where)
            yield Annotation(current.start_time, current.end_time, current.label, low_hz, high_hz)
            current = None
            continue
        if current is not None:
            yield current
        start, end = _number(cells[0], "start", where), _number(cells[1], "end", where)
        _check_times(start, end, where)
        current = Annotation(start, end, " ".join(cells[2:]).strip() or label)
    if current is not None:
        yield current


def _from_table(
    text: str, first: str, path: Path, label: str | None, label_column: str | None, recording_name: str | None
) -> list[Annotation]:
    delimiter = max("\t,;", key=first.count)
    # Raven quotes nothing, so that a quotation mark is a part of its cell; R and spreadsheets quote the header too.
    plain = delimiter == "\t" and '"' not in first
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
    )
    header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    columns = {_plain(name): k for k, name in reversed(list(enumerate(header))) if name.strip()}
    place = {
        name: next((columns[known] for known in names if known in columns), None)
        for name, names in (
            ("start", _START),
            ("end", _END),
            ("low", _LOW),
            ("high", _HIGH),
            ("label", _LABEL if label_column is None else (_plain(label_column),)),
            ("id", _ID),
            ("file", _FILE),
            ("file_offset", ("file_offset_s",)),
            ("selection", ("selection",)),
            ("view", ("view",)),
        )
    }
    _check_columns(place, header, path, label, label_column)
    kept: list[Annotation] = []
    views: dict[tuple[str, ...], tuple[int, str]] = {}  # where a selection was kept, and in which view it was seen
    names: set[str] = set()
    for row in reader:
        if not any(text.strip() for text in row):
            continue
        where = f"{path.name}, line {reader.line_num}"
        if any(text.strip() for text in row[len(header) :]):
            raise AnnotationError(
                f"{where}: {len(row)} cells for {len(header)} columns; a cell that holds the separator "
                f"({delimiter!r}) must be in quotation marks, and a decimal comma be a point"
            )
        cell = {name: row[k].strip() if k is not None and k < len(row) else "" for name, k in place.items()}
        file_name = re.split(r"[/\\]", cell["file"])[-1]
        if recording_name is not None and file_name and not _same_recording(file_name, recording_name):
            continue
        names.update([file_name] if file_name else [])
        number = {
            name: _number(cell[name], header[place[name] or 0].strip(), where)
            for name in ("start", "end", "low", "high", "file_offset")
            if cell[name].lower() not in _BLANK or name in ("start", "end")
        }
        start, end = number["start"], number["end"]
        _check_times(start, end, where)
        _check_band(number.get("low"), number.get("high"), where)
        if recording_name is not None and "file_offset" in number:
            start, end = number["file_offset"], number["file_offset"] + (end - start)
        annotation = Annotation(
            start, end, cell["label"] or label or "", number.get("low"), number.get("high"), cell["id"]
        )
        # A selection that is shown as waveform and as spectrogram has a row for each view.
        key = (cell["selection"], file_name, cell["start"], cell["end"])
        position, view = views.get(key, (0, cell["view"]))
        if cell["selection"] and view != cell["view"]:
            if cell["view"].startswith("Spectrogram"):
                kept[position] = annotation
            continue
        views[key] = len(kept), cell["view"]
        kept.append(annotation)
    if recording_name is None and len(names) > 1 and place["file_offset"] is None:
        raise AnnotationError(
            f"{path.name} holds annotations of {len(names)} recordings ({', '.join(sorted(names)[:3])}, …); "
            "say which one is wanted with recording_name"
        )
    return kept


def _check_columns(
    place: Mapping[str, int | None], header: list[str], path: Path, label: str | None, label_column: str | None
) -> None:
    if place["start"] is None or place["end"] is None:
        found = ", ".join(name.strip() for name in header if name.strip())[:200] or "nothing"
        raise AnnotationError(
            f"{path.name} is no table of annotations: its first line is {found!r}; it must name a column of start and "
            "one of end times in seconds, like 'Begin Time (s)' and 'End Time (s)', or start_time and end_time; "
            "Audacity labels have no such line but numbers in it"
        )
    if label_column is not None and place["label"] is None:
        raise AnnotationError(f"{path.name} has no column {label_column!r}; it has {', '.join(filter(None, header))}")
    if place["label"] is None and place["selection"] is None and label is None:
        raise AnnotationError(
            f"{path.name} has no column of labels among {', '.join(filter(None, header))}; name the one that holds "
            "them with label_column, or give the label of all rows with label"
        )


def _check_times(start: float, end: float, where: str) -> None:
    if start < 0:
        raise AnnotationError(f"{where}: starts at {start} s; times count from the start of the recording, 0 or later")
    if end < start:
        raise AnnotationError(f"{where}: ends at {end} s, before its start at {start} s; exchange the two")


def _check_band(low_hz: float | None, high_hz: float | None, where: str) -> None:
    if min(low_hz or 0, high_hz or 0) < 0 or (low_hz is not None and high_hz is not None and low_hz > high_hz):
        raise AnnotationError(f"{where}: {low_hz} to {high_hz} Hz is no band; it must be 0 <= low <= high")


def _number(text: str, column: str, where: str) -> float:
    text = text.strip()
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    if re.fullmatch(r"[-+]?\d+,\d+", text):
        raise AnnotationError(
            f"{where}: {column} is {text!r}; numbers need a decimal point, not a comma: "
            "export the table again with English number format"
        )
    raise AnnotationError(f"{where}: {column} is {text!r}; it must be a number, like 12.5")


def _same_recording(found: str, wanted: str) -> bool:
    return wanted.lower() in (found.lower(), Path(found).stem.lower()) or (
        Path(wanted).stem.lower() == Path(found).stem.lower()
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
