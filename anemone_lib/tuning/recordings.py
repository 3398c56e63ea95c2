"""Annotated recordings: find them, score them, split them, count in them."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anemone_lib.audio.recording import AUDIO_SUFFIXES, open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation, decide_events
from anemone_lib.errors import AnnotationError, ConfigError
from anemone_lib.evaluation.intervals import as_intervals, join_intervals
from anemone_lib.evaluation.matching import count_events
from anemone_lib.evaluation.rates import Counts
from anemone_lib.scoring.chunks import score_recording
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Scores
from anemone_lib.tables.reading import read_annotations


@dataclass(frozen=True, eq=False)
class AnnotatedRecording:
    """A recording's scores, and what a person heard in it.

    Attributes
    ----------
    scores : Scores
    annotations : sequence of Annotation, of all labels
    """

    scores: Scores
    annotations: Sequence[Annotation]

    @property
    def name(self) -> str:
        """The recording's name."""
        return self.scores.recording_name

    @property
    def shortest_gap(self) -> float:
        """A window and a stride, in seconds: the shortest silence sure to hold an empty window."""
        grid = self.scores.grid
        return (grid.window_samples + grid.stride_samples) / grid.sample_rate

    @property
    def annotations_sha256(self) -> str:
        """SHA-256 (hex) of what the annotations say, whatever table they were read from."""
        rows = sorted((one.start_time, one.end_time, one.label) for one in self.annotations)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def bouts(self, *, labels: Iterable[str], bout_gap: float | None = None) -> np.ndarray:
        """Annotations of the labels, joined into bouts; those in audio that was skipped are left out.

        Parameters
        ----------
        labels : names that stand for the target class; upper and lower case are the same
        bout_gap : float >= 0, in seconds
            By default a window and a stride.

        Returns
        -------
        bouts : np.ndarray [shape=(n, 2)], in seconds, disjoint
        """
        if bout_gap is None:
            bout_gap = self.shortest_gap
        bouts = join_intervals(as_intervals(self.annotations, labels=labels), max_gap=bout_gap)
        heard = np.ones(len(bouts), bool)
        for gap in self.scores.skipped:
            heard &= (bouts[:, 0] < gap.start_time) | (bouts[:, 1] > gap.end_time)
        return bouts[heard]


#: What a table of annotations may be called behind the recording's name, the first that exists counts.
TABLE_SUFFIXES = (".selections.txt", ".csv", ".tsv", ".txt")


def find_annotated_recordings(
    folder: str | os.PathLike[str], *, annotations: str | os.PathLike[str] | None = None
) -> list[tuple[Path, Path]]:
    """Find recordings and the tables that belong to them, by name: ``reef.wav``, ``reef.Table.1.selections.txt``.

    Parameters
    ----------
    folder : path of a folder with recordings
    annotations : path of a folder with the tables, optional
        By default they lie beside the recordings.

    Returns
    -------
    samples : list of (recording, table), by name

    Raises
    ------
    AnnotationError
        No recording there has a table.
    """
    tables_folder = Path(annotations or folder)
    for path in (Path(folder), tables_folder):
        if not path.is_dir():
            raise AnnotationError(f"{path} is no folder; name one that holds recordings and their tables")
    tables = sorted(path for path in tables_folder.iterdir() if path.name.lower().endswith(TABLE_SUFFIXES))
    samples = []
    for recording in sorted(Path(folder).iterdir()):
        if recording.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        own = [table for table in tables if table.name.startswith(f"{recording.stem}.")]
        if own:
            samples.append((recording, min(own, key=_table_order)))
    if not samples:
        raise AnnotationError(
            f"no recording in {folder} has a table of annotations in {tables_folder}; a table's name starts with the "
            "recording's: reef.wav and reef.Table.1.selections.txt, reef.csv or reef.txt (Audacity labels)"
        )
    return samples


def score_annotated_recordings(
    samples: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    *,
    classifier: Classifier,
    config: InferenceConfig,
    cache: str | os.PathLike[str],
    progress: Callable[[int, int], None] | None = None,
) -> list[AnnotatedRecording]:
    """Score recordings, or find their scores in the cache, and read their annotations.

    Parameters
    ----------
    samples : pairs of (recording, table of annotations)
    classifier : Classifier
    config : InferenceConfig; only the settings that decide the scores are read, and the target class, which is the
        label of annotations that have none
    cache : path of a folder
    progress : callable (done, total), optional
        Called after every recording.

    Returns
    -------
    samples : list of AnnotatedRecording

    Raises
    ------
    AudioError, ModelError, AnnotationError
    """
    pairs = list(samples)
    scored = []
    for done, (source, table) in enumerate(pairs, start=1):
        # The table first: a wrong line is said before an hour of audio is scored.
        annotations = read_annotations(table, label=config.target_class, recording_name=Path(source).name)
        with open_recording(source, target_sr=config.target_sr) as recording:
            scores = score_recording(recording, classifier, config, cache=cache)
        scored.append(AnnotatedRecording(scores, annotations))
        if progress:
            progress(done, len(pairs))
    return scored


def split_recordings(
    samples: Sequence[AnnotatedRecording], *, labels: Iterable[str], holdout: float = 0.3, seed: int = 0
) -> tuple[list[AnnotatedRecording], list[AnnotatedRecording]]:
    """Set recordings aside for the test, some with calls and some without, where there are both.

    Parameters
    ----------
    samples : sequence of AnnotatedRecording, at least two
    labels : names that stand for the target class
    holdout : float in (0, 1), part of the recordings
    seed : int
        With the same recordings, in whatever order, the same seed sets the same ones aside.

    Returns
    -------
    tuning, held_out : lists of AnnotatedRecording, none of them empty
    """
    if not 0 < holdout < 1:
        raise ConfigError(f"holdout is {holdout}; it must be between 0 and 1, like 0.3")
    if len(samples) < 2:
        raise AnnotationError(f"{len(samples)} annotated recording; it takes two to tune on one and test on the other")
    labels = list(labels)
    order = sorted(range(len(samples)), key=lambda k: (samples[k].scores.recording_sha256, samples[k].name))
    shuffled = np.random.default_rng(seed).permutation(order)
    with_calls = [k for k in shuffled if len(samples[k].bouts(labels=labels))]
    without = [k for k in shuffled if k not in with_calls]
    n_out = min(len(samples) - 1, max(1, round(holdout * len(samples))))
    # Recordings with calls in proportion, one at least on either side, and no more than there are.
    n_calls_out = max(round(n_out * len(with_calls) / len(samples)), min(1, len(with_calls) - 1))
    n_calls_out = max(0, n_out - len(without), min(n_calls_out, len(with_calls) - 1, n_out))
    out = {*with_calls[:n_calls_out], *without[: n_out - n_calls_out]}
    # By name, so that what is drawn, reported and resampled does not depend on the order of the recordings either.
    named = sorted(range(len(samples)), key=lambda k: (samples[k].name, samples[k].scores.recording_sha256))
    return [samples[k] for k in named if k not in out], [samples[k] for k in named if k in out]


def count_recordings(
    samples: Iterable[AnnotatedRecording],
    config: InferenceConfig,
    *,
    labels: Iterable[str] | None = None,
    bout_gap: float | None = None,
    **tolerances: float | None,
) -> list[Counts]:
    """Decide the events of every sample and hold them against its annotations.

    Parameters
    ----------
    samples : iterable of AnnotatedRecording
    config : InferenceConfig, whose event settings decide
    labels : names that stand for the target class, by default its own
    bout_gap : float >= 0, in seconds, as in `AnnotatedRecording.bouts`
    **tolerances
        Those of `anemone_lib.evaluation.matching.match_intervals`.

    Returns
    -------
    counts : list of Counts, one a sample
    """
    wanted = list(labels or [config.target_class])
    return [
        count_events(
            sample.bouts(labels=wanted, bout_gap=bout_gap),
            decide_events(sample.scores, config),
            duration=sample.scores.analysed_duration,
            **tolerances,
        )
        for sample in samples
    ]


def _table_order(table: Path) -> tuple[bool, int, str]:
    """Raven's own names first: beside them lies what other programs made of them, and what was detected."""
    name = table.name.lower()
    return ".table." not in name, next(k for k, ending in enumerate(TABLE_SUFFIXES) if name.endswith(ending)), name
