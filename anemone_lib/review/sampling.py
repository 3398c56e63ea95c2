"""Choose which events of many recordings, and which windows without an event, are reviewed, and in which order.

*Conventions.* The confidence of an event is the highest of its windows, which is compared with the threshold.
A quiet window overlaps no event. Every random choice uses a seed: the same seed gives the same choice again.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anemone_lib.detection.detections import Detections
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.intervals import Intervals, as_intervals, mark_windows

#: Stratified: as many of each range of confidence. Uncertain: nearest the threshold first. Everything: as they lie.
SAMPLES = ("stratified", "uncertain", "random", "everything")
#: Ranges of confidence of a stratified sample, of equal width.
N_STRATA = 10


@dataclass(frozen=True)
class ReviewItem:
    """An event, or a window without one, that a person judges.

    Attributes
    ----------
    id : str
    recording : str, path of the recording
    start_time, end_time : float, in seconds from the start of the recording
    confidence : float in [0, 1]
    kind : ``event`` or ``window``
    num_windows : int, windows of the grid that it stands for

    Examples
    --------
    >>> item = ReviewItem("0c7f1a2b3d4e", "north/reef.wav", 1.2, 4.2, 0.94)
    >>> item.site, item.kind
    ('north', 'event')
    """

    id: str
    recording: str
    start_time: float
    end_time: float
    confidence: float
    kind: str = "event"
    num_windows: int = 1

    @property
    def site(self) -> str:
        """The folder of the recording."""
        return Path(self.recording).parent.name


def list_events(found: Mapping[str, Detections]) -> list[ReviewItem]:
    """List the events of many recordings.

    Parameters
    ----------
    found : mapping of the path of a recording to its Detections

    Returns
    -------
    items : list of ReviewItem, by recording and time

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import detect
    >>> detections = detect(path)
    >>> [item.id for item in list_events({path: detections})] == [event.id for event in detections.events]
    True
    """
    items = []
    for path, detections in found.items():
        for event in detections.events:
            there = _mark_events(detections, [(event.start_time, event.end_time)])
            items.append(
                ReviewItem(
                    event.id,
                    os.fspath(path),
                    event.start_time,
                    event.end_time,
                    event.max_confidence,
                    num_windows=int(there.sum()),
                )
            )
    return items


def list_quiet_windows(found: Mapping[str, Detections]) -> list[ReviewItem]:
    """List the windows of many recordings that overlap no event: calls that are missed lie in them.

    Parameters
    ----------
    found : mapping of the path of a recording to its Detections

    Returns
    -------
    items : list of ReviewItem of the kind ``window``, by recording and time; skipped windows are left out

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import detect
    >>> detections = detect(path)
    >>> windows = list_quiet_windows({path: detections})
    >>> 0 < len(windows) < len(detections.scores.probabilities), windows[0].kind
    (True, 'window')
    """
    items = []
    for path, detections in found.items():
        scores, target = detections.scores, detections.config.target_class
        probabilities = scores.probabilities[:, scores.classes.index(target)]
        quiet = np.isfinite(probabilities) & ~_mark_events(detections, detections.events)
        for k in np.flatnonzero(quiet).tolist():
            name = hashlib.sha256(f"{scores.recording_sha256} {scores.recording_name} window {k}".encode()).hexdigest()
            start, end = float(scores.start_times[k]), min(float(scores.end_times[k]), scores.duration)
            items.append(ReviewItem(f"w{name[:11]}", os.fspath(path), start, end, float(probabilities[k]), "window"))
    return items


def draw_items(
    items: Sequence[ReviewItem],
    sample: str = "stratified",
    *,
    n: int | None = None,
    seed: int = 0,
    threshold: float = 0.5,
) -> list[ReviewItem]:
    """Choose which items are reviewed, and in which order.

    Parameters
    ----------
    items : sequence of ReviewItem
    sample : one of `SAMPLES`
        ``stratified`` draws the same number from each range of confidence, in turn, so that any first part of the
        list is stratified, too; ``random`` draws each with the same chance; ``uncertain`` begins with those nearest the
        threshold; ``everything`` goes by recording and time.
    n : int >= 0, optional
        How many; by default all.
    seed : int
    threshold : float in [0, 1], of ``uncertain``

    Returns
    -------
    drawn : list of ReviewItem

    Raises
    ------
    ConfigError
        There is no such sample.

    Examples
    --------
    >>> items = [ReviewItem(f"e{k}", "reef.wav", k, k + 1, confidence) for k, confidence in enumerate([0.5, 0.52, 0.9])]
    >>> [item.id for item in draw_items(items, "uncertain", n=2)]
    ['e0', 'e1']
    >>> "e2" in [item.id for item in draw_items(items, "stratified", n=2)]
    True
    """
    if sample not in SAMPLES:
        raise ConfigError(f"sample is {sample!r}; it must be one of {', '.join(SAMPLES)}")
    if n is not None and n < 0:
        raise ConfigError(f"n is {n}; it must be 0 or more, or left out for all")
    items = sorted(items, key=lambda one: (one.recording, one.start_time, one.id))
    rng = np.random.default_rng(seed)
    if sample == "uncertain":
        items.sort(key=lambda one: abs(one.confidence - threshold))
    elif sample == "random":
        items = [items[k] for k in rng.permutation(len(items)).tolist()]
    elif sample == "stratified":
        items = _take_turns(items, rng)
    return items[:n]


def draw_windows(items: Iterable[ReviewItem], n: int, *, seed: int = 0) -> list[ReviewItem]:
    """Draw quiet windows, each with the same chance.

    Parameters
    ----------
    items : iterable of ReviewItem, all quiet windows
    n : int >= 0
    seed : int

    Returns
    -------
    drawn : list of ReviewItem, at most `n`

    Examples
    --------
    >>> items = [ReviewItem(f"w{k}", "reef.wav", k, k + 1, 0.1, "window") for k in range(9)]
    >>> len(draw_windows(items, 4)), draw_windows(items, 4) == draw_windows(items, 4)
    (4, True)
    """
    return draw_items(list(items), "random", n=n, seed=seed + 1)


def _take_turns(items: list[ReviewItem], rng: np.random.Generator) -> list[ReviewItem]:
    """Draw one of each range of confidence, again and again, until all are drawn."""
    if not items:
        return []
    values = np.array([one.confidence for one in items])
    edges = np.linspace(values.min(), values.max(), N_STRATA + 1)[1:-1]
    places = np.searchsorted(edges, values, side="right")
    queues = [rng.permutation(np.flatnonzero(places == k)).tolist() for k in range(N_STRATA)]
    drawn: list[ReviewItem] = []
    while any(queues):
        drawn += [items[queues[k].pop()] for k in rng.permutation(N_STRATA).tolist() if queues[k]]
    return drawn


def _mark_events(detections: Detections, events: Intervals) -> np.ndarray:
    """Which windows overlap events [shape=(n_windows,)]."""
    scores = detections.scores
    return mark_windows(as_intervals(events), start_times=scores.start_times, end_times=scores.end_times)
