"""Parts of a recording that cannot be analysed: gaps in seconds, lost spans in samples.

A decoder says which of its samples are lost, and why, as `Lost` spans. A result says it as `Gap` intervals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Gap:
    """An interval that cannot be analysed: seconds from the start of the recording, and why.

    Examples
    --------
    >>> gap = Gap(12.0, 13.5, "the samples are not finite numbers, or could not be decoded")
    >>> gap.end_time - gap.start_time
    1.5
    """

    start_time: float
    end_time: float
    reason: str


@dataclass(frozen=True, order=True)
class Lost:
    """Samples `start` to `stop` (exclusive) that have no true value, and why."""

    start: int
    stop: int
    reason: str


@dataclass(frozen=True)
class Pause:
    """A time that was not recorded: at `time`, the clock jumps by `duration` seconds, and the audio continues.

    Attributes
    ----------
    time : float, seconds from the start of the recording, in the recording's own samples
    duration : float > 0, seconds that passed before the next sample

    Examples
    --------
    A recorder slept for half an hour; the sound that follows is half a second later in the file:

    >>> add_pauses(30.5, [Pause(time=30.0, duration=1800.0)])
    1830.5
    """

    time: float
    duration: float


def add_pauses(seconds: float, pauses: Iterable[Pause]) -> float:
    """Return the seconds from the start of the recording by the clock, with the pauses before that time.

    Examples
    --------
    >>> add_pauses(46.4, [Pause(30.0, 1770.0)])
    1816.4
    """
    return seconds + sum(pause.duration for pause in pauses if pause.time <= seconds)


def join_lost(spans: Iterable[Lost], *, closer_than: int = 1) -> list[Lost]:
    """Join spans that overlap, touch, or lie closer than a number of samples.

    The reason of the earlier span is kept. The result does not depend on how the spans were cut.

    Parameters
    ----------
    spans : Lost, in any order
    closer_than : int >= 1, in samples

    Returns
    -------
    joined : list of Lost, by start, at least `closer_than` samples apart

    Examples
    --------
    >>> join_lost([Lost(10, 20, "a"), Lost(20, 30, "b"), Lost(90, 99, "c")])
    [Lost(start=10, stop=30, reason='a'), Lost(start=90, stop=99, reason='c')]
    """
    joined: list[Lost] = []
    for span in sorted(spans):
        if span.stop <= span.start:
            continue
        if joined and span.start - joined[-1].stop < closer_than:
            if span.stop > joined[-1].stop:
                joined[-1] = replace(joined[-1], stop=span.stop)
        else:
            joined.append(span)
    return joined


def find_lost(samples: np.ndarray) -> np.ndarray:
    """Find the runs of NaN in samples.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32

    Returns
    -------
    runs : np.ndarray [shape=(n_runs, 2)], int, first sample and one past the last

    Examples
    --------
    >>> find_lost(np.array([0, np.nan, np.nan, 1], np.float32)).tolist()
    [[1, 3]]
    """
    edges = np.diff(np.isnan(samples).astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges).reshape(-1, 2)


def find_reason(spans: Sequence[Lost], start: int, stop: int, default: str) -> str:
    """Return the reason of the first span that overlaps a range, or the default."""
    return next((span.reason for span in spans if span.start < stop and span.stop > start), default)
