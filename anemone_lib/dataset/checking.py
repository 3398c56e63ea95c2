"""Say what is in a dataset, and what is wrong with it."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from anemone_lib.dataset.description import PARTS, Dataset, SplitByTime
from anemone_lib.dataset.proposal import propose_settings
from anemone_lib.dataset.recordings import LabelledRecording, find_files, read_recordings
from anemone_lib.errors import spell_count
from anemone_lib.tables.table import END_TOLERANCE_S

#: With fewer calls or groups than this to learn from, a class is not learnt well.
FEW_CALLS, FEW_GROUPS = 50, 3


@dataclass(frozen=True)
class DatasetReport:
    """The findings of `check_dataset`.

    Attributes
    ----------
    recordings : list of LabelledRecording
    hours : dict of part to hours
    calls : dict of part to dict of class to number of calls
    errors : tuple of str, problems that make results wrong, one sentence each
    warnings : tuple of str, problems that make results doubtful
    suggestions : tuple of str
    """

    recordings: list[LabelledRecording]
    hours: dict[str, float]
    calls: dict[str, dict[str, int]]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    suggestions: tuple[str, ...]


def check_dataset(dataset: Dataset) -> DatasetReport:
    """Check a dataset: hours, labels, classes, split, leaks, clocks, rates, settings.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    report : DatasetReport

    Raises
    ------
    ConfigError, AnnotationError, AudioError
        The description, a table or a recording cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import numpy as np
    >>> import soundfile
    >>> folder = Path(mkdtemp())
    >>> soundfile.write(folder / "reef.wav", np.zeros(40_000), 4_000)
    >>> _ = (folder / "reef.csv").write_text("start,end,label\\n1.0,1.8,lt\\n4.0,4.7,lt\\n6.0,6.2,?\\n")
    >>> from anemone_lib.dataset import draft_dataset
    >>> draft = draft_dataset(folder, labels={"lt": "toadfish", "?": None})
    >>> check_dataset(draft.dataset).calls["train"]
    {'toadfish': 2}
    """
    recordings = read_recordings(dataset)
    hours = {part: sum(_measure_length(one, part) for one in recordings) / 3600 for part in PARTS}
    calls = {
        part: {name: sum(one.count_calls(part)[name] for one in recordings) for name in dataset.calls} for part in PARTS
    }
    errors = [*_find_leaks(recordings), *_find_beyond(recordings)]
    warnings = list(find_files(dataset).notes)
    warnings += [f"{one.name} is not in any part of the split" for one in recordings if not one.spans]
    warnings += _warn_of_odd_boxes(recordings)
    warnings += warn_of_few(recordings, dataset)
    for part, consequence in (("validation", "no threshold can be found for it"), ("test", "it is not tested")):
        if any(part in one.spans for one in recordings):
            absent = [name for name, n in calls[part].items() if not n]
            warnings += [f"{name} has no call in the {part} part: {consequence}" for name in absent]
    warnings += _check_clocks(recordings)
    if isinstance(dataset.split, SplitByTime):
        warnings.append(
            "the split cuts each recording in time: its test says nothing about other days or places; keep whole "
            "recordings for a test as well"
        )
    return DatasetReport(recordings, hours, calls, tuple(errors), tuple(warnings), tuple(_suggest(recordings, dataset)))


def warn_of_few(recordings: Sequence[LabelledRecording], dataset: Dataset) -> list[str]:
    """Warn of each class that has few calls or groups to learn from."""
    messages: list[str] = []
    if not any("train" in one.spans for one in recordings):
        return messages
    for name in dataset.calls:
        n = sum(one.count_calls("train")[name] for one in recordings)
        groups = len({one.group for one in recordings if one.count_calls("train")[name]})
        if n == 0:
            messages.append(f"{name} has no call in the train part: the model cannot learn it")
        elif n < FEW_CALLS or groups < FEW_GROUPS:
            messages.append(
                f"{name} has {spell_count(n, 'call')} of {spell_count(groups, 'group')} in the train part (use at "
                f"least {FEW_CALLS} calls of {FEW_GROUPS} groups): expect many calls to be missed where noise or "
                "animals differ"
            )
    return messages


def _measure_length(one: LabelledRecording, part: str) -> float:
    start, end = one.spans.get(part, (0.0, 0.0))
    return end - start


def _find_leaks(recordings: Sequence[LabelledRecording]) -> list[str]:
    """Say which groups are on both sides of a split by name, and which audio has two names."""
    messages: list[str] = []
    sides: dict[str, set[str]] = defaultdict(set)
    copies: dict[str, list[LabelledRecording]] = defaultdict(list)
    for one in recordings:
        if len(one.spans) == 1:
            sides[one.group].update(one.spans)
        copies[one.sha256].append(one)
    messages += [
        f"group {group} is in {' and '.join(sorted(parts))}: a result on it looks better than it is"
        for group, parts in sorted(sides.items())
        if len(parts) > 1
    ]
    for same in copies.values():
        if len({part for one in same for part in one.spans}) > 1 and len(same) > 1:
            messages.append(f"{' and '.join(one.name for one in same)} are the same audio, in different parts")
    return messages


def _find_beyond(recordings: Sequence[LabelledRecording]) -> list[str]:
    late = [(one, sum(a.start_time >= one.duration for a in (*one.annotations, *one.unclear))) for one in recordings]
    return [
        f"{one.table.name}: {spell_count(n, 'annotation')} {'starts' if n == 1 else 'start'} after the end of "
        f"{one.name} ({one.duration:.1f} s); is it another recording's table?"
        for one, n in late
        if n
    ]


def _warn_of_odd_boxes(recordings: Sequence[LabelledRecording]) -> list[str]:
    """Warn of annotations that are cut at a recording's end, and of those that a table has twice."""
    messages = []
    for one in recordings:
        boxes = [(a.start_time, a.end_time, a.label) for a in (*one.annotations, *one.unclear)]
        cut = sum(start < one.duration < end - END_TOLERANCE_S for start, end, _ in boxes)
        again = len(boxes) - len(set(boxes))
        if cut:
            messages.append(
                f"{one.table.name}: {spell_count(cut, 'annotation')} {'ends' if cut == 1 else 'end'} after the end of "
                f"{one.name} ({one.duration:.1f} s) and {'is' if cut == 1 else 'are'} cut there"
            )
        if again:
            messages.append(
                f"{one.table.name}: {spell_count(again, 'annotation')} {'is' if again == 1 else 'are'} there already, "
                "with the same times and class; was a table put into itself?"
            )
    return messages


def _check_clocks(recordings: Sequence[LabelledRecording]) -> list[str]:
    """Say which recordings have no start time, and which overlap."""
    times = [(one.start_time.timestamp(), one) for one in recordings if one.start_time is not None]
    messages = []
    if unknown := len(recordings) - len(times):
        messages.append(f"{spell_count(unknown, 'recording')} without a start time: the events have no date")
    times.sort(key=lambda pair: (pair[0], pair[1].name))
    for (first, one), (second, other) in itertools.pairwise(times):
        if second < first + one.duration - 0.5 and one.path.parent == other.path.parent:
            messages.append(f"{one.name} and {other.name} overlap in time; is the clock right, or are they copies?")
    return messages


def _suggest(recordings: Sequence[LabelledRecording], dataset: Dataset) -> list[str]:
    rates = Counter(one.sample_rate for one in recordings)
    messages = []
    target_sr = dataset.settings.get("target_sr")
    if len(rates) > 1 and target_sr is None:
        messages.append(
            f"the recordings have {len(rates)} sample rates ({', '.join(map(str, sorted(rates)))} Hz); set target_sr "
            f"to {min(rates)}, so that all give the same picture"
        )
    proposed = propose_settings(recordings)
    different = {name: value for name, value in proposed.items() if dataset.settings.get(name) != value}
    if different:
        messages.append("settings that fit the labels: " + ", ".join(f"{k}: {v:g}" for k, v in different.items()))
    return messages
