"""Find the classes that a stretch of time holds, from annotations.

*Conventions.* A window holds a class when it holds at least 30 ms, or half, of one of its annotations, so that short
calls count and long ones are covered. Where it holds less, or a part of an annotation of no class, it is not known
whether the class is there. The first class is the background: present where no other is, known where all are.
"""

from collections.abc import Sequence

import numpy as np

from anemone_lib.detection.events import Annotation

#: Part of an annotation that a window must hold to hold its class: this long, or half of it.
MIN_OVERLAP_S = 0.03


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
