"""The columns of tables of annotations, by the names that people and programs give them.

A name is compared by its letters and digits alone: ``Begin Time (s)``, ``begin_time_s`` and ``BeginTimeS`` are one.
If several columns could have the labels, the first of `LABELS` counts that is filled in at least half of the rows, or
otherwise the one that is filled in most rows. If no column is recognised, this is an error that lists the columns with
their first values; the program never takes all rows as the target.
"""

import re
from collections.abc import Mapping, Sequence

from anemone_lib.errors import AnnotationError

# In the order in which they are searched.
STARTS = (
    *("Begin Time (s)", "Start Time (s)", "start_time", "start_s", "Start (s)", "start", "begin_time", "begin"),
    *(
        "onset_s",
        "onset",
        "start_sec",
        "start_seconds",
        "startSeconds",
        "begin_s",
        "begin_sec",
        "time_start",
        "t_start",
    ),
    *("tmin", "min_t", "time_min", "clip_start", "start_offset", "offset_start", "start_time_sec", "from"),
)
ENDS = (
    *("End Time (s)", "Stop Time (s)", "end_time", "end_s", "end", "stop", "stop_time", "finish", "offset_s", "offset"),
    *("end_sec", "end_seconds", "endSeconds", "stop_s", "time_end", "t_end", "tmax", "max_t", "time_max", "clip_end"),
    *("end_offset", "offset_end", "end_time_sec", "to"),
)
DURATIONS = ("Duration (s)", "duration", "dur", "Delta Time (s)", "Length (s)", "length", "duration_sec")
LOWS = (
    *("Low Freq (Hz)", "low_hz", "low_freq", "low_f", "low_frequency", "low_frequency_hz", "Min Freq (Hz)", "min_freq"),
    *("min_frequency", "fmin", "f_min", "f_min_hz", "freq_min", "freq_low", "lowFreq", "f1"),
)
HIGHS = (
    *("High Freq (Hz)", "high_hz", "high_freq", "high_f", "high_frequency", "high_frequency_hz", "Max Freq (Hz)"),
    *("max_freq", "max_frequency", "fmax", "f_max", "f_max_hz", "freq_max", "freq_high", "highFreq", "f2"),
)
LABELS = (
    *("annotation", "annotations", "label", "labels", "class", "class_name", "class_label", "event_label"),
    *("annotation_label", "label_name", "Manual ID", "species", "species_name", "common_name", "category"),
    *("categories", "tag", "tags", "call_type", "sound_type", "signal_type", "event_type", "vocalization"),
    *(
        "vocalisation",
        "vocalization_type",
        "vocalisation_type",
        "scientific_name",
        "species_code",
        "call_code",
        "taxon",
    ),
    *(
        "target",
        "type",
        "code",
        "sound_class",
        "sound",
        "call",
        "signal",
        "sp",
        "species_id",
        "class_id",
        "kind",
        "event",
    ),
    "name",
)
#: A cell of these columns may have several labels, separated by ``;``, ``|`` or commas.
PLURAL_LABELS = ("labels", "tags", "annotations", "categories")
IDS = ("event_id", "id")
FILES = (
    *("Begin File", "recording", "file", "filename", "file_name", "In File", "audio_file", "sound_file", "audio"),
    *("Begin Path", "filepath", "file_path", "path", "audio_path", "audio_filename", "audio_file_path", "sound_files"),
    *(
        "recording_name",
        "recording_path",
        "wav",
        "wav_file",
        "wavfile",
        "fname",
        "source_file",
        "uri",
        "dataset_filename",
    ),
)
FILE_OFFSETS = ("File Offset (s)",)
# Columns of remarks, which may be labels.
REMARKS = ("notes", "note", "comments", "comment", "remarks", "remark", "description")
# Columns that are no labels.
OTHERS = (
    *("selection", "view", "channel"),
    *("annotator", "analyst", "observer", "user", "username", "author", "reviewer", "reviewed_by", "annotated_by"),
    *("annotation_file", "verified", "verdict", "confidence", "score", "probability", "quality", "certainty", "snr"),
    *("created_by", "created", "modified", "updated", "uid", "uuid", "selec", "index", "unnamed_0", "row", "number"),
    *("date", "time", "datetime", "date_time", "timestamp", "begin_date", "begin_clock_time", "end_clock_time"),
    *("begin_date_time", "end_date_time", "begin_hour", "start_utc", "begin_utc", "start_local", "begin_local"),
    *("end_file", "end_path", "site", "station", "location", "deployment", "latitude", "longitude", "lat", "lon"),
    *("week", "model", "model_version", "config_fingerprint", "mean_confidence", "max_confidence", "windows"),
    *("num_windows", "detected_by", "overlap", "sensitivity", "min_conf", "species_list", "occupancy"),
    *("folder", "indir", "outdir", "out_file", "auto_id", "auto_id_", "hour", "date_12", "time_12", "hour_12", "files"),
    *("pulses", "matching", "match_ratio", "margin", "alternate_1", "alternate_2", "organization", "review_org"),
    *("manual_reviewer", "review_date", "utc", "utc_milliseconds", "pc_local_time", "pc_time", "channel_bitmap"),
    *("sequence_bitmap", "update_of", "parent_id", "parent_uid", "database_id", "event_end", "sample_rate", "split"),
    *("recordist", "project", "dataset", "device", "recorder", "serial", "tz", "timezone", "lineup", "filename_full"),
)


def simplify_name(name: str) -> str:
    """Return the letters and digits of a column's name, in small letters."""
    return re.sub(r"[\W_]+", "", name.lower())


def find_column(columns: Mapping[str, int], names: Sequence[str]) -> int | None:
    """Return the place of the first of `names` that the table has."""
    return next((columns[simplify_name(name)] for name in names if simplify_name(name) in columns), None)


_PLACED = {
    simplify_name(name) for names in (STARTS, ENDS, DURATIONS, LOWS, HIGHS, IDS, FILES, FILE_OFFSETS) for name in names
}
_NO_LABELS = _PLACED | {simplify_name(name) for name in (*OTHERS, *REMARKS)}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|inf", re.IGNORECASE)
# Names of label columns that may be names of classes, too.
_CLASSES_TOO = ("sound", "call", "signal", "event", "target", "species", "tag", "annotation")
_PRESENT, _ABSENT = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", "")


def find_labels(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, label_column: str | None, table: str
) -> tuple[int | None, list[int]]:
    """Find the column of labels, or the columns of single classes (one-hot).

    Parameters
    ----------
    header : names of the columns
    rows : the cells of every row
    label_column : str or None
        Its name, if it is not one of `LABELS`; empty if the table has no labels.
    table : str, the table's name, for messages

    Returns
    -------
    label : int or None, place of the column of labels
    classes : list of int, places of the columns of a one-hot table

    Raises
    ------
    AnnotationError
        The column does not exist, or no column is known to have the labels.
    """
    columns = {simplify_name(name): k for k, name in reversed(list(enumerate(header))) if name.strip()}
    raven = simplify_name("selection") in columns

    def stands_for_class(place: int) -> bool:
        cells = _read_cells(rows, place)  # Raven: a column of ones is the code of a label
        return _is_one_hot(cells) and not (raven and {cell.lower() for cell in cells} <= {*_PRESENT})

    if label_column:
        place = columns.get(simplify_name(label_column))
        if place is None:
            raise AnnotationError(
                f"{table} has no column {label_column!r}; it has {', '.join(name for name in header if name.strip())}"
            )
        return (None, [place]) if stands_for_class(place) else (place, [])
    if label_column is not None:
        return None, []
    known = [
        columns[simplify_name(name)]
        for name in LABELS
        if simplify_name(name) in columns
        and not (name in _CLASSES_TOO and _is_one_hot(_read_cells(rows, columns[simplify_name(name)])))
    ]
    filled = {place: sum(bool(text) for text in _read_cells(rows, place)) for place in known}
    for place in known:
        if rows and filled[place] * 2 >= len(rows):
            return place, []
    if any(filled.values()):
        return max(known, key=lambda place: filled[place]), []
    others = [
        k for k, name in enumerate(header) if name.strip() and simplify_name(name) not in _NO_LABELS and k not in known
    ]
    classes = [k for k in others if stands_for_class(k)]
    if not known and classes:
        return None, classes
    remarks = [columns[simplify_name(name)] for name in REMARKS if simplify_name(name) in columns]
    # A few remarks are ignored; a column that is filled in every second row may be the labels.
    others += [k for k in remarks if rows and 2 * sum(map(bool, _read_cells(rows, k))) >= len(rows)]
    unknown = [k for k in others if any(text and not _NUMBER.fullmatch(text) for text in _read_cells(rows, k))]
    if not raven:  # Raven's own measurements are numbers, too
        unknown += [k for k in others if k not in unknown and _are_scores(_read_cells(rows, k))]
    if unknown:
        blank = f"; {', '.join(repr(header[k].strip()) for k in known)} is blank in all rows" if known else ""
        raise AnnotationError(
            f"{table}: no column is known to have the labels{blank}. Its other columns are "
            f"{'; '.join(_describe(header, rows, k) for k in others)}. Name the column of labels with label_column "
            "(--label-column), or give '' if there is none"
        )
    return (known[0] if known else None), []


def describe_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Describe every column with its first values."""
    return "; ".join(_describe(header, rows, k) for k, name in enumerate(header) if name.strip())


def _describe(header: Sequence[str], rows: Sequence[Sequence[str]], place: int) -> str:
    values = list(dict.fromkeys(text for text in _read_cells(rows, place) if text))
    shown = ", ".join(repr(value[:40]) for value in values[:3]) or "blank"
    return f"{header[place].strip()!r} ({shown}{', …' * (len(values) > 3)})"


def _read_cells(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    return [row[place].strip() if place < len(row) else "" for row in rows]


def _is_one_hot(cells: Sequence[str]) -> bool:
    """Return whether a column says for every row if a class is present: 0 and 1, true and false."""
    found = {cell.lower() for cell in cells}
    return bool(found - {""}) and found <= {*_PRESENT, *_ABSENT}


def _are_scores(cells: Sequence[str]) -> bool:
    """Return whether a column of numbers may be a program's scores of a class: all from 0 to 1."""
    found = [float(cell) for cell in cells if _NUMBER.fullmatch(cell)]
    return bool(found) and all(0 <= number <= 1 for number in found)


def is_present(cell: str) -> bool:
    """Return whether a cell of a one-hot column says that the class is present."""
    return cell.strip().lower() in _PRESENT
