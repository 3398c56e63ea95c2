"""Events and annotations → CSV, Raven selection table, Audacity labels.

*Conventions.* Times are seconds from the start of the recording. In tables they are written with every digit that a
float64 needs, so that what is read is what was written; in JSON they are rounded to the microsecond, less than a
sample. Probabilities keep every digit that a float32 needs. What is not a number (NaN) is never written.

An interval to be written is an `Event` or an `Annotation`; what is read (`anemone_lib.tables.reading`) is always an
`Annotation`, and an event's id is then the annotation's, so that a table reviewed elsewhere still says which event is
meant. A label is written as one line: tabs and line ends become spaces.
"""

import csv
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import Annotation, Event
from anemone_lib.detection.formats import register_format
from anemone_lib.detection.results import format_confidence, format_utc

Interval = Event | Annotation


#: Columns of the CSV that `write_csv` writes, before any `extra` ones.
CSV_COLUMNS = (
    "recording",
    "id",
    "class",
    "start_time_s",
    "end_time_s",
    "duration_s",
    "low_hz",
    "high_hz",
    "mean_confidence",
    "max_confidence",
    "num_windows",
    "start_utc",
)


# ---------------------------------------------------------------------- tables


def write_csv(
    path: str | os.PathLike[str],
    intervals: Sequence[Interval],
    *,
    low_hz: float | None = None,
    high_hz: float | None = None,
    start_utc: datetime | None = None,
    recording_name: str = "",
    extra: Mapping[str, object] | None = None,
) -> Path:
    """Write intervals as CSV with the columns `CSV_COLUMNS`.

    Parameters
    ----------
    path : path, its folder made if missing
    intervals : sequence of Event or Annotation
        What an annotation does not have (confidence, say) is left blank.
    low_hz, high_hz : float, in Hz, optional
        Band of intervals that have none of their own.
    start_utc : datetime, optional
        When the recording began; gives every interval its time of day.
    recording_name : str
    extra : mapping, optional
        More columns, each with one value for all rows: the model's version, say.

    Returns
    -------
    path : pathlib.Path
    """
    extra = extra or {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CSV_COLUMNS, *extra])
    for interval in intervals:
        low, high = _band(interval, low_hz, high_hz)
        label, name, mean, maximum, windows = _words(interval)
        begin, end = interval.start_time, interval.end_time
        place = [_digits(x) for x in (begin, end, end - begin, low, high)]
        found = [mean, maximum, windows, format_utc(start_utc, begin)]
        writer.writerow([recording_name, name, label, *place, *found, *extra.values()])
    return _write(path, text.getvalue())


def write_raven(
    path: str | os.PathLike[str],
    intervals: Sequence[Interval],
    *,
    high_hz: float,
    low_hz: float = 0.0,
    start_utc: datetime | None = None,
    recording_name: str = "",
    extra: Mapping[str, object] | None = None,
) -> Path:
    """Write intervals as a selection table that Raven Pro and Raven Lite open.

    The seven columns that Raven itself writes come first, ours after them; Raven shows those as annotations.

    Parameters
    ----------
    path : path, by custom ``….selections.txt``
    intervals : sequence of Event or Annotation
    low_hz, high_hz : float, in Hz
        Band of intervals that have none of their own; Raven draws no selection without one.
    start_utc, recording_name, extra
        As in `write_csv`.

    Returns
    -------
    path : pathlib.Path
    """
    extra = {"Begin File": recording_name, **(extra or {})} if recording_name else dict(extra or {})
    header = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    header += ["Annotation", "Mean Confidence", "Max Confidence", "Windows", "Event ID", "Begin UTC", *extra]
    lines = [header]
    constant = [_one_line(str(value)) for value in extra.values()]
    for number, interval in enumerate(intervals, start=1):
        low, high = _band(interval, low_hz, high_hz)
        label, name, mean, maximum, windows = _words(interval)
        place = [_digits(x) for x in (interval.start_time, interval.end_time, low, high)]
        utc = format_utc(start_utc, interval.start_time)
        lines.append([str(number), "Spectrogram 1", "1", *place, label, mean, maximum, windows, name, utc, *constant])
    return _write(path, "".join("\t".join(line) + "\n" for line in lines))


def write_audacity(
    path: str | os.PathLike[str],
    intervals: Sequence[Interval],
    *,
    low_hz: float | None = None,
    high_hz: float | None = None,
) -> Path:
    r"""Write intervals as labels that Audacity imports.

    Parameters
    ----------
    path : path
    intervals : sequence of Event or Annotation
    low_hz, high_hz : float, in Hz, optional
        Band of intervals that have none of their own. An interval with a band has a second line,
        ``\ <tab> low <tab> high``, in which −1 stands for an end that is not defined.

    Returns
    -------
    path : pathlib.Path
    """
    text = io.StringIO()
    for interval in intervals:
        low, high = _band(interval, low_hz, high_hz)
        text.write(f"{_digits(interval.start_time)}\t{_digits(interval.end_time)}\t{_words(interval)[0]}\n")
        if low is not None or high is not None:
            text.write(f"\\\t{_digits(low) or '-1.0'}\t{_digits(high) or '-1.0'}\n")
    return _write(path, text.getvalue())


def _words(interval: Interval) -> tuple[str, str, str, str, str]:
    """Label, id, mean and max confidence, windows; blank where the interval has none."""
    if isinstance(interval, Annotation):
        return _one_line(interval.label), _one_line(interval.id), "", "", ""
    confidences = format_confidence(interval.mean_confidence), format_confidence(interval.max_confidence)
    return _one_line(interval.class_name), interval.id, *confidences, str(interval.num_windows)


def _band(interval: Interval, low_hz: float | None, high_hz: float | None) -> tuple[float | None, float | None]:
    if isinstance(interval, Annotation):
        low_hz = low_hz if interval.low_hz is None else interval.low_hz
        if interval.high_hz is not None:
            high_hz = interval.high_hz
            low_hz = low_hz if low_hz is None else min(low_hz, high_hz)
        elif low_hz is not None and high_hz is not None:
            high_hz = max(low_hz, high_hz)
    return low_hz, high_hz


def _digits(value: float | None) -> str:
    """Every digit that the float64 needs, without an exponent."""
    if value is None:
        return ""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a time or a frequency; only finite numbers are written")
    return np.format_float_positional(np.float64(value), trim="0")


def _one_line(text: str) -> str:
    return re.sub(r"[\t\r\n\0]+", " ", text).strip()


def _write(path: str | os.PathLike[str], text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


# ---------------------------------------------------------------------- what `Detections.save` writes


def save_csv(detections: Detections, stem: Path) -> Path:
    """Write the events of detections as ``<stem>.events.csv``."""
    return write_csv(f"{stem}.events.csv", detections.events, **detections.band, **_origin(detections))


def save_raven(detections: Detections, stem: Path) -> Path:
    """Write the events of detections as ``<stem>.selections.txt``."""
    return write_raven(f"{stem}.selections.txt", detections.events, **detections.band, **_origin(detections))


def save_audacity(detections: Detections, stem: Path) -> Path:
    """Write the events of detections as ``<stem>.audacity.txt``."""
    return write_audacity(f"{stem}.audacity.txt", detections.events, **detections.band)


def _origin(detections: Detections) -> dict[str, Any]:
    """Where the events come from, for every row of a table."""
    scores = detections.scores
    return {
        "start_utc": scores.start_time,
        "recording_name": scores.recording_name,
        "extra": {"Model Version": scores.model_version, "Config Fingerprint": detections.config.fingerprint},
    }


register_format("csv", save_csv)
register_format("raven", save_raven)
register_format("audacity", save_audacity)
