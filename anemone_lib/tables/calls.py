"""The calls inside events → CSV and Raven selection table, each linked to its event by the event's id.

*Conventions.* Those of `anemone_lib.tables.writing`. A call's box in Raven is that of the call itself, in time and
frequency; the tables of events have the whole height of the picture that the model sees.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from anemone_lib.audio.gaps import Pause
from anemone_lib.detection.calls import Call
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import Event
from anemone_lib.detection.formats import register_format
from anemone_lib.detection.marks import DETECTED_BY, DETECTOR, sign_table
from anemone_lib.detection.results import describe_call, format_local, format_utc
from anemone_lib.files import write_text

#: Columns of the CSV that `write_calls` writes.
CALL_COLUMNS = (
    *("recording", "event_id", "call", "class", "start_time_s", "end_time_s", "duration_s", "low_hz", "high_hz"),
    *("peak_hz", "n_pulses", "pulse_period_s", "pulse_duration_s", "snr_db", "level_db", "start_utc", "start_local"),
)
#: Columns of the selection table in addition to Raven's own: heading → key of the call.
_MEASURES = {
    "Peak Freq (Hz)": "peak_hz",
    "Pulses": "n_pulses",
    "Pulse Period (s)": "pulse_period_s",
    "Pulse Duration (s)": "pulse_duration_s",
    "SNR (dB)": "snr_db",
    "Level (dB)": "level_db",
}


def write_calls(
    path: str | os.PathLike[str],
    events: Sequence[Event],
    *,
    start_utc: datetime | None = None,
    pauses: Sequence[Pause] = (),
    recording_name: str = "",
    detected_by: str = "",
) -> Path:
    """Write the calls inside events as CSV with the columns `CALL_COLUMNS`, one row a call.

    Parameters
    ----------
    path : path, its folder made if missing
    events : sequence of Event
        Those whose calls were not measured have no row.
    start_utc, pauses, recording_name, detected_by
        As in `anemone_lib.tables.writing.write_csv`.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> call = Call(1.2, 1.31, 420.0, 610.0, 505.0, (1.2, 1.241, 1.283), 0.0415, 0.018, 14.2, -38.5)
    >>> event = Event("0c7f1a2b3d4e", "anemonefish", 1.2, 4.2, 0.87, 0.94, 5, calls=(call,))
    >>> path = write_calls(Path(mkdtemp(), "reef.calls.csv"), [event], recording_name="reef.wav")
    >>> path.read_text().splitlines()[1]
    'reef.wav,0c7f1a2b3d4e,1,anemonefish,1.2,1.31,0.11,420.0,610.0,505.0,3,0.0415,0.018,14.2,-38.5,,'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CALL_COLUMNS, *([DETECTED_BY] if detected_by else [])])
    for event, number, call in _list_calls(events):
        shown = describe_call(call)
        row = [recording_name, event.id, number, event.class_name, shown["start_time"], shown["end_time"]]
        row += [round(call.duration, 4), shown["low_hz"], shown["high_hz"], shown["peak_hz"], shown["n_pulses"]]
        row += ["" if shown[name] is None else shown[name] for name in ("pulse_period_s", "pulse_duration_s")]
        row += [shown["snr_db"], shown["level_db"]]
        row += [spell(start_utc, call.start_time, pauses) for spell in (format_utc, format_local)]
        writer.writerow([*row, *([detected_by] if detected_by else [])])
    return write_text(path, sign_table(text.getvalue(), detected_by))


def write_raven_calls(
    path: str | os.PathLike[str],
    events: Sequence[Event],
    *,
    start_utc: datetime | None = None,
    pauses: Sequence[Pause] = (),
    recording_name: str = "",
    detected_by: str = "",
) -> Path:
    """Write the calls inside events as a selection table for Raven: each call has a box of its own.

    Parameters
    ----------
    path : path
    events, start_utc, pauses, recording_name, detected_by
        As in `write_calls`.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> call = Call(1.2, 1.31, 420.0, 610.0, 505.0, (1.2, 1.241, 1.283), 0.0415, 0.018, 14.2, -38.5)
    >>> event = Event("0c7f1a2b3d4e", "anemonefish", 1.2, 4.2, 0.87, 0.94, 5, calls=(call,))
    >>> path = write_raven_calls(Path(mkdtemp(), "reef.calls.selections.txt"), [event])
    >>> path.read_text().splitlines()[1].split()[:10]
    ['1', 'Spectrogram', '1', '1', '1.2', '1.31', '420.0', '610.0', 'anemonefish', '0c7f1a2b3d4e']
    """
    header = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    header += ["Annotation", "Event ID", *_MEASURES, "Begin UTC", "Begin Local"]
    header += (["Begin File"] if recording_name else []) + ([DETECTED_BY] if detected_by else [])
    lines = [header]
    for selection, (event, _, call) in enumerate(_list_calls(events), start=1):
        shown = describe_call(call)
        row = [str(selection), "Spectrogram 1", "1"]
        row += [str(shown[key]) for key in ("start_time", "end_time", "low_hz", "high_hz")]
        row += [event.class_name, event.id]
        row += ["" if shown[key] is None else str(shown[key]) for key in _MEASURES.values()]
        row += [spell(start_utc, call.start_time, pauses) for spell in (format_utc, format_local)]
        lines.append(row + ([recording_name] if recording_name else []) + ([detected_by] if detected_by else []))
    # A name or a class may have a tab or a line end.
    text = "".join("\t".join(" ".join(cell.split()) for cell in line) + "\n" for line in lines)
    return write_text(path, sign_table(text, detected_by))


def _list_calls(events: Sequence[Event]) -> Iterator[tuple[Event, int, Call]]:
    """List every call with its event, and its number in the event, from 1."""
    for event in events:
        for number, call in enumerate(event.calls or (), start=1):
            yield event, number, call


def save_calls(detections: Detections, path: Path) -> Path:
    """Write the calls of detections as CSV."""
    return write_calls(path, detections.events, **_describe_origin(detections))


def save_raven_calls(detections: Detections, path: Path) -> Path:
    """Write the calls of detections as a Raven selection table."""
    return write_raven_calls(path, detections.events, **_describe_origin(detections))


def _describe_origin(detections: Detections) -> dict[str, Any]:
    scores = detections.scores
    origin = {"start_utc": scores.start_time, "pauses": scores.pauses, "recording_name": scores.recording_name}
    return {**origin, "detected_by": DETECTOR}


register_format("calls", save_calls, suffix=".calls.csv")
register_format("raven_calls", save_raven_calls, suffix=".calls.selections.txt")
