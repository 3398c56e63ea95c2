"""Scores → events: the one place where the stages meet.

`detect` is where to start: it opens, scores, decides and measures, and gives `Detections`. `events` decides from
probabilities, `calls` measures what is inside events, `results` is the JSON, `formats` the registry of what
`Detections.save` writes. Imports scoring and what lies below it.
"""

from anemone_lib.detection.calls import Call, estimate_length, measure_calls
from anemone_lib.detection.detections import Detections, decide_detections, detect
from anemone_lib.detection.events import Annotation, Event, decide_events, find_events, smooth
from anemone_lib.detection.formats import FORMATS, register_format

__all__ = [
    "FORMATS",
    "Annotation",
    "Call",
    "Detections",
    "Event",
    "decide_detections",
    "decide_events",
    "detect",
    "estimate_length",
    "find_events",
    "measure_calls",
    "register_format",
    "smooth",
]
