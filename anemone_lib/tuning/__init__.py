"""The best event settings for annotated recordings.

`tune` is where to start. `recordings` pairs recordings with their annotations and scores them, `sweep` tries every
setting, `search` chooses the best and compares it on recordings that were set aside, `report` writes the result. With a
dataset, `decisions` chooses the settings of every class by the same `sweep`, on one part of the split (`by_class`), and
`by_group` the thresholds of every group; `doubts` says why settings should not be used. Imports tables, evaluation and
what lies below them.

`search` and `decisions` are two searches, because they answer two questions. `tune` looks for the best settings of one
class among 10,000 and needs recordings that it sets aside for the test. `tune_classes` has a small validation part for
each class and its own test part: it tries few values, so that none fits by chance, and judges the gain by leaving out
each group in turn. Notebook 2 does the first, also for a dataset; ``anemone tune --dataset`` does the second.
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
