"""Try every combination of event settings on cached scores.

*Conventions.* A setting is judged by its events, matched one to one with annotations (`anemone_lib.evaluation`); the
counts of all recordings are added. Annotations closer than `bout_gap` are one bout, for every setting alike. By
default, it is a window and a stride: a shorter silence may have no empty window, and then no setting can separate two
calls.

`sweep_settings` is exact: for every setting it counts what `find_events` and `match_intervals` count. It is
fast, because each recording's windows are compared with a threshold only once, and because `match_from_left` counts
the matches without a search.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import smooth
from anemone_lib.errors import AnnotationError, ConfigError, spell_number
from anemone_lib.evaluation.rates import Counts, compute_f_beta, compute_rates
from anemone_lib.tuning.recordings import AnnotatedRecording


@dataclass(frozen=True)
class SearchSpace:
    """The values of each event setting; every combination of them is tried.

    Attributes
    ----------
    smoothing_window, confidence_threshold, min_gap_duration, min_event_duration : tuples of values

    Examples
    --------
    >>> space = SearchSpace((1, 3), (0.5, 0.6, 0.7), (0.1,), (0.2,))
    >>> space.size, space.make_config((0, 2, 0, 0), InferenceConfig()).confidence_threshold
    (6, 0.7)
    """

    smoothing_window: tuple[int, ...]
    confidence_threshold: tuple[float, ...]
    min_gap_duration: tuple[float, ...]
    min_event_duration: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of values of each setting, in the order of the attributes."""
        return tuple(len(values) for values in self.axes.values())  # type: ignore[return-value]

    @property
    def axes(self) -> Mapping[str, tuple[float, ...]]:
        """The values by the name of the setting."""
        return vars(self)

    @property
    def size(self) -> int:
        """Number of settings."""
        return math.prod(self.shape)

    @classmethod
    def around(cls, config: InferenceConfig) -> "SearchSpace":
        """List about 10,000 settings: all that differ in their effect on windows of this length and stride.

        Gaps between runs of windows, and lengths of runs, come in steps of the stride, so one value between two steps
        stands for all; thresholds are tried in steps of 0.01. The values of `config` are always among them.
        """
        window, stride = config.window_duration, config.stride_duration
        first_gap = stride * max(2, math.ceil(round(window / stride, 9))) - window
        gaps = [round(first_gap + (k + 0.5) * stride, 3) for k in range(4)]
        gaps += [0.0] if first_gap < 1e-9 else []  # events that touch are apart
        lengths = [round(window + (k + 0.5) * stride, 3) for k in range(3)]
        thresholds = [k / 100 for k in range(2, 100)]
        return cls(
            smoothing_window=_with(config.smoothing_window, (1, 3, 5, 7, 9)),
            confidence_threshold=_with(config.confidence_threshold, thresholds),
            min_gap_duration=_with(config.min_gap_duration, gaps),
            min_event_duration=_with(config.min_event_duration, lengths),
        )

    def make_config(self, index: Sequence[int], base: InferenceConfig) -> InferenceConfig:
        """Return `base` with the settings at `index`, one index for each axis."""
        return base.replace(**{name: values[k] for (name, values), k in zip(self.axes.items(), index, strict=True)})

    def find_index(self, config: InferenceConfig) -> tuple[int, ...]:
        """Find a configuration's settings in the space.

        Raises
        ------
        ConfigError
            One of its values is not tried.
        """
        for name, values in self.axes.items():
            if getattr(config, name) not in values:
                raise ConfigError(
                    f"{name} is {getattr(config, name)}, which was not tried; these values were tried: {values}"
                )
        return tuple(values.index(getattr(config, name)) for name, values in self.axes.items())


@dataclass(frozen=True, eq=False)
class Sweep:
    """Counts of every setting of a space, in every recording.

    Attributes
    ----------
    space : SearchSpace
    n_reference, duration : np.ndarray [shape=(n_recordings,)], bouts, and analysed seconds
    n_estimated, n_matched : np.ndarray [shape=(n_smoothing, n_thresholds, n_gaps, n_durations, n_recordings)], int32

    Examples
    --------
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
    >>> sweep = sweep_settings(recordings, SearchSpace((1,), (0.3, 0.6, 0.8), (0.1,), (0.2,)))
    >>> sweep.rates["f1"].round(2).ravel().tolist()
    [0.67, 1.0, 0.67]
    >>> sweep.find_best(InferenceConfig()).confidence_threshold
    0.6
    """

    space: SearchSpace
    n_reference: np.ndarray
    duration: np.ndarray
    n_estimated: np.ndarray
    n_matched: np.ndarray

    def get_counts(self, index: Sequence[int]) -> list[Counts]:
        """Return the counts of every recording at one setting."""
        found, matched = self.n_estimated[tuple(index)], self.n_matched[tuple(index)]
        columns = (self.n_reference.tolist(), found.tolist(), matched.tolist(), self.duration.tolist())
        return [Counts(*row) for row in zip(*columns, strict=True)]

    @cached_property
    def rates(self) -> dict[str, np.ndarray]:
        """Precision, recall, F1 and false alarms per hour of all recordings together [shape=space.shape]."""
        found, matched = self.n_estimated.sum(axis=-1), self.n_matched.sum(axis=-1)
        return compute_rates(self.n_reference.sum(), found, matched, self.duration.sum())

    def get_curve(self, config: InferenceConfig) -> dict[str, np.ndarray]:
        """Return thresholds and rates, with every other setting as in `config` [each shape=(n_thresholds,)]."""
        smoothing, _, gap, length = self.space.find_index(config)
        curves = {name: rate[smoothing, :, gap, length] for name, rate in self.rates.items()}
        return {"confidence_threshold": np.array(self.space.confidence_threshold), **curves}

    def find_best(
        self,
        base: InferenceConfig,
        *,
        beta: float = 1.0,
        max_false_alarms_per_hour: float | None = None,
    ) -> InferenceConfig:
        """Choose the setting with the highest F-beta.

        If several settings are equally good, choose the one that changes the fewest settings of `base`, and then
        the one whose threshold is nearest to the middle of their thresholds, away from the edge of the plateau.

        Parameters
        ----------
        base : InferenceConfig
        beta : float > 0
            2 counts a missed call four times a false alarm, 0.5 the other way round.
        max_false_alarms_per_hour : float >= 0, optional
            Only settings with at most this many are considered.

        Returns
        -------
        config : InferenceConfig

        Raises
        ------
        ConfigError
            Every setting has more false alarms; the message gives the smallest number.
        AnnotationError
            No recording has an annotation of the target class.
        """
        if self.n_reference.sum() == 0:
            raise AnnotationError(
                f"no recording for tuning has an annotation of {base.target_class}; check the labels of the tables, "
                "or say which labels mean this class"
            )
        found, matched = self.n_estimated.sum(axis=-1), self.n_matched.sum(axis=-1)
        score = compute_f_beta(self.n_reference.sum(), found, matched, beta=beta)
        if max_false_alarms_per_hour is not None:
            alarms = self.rates["false_alarms_per_hour"]
            score = np.where(alarms <= max_false_alarms_per_hour + 1e-9, score, -1)
            if score.max() < 0:
                raise ConfigError(
                    f"max_false_alarms_per_hour is {max_false_alarms_per_hour}; of the {self.space.size} settings, "
                    f"the best has {spell_number(alarms.min())} per hour"
                )
        tied = np.argwhere(score >= score.max() - 1e-12)
        changes = np.zeros(len(tied), int)
        for axis, (name, values) in enumerate(self.space.axes.items()):
            if name != "confidence_threshold":
                changes += np.array(values)[tied[:, axis]] != getattr(base, name)
        tied = tied[changes == changes.min()]
        group = tied[(tied[:, [0, 2, 3]] == tied[0, [0, 2, 3]]).all(axis=1)]
        return self.space.make_config(group[len(group) // 2].tolist(), base)


def sweep_settings(
    recordings: Sequence[AnnotatedRecording],
    space: SearchSpace,
    *,
    target_class: str = "anemonefish",
    labels: Iterable[str] | None = None,
    bout_gap: float | None = None,
) -> Sweep:
    """Try every setting of a space on every recording. 10,000 settings on 10 hours of audio take seconds.

    Parameters
    ----------
    recordings : sequence of AnnotatedRecording, at least one
    space : SearchSpace
    target_class : one of the scores' classes
    labels : names that stand for the target class, by default its own
    bout_gap : float >= 0, in seconds, as in `AnnotatedRecording.join_bouts`

    Returns
    -------
    sweep : Sweep

    Examples
    --------
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
    >>> sweep = sweep_settings(recordings, SearchSpace((1,), (0.3, 0.6, 0.8), (0.1,), (0.2,)))
    >>> sweep.n_estimated.sum(axis=-1).ravel().tolist(), sweep.n_matched.sum(axis=-1).ravel().tolist()
    ([4, 2, 1], [2, 2, 1])
    """
    labels = list(labels or [target_class])
    bouts = [recording.join_bouts(labels=labels, bout_gap=bout_gap) for recording in recordings]
    line = _Timeline(recordings, bouts)
    n_estimated = np.zeros((*space.shape, len(recordings)), np.int32)
    n_matched = np.zeros_like(n_estimated)
    for s, smoothing_window in enumerate(space.smoothing_window):
        target = line.smooth_target(target_class, smoothing_window)
        for t, threshold in enumerate(space.confidence_threshold):
            starts, stops, gaps = line.find_runs(target, threshold)
            for g, min_gap in enumerate(space.min_gap_duration):
                apart = gaps >= min_gap - 1e-9
                first = starts[np.r_[True, apart]] if len(starts) else starts
                last = stops[np.r_[apart, True]] - 1 if len(starts) else stops
                length = line.end_times[last] - line.start_times[first]
                for d, min_length in enumerate(space.min_event_duration):
                    keep = length >= min_length - 1e-9
                    where = (s, t, g, d)
                    n_estimated[where], n_matched[where] = line.count(first[keep], last[keep])
    return Sweep(
        space=space,
        n_reference=np.array([len(own) for own in bouts]),
        duration=np.array([recording.scores.analysed_duration for recording in recordings]),
        n_estimated=n_estimated,
        n_matched=n_matched,
    )


def match_from_left(first_bout: np.ndarray, n_bouts: np.ndarray) -> np.ndarray:
    """Decide which events are matched, where each event overlaps a range of consecutive bouts.

    Events do not overlap each other, and bouts do not either. An event therefore shares at most one bout, its first,
    with the event before. From left to right, each event takes the first bout of its range that is still free: that is
    a matching with as many pairs as possible. The first bout is taken already in two cases: the event before overlaps
    this bout alone; or the event before overlaps two bouts and its own first bout was taken.

    Parameters
    ----------
    first_bout : np.ndarray [shape=(n_events,)], int, index of the first bout that each event overlaps, ascending
    n_bouts : np.ndarray [shape=(n_events,)], int > 0, number of bouts that each event overlaps

    Returns
    -------
    matched : np.ndarray [shape=(n_events,)], bool

    Examples
    --------
    Three bouts A, B, C (0, 1, 2) and four events over A, over A and B, over B and C, and over C::

        bouts      AAAAAAAA  BBBBBBBB  CCCCCCCC
        events      111  222222222  333333333 44

    Event 1 takes A. Event 2 finds A taken and takes B. Event 3 finds B taken and takes C. Event 4 finds C taken: it is
    a false alarm.

    >>> match_from_left(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 1])).tolist()
    [True, True, True, False]

    Without event 1, event 2 takes A, event 3 takes B, and C is left for event 4.

    >>> match_from_left(np.array([0, 1, 2]), np.array([2, 2, 1])).tolist()
    [True, True, True]
    """
    shared = np.r_[False, first_bout[1:] == first_bout[:-1] + n_bouts[:-1] - 1]
    n_before = np.r_[0, n_bouts[:-1]]
    # Where the event before overlaps two bouts, the answer is that of the event before; elsewhere it is known.
    known = ~(shared & (n_before == 2))
    source = np.maximum.accumulate(np.where(known, np.arange(len(first_bout)), 0))
    taken = (shared & (n_before == 1))[source]
    return n_bouts > taken


class _Timeline:
    """The windows of all recordings one after the other, each between two windows without a probability."""

    def __init__(self, recordings: Sequence[AnnotatedRecording], bouts: Sequence[np.ndarray]) -> None:
        self._recordings = recordings
        before = itertools.accumulate((len(own) for own in bouts), initial=0)
        parts = []
        for k, (recording, own, n_before) in enumerate(zip(recordings, bouts, before, strict=False)):
            start, end = recording.scores.start_times, recording.scores.end_times
            low = n_before + np.searchsorted(own[:, 1], start, side="right")
            high = n_before + np.searchsorted(own[:, 0], end, side="left")
            parts.append([np.r_[column, column[-1]] for column in (start, end, low, high, np.full(len(start), k))])
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        self.start_times, self.end_times, self._low, self._high, self._recording = (
            np.r_[column[:1], column] for column in columns
        )

    def smooth_target(self, target_class: str, smoothing_window: int) -> np.ndarray:
        """Smoothed probability of every window; −inf where there is none."""
        parts = [np.array([-np.inf], np.float32)]
        for recording in self._recordings:
            scores = recording.scores
            column = scores.probabilities[:, scores.classes.index(target_class)]
            parts += [smooth(column, smoothing_window=smoothing_window), parts[0]]
        return np.nan_to_num(np.concatenate(parts), nan=-np.inf, neginf=-np.inf)

    def find_runs(self, target: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Runs of windows that reach the threshold, and the gaps between them: inf where nothing may join them."""
        present = target >= threshold
        edges = np.flatnonzero(present[1:] != present[:-1]) + 1
        starts, stops = edges[::2], edges[1::2]
        gaps = self.start_times[starts[1:]] - self.end_times[stops[:-1] - 1]
        missing = np.cumsum(np.isneginf(target))
        gaps[missing[starts[1:]] != missing[stops[:-1] - 1]] = np.inf
        return starts, stops, gaps

    def count(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count events and matches of every recording."""
        n = len(self._recordings)
        n_events = np.bincount(self._recording[first], minlength=n)
        low, high = self._low[first], self._high[last]
        touching = np.flatnonzero(high > low)
        if len(touching) == 0:
            return n_events, np.zeros(n, int)
        matched = touching[match_from_left(low[touching], (high - low)[touching])]
        return n_events, np.bincount(self._recording[first[matched]], minlength=n)


def _with(value: float, values: Iterable[float]) -> tuple:
    return tuple(sorted({value, *values}))
