"""The best event settings for annotated recordings.

`tune` is where to start. `recordings` pairs recordings with their annotations and scores them, `sweep` tries every
setting, `search` chooses the best and compares it on recordings that were set aside, `report` writes what was found.
Imports tables, evaluation and what lies below them.
"""

from anemone_lib.tuning.recordings import (
    AnnotatedRecording,
    ScoredFolder,
    count_recordings,
    find_annotated_recordings,
    score_annotated_recordings,
    split_recordings,
)
from anemone_lib.tuning.search import Tuning, compare_classifiers, compare_score_settings, tune
from anemone_lib.tuning.sweep import SearchSpace, Sweep, sweep_settings

__all__ = [
    "AnnotatedRecording",
    "ScoredFolder",
    "SearchSpace",
    "Sweep",
    "Tuning",
    "compare_classifiers",
    "compare_score_settings",
    "count_recordings",
    "find_annotated_recordings",
    "score_annotated_recordings",
    "split_recordings",
    "sweep_settings",
    "tune",
]
