"""Detections and annotations ↔ JSON, CSV, Raven selection table, Audacity labels.

*Conventions.* Times are seconds from the start of the recording. In tables they are written with every digit that a
float64 needs, so that what is read is what was written; in JSON they are rounded to the microsecond, less than a
sample. Probabilities keep every digit that a float32 needs. What is not a number (NaN) is never written.

An interval to be written is an `Event` or an `Annotation`; what is read (`anemone_lib.annotations`) is always an
`Annotation`, and an event's id is then the annotation's, so that a table reviewed elsewhere still says which event is
meant. A label is written as one line: tabs and line ends become spaces.
"""

import csv
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.annotations import read_annotations
from anemone_lib.events import Annotation, Event
from anemone_lib.score_files import whole_file
from anemone_lib.scores import Scores

__all__ = [
    "read_annotations",
    "result_dict",
    "to_json",
    "write_audacity",
    "write_csv",
    "write_json",
    "write_raven",
]

Interval = Event | Annotation

#: Predictions made at once.
BLOCK_WINDOWS = 4096

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


# ---------------------------------------------------------------------- JSON


def result_dict(
    scores: Scores, events: Sequence[Event], metadata: Mapping[str, Any], *, lazy: bool = False
) -> dict[str, Any]:
    """Put a result together: ``predictions``, ``events``, ``metadata``.

    A window that was skipped has no prediction; ``metadata["coverage"]["skipped"]`` says where and why.

    Parameters
    ----------
    scores : Scores
    events : sequence of Event
    metadata : mapping
        Taken over as it is.
    lazy : bool
        Give the predictions as an iterator, to be written once and never held: those of a day take 200 MB.

    Returns
    -------
    result : dict of what JSON knows
    """
    return {
        "predictions": _predictions(scores) if lazy else list(_predictions(scores)),
        "events": [_event_dict(event, scores.start_time) for event in events],
        "metadata": dict(metadata),
    }


def _predictions(scores: Scores) -> Iterator[dict[str, Any]]:
    classes, starts, ends = scores.classes, np.round(scores.start_times, 6), np.round(scores.end_times, 6)
    scored = np.flatnonzero(np.isfinite(scores.probabilities).all(axis=1))
    for first in range(0, len(scored), BLOCK_WINDOWS):
        block = scored[first : first + BLOCK_WINDOWS]
        probabilities = _shortest(scores.probabilities[block])
        rows = zip(
            starts[block].tolist(),
            ends[block].tolist(),
            probabilities.argmax(axis=1).tolist(),
            probabilities.tolist(),
            strict=True,
        )
        for start, end, best, row in rows:
            yield {
                "timestamp": f"{start}-{end}s",
                "start_time": start,
                "end_time": end,
                "class": classes[best],
                "confidence": row[best],
                "probabilities": dict(zip(classes, row, strict=True)),
            }


def to_json(result: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Spell a result as JSON.

    Parameters
    ----------
    result : dict, from `result_dict`
    indent : int, optional
        Spaces to indent by. Predictions and events stay one a line: a day has 216,000 of them.

    Raises
    ------
    ValueError
        A number is NaN or infinite, which JSON does not know.
    """
    return "".join(_spelled(result, indent))


def write_json(path: str | os.PathLike[str], result: Mapping[str, Any], *, indent: int | None = 2) -> Path:
    """Write a result as JSON, piece by piece, and whole or not at all; see `to_json`."""
    path = Path(path)
    with whole_file(path) as file:
        file.writelines(piece.encode() for piece in _spelled(result, indent))
        file.write(b"\n")
    return path


def _spelled(result: Mapping[str, Any], indent: int | None) -> Iterator[str]:
    """The text of a result, piece by piece."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    comma, line, inner = (", ", "", "") if indent is None else (",", "\n" + indent * " ", "\n" + 2 * indent * " ")
    yield "{"
    for number, (name, value) in enumerate(result.items()):
        yield f"{comma if number else ''}{line}{encode(name)}: "
        if isinstance(value, list | Iterator):
            opened = False
            for item in value:
                yield f"{comma if opened else '['}{inner}{encode(item)}"
                opened = True
            yield f"{line}]" if opened else "[]"
        else:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
            yield text.replace("\n", line)
    yield "}" if indent is None else "\n}"


def _event_dict(event: Event, start_utc: datetime | None) -> dict[str, Any]:
    content = {
        "id": event.id,
        "class": event.class_name,
        "start_time": round(event.start_time, 6),
        "end_time": round(event.end_time, 6),
        "duration": round(event.duration, 6),
        "mean_confidence": float(_confidence(event.mean_confidence)),
        "max_confidence": float(_confidence(event.max_confidence)),
        "num_windows": event.num_windows,
    }
    if start_utc is not None:
        content["start_utc"] = _utc(start_utc, event.start_time)
    return content


def _shortest(values: np.ndarray) -> np.ndarray:
    """The float64 with the fewest digits (7 to 9) that are still the same float32: 0.92, not 0.9200000166893005."""
    exact = values.astype(np.float64)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log10(np.abs(exact)))
    exponent[~np.isfinite(exponent)] = 0
    shortest = exact.copy()
    for digits in (9, 8, 7):
        scale = 10.0 ** (digits - 1 - exponent)
        rounded = np.round(exact * scale) / scale
        same = rounded.astype(np.float32) == values
        shortest[same] = rounded[same]
    return shortest


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
        found = [mean, maximum, windows, _utc(start_utc, begin)]
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
        utc = _utc(start_utc, interval.start_time)
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
    confidences = _confidence(interval.mean_confidence), _confidence(interval.max_confidence)
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


def _confidence(value: float) -> str:
    return f"{value:.7g}"


def _one_line(text: str) -> str:
    return re.sub(r"[\t\r\n\0]+", " ", text).strip()


def _utc(start_utc: datetime | None, seconds: float) -> str:
    if start_utc is None:
        return ""
    when = (start_utc + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    return when.replace("+00:00", "Z")


def _write(path: str | os.PathLike[str], text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
