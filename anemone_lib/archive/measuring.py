"""Calls inside the events of a recording: how many there are, and their medians.

*Conventions.* The figures depend only on the recording and on the settings of the events: levels are kept in dB re
full scale, and a calibration is added when the tables are written. A value that could not be measured is null, with a
reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.calls import add_calls, choose_band
from anemone_lib.detection.events import Event, decide_events
from anemone_lib.errors import AudioError
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Scores

#: Columns of the table of events that tell of calls.
COLUMNS = ("calls", "peak_hz", "level_db", "snr_db")


@dataclass(frozen=True)
class Measured:
    """The measured calls of a recording, or the reason why there are none.

    Attributes
    ----------
    events : mapping of an event's id to its figures, or None: nothing is known, and it is tried again
        Figures are a mapping with `COLUMNS`, the level in dB re full scale; None of an event that cannot be measured.
    reason : str, why something is not known
    """

    events: Mapping[str, Mapping[str, Any] | None] | None = field(default_factory=dict)
    reason: str = ""


def decide_all_events(scores: Scores, configs: Sequence[InferenceConfig]) -> tuple[Event, ...]:
    """Decide the events of all classes on the scores of a recording; return them by start.

    Parameters
    ----------
    scores : Scores
    configs : sequence of InferenceConfig, one a class

    Returns
    -------
    events : tuple of Event
    """
    events = [event for config in configs for event in decide_events(scores, config)]
    return tuple(sorted(events, key=lambda event: (event.start_time, event.end_time, event.class_name)))


def measure_events(
    recording: Recording, events: Sequence[Event], classifier: Classifier, config: InferenceConfig
) -> Measured:
    """Measure the calls inside the events of a recording.

    Parameters
    ----------
    recording : Recording
    events : sequence of Event
    classifier : Classifier, whose card has the band of each class
    config : InferenceConfig, which says how high the model hears

    Returns
    -------
    measured : Measured, with every event

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib import detect, load_classifier, open_recording
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> found = detect(path, calls=False)
    >>> with open_recording(path) as recording:
    ...     measured = measure_events(recording, found.events, load_classifier(), found.config)
    >>> [figures["calls"] for figures in measured.events.values()], measured.reason
    ([3], '')
    """
    bands = classifier.card.bands_hz if classifier.card else {}
    rate = recording.sample_rate
    figures: dict[str, Mapping[str, Any] | None] = {event.id: None for event in events}
    reasons: dict[str, None] = {}
    for name in dict.fromkeys(event.class_name for event in events):
        band = choose_band(name, bands, fmax_hz=min(config.fmax_hz, rate / 2))
        for event in _add_readable_calls(recording, [one for one in events if one.class_name == name], band, reasons):
            if event.calls is None:
                reason = f"calls were not measured: {rate} Hz cannot hold their band, {band[0]:g} to {band[1]:g} Hz"
                reasons[reason] = None
            else:
                medians = {key: median([getattr(call, key) for call in event.calls] or [None]) for key in COLUMNS[1:]}
                figures[event.id] = {"calls": len(event.calls), **medians}
    return Measured(figures, "; ".join(reasons))


def _add_readable_calls(
    recording: Recording, events: Sequence[Event], band_hz: tuple[float, float], reasons: dict[str, None]
) -> list[Event]:
    """Measure the calls of all events that can be read, and add to the reasons why the others cannot be read.

    If events cannot be read together, each half of them is tried: so the others are still measured in batches.
    """
    try:
        return add_calls(recording, events, band_hz=band_hz)
    except AudioError as error:
        if len(events) == 1:
            reasons[f"calls of some events were not measured: {error}"] = None
            return []
    middle = len(events) // 2
    halves = (events[:middle], events[middle:])
    return [event for half in halves for event in _add_readable_calls(recording, half, band_hz, reasons)]


def describe_calls(figures: Mapping[str, Any] | None, calibration_db: float | None) -> dict[str, Any]:
    """Return the columns of the table of events that describe the calls of one event.

    Parameters
    ----------
    figures : mapping, from `Measured.events`, or None where they are not known
    calibration_db : float or None, level of full scale in dB re 1 µPa

    Returns
    -------
    row : dict, with `COLUMNS`

    Examples
    --------
    >>> describe_calls({"calls": 2, "peak_hz": 480.1, "level_db": -50.1234, "snr_db": 9.0}, 174.2)
    {'calls': 2, 'peak_hz': 480.1, 'level_db': 124.077, 'snr_db': 9.0}
    """
    if figures is None:
        return dict.fromkeys(COLUMNS)
    level = figures["level_db"]
    row = {**figures, "level_db": None if level is None else level + (calibration_db or 0.0)}
    return {name: value if value is None or name == "calls" else round(value, 3) for name, value in row.items()}
