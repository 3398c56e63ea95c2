"""Annotated recordings: find them, score them, split them, count in them."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import Annotation, decide_events, fold_label
from anemone_lib.errors import AnemoneError, AnnotationError, ConfigError, spell_count
from anemone_lib.evaluation.intervals import as_intervals, join_intervals
from anemone_lib.evaluation.matching import count_events
from anemone_lib.evaluation.rates import Counts
from anemone_lib.scoring.chunks import check_fit, score_recording
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Scores
from anemone_lib.tables.matching import fold
from anemone_lib.tables.pairing import AnnotatedFolder, pair_tables
from anemone_lib.tables.reading import read_table


@dataclass(frozen=True, eq=False)
class AnnotatedRecording:
    """A recording's scores, and its annotations by a person.

    Attributes
    ----------
    scores : Scores
    annotations : sequence of Annotation, of all labels

    Examples
    --------
    >>> from anemone_lib.scoring import WindowGrid
    >>> grid = WindowGrid(n_samples=80_000, sample_rate=8000, window_samples=8000, stride_samples=8000)
    >>> scores = Scores(np.zeros((10, 3), np.float32), ("noise", "anemonefish", "biological"), grid)
    >>> calls = [Annotation(1.0, 1.2, "anemonefish"), Annotation(1.5, 1.7, "anemonefish"), Annotation(8.0, 8.2, "boat")]
    >>> AnnotatedRecording(scores, calls).join_bouts(labels=["anemonefish"])
    array([[1. , 1.7]])
    """

    scores: Scores
    annotations: Sequence[Annotation]

    @property
    def name(self) -> str:
        """The recording's name."""
        return self.scores.recording_name

    @property
    def shortest_gap(self) -> float:
        """A window and a stride, in seconds: the shortest silence that always contains an empty window."""
        grid = self.scores.grid
        return (grid.window_samples + grid.stride_samples) / grid.sample_rate

    @property
    def annotations_sha256(self) -> str:
        """SHA-256 (hex) of the times and labels of the annotations, whatever table they were read from."""
        rows = sorted((one.start_time, one.end_time, one.label) for one in self.annotations)
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def join_bouts(self, *, labels: Iterable[str], bout_gap: float | None = None) -> np.ndarray:
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


def find_annotated_recordings(
    folder: str | os.PathLike[str], *, annotations: str | os.PathLike[str] | None = None
) -> AnnotatedFolder:
    """Find the recordings of a folder that have a table, by name: ``reef.wav``, ``reef.Table.1.selections.txt``.

    Parameters
    ----------
    folder : path of a folder with recordings
    annotations : path, optional
        Folder with the tables, by default beside the recordings; or one table that names its recordings.

    Returns
    -------
    annotated : AnnotatedFolder
        Pairs of (recording, table), by name, and notes on what is left out.

    Raises
    ------
    AnnotationError
        No recording there has a table.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> folder = mkdtemp()
    >>> _ = write_dataset(folder, n_recordings=2, duration=5, sample_rate=8000)
    >>> [recording.suffix for recording, table in find_annotated_recordings(folder)]
    ['.wav', '.wav']
    """
    annotated = pair_tables(folder, annotations=annotations)
    if not annotated:
        notes = "".join(f". {note}" for note in annotated.notes)
        raise AnnotationError(
            f"no recording in {folder} has a table of annotations in {annotations or folder}; a table's name starts "
            "with the name of its recording: reef.wav and reef.Table.1.selections.txt, reef.csv or reef.txt (Audacity "
            f"labels){notes}"
        )
    return annotated


@dataclass(frozen=True, eq=False)
class ScoredFolder(Sequence[AnnotatedRecording]):
    """Annotated recordings with their scores, and the reasons why others have none.

    Attributes
    ----------
    recordings : tuple of AnnotatedRecording, those that could be read and scored
    failures : tuple of (name, reason), the others
    notes : tuple of str, each a sentence on rows of a table that were left out

    Examples
    --------
    >>> scored = ScoredFolder((), failures=(("reef.wav", "it is empty"),))
    >>> len(scored), scored.failures[0][0]
    (0, 'reef.wav')
    """

    recordings: tuple[AnnotatedRecording, ...]
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> AnnotatedRecording: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[AnnotatedRecording]: ...
    def __getitem__(self, index: int | slice) -> AnnotatedRecording | Sequence[AnnotatedRecording]:
        """One recording, or several."""
        return self.recordings[index]

    def __len__(self) -> int:
        """How many could be scored."""
        return len(self.recordings)

    def check_labels(self, labels: Iterable[str]) -> None:
        """Refuse labels, as in `describe_other_labels`, of which the tables hold none, though they hold others.

        Raises
        ------
        AnnotationError
            Names the labels that there are.
        """
        names = sorted(labels)
        there = {fold_label(a.label) for recording in self.recordings for a in recording.annotations}
        if there and not there & {fold_label(label) for label in names}:
            raise AnnotationError(f"{self.describe_other_labels(names)}; name some that are there")

    def describe_other_labels(self, labels: Iterable[str]) -> str:
        """Say which labels of the tables do not stand for the target, and count them; empty if all labels do.

        Parameters
        ----------
        labels : names that stand for the target class; upper and lower case are the same
        """
        targets = {fold_label(label) for label in labels}
        found = Counter(a.label for recording in self.recordings for a in recording.annotations)
        other = {label: n for label, n in found.items() if fold_label(label) not in targets}
        if not other:
            return ""
        most = sorted(other.items(), key=lambda pair: (-pair[1], pair[0]))
        listed = ", ".join(f"{label or 'blank'} ({n})" for label, n in most[:8]) + ", …" * (len(most) > 8)
        none = "" if len(other) < len(found) else f"; none is {', '.join(sorted(targets))}"
        return f"{spell_count(sum(other.values()), 'annotation')} with labels that are not the target: {listed}{none}"


def score_annotated_recordings(
    files: Iterable[Sequence[str | os.PathLike[str]]],
    *,
    classifier: Classifier,
    config: InferenceConfig,
    cache: str | os.PathLike[str],
    label_column: str | None = None,
    blank_label: str = "",
    channel: Channel = "mean",
    timezone: str | None = None,
    start_time_format: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScoredFolder:
    """Score recordings, or read scores from the cache, and read their annotations; a bad one never stops the batch.

    Parameters
    ----------
    files : pairs of (recording, table of annotations), as `pair_tables` gives them
    classifier : Classifier
    config : InferenceConfig; only the settings that decide the scores are read, and the target class, which is the
        label of all annotations of a table that has no labels
    cache : path of a folder
    label_column, blank_label : as in `read_annotations`
    channel, timezone, start_time_format : optional, as in `open_recording`
        The start of a recording is needed if its table has times of day, like exports of PAMGuard.
    progress : callable (done, total), optional
        Called after every recording.

    Returns
    -------
    scored : ScoredFolder

    Raises
    ------
    ModelError, ConfigError
        The model and the settings do not fit together.
    AnnotationError
        Not one recording could be read and scored.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_dataset
    >>> folder = mkdtemp()
    >>> _ = write_dataset(folder, n_recordings=2, duration=5, sample_rate=8000)
    >>> from anemone_lib.scoring import load_classifier
    >>> scored = score_annotated_recordings(
    ...     find_annotated_recordings(folder), classifier=load_classifier(), config=InferenceConfig(), cache=mkdtemp()
    ... )
    >>> [recording.scores.duration for recording in scored]
    [5.0, 5.0]
    """
    check_fit(classifier, config)
    pairs = list(files)
    opening: dict[str, Any] = {"target_sr": config.target_sr, "channel": channel}
    clock: dict[str, Any] = {"timezone": timezone, "start_time_format": start_time_format}
    reading: dict[str, Any] = {"label": config.target_class, "label_column": label_column, "blank_label": blank_label}
    scored, failures, notes = [], [], []
    for done, pair in enumerate(pairs, start=1):
        name = getattr(pair, "name", Path(pair[0]).name)
        try:
            with open_recording(pair[0], name=name, **opening, **clock) as recording:
                # The table first, so that a wrong line is reported before an hour of audio is scored.
                reading |= {"recording_name": _name_in_table(Path(pair[1]), name), "start_time": recording.start_time}
                table = read_table(pair[1], **reading).within(recording.duration)
                if not table.annotations and table.other_recordings:
                    raise AnnotationError(f"{table.path.name} names other recordings only: {'; '.join(table.notes)}")
                scores = score_recording(recording, classifier, config, cache=cache)
            scored.append(AnnotatedRecording(scores, table.annotations))
            notes += [f"{name}: {note}" for note in table.notes]
        except (AnemoneError, OSError) as error:
            failures.append((name, str(error)))
        except Exception as error:  # noqa: BLE001 a defect of ours must not end a batch either
            failures.append((name, f"unexpected {type(error).__name__}: {error}"))
        if progress:
            progress(done, len(pairs))
    if pairs and not scored:
        reasons = "; ".join(f"{name}: {why}" for name, why in failures[:3]) + "; …" * (len(failures) > 3)
        raise AnnotationError(f"none of {spell_count(len(pairs), 'recording')} could be read and scored: {reasons}")
    return ScoredFolder(tuple(scored), tuple(failures), tuple(notes))


def _name_in_table(table: Path, name: str) -> str:
    """The recording's name as its table may have it: folders do not matter in a table for one recording."""
    own = fold(table.name).startswith(f"{fold(Path(name).stem)}.")
    return Path(name).name if own else name


def split_recordings(
    recordings: Sequence[AnnotatedRecording],
    *,
    labels: Iterable[str],
    holdout: float = 0.3,
    seed: int = 0,
    groups: Mapping[str, str] | None = None,
) -> tuple[list[AnnotatedRecording], list[AnnotatedRecording]]:
    """Set recordings aside for the test, some with calls and some without, where there are both.

    Parameters
    ----------
    recordings : sequence of AnnotatedRecording, at least two
    labels : names that stand for the target class
    holdout : float in (0, 1), part of the recordings
    seed : int
        With the same recordings, in whatever order, the same seed sets the same ones aside.
    groups : mapping of a recording's name to its group, optional
        Groups are set aside whole; a recording that it does not name is a group of its own.

    Returns
    -------
    tuning, held_out : lists of AnnotatedRecording, none of them empty

    Examples
    --------
    >>> from anemone_lib.scoring import Scores, WindowGrid
    >>> def annotate(name, target, calls):
    ...     grid = WindowGrid(n_samples=8000 * len(target), sample_rate=8000, window_samples=8000, stride_samples=8000)
    ...     target = np.array(target, np.float32)
    ...     probabilities = np.column_stack([1 - target, target, 0 * target])
    ...     scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid, recording_name=name)
    ...     return AnnotatedRecording(scores, [Annotation(start, end, "anemonefish") for start, end in calls])
    >>> recordings = [
    ...     annotate("a.wav", [0.1, 0.9, 0.1, 0.1, 0.4, 0.1], [(1.2, 1.8)]),
    ...     annotate("b.wav", [0.1, 0.1, 0.7, 0.1, 0.1, 0.4], [(2.2, 2.8)]),
    ... ]
    >>> tuned_on, set_aside = split_recordings(recordings, labels=["anemonefish"], holdout=0.5)
    >>> len(tuned_on), len(set_aside)
    (1, 1)
    """
    if not 0 < holdout < 1:
        raise ConfigError(f"holdout is {holdout}; it must be between 0 and 1, like 0.3")
    labels = list(labels)
    order = sorted(range(len(recordings)), key=lambda k: (recordings[k].scores.recording_sha256, recordings[k].name))
    whole: dict[object, list[int]] = {}
    for k in order:
        whole.setdefault((groups or {}).get(recordings[k].name, k), []).append(k)
    sets = list(whole.values())
    if len(sets) < 2:
        raise AnnotationError(
            f"{spell_count(len(sets), 'group' if groups else 'annotated recording')}; tuning needs two: one to tune "
            "on, one to test on"
        )
    shuffled = np.random.default_rng(seed).permutation(len(sets))
    with_calls = [j for j in shuffled if any(len(recordings[k].join_bouts(labels=labels)) for k in sets[j])]
    without = [j for j in shuffled if j not in with_calls]
    n_out = min(len(sets) - 1, max(1, round(holdout * len(sets))))
    # Recordings with calls in proportion, at least one on each side if possible, and no more than there are.
    n_calls_out = max(round(n_out * len(with_calls) / len(sets)), min(1, len(with_calls) - 1))
    n_calls_out = max(0, n_out - len(without), min(n_calls_out, len(with_calls) - 1, n_out))
    out = {k for j in (*with_calls[:n_calls_out], *without[: n_out - n_calls_out]) for k in sets[j]}
    # Sorted by name, so that figures, reports and intervals do not depend on the order of the recordings.
    named = sorted(range(len(recordings)), key=lambda k: (recordings[k].name, recordings[k].scores.recording_sha256))
    return [recordings[k] for k in named if k not in out], [recordings[k] for k in named if k in out]


def count_recordings(
    recordings: Iterable[AnnotatedRecording],
    config: InferenceConfig,
    *,
    labels: Iterable[str] | None = None,
    bout_gap: float | None = None,
    **tolerances: float | None,
) -> list[Counts]:
    """Decide the events of every recording and match them with its annotations.

    Parameters
    ----------
    recordings : iterable of AnnotatedRecording
    config : InferenceConfig, whose event settings decide
    labels : names that stand for the target class, by default its own
    bout_gap : float >= 0, in seconds, as in `AnnotatedRecording.join_bouts`
    **tolerances
        Those of `anemone_lib.evaluation.matching.match_intervals`.

    Returns
    -------
    counts : list of Counts, one for each recording

    Examples
    --------
    >>> from anemone_lib.scoring import Scores, WindowGrid
    >>> def annotate(name, target, calls):
    ...     grid = WindowGrid(n_samples=8000 * len(target), sample_rate=8000, window_samples=8000, stride_samples=8000)
    ...     target = np.array(target, np.float32)
    ...     probabilities = np.column_stack([1 - target, target, 0 * target])
    ...     scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid, recording_name=name)
    ...     return AnnotatedRecording(scores, [Annotation(start, end, "anemonefish") for start, end in calls])
    >>> recordings = [
    ...     annotate("a.wav", [0.1, 0.9, 0.1, 0.1, 0.4, 0.1], [(1.2, 1.8)]),
    ...     annotate("b.wav", [0.1, 0.1, 0.7, 0.1, 0.1, 0.4], [(2.2, 2.8)]),
    ... ]
    >>> count_recordings(recordings, InferenceConfig(smoothing_window=1, confidence_threshold=0.8))
    [Counts(n_reference=1, n_estimated=1, n_matched=1, duration=6.0),
     Counts(n_reference=1, n_estimated=0, n_matched=0, duration=6.0)]
    """
    labels = list(labels or [config.target_class])
    return [
        count_events(
            one.join_bouts(labels=labels, bout_gap=bout_gap),
            decide_events(one.scores, config),
            duration=one.scores.analysed_duration,
            **tolerances,
        )
        for one in recordings
    ]
