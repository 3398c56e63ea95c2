"""The result of a detection as JSON: what ``/predict`` answers and what ``Detections.save`` writes as ``json``.

*Conventions.* Times are rounded to the microsecond, less than a sample. Probabilities keep every digit that a float32
needs. What is not a number (NaN) is never written.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.audio.gaps import Pause, add_pauses
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.calls import Call
from anemone_lib.detection.events import Event
from anemone_lib.files import write_atomically
from anemone_lib.provenance import describe_provenance
from anemone_lib.scoring.scores import Scores

#: Predictions made at once.
BLOCK_WINDOWS = 4096


def describe_result(
    scores: Scores, events: list[Event], config: InferenceConfig, *, processing_time: float
) -> dict[str, Any]:
    """Return the ``metadata`` of a result: how much was analysed, and what made the result."""
    return {
        "audio_duration": scores.duration,
        "processing_time": processing_time,
        "model_version": scores.model_version,
        "total_windows": scores.n_windows,
        "total_events": len(events),
        "sample_rate": scores.sample_rate,
        "coverage": {
            "analysed_s": scores.analysed_duration,
            "skipped": [
                {"start_time": gap.start_time, "end_time": gap.end_time, "reason": gap.reason} for gap in scores.skipped
            ],
            **({"pauses": [asdict(pause) for pause in scores.pauses]} if scores.pauses else {}),
        },
        "warnings": list(scores.warnings),
        "provenance": describe_provenance(
            model_sha256=scores.model_sha256,
            config_fingerprint=config.fingerprint,
            recording_sha256=scores.recording_sha256,
            recording_name=scores.recording_name,
            channel=scores.channel,
        ),
    }


def build_result(
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
        "predictions": _list_predictions(scores) if lazy else list(_list_predictions(scores)),
        "events": [_describe_event(event, scores.start_time, scores.pauses) for event in events],
        "metadata": dict(metadata),
    }


def _list_predictions(scores: Scores) -> Iterator[dict[str, Any]]:
    classes, starts, ends = scores.classes, np.round(scores.start_times, 6), np.round(scores.end_times, 6)
    scored = np.flatnonzero(np.isfinite(scores.probabilities).all(axis=1))
    for first in range(0, len(scored), BLOCK_WINDOWS):
        block = scored[first : first + BLOCK_WINDOWS]
        probabilities = _shorten(scores.probabilities[block])
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
    """Write a result as JSON text.

    Parameters
    ----------
    result : dict, from `build_result`
    indent : int, optional
        Spaces to indent by. Predictions and events stay one a line: a day has 216,000 of them.

    Raises
    ------
    ValueError
        A number is NaN or infinite, which JSON does not know.
    """
    return "".join(_encode(result, indent))


def write_json(path: str | os.PathLike[str], result: Mapping[str, Any], *, indent: int | None = 2) -> Path:
    """Write a result as JSON, piece by piece, and whole or not at all; see `to_json`."""
    path = Path(path)
    with write_atomically(path) as file:
        file.writelines(piece.encode("utf-8", "backslashreplace") for piece in _encode(result, indent))
        file.write(b"\n")
    return path


def _encode(result: Mapping[str, Any], indent: int | None) -> Iterator[str]:
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


def _describe_event(event: Event, start_utc: datetime | None, pauses: Sequence[Pause]) -> dict[str, Any]:
    content = {
        "id": event.id,
        "class": event.class_name,
        "start_time": round(event.start_time, 6),
        "end_time": round(event.end_time, 6),
        "duration": round(event.duration, 6),
        "mean_confidence": float(format_confidence(event.mean_confidence)),
        "max_confidence": float(format_confidence(event.max_confidence)),
        "num_windows": event.num_windows,
    }
    if start_utc is not None:
        content["start_utc"] = format_utc(start_utc, event.start_time, pauses)
    if event.calls is not None:
        content["calls"] = [describe_call(call) for call in event.calls]
    return content


def describe_call(call: Call) -> dict[str, Any]:
    """Return a call as a result holds it: times to a tenth of a millisecond, levels to a tenth of a dB.

    >>> call = Call(1.2, 1.31, 420.0, 610.0, 505.0, (1.2, 1.241, 1.283), 0.0415, 0.018, 14.23, -38.51)
    >>> describe_call(call)["n_pulses"], describe_call(call)["snr_db"]
    (3, 14.2)
    """
    return {
        "start_time": round(call.start_time, 4),
        "end_time": round(call.end_time, 4),
        "low_hz": round(call.low_hz, 1),
        "high_hz": round(call.high_hz, 1),
        "peak_hz": round(call.peak_hz, 1),
        "n_pulses": call.n_pulses,
        "pulse_times": [round(time, 4) for time in call.pulse_times],
        "pulse_period_s": None if call.pulse_period_s is None else round(call.pulse_period_s, 4),
        "pulse_duration_s": round(call.pulse_duration_s, 4),
        "snr_db": round(call.snr_db, 1),
        "level_db": round(call.level_db, 1),
    }


def _shorten(values: np.ndarray) -> np.ndarray:
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


def format_utc(began: datetime | None, seconds: float, pauses: Sequence[Pause] = ()) -> str:
    """Format the time of day, in UTC, `seconds` after a recording began; blank where its start is not known.

    >>> format_utc(datetime(2023, 2, 10, 0, 0, 1, tzinfo=UTC), 45.2)
    '2023-02-10T00:00:46.200Z'
    """
    return format_local(began.astimezone(UTC) if began else None, seconds, pauses).replace("+00:00", "Z")


def format_local(began: datetime | None, seconds: float, pauses: Sequence[Pause] = ()) -> str:
    """Spell the time of day by the recorder's own clock, with its offset from UTC.

    >>> from datetime import timezone
    >>> format_local(datetime(2023, 2, 10, 9, 0, 1, tzinfo=timezone(timedelta(hours=9))), 45.2)
    '2023-02-10T09:00:46.200+09:00'
    """
    if began is None:
        return ""
    return (began + timedelta(seconds=add_pauses(seconds, pauses))).isoformat(timespec="milliseconds")


def format_confidence(value: float) -> str:
    return f"{value:.7g}"
