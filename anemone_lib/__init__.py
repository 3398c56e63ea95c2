"""Anemone: find anemonefish calls in hydrophone recordings.

>>> from anemone_lib import detect
>>> detections = detect("reef.wav")  # doctest: +SKIP
"""

__version__ = "0.1.0"

from anemone_lib.audio import Gap, Recording, open_recording
from anemone_lib.classifier import Classifier, ModelCard, load_classifier
from anemone_lib.config import InferenceConfig
from anemone_lib.detect import Detections, code_sha256, default_config, detect
from anemone_lib.errors import (
    AnemoneError,
    AnnotationError,
    AudioError,
    ConfigError,
    ModelError,
    ScoresError,
)
from anemone_lib.events import Annotation, Event, find_events, smooth
from anemone_lib.formats import read_annotations
from anemone_lib.scores import Chunk, Scores, events_of, merge, plan, score_chunk, score_recording
from anemone_lib.spectrogram import spectrogram_images
from anemone_lib.windows import WindowGrid, cut_windows, window_grid

__all__ = [
    "AnemoneError",
    "Annotation",
    "AnnotationError",
    "AudioError",
    "Chunk",
    "Classifier",
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
    "WindowGrid",
    "__version__",
    "code_sha256",
    "cut_windows",
    "default_config",
    "detect",
    "events_of",
    "find_events",
    "load_classifier",
    "merge",
    "open_recording",
    "plan",
    "read_annotations",
    "score_chunk",
    "score_recording",
    "smooth",
    "spectrogram_images",
    "window_grid",
]
