"""Probabilities to events.

*Conventions.* A window is in an event when the smoothed probability of the target class reaches the threshold; a run
of such windows is an event from the first one's start to the last one's end; events closer than `min_gap_duration`
become one; events shorter than `min_event_duration` are dropped, last. Windows that were skipped (NaN) are in no
event, and no smoothing reaches across them.

An event's confidence is the smoothed probability of its windows, the very number that is compared with the threshold:
``mean_confidence >= confidence_threshold`` always. The windows of an event are those that reached the threshold; the
few in a bridged gap are not counted.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.calls import Call
from anemone_lib.errors import ConfigError
from anemone_lib.scoring.scores import Scores


@dataclass(frozen=True)
class Event:
    """An interval in which the target class is present.

    Attributes
    ----------
    id : str, the same for the same interval of the same class in the same recording
    class_name : str
    start_time, end_time : float, in seconds from the start of the recording, half-open
    mean_confidence, max_confidence : float in [0, 1], smoothed probability over the event's windows
    num_windows : int, windows that reached the threshold
    calls : tuple of Call, by start time, or None where nobody measured them (`measure_calls`)

    Examples
    --------
    >>> event = Event("0c7f1a2b3d4e", "anemonefish", 1.2, 4.2, 0.87, 0.94, 5)
    >>> event.duration
    3.0
    """

    id: str
    class_name: str
    start_time: float
    end_time: float
    mean_confidence: float
    max_confidence: float
    num_windows: int
    calls: tuple[Call, ...] | None = field(default=None, compare=False)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end_time - self.start_time


@dataclass(frozen=True)
class Annotation:
    """An interval that a person (or a simulation, which knows) labelled.

    Attributes
    ----------
    start_time, end_time : float, in seconds from the start of the recording, half-open
    label : str
    low_hz, high_hz : float in Hz, or None where nobody drew a band
    id : str, empty where the annotation has none

    Examples
    --------
    >>> annotation = Annotation(1.5, 2.25, "anemonefish", low_hz=300.0, high_hz=900.0)
    >>> annotation.end_time - annotation.start_time
    0.75
    """

    start_time: float
    end_time: float
    label: str
    low_hz: float | None = None
    high_hz: float | None = None
    id: str = ""


def fold_label(label: str) -> str:
    """Spell a label so that labels that mean the same are equal.

    Case, white space, and how accents are encoded (NFC, NFD) make no difference between labels.

    Examples
    --------
    >>> fold_label(" Long  Grunt") == fold_label("long grunt"), fold_label("m\u00e9rou") == fold_label("me\u0301rou")
    (True, True)
    """
    return " ".join(unicodedata.normalize("NFC", label).casefold().split())


def smooth(probabilities: np.ndarray, *, smoothing_window: int) -> np.ndarray:
    """Median over neighbouring windows, the edges repeated; skipped windows (NaN) split the recording.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n_windows,) or (n_windows, n_classes)], float32
    smoothing_window : int, odd, in windows

    Returns
    -------
    smoothed : np.ndarray, same shape

    Examples
    --------
    A single high value goes, a run of three stays:

    >>> smooth(np.array([0.1, 0.9, 0.1, 0.1, 0.8, 0.9, 0.8]), smoothing_window=3).tolist()
    [0.1, 0.1, 0.1, 0.1, 0.8, 0.8, 0.8]
    """
    if smoothing_window % 2 == 0 or smoothing_window < 1:
        raise ValueError(f"smoothing_window is {smoothing_window}; it must be odd, so that the filter has a middle")
    if smoothing_window == 1 or len(probabilities) == 0:
        return probabilities
    from scipy.ndimage import median_filter

    columns = probabilities.reshape(len(probabilities), -1)
    smoothed = np.full_like(columns, np.nan)
    for start, stop in _find_runs(np.isfinite(columns).all(axis=1)):
        # The edge is repeated half a filter wide; scipy would do so only up to the length of a short run.
        padded = np.pad(columns[start:stop], ((smoothing_window // 2,) * 2, (0, 0)), mode="edge")
        middle = slice(smoothing_window // 2, smoothing_window // 2 + stop - start)
        smoothed[start:stop] = median_filter(padded, size=(smoothing_window, 1), mode="nearest")[middle]
    return smoothed.reshape(probabilities.shape)


def find_events(
    probabilities: np.ndarray,
    *,
    start_times: np.ndarray,
    end_times: np.ndarray,
    classes: Sequence[str],
    target_class: str,
    confidence_threshold: float,
    smoothing_window: int,
    min_gap_duration: float,
    min_event_duration: float,
    recording_id: str = "",
) -> list[Event]:
    """Find the events of one class; see the module's conventions.

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n_windows, n_classes)], float32
        NaN where a window was skipped.
    start_times, end_times : np.ndarray [shape=(n_windows,)], in seconds
    classes : names of the columns
    target_class : one of `classes`
    confidence_threshold : float in [0, 1]
    smoothing_window : int, odd, in windows
    min_gap_duration, min_event_duration : float >= 0, in seconds
    recording_id : str
        What makes the events' ids differ from those of other recordings; its SHA-256, say.

    Returns
    -------
    events : list of Event, by start time

    Raises
    ------
    ValueError
        The arrays differ in length, the class is unknown, or the filter is even.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.9, 0.1]], np.float32)
    >>> [event] = find_events(
    ...     probabilities,
    ...     start_times=np.array([0.0, 1.0, 2.0, 3.0]),
    ...     end_times=np.array([1.0, 2.0, 3.0, 4.0]),
    ...     classes=("noise", "anemonefish"),
    ...     target_class="anemonefish",
    ...     confidence_threshold=0.5,
    ...     smoothing_window=1,
    ...     min_gap_duration=0.1,
    ...     min_event_duration=0.2,
    ... )
    >>> event.start_time, event.end_time, event.num_windows, round(event.mean_confidence, 2)
    (1.0, 3.0, 2, 0.85)
    """
    if not len(probabilities) == len(start_times) == len(end_times):
        raise ValueError(
            f"{len(probabilities)} probabilities, {len(start_times)} start times and {len(end_times)} end times "
            "do not belong together"
        )
    if target_class not in classes:
        raise ValueError(f"target_class is {target_class!r}; it must be one of {', '.join(classes)}")
    target = smooth(probabilities[:, list(classes).index(target_class)], smoothing_window=smoothing_window)
    with np.errstate(invalid="ignore"):
        runs = _find_runs(target >= confidence_threshold)

    joined: list[list[tuple[int, int]]] = []
    for run in runs:
        gap = start_times[run[0]] - end_times[joined[-1][-1][1] - 1] if joined else np.inf
        skipped = bool(joined) and not np.isfinite(target[joined[-1][-1][1] : run[0]]).all()
        if gap < min_gap_duration - 1e-9 and not skipped:
            joined[-1].append(run)
        else:
            joined.append([run])

    events = []
    for group in joined:
        start, end = float(start_times[group[0][0]]), float(end_times[group[-1][1] - 1])
        if end - start < min_event_duration - 1e-9:
            continue
        confidences = np.concatenate([target[first:stop] for first, stop in group]).astype(np.float64)
        events.append(
            Event(
                id=name_event(recording_id, target_class, start, end),
                class_name=target_class,
                start_time=start,
                end_time=end,
                mean_confidence=float(confidences.mean()),
                max_confidence=float(confidences.max()),
                num_windows=len(confidences),
            )
        )
    return events


def decide_events(scores: Scores, config: InferenceConfig) -> list[Event]:
    """Decide the events on scores; only the event settings of `config` are read.

    Raises
    ------
    ConfigError
        The target class is none of the scores' classes.

    Examples
    --------
    >>> from anemone_lib.scoring import Scores, WindowGrid
    >>> grid = WindowGrid(n_samples=32_000, sample_rate=8000, window_samples=8000, stride_samples=8000)
    >>> target = np.array([0.1, 0.8, 0.9, 0.1], np.float32)
    >>> probabilities = np.column_stack([1 - target, target, 0 * target])
    >>> scores = Scores(probabilities, ("noise", "anemonefish", "biological"), grid)
    >>> [(event.start_time, event.end_time) for event in decide_events(scores, InferenceConfig(smoothing_window=1))]
    [(1.0, 3.0)]
    """
    if config.target_class not in scores.classes:
        raise ConfigError(f"target_class is {config.target_class!r}; the scores know {', '.join(scores.classes)}")
    events: list[Event] = []
    for first, stop, begin, end in _split_at_pauses(scores):
        part = slice(first, stop)
        events += find_events(
            scores.probabilities[part],
            start_times=np.maximum(scores.start_times[part], begin),
            end_times=np.minimum(scores.end_times[part], end),
            classes=scores.classes,
            target_class=config.target_class,
            confidence_threshold=config.confidence_threshold,
            smoothing_window=config.smoothing_window,
            min_gap_duration=config.min_gap_duration,
            min_event_duration=config.min_event_duration,
            recording_id=scores.recording_sha256,
        )
    return events


def _split_at_pauses(scores: Scores) -> Iterator[tuple[int, int, float, float]]:
    """Yield the windows and the seconds of each stretch that was recorded without a pause; no event spans one."""
    middles = (scores.start_times + scores.end_times) / 2
    times = [0.0, *(pause.time for pause in scores.pauses), scores.duration]
    edges = [0, *np.searchsorted(middles, times[1:-1]).tolist(), scores.n_windows]
    for k, (first, stop) in enumerate(pairwise(edges)):
        if first < stop:
            yield first, stop, times[k], times[k + 1]


def name_event(recording_id: str, class_name: str, start_time: float, end_time: float) -> str:
    """Name an event by its content: 12 hex digits, the same each time it is found again."""
    text = f"{recording_id}|{class_name}|{start_time:.4f}|{end_time:.4f}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _find_runs(present: np.ndarray) -> list[tuple[int, int]]:
    """Half-open index ranges of consecutive true values."""
    edges = np.flatnonzero(np.diff(present.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
