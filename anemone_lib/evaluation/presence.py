"""Find the classes that a stretch of time holds, from annotations.

*Conventions.* A window holds a class when it holds at least 30 ms, or half, of one of its annotations, so that short
calls count and long ones are covered. Where it holds less, or a part of an annotation of no class, it is not known
whether the class is there. The first class is the background: present where no other is, known where all are.
"""

from collections.abc import Sequence

import numpy as np

from anemone_lib.detection.events import Annotation

#: A window has the class of an annotation if it contains this many seconds of it, or half of it.
MIN_OVERLAP_S = 0.03
#: Part of a window around its middle where a call counts whole, and what it counts at the window's edge.
MIDDLE, EDGE_GRADE = 0.2, 0.5


def mark_presence(
    annotations: Sequence[Annotation],
    *,
    start_times: np.ndarray,
    end_times: np.ndarray,
    classes: Sequence[str],
    unclear: Sequence[Annotation] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Tell which windows hold which classes, several at once where they overlap.

    Parameters
    ----------
    annotations : sequence of Annotation
        Their labels are of `classes`; others are left out.
    start_times, end_times : np.ndarray [shape=(n_windows,)], in seconds, ascending
    classes : names, the background first
    unclear : sequence of Annotation
        What a window holds of these is neither a call nor background.

    Returns
    -------
    present : np.ndarray [shape=(n_windows, n_classes)], bool
    known : np.ndarray [shape=(n_windows, n_classes)], bool
        Where False, `present` says nothing.

    Examples
    --------
    >>> present, known = mark_presence(
    ...     [Annotation(1.2, 1.8, "grunt")],
    ...     start_times=np.array([0.0, 0.21, 1.0]),
    ...     end_times=np.array([1.0, 1.21, 2.0]),
    ...     classes=("noise", "grunt"),
    ... )
    >>> present[:, 1].tolist(), known[:, 1].tolist()
    ([False, False, True], [True, False, True])
    """
    present = np.zeros((len(start_times), len(classes)), bool)
    known = np.ones_like(present)
    column = {name: k for k, name in enumerate(classes)}
    calls = [(one, column.get(one.label, 0)) for one in annotations]
    for one, k in (*calls, *((one, 0) for one in unclear)):  # unclear, also where its label is a class
        first = np.searchsorted(end_times, one.start_time, side="right")
        last = np.searchsorted(start_times, one.end_time, side="right" if one.end_time == one.start_time else "left")
        overlap = np.minimum(end_times[first:last], one.end_time) - np.maximum(start_times[first:last], one.start_time)
        if k == 0:
            known[first:last] = False
            continue
        enough = overlap >= min(MIN_OVERLAP_S, 0.5 * (one.end_time - one.start_time)) - 1e-9
        present[first:last, k] |= enough
        known[first:last, k] &= enough
    known[:, 1:] |= present[:, 1:]
    present[:, 0] = ~present[:, 1:].any(axis=1)
    known[:, 0] = known[:, 1:].all(axis=1) | ~present[:, 0]
    return present, known


def grade_presence(
    annotations: Sequence[Annotation],
    present: np.ndarray,
    *,
    start_times: np.ndarray,
    end_times: np.ndarray,
    classes: Sequence[str],
) -> np.ndarray:
    """Grade how near to the middle of a window its calls come: what a model learns to answer.

    A call that reaches the middle fifth counts 1; from there it falls to 0.5 for one that the window only touches. A
    model that answers so ranks both above background, and a threshold above 0.5 tells calls apart that lie less than
    two windows from each other, whose windows overlap.

    Parameters
    ----------
    annotations, start_times, end_times, classes : as for `mark_presence`
    present : np.ndarray [shape=(n_windows, n_classes)], bool, as from there

    Returns
    -------
    grades : np.ndarray [shape=(n_windows, n_classes)], float32
        0 where a class is not present; the background has what the surest class leaves.

    Examples
    --------
    >>> calls = [Annotation(1.0, 1.2, "grunt")]
    >>> start = np.array([0.0, 0.2, 0.6, 1.0])
    >>> windows = {"start_times": start, "end_times": start + 1, "classes": ("noise", "grunt")}
    >>> present, _ = mark_presence(calls, **windows)
    >>> grade_presence(calls, present, **windows)[:, 1].round(2).tolist()
    [0.0, 0.75, 1.0, 0.75]
    """
    grades = np.zeros(present.shape, np.float32)
    middle, half = (start_times + end_times) / 2, (end_times - start_times) / 2
    column = {name: k for k, name in enumerate(classes)}
    for one in annotations:
        if k := column.get(one.label, 0):
            away = np.maximum(0, np.maximum(one.start_time - middle, middle - one.end_time)) / half
            near = 1 - (1 - EDGE_GRADE) * np.clip((away - MIDDLE) / (1 - MIDDLE), 0, 1)
            grades[:, k] = np.maximum(grades[:, k], np.where(away <= 1, near, 0))
    grades *= present
    grades[:, 0] = 1 - grades[:, 1:].max(axis=1, initial=0)
    return grades
