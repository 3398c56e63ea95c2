"""A table of verdicts on events of many recordings, as CSV: one row for each event and reviewer."""

import csv
import io
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from anemone_lib.detection.events import fold_label
from anemone_lib.errors import AnnotationError
from anemone_lib.files import write_text
from anemone_lib.tables.delimited import iterate_rows
from anemone_lib.tables.reading import read_text

#: Kinds of rows: an event, or a window without an event.
KINDS = ("event", "window")


@dataclass(frozen=True)
class Verdict:
    """The verdict of one person on one event, or on one window without an event.

    Attributes
    ----------
    event_id : str, of the event or window
    recording : str, path of the recording
    start_time, end_time : float, in seconds from the start of the recording
    label : str, the class for a call, ``not`` and the class if it is no call, or the name of another sound
    is_call : bool, whether the label is that of the class under review
    confidence : float in [0, 1], the highest of the event, or the probability of the window
    kind : ``event`` or ``window``
    reviewer : str, the person who gave the verdict; may be empty
    model_sha256 : str, of the model that gave the confidence

    Examples
    --------
    >>> verdict = Verdict("0c7f1a2b3d4e", "reef.wav", 1.2, 4.2, "anemonefish", True, 0.94)
    >>> verdict.kind, verdict.reviewer
    ('event', '')
    """

    event_id: str
    recording: str
    start_time: float
    end_time: float
    label: str
    is_call: bool
    confidence: float
    kind: str = "event"
    reviewer: str = ""
    model_sha256: str = ""


#: The columns of the table.
COLUMNS = tuple(field.name for field in fields(Verdict))
#: What spreadsheet programs make of an id that looks like a number: ``1.23457E+11``, or fewer than its 12 digits.
_NO_ID = r"\d{1,11}|\d+([.,]\d+)?E\+\d+"


def write_verdicts(path: str | os.PathLike[str], verdicts: Iterable[Verdict]) -> Path:
    """Write verdicts as CSV, completely or not at all.

    Parameters
    ----------
    path : path of a ``.csv`` file
    verdicts : iterable of Verdict

    Returns
    -------
    path : pathlib.Path
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in verdicts:
        values = [getattr(one, name) for name in COLUMNS]
        rows.writerow(["yes" if value is True else "no" if value is False else value for value in values])
    return write_text(path, text.getvalue())


def read_verdicts(path: str | os.PathLike[str]) -> list[Verdict]:
    """Read a table of verdicts.

    Parameters
    ----------
    path : path of a table that `write_verdicts` wrote

    Returns
    -------
    verdicts : list of Verdict, in the order of the rows

    Raises
    ------
    AnnotationError
        The table cannot be read, a column is missing, or a row has an impossible value; the message names the line.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> verdict = Verdict("0c7f1a2b3d4e", "reef.wav", 1.2, 4.2, "anemonefish", True, 0.94, reviewer="Ana")
    >>> read_verdicts(write_verdicts(Path(mkdtemp(), "verdicts.csv"), [verdict])) == [verdict]
    True
    """
    path = Path(path)
    rows = iterate_rows(read_text(path))
    if missing := [name for name in COLUMNS[:7] if name not in (rows.fieldnames or ())]:
        raise AnnotationError(f"{path.name} has no column {missing[0]}; a table of verdicts has {', '.join(COLUMNS)}")
    filled = (row for row in rows if any(text for text in row.values()))
    return [_read_row(row, f"{path.name}, line {rows.line_num}") for row in filled]


def is_verdicts(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a table of verdicts, which are no annotations of a whole recording."""
    try:
        return set(COLUMNS[:7]) <= set(iterate_rows(read_text(Path(path))).fieldnames or ())
    except (AnnotationError, csv.Error):
        return False


def check_label(one: Verdict, target: str, table: str) -> Verdict:
    """Refuse a verdict whose label and whose answer do not agree, as where only one of the two was edited.

    Parameters
    ----------
    one : Verdict
    target : str, the class under review
    table : str, the table's name, for the message
    """
    if one.is_call != (fold_label(one.label) == fold_label(target)):
        raise AnnotationError(
            f"{table}, event {one.event_id}: is_call is {'yes' if one.is_call else 'no'}, but the label is "
            f"{one.label!r}; correct one of the two"
        )
    return one


def _read_row(row: dict[str, str], where: str) -> Verdict:
    if re.fullmatch(_NO_ID, row["event_id"] or "", re.IGNORECASE):
        raise AnnotationError(
            f"{where}: event_id is {row['event_id']!r}, a number that a spreadsheet program made of the id; copy the "
            "id from the table of events, and open this table there with the column event_id as text"
        )
    try:
        start, end, confidence = (float(row[name]) for name in ("start_time", "end_time", "confidence"))
    except (TypeError, ValueError):
        raise AnnotationError(f"{where}: start_time, end_time and confidence must be numbers") from None
    if not (math.isfinite(start) and math.isfinite(end) and start <= end and 0 <= confidence <= 1):
        raise AnnotationError(
            f"{where}: {start:g} to {end:g} s with confidence {confidence:g} is impossible; correct the row"
        )
    kind, answer = (row.get("kind") or "event").strip(), (row["is_call"] or "").strip().casefold()
    if kind not in KINDS or answer not in ("yes", "no"):
        raise AnnotationError(
            f"{where}: kind is {kind!r} and is_call {answer!r}; they must be event or window, yes or no"
        )
    others = {name: (row.get(name) or "").strip() for name in ("reviewer", "model_sha256")}
    return Verdict(
        row["event_id"], row["recording"], start, end, row["label"], answer == "yes", confidence, kind, **others
    )
