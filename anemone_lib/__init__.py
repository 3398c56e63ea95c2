"""Anemone: find anemonefish calls in hydrophone recordings.

>>> from anemone_lib import detect
>>> detections = detect("reef.wav")  # doctest: +SKIP

The names here are the public face; everything else is imported from its package, as
``from anemone_lib.evaluation import count_events``.
"""

import anemone_lib.plots
import anemone_lib.tables  # noqa: F401 both register what `Detections.save` writes
from anemone_lib.audio import Gap, Recording, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection import Annotation, Detections, Event, detect, find_events
from anemone_lib.errors import (
    AnemoneError,
    AnnotationError,
    AudioError,
    ConfigError,
    ModelError,
    ScoresError,
)
from anemone_lib.provenance import __version__, code_sha256
from anemone_lib.scoring import ModelCard, Scores, load_classifier, score_recording
from anemone_lib.tables import read_annotations

__all__ = [
    "AnemoneError",
    "Annotation",
    "AnnotationError",
    "AudioError",
    "ConfigError",
    "Detections",
    "Event",
    "Gap",
    "InferenceConfig",
    "ModelCard",
    "ModelError",
    "Recording",
    "Scores",
    "ScoresError",
    "__version__",
    "code_sha256",
    "detect",
    "find_events",
    "load_classifier",
    "open_recording",
    "read_annotations",
    "score_recording",
]
