"""Events and annotations → CSV, Raven selection table, Audacity labels.

*Conventions.* Times are seconds from the start of the recording, rounded to the microsecond, which is less than a
sample. Digits that come only from binary fractions are left out: 1.8, not 1.8000000000000007. NaN is never written. The
time of day is written twice: in UTC, and by the recorder's own clock, with its offset.

The functions write an `Event` or an `Annotation`. `anemone_lib.tables.reading` always reads an `Annotation`; the id of
an event becomes the id of the annotation, so that a table that was reviewed in another program still names the event. A
label is written as one line: tabs and line ends become spaces.
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

from anemone_lib.audio.gaps import Pause
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.events import Annotation, Event
from anemone_lib.detection.formats import register_format
from anemone_lib.detection.marks import DETECTED_BY, DETECTED_LABEL, DETECTOR, sign_table
from anemone_lib.detection.results import format_confidence, format_local, format_utc
from anemone_lib.files import write_text

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
    "start_local",
    "n_calls",
    "n_pulses",
    "peak_hz",
    "pulse_period_s",
)


# ---------------------------------------------------------------------- tables


def write_csv(
    path: str | os.PathLike[str],
    intervals: Sequence[Interval],
    *,
    low_hz: float | None = None,
    high_hz: float | None = None,
    start_utc: datetime | None = None,
    pauses: Sequence[Pause] = (),
    recording_name: str = "",
    extra: Mapping[str, object] | None = None,
    detected_by: str = "",
) -> Path:
    """Write intervals as CSV with the columns `CSV_COLUMNS`.

    Parameters
    ----------
    path : path, its folder made if missing
    intervals : sequence of Event or Annotation
        Values that an annotation does not have, like the confidence, are left blank. An event whose calls were measured
        has the number of calls and of pulses, and the medians of dominant frequency and pulse period.
    low_hz, high_hz : float, in Hz, optional
        Band of intervals that have none of their own.
    start_utc : datetime, optional
        The start of the recording, which gives every interval its time of day, in UTC and by the clock's own offset.
    pauses : sequence of Pause
        Times that were not recorded, which the time of day counts.
    recording_name : str
    extra : mapping, optional
        More columns, each with one value for all rows, like the version of the model.
    detected_by : str, optional
        The program that found the intervals, if no person drew them. The table then has a column that says so
        (`anemone_lib.detection.marks`), and it is never read as the truth.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> annotations = [Annotation(1.5, 2.25, "anemonefish", low_hz=300.0, high_hz=900.0)]
    >>> path = write_csv(Path(mkdtemp(), "reef.csv"), annotations, recording_name="reef.wav")
    >>> path.read_text().splitlines()[1][:46]
    'reef.wav,,anemonefish,1.5,2.25,0.75,300.0,900.'
    """
    extra = {**(extra or {}), **({DETECTED_BY: detected_by} if detected_by else {})}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CSV_COLUMNS, *extra])
    for interval in intervals:
        low, high = _choose_band(interval, low_hz, high_hz)
        label, name, mean, maximum, windows = _describe_interval(interval)
        begin, end = interval.start_time, interval.end_time
        place = [_format_number(x) for x in (begin, end, end - begin, low, high)]
        found = [mean, maximum, windows, format_utc(start_utc, begin, pauses), format_local(start_utc, begin, pauses)]
        writer.writerow([recording_name, name, label, *place, *found, *_sum_up(interval), *extra.values()])
    return write_text(path, sign_table(text.getvalue(), detected_by))


def write_raven(
    path: str | os.PathLike[str],
    intervals: Sequence[Interval],
    *,
    high_hz: float,
    low_hz: float = 0.0,
    start_utc: datetime | None = None,
    pauses: Sequence[Pause] = (),
    recording_name: str = "",
    extra: Mapping[str, object] | None = None,
    detected_by: str = "",
) -> Path:
    """Write intervals as a selection table that Raven Pro and Raven Lite open.

    The seven columns that Raven itself writes come first, ours after them; Raven shows those as annotations.

    Parameters
    ----------
    path : path, by custom ``….selections.txt``
    intervals : sequence of Event or Annotation
    low_hz, high_hz : float, in Hz
        Band of intervals that have none of their own; Raven draws no selection without one.
    start_utc, pauses, recording_name, extra, detected_by
        As in `write_csv`.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp(), "reef.selections.txt")
    >>> path = write_raven(path, [Annotation(1.5, 2.25, "anemonefish")], high_hz=2000.0)
    >>> path.read_text().splitlines()[1].split()[:9]
    ['1', 'Spectrogram', '1', '1', '1.5', '2.25', '0.0', '2000.0', 'anemonefish']
    """
    extra = {"Begin File": recording_name, **(extra or {})} if recording_name else dict(extra or {})
    extra |= {DETECTED_BY: detected_by} if detected_by else {}
    header = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    header += ["Annotation", "Mean Confidence", "Max Confidence", "Windows", "Event ID", "Begin UTC", "Begin Local"]
    header += extra
    lines = [header]
    constant = [_join_lines(str(value)) for value in extra.values()]
    for number, interval in enumerate(intervals, start=1):
        low, high = _choose_band(interval, low_hz, high_hz)
        label, name, mean, maximum, windows = _describe_interval(interval)
        place = [_format_number(x) for x in (interval.start_time, interval.end_time, low, high)]
        clock = [spell(start_utc, interval.start_time, pauses) for spell in (format_utc, format_local)]
        found = [label, mean, maximum, windows, name, *clock]
        lines.append([str(number), "Spectrogram 1", "1", *place, *found, *constant])
    return write_text(path, sign_table("".join("\t".join(line) + "\n" for line in lines), _join_lines(detected_by)))


def write_audacity(
    path: str | os.PathLike[str],
    intervals: Sequence[Interval],
    *,
    low_hz: float | None = None,
    high_hz: float | None = None,
    detected_by: str = "",
) -> Path:
    r"""Write intervals as labels that Audacity imports.

    Parameters
    ----------
    path : path
    intervals : sequence of Event or Annotation
    low_hz, high_hz : float, in Hz, optional
        Band of intervals that have none of their own. An interval with a band has a second line,
        ``\ <tab> low <tab> high``, in which −1 stands for an end that is not defined.
    detected_by : str, optional
        The program that found the intervals, if no person drew them; a first label says so.

    Returns
    -------
    path : pathlib.Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = write_audacity(Path(mkdtemp(), "reef.txt"), [Annotation(1.5, 2.25, "anemonefish")])
    >>> path.read_text()
    '1.5\t2.25\tanemonefish\n'
    """
    text = io.StringIO()
    if detected_by:
        text.write(f"0.0\t0.0\t{DETECTED_LABEL} {_join_lines(detected_by)}\n")
    for interval in intervals:
        low, high = _choose_band(interval, low_hz, high_hz)
        text.write(
            f"{_format_number(interval.start_time)}\t{_format_number(interval.end_time)}\t{_describe_interval(interval)[0]}\n"
        )
        if low is not None or high is not None:
            text.write(f"\\\t{_format_number(low) or '-1.0'}\t{_format_number(high) or '-1.0'}\n")
    return write_text(path, sign_table(text.getvalue(), _join_lines(detected_by)))


def _describe_interval(interval: Interval) -> tuple[str, str, str, str, str]:
    """Return label, id, mean and highest confidence, and number of windows; blank if the interval has none."""
    if isinstance(interval, Annotation):
        return _join_lines(interval.label), _join_lines(interval.id), "", "", ""
    confidences = format_confidence(interval.mean_confidence), format_confidence(interval.max_confidence)
    return _join_lines(interval.class_name), interval.id, *confidences, str(interval.num_windows)


def _sum_up(interval: Interval) -> list[str]:
    """Return the number of calls in an event, of their pulses, and medians of dominant frequency and pulse period."""
    calls = interval.calls if isinstance(interval, Event) else None
    if calls is None:
        return ["", "", "", ""]
    periods = [call.pulse_period_s for call in calls if call.pulse_period_s is not None]
    return [
        str(len(calls)),
        str(sum(call.n_pulses for call in calls)),
        f"{np.median([call.peak_hz for call in calls]):.1f}" if calls else "",
        f"{np.median(periods):.4f}" if periods else "",
    ]


def _choose_band(interval: Interval, low_hz: float | None, high_hz: float | None) -> tuple[float | None, float | None]:
    if isinstance(interval, Annotation):
        low_hz = low_hz if interval.low_hz is None else interval.low_hz
        if interval.high_hz is not None:
            high_hz = interval.high_hz
            low_hz = low_hz if low_hz is None else min(low_hz, high_hz)
        elif low_hz is not None and high_hz is not None:
            high_hz = max(low_hz, high_hz)
    return low_hz, high_hz


def _format_number(value: float | None) -> str:
    """Write a time or a frequency to the millionth, without an exponent and with at most one zero at the end."""
    if value is None:
        return ""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a time or a frequency; only finite numbers are written")
    return np.format_float_positional(np.float64(value), precision=6, unique=True, trim="0")


def _join_lines(text: str) -> str:
    return re.sub(r"[\t\r\n\0]+", " ", text).strip()


# ---------------------------------------------------------------------- what `Detections.save` writes


def save_csv(detections: Detections, path: Path) -> Path:
    """Write the events of detections as CSV."""
    return write_csv(path, detections.events, **detections.band, **_describe_origin(detections))


def save_raven(detections: Detections, path: Path) -> Path:
    """Write the events of detections as a Raven selection table."""
    return write_raven(path, detections.events, **detections.band, **_describe_origin(detections))


def save_audacity(detections: Detections, path: Path) -> Path:
    """Write the events of detections as labels for Audacity."""
    return write_audacity(path, detections.events, **detections.band, detected_by=DETECTOR)


def _describe_origin(detections: Detections) -> dict[str, Any]:
    """Return the columns that say where the events come from, for every row of a table."""
    scores = detections.scores
    return {
        "start_utc": scores.start_time,
        "pauses": scores.pauses,
        "recording_name": scores.recording_name,
        "extra": {"Model Version": scores.model_version, "Config Fingerprint": detections.config.fingerprint},
        "detected_by": DETECTOR,
    }


register_format("csv", save_csv, suffix=".events.csv")
register_format("raven", save_raven, suffix=".selections.txt")
register_format("audacity", save_audacity, suffix=".audacity.txt")
