"""Scores → events: the one place where the stages meet.

`detect` is where to start: it opens, scores and decides, and gives `Detections`. `events` decides from probabilities,
`results` is the JSON, `formats` the registry of what `Detections.save` writes. Imports scoring and what lies below it.
"""

from anemone_lib.detection.detections import Detections, detect
from anemone_lib.detection.events import Annotation, Event, decide_events, find_events, smooth
from anemone_lib.detection.formats import FORMATS, register_format

__all__ = [
    "FORMATS",
    "Annotation",
    "Detections",
    "Event",
    "decide_events",
    "detect",
    "find_events",
    "register_format",
    "smooth",
]
