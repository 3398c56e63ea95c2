"""Add a review to a dataset: accepted events, and in recordings without a table, the stretches that were reviewed.

*Conventions.* A person's table goes before a verdict: an accepted event is added where the table has no annotation of
its class. A recording without a table is annotated where it was reviewed, and unclear everywhere else. A rejected event
is background where the dataset has one class of calls, and unclear where it has several, because it may be another. A
quiet window in which a call was heard is unclear: its start is not known. Where reviewers disagree, the
majority counts; a draw is unclear.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from anemone_lib.dataset.description import Dataset
from anemone_lib.detection.events import Annotation, fold_label
from anemone_lib.errors import ConfigError
from anemone_lib.tables.verdicts import Verdict, read_verdicts

#: Label of the intervals of a recording without a table that nobody reviewed.
UNREVIEWED = "not reviewed"


def read_reviewed(dataset: Dataset) -> dict[Path, list[Verdict]]:
    """Read the verdicts of a dataset, one an event, by the recording's path.

    Parameters
    ----------
    dataset : Dataset, which names a table of verdicts

    Returns
    -------
    verdicts : dict of resolved path to list of Verdict; a draw between reviewers has an empty label

    Raises
    ------
    ConfigError
        A recording that is not there.
    AnnotationError
        The table cannot be read.
    """
    if not dataset.verdicts:
        return {}
    table = dataset.folder / dataset.verdicts
    find = cache(partial(_find, folder=dataset.folder, table=table))
    by_event: dict[tuple[Path, str], list[Verdict]] = {}
    for one in read_verdicts(table):
        by_event.setdefault((find(one.recording), one.event_id), []).append(one)
    found: dict[Path, list[Verdict]] = {}
    for (path, _), verdicts in by_event.items():
        found.setdefault(path, []).append(_take_majority(verdicts))
    return found


def add_verdicts(
    annotations: Sequence[Annotation],
    unclear: Sequence[Annotation],
    verdicts: Sequence[Verdict],
    dataset: Dataset,
    *,
    duration: float | None = None,
) -> tuple[tuple[Annotation, ...], tuple[Annotation, ...]]:
    """Add verdicts to the annotations of a recording.

    Parameters
    ----------
    annotations, unclear : sequences of Annotation, of the recording's table
    verdicts : sequence of Verdict, one an event
    dataset : Dataset
    duration : float, in seconds, of a recording without a table

    Returns
    -------
    annotations, unclear : tuples of Annotation

    Examples
    --------
    >>> dataset = Dataset(recordings=("reef/",), classes=("noise", "toadfish"), target_class="toadfish")
    >>> verdict = Verdict("e1", "reef.wav", 1.0, 2.0, "toadfish", True, 0.9)
    >>> calls, unclear = add_verdicts((), (), [verdict], dataset, duration=10.0)
    >>> [(one.start_time, one.end_time) for one in calls], [(one.start_time, one.end_time) for one in unclear]
    ([(1.0, 2.0)], [(0.0, 1.0), (2.0, 10.0)])
    """
    calls, doubtful, known = list(annotations), list(unclear), []
    for one in sorted(verdicts, key=lambda verdict: verdict.start_time):
        box = Annotation(one.start_time, one.end_time, one.label, id=one.event_id)
        name = _find_class(one, dataset)
        if name is None:
            doubtful += [box] if duration is not None or not one.label else []
            continue
        known.append(box)
        overlapped = any(c.label == name and c.start_time < box.end_time and box.start_time < c.end_time for c in calls)
        if name != dataset.classes[0] and not overlapped:
            calls.append(replace(box, label=name))
    if duration is not None:
        doubtful += _list_rest(known, duration)
    return tuple(sorted(calls, key=lambda row: row.start_time)), tuple(doubtful)


def _find_class(one: Verdict, dataset: Dataset) -> str | None:
    """Return the class of a verdict; None if it is not clear."""
    if one.is_call:
        return dataset.find_class(one.label) if one.kind == "event" else None
    if not one.label:
        return None
    if one.label.casefold().startswith("not "):
        return dataset.classes[0] if len(dataset.calls) == 1 else None
    return dataset.find_class(one.label)


def _take_majority(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of most reviewers on an event; of a reviewer who judged twice, the last verdict counts."""
    last = {one.reviewer: one for one in verdicts}.values()
    (first, n), *others = Counter(fold_label(one.label) for one in last).most_common()
    if others and others[0][1] == n:
        return replace(verdicts[0], label="", is_call=False)
    return next(one for one in last if fold_label(one.label) == first)


def _find(recording: str, folder: Path, table: Path) -> Path:
    """Find the recording of a verdict: by its path, or by the end of it in the dataset's folder or beside the table.

    A table that was written on another computer has the paths of that computer.
    """
    parts = re.split(r"[/\\]", recording)
    moved = ["/".join(parts[k:]) for k in range(len(parts))]
    for path in (Path(recording), *(place / tail for tail in moved if tail for place in (folder, table.parent))):
        if path.is_file():
            return path.resolve()
    raise ConfigError(
        f"{table.name} has verdicts on {recording}, which is not there; correct the path in the table, or move the "
        "recording back"
    )


def _list_rest(known: Sequence[Annotation], duration: float) -> list[Annotation]:
    """List the intervals before, between and after stretches, by start time."""
    rest, last = [], 0.0
    for one in known:
        if one.start_time > last:
            rest.append(Annotation(last, one.start_time, UNREVIEWED))
        last = max(last, one.end_time)
    return rest + ([Annotation(last, duration, UNREVIEWED)] if last < duration else [])
