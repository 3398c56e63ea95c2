"""Search the event settings on annotated recordings, and compare the best with the settings before.

*Conventions.* Recordings are scored once; every setting is then tried on the same scores (`anemone_lib.tuning.sweep`),
and the best by F1 (or F-beta) is compared with the settings before, on recordings that were set aside. Whole recordings
are set aside, never windows: windows of one recording are too similar to test each other.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from anemone_lib.audio.channels import Channel
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ScoresError
from anemone_lib.evaluation.rates import Counts, add_counts, bootstrap_interval
from anemone_lib.scoring.classifier import Classifier, load_classifier
from anemone_lib.tuning.doubts import list_doubts
from anemone_lib.tuning.recordings import (
    AnnotatedRecording,
    count_recordings,
    score_annotated_recordings,
    split_recordings,
)
from anemone_lib.tuning.report import describe_tuning, promote_tuning, write_report
from anemone_lib.tuning.sweep import SearchSpace, Sweep, sweep_settings


@dataclass(frozen=True, eq=False)
class Tuning:
    """The best settings, the settings before, and the recordings on which they are compared.

    Attributes
    ----------
    config : InferenceConfig, the best
    base : InferenceConfig, the settings before the search
    sweep : Sweep, of the recordings that were tuned on
    tuned_on, held_out : lists of AnnotatedRecording, used for the search and set aside
    labels : names that stood for the target class
    bout_gap : float, in seconds
    holdout, seed, beta, max_false_alarms_per_hour, groups : as in `tune`
    by_hand : bool, whether `config` was set by a person, and is not what the search found

    Examples
    --------
    >>> import numpy as np
    >>> from anemone_lib.detection import Annotation
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
    >>> space = SearchSpace((1,), (0.3, 0.6, 0.8), (0.1,), (0.2,))
    >>> base = InferenceConfig(smoothing_window=1, confidence_threshold=0.3)
    >>> tuning = tune(recordings, base, holdout=0.5, space=space)
    >>> gain, low, high = tuning.measure_gain("false_alarms_per_hour")
    >>> gain  # one false alarm less in the 6 s that were set aside
    -600.0
    """

    config: InferenceConfig
    base: InferenceConfig
    sweep: Sweep
    tuned_on: list[AnnotatedRecording]
    held_out: list[AnnotatedRecording]
    labels: tuple[str, ...]
    bout_gap: float
    holdout: float = 0.3
    seed: int = 0
    beta: float = 1.0
    max_false_alarms_per_hour: float | None = None
    by_hand: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def objective(self) -> str:
        """The criterion by which the best setting was chosen, in words."""
        limit = self.max_false_alarms_per_hour
        return f"F{self.beta:g}" + ("" if limit is None else f" with at most {limit:g} false alarms per hour")

    @cached_property
    def _counted(self) -> dict[tuple[bool, bool], list[Counts]]:
        """Counts of both configurations on both sets, by (best?, set aside?); each is counted once."""
        return {
            (best, held_out): self._count(self.config if best else self.base, held_out)
            for best in (True, False)
            for held_out in (True, False)
        }

    def _count(self, config: InferenceConfig, held_out: bool) -> list[Counts]:
        recordings = self.held_out if held_out else self.tuned_on
        return count_recordings(recordings, config, labels=self.labels, bout_gap=self.bout_gap)

    def count_events(self, config: InferenceConfig | None = None, *, held_out: bool = True) -> list[Counts]:
        """Count annotations, events and matches in every recording.

        Parameters
        ----------
        config : InferenceConfig, optional
            By default the best settings.
        held_out : bool
            The recordings set aside, or else those that were tuned on.

        Returns
        -------
        counts : list of Counts, one for each recording
        """
        if config is None or config == self.config:
            return self._counted[True, held_out]
        return self._counted[False, held_out] if config == self.base else self._count(config, held_out)

    def measure_gain(self, metric: str = "f1") -> tuple[float, float, float]:
        """Compare the best settings with `base` on the recordings set aside.

        Parameters
        ----------
        metric : one of `anemone_lib.evaluation.rates.METRICS`

        Returns
        -------
        gain, low, high : float, the difference of the rate and its 95 % interval by group; NaN where unknown
        """
        best, base = self.add_up(self.count_events()), self.add_up(self.count_events(self.base))
        gain = getattr(add_counts(best), metric) - getattr(add_counts(base), metric)
        return gain, *bootstrap_interval(best, baseline=base, metric=metric)

    def add_up(self, counts: Sequence[Counts]) -> list[Counts]:
        """Add up the counts of the recordings set aside by group, which intervals are drawn by."""
        whole: dict[object, list[Counts]] = {}
        for k, (one, own) in enumerate(zip(self.held_out, counts, strict=True)):
            whole.setdefault(self.groups.get(one.name, k), []).append(own)
        return [add_counts(own) for own in whole.values()]

    @property
    def doubts(self) -> list[str]:
        """Why the settings should not be promoted, in parts of a sentence; see `list_doubts`."""
        return list_doubts(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that the report says, for programs; a rate that is unknown is None."""
        return describe_tuning(self)

    def report(self, *, command: str = "", promoted: bool = False) -> str:
        """Return the page on the settings, in Markdown; see `write_report`."""
        return write_report(self, command=command, promoted=promoted)

    def promote(
        self,
        folder: str | os.PathLike[str],
        *,
        recordings: str | os.PathLike[str] | None = None,
        annotations: str | os.PathLike[str] | None = None,
        label_column: str | None = None,
        channel: Channel = "mean",
        timezone: str | None = None,
        start_time_format: str | None = None,
        model: str | os.PathLike[str] | None = None,
        command: str = "",
        force: bool = False,
    ) -> list[Path]:
        """Write the settings and the report into the folder of an environment; see `promote_tuning`."""
        return promote_tuning(
            self,
            folder,
            recordings=recordings,
            annotations=annotations,
            label_column=label_column,
            channel=channel,
            timezone=timezone,
            start_time_format=start_time_format,
            model=model,
            command=command,
            force=force,
        )


def tune(
    recordings: Sequence[AnnotatedRecording],
    base: InferenceConfig,
    *,
    labels: Iterable[str] | None = None,
    bout_gap: float | None = None,
    holdout: float = 0.3,
    seed: int = 0,
    space: SearchSpace | None = None,
    beta: float = 1.0,
    max_false_alarms_per_hour: float | None = None,
    groups: Mapping[str, str] | None = None,
) -> Tuning:
    """Find the best event settings on some recordings, and compare them with `base` on the others.

    The command ``anemone tune`` and notebook 2 have the same defaults.

    Parameters
    ----------
    recordings : sequence of AnnotatedRecording, at least two
    base : InferenceConfig, the settings before
    labels : names that stand for the target class, by default its own
    bout_gap : float >= 0, in seconds, by default a window and a stride
    holdout, seed : as in `split_recordings`
    space : SearchSpace, by default `SearchSpace.around(base)`
    beta, max_false_alarms_per_hour : as in `Sweep.find_best`
    groups : mapping of a recording's name to its group, optional
        Groups are set aside whole, and intervals are by group; by default every recording is one.

    Returns
    -------
    tuning : Tuning

    Raises
    ------
    AnnotationError
        Fewer than two recordings, or none with the target in it.
    ConfigError
        No setting has as few false alarms as `max_false_alarms_per_hour`.
    ScoresError
        The recordings were not all scored with the same model and settings.

    Examples
    --------
    >>> import numpy as np
    >>> from anemone_lib.detection import Annotation
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
    >>> space = SearchSpace((1,), (0.3, 0.6), (0.1,), (0.2,))
    >>> base = InferenceConfig(smoothing_window=1, confidence_threshold=0.3)
    >>> tuning = tune(recordings, base, holdout=0.5, space=space)
    >>> tuning.config.confidence_threshold
    0.6
    """
    labels = tuple(labels or [base.target_class])
    makers = {(one.scores.model_sha256, one.scores.scores_fingerprint) for one in recordings}
    if len(makers) > 1:
        raise ScoresError(
            f"the recordings were scored in {len(makers)} ways (models or settings); score them again with one"
        )
    tuned_on, held_out = split_recordings(recordings, labels=labels, holdout=holdout, seed=seed, groups=groups)
    if bout_gap is None:
        bout_gap = max(one.shortest_gap for one in recordings)
    sweep = sweep_settings(
        tuned_on, space or SearchSpace.around(base), target_class=base.target_class, labels=labels, bout_gap=bout_gap
    )
    return Tuning(
        config=sweep.find_best(base, beta=beta, max_false_alarms_per_hour=max_false_alarms_per_hour),
        base=base,
        sweep=sweep,
        tuned_on=tuned_on,
        held_out=held_out,
        labels=labels,
        bout_gap=bout_gap,
        holdout=holdout,
        seed=seed,
        beta=beta,
        max_false_alarms_per_hour=max_false_alarms_per_hour,
        groups=groups or {},
    )


def compare_score_settings(
    files: Iterable[Sequence[str | os.PathLike[str]]],
    changes: Iterable[Mapping[str, Any]],
    tuning: Tuning,
    *,
    model: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    channel: Channel = "mean",
    cache: str | os.PathLike[str],
) -> dict[str, Tuning]:
    """Score all recordings with other score settings, or other models, and tune each in the same way.

    Parameters
    ----------
    files : pairs of (recording, table of annotations), those of `tuning`
    changes : mappings of settings, like ``{"stride_duration": 0.2}``
        ``model`` names another model bundle, as ``{"window_duration": 2.0, "model": "models/two_seconds"}``.
    tuning : Tuning
        Its base settings are changed. Labels, bout gap, split and objective are the same, so that all results are of
        the same bouts in the same recordings.
    model : path of a model bundle, optional
        For changes that name none; by default the demonstration model.
    label_column, channel : optional, as in `score_annotated_recordings`
    cache : path of a folder, where scores are kept

    Returns
    -------
    compared : dict of Tuning, by the change as text

    Raises
    ------
    ConfigError, ModelError, AnnotationError, ScoresError
        As in `score_annotated_recordings` and `tune`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from anemone_lib.simulation import write_dataset
    >>> with TemporaryDirectory() as folder:
    ...     files = write_dataset(folder, n_recordings=4, duration=10, sample_rate=8000)
    ...     recordings = score_annotated_recordings(
    ...         files, classifier=load_classifier(), config=InferenceConfig(), cache=folder
    ...     )
    ...     tuning = tune(recordings, InferenceConfig())
    ...     compared = compare_score_settings(files, [{"stride_duration": 0.5}], tuning, cache=folder)
    >>> compared["{'stride_duration': 0.5}"].config.stride_duration
    0.5
    """
    files = list(files)
    compared = {}
    for change in changes:
        config = tuning.base.replace(**{name: value for name, value in change.items() if name != "model"})
        classifier = load_classifier(change.get("model", model) or None)
        recordings = score_annotated_recordings(
            files, classifier=classifier, config=config, cache=cache, label_column=label_column, channel=channel
        )
        compared[str(dict(change))] = tune(
            recordings,
            config,
            labels=tuning.labels,
            bout_gap=tuning.bout_gap,
            holdout=tuning.holdout,
            seed=tuning.seed,
            beta=tuning.beta,
            max_false_alarms_per_hour=tuning.max_false_alarms_per_hour,
            groups=tuning.groups,
        )
    return compared


def compare_classifiers(
    files: Iterable[Sequence[str | os.PathLike[str]]],
    classifiers: Mapping[str, Classifier],
    config: InferenceConfig,
    *,
    cache: str | os.PathLike[str],
    labels: Iterable[str] | None = None,
    bout_gap: float | None = None,
    label_column: str | None = None,
    channel: Channel = "mean",
) -> dict[str, Counts]:
    """Count the events of several models in the same recordings, with the same settings.

    Parameters
    ----------
    files : pairs of (recording, table of annotations)
    classifiers : Classifier by name
    config : InferenceConfig
    cache : path of a folder, where scores are kept
    labels, bout_gap : as in `count_recordings`
    label_column, channel : optional, as in `score_annotated_recordings`

    Returns
    -------
    counts : dict of Counts, all recordings together, by the name of the classifier

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from anemone_lib.simulation import write_dataset
    >>> with TemporaryDirectory() as folder:
    ...     files = write_dataset(folder, n_recordings=2, duration=10, sample_rate=8000)
    ...     counts = compare_classifiers(files, {"demo": load_classifier()}, InferenceConfig(), cache=folder)
    >>> counts["demo"].duration
    20.0
    """
    files, labels = list(files), list(labels or [config.target_class])
    counts = {}
    for name, classifier in classifiers.items():
        recordings = score_annotated_recordings(
            files, classifier=classifier, config=config, cache=cache, label_column=label_column, channel=channel
        )
        counts[name] = add_counts(count_recordings(recordings, config, labels=labels, bout_gap=bout_gap))
    return counts
