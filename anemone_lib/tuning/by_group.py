"""A threshold for each group, found on its first annotated seconds, and its gain on the rest.

*Conventions.* A threshold that is good for one deployment is often bad for another, for every method. A group (a
deployment, a day, a site) gets its own threshold if its first seconds have a call; otherwise it keeps the common
threshold. Only the threshold is chosen again, because with a few seconds more settings would fit by chance. If several
thresholds are equally good on these seconds, the one nearest to the common threshold is taken.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import fold_label
from anemone_lib.errors import AnnotationError, ConfigError
from anemone_lib.evaluation.rates import Counts, add_counts, bootstrap_interval, format_interval, format_rate
from anemone_lib.promotion import Promotion
from anemone_lib.tuning.by_class import ScoredPart
from anemone_lib.tuning.decisions import THRESHOLDS, Decisions, choose_plateau
from anemone_lib.tuning.doubts import doubt_gain
from anemone_lib.tuning.recordings import AnnotatedRecording, count_recordings
from anemone_lib.tuning.sweep import SearchSpace, sweep_settings

#: The shortest rest of a recording, after the first seconds, that is used for the test.
MIN_REST_S = 3.0


@dataclass(frozen=True)
class GroupGain:
    """The gain of a group's own threshold for one class.

    Attributes
    ----------
    group, class_name : str
    n_first : int, bouts in the first seconds, which the threshold was found on
    threshold_before, threshold : float, of all groups and of this one
    before, after : Counts, of the rest of the recordings, with the threshold of all groups and with the group's own

    Examples
    --------
    >>> gain = GroupGain("2021-07-07", "toadfish", 6, 0.98, 0.73, Counts(20, 9, 8, 120), Counts(20, 21, 18, 120))
    >>> round(gain.after.f1 - gain.before.f1, 2)
    0.33
    """

    group: str
    class_name: str
    n_first: int
    threshold_before: float
    threshold: float
    before: Counts
    after: Counts


def tune_groups(
    parts: Sequence[ScoredPart], decisions: Decisions, *, seconds: float = 30.0, bout_gap: float | None = None
) -> tuple[Decisions, list[ScoredPart]]:
    """Find each group's own threshold on the first seconds that are annotated of each of its recordings.

    Parameters
    ----------
    parts : sequence of ScoredPart
    decisions : Decisions, whose other settings are kept
    seconds : float > 0, of each recording
    bout_gap : float >= 0, in seconds

    Returns
    -------
    decisions : Decisions, with groups
    rest : list of ScoredPart, the rest of the recordings, for the test

    Raises
    ------
    ConfigError
        No second to tune on.
    """
    if not seconds > 0:
        raise ConfigError(f"seconds is {seconds}; it must be more than 0, like 30")
    groups: dict[str, dict[str, InferenceConfig]] = {}
    for group in sorted({part.group for part in parts}):
        first = [_begin(part, seconds).annotated for part in parts if part.group == group]
        tuned = {}
        for name, config in decisions.configs.items():
            space = SearchSpace(
                (config.smoothing_window,),
                tuple(sorted({*THRESHOLDS, config.confidence_threshold})),
                (config.min_gap_duration,),
                (config.min_event_duration,),
            )
            try:
                tried = sweep_settings(first, space, target_class=name, labels=[name], bout_gap=bout_gap)
                tuned[name] = choose_plateau(tried, config, near_base=True)
            except AnnotationError:  # no call in these seconds: the threshold of all groups stays
                continue
        if tuned:
            groups[group] = tuned
    return Decisions(decisions.configs, decisions.segment_thresholds, groups, decisions.untuned), _leave(parts, seconds)


def measure_groups(
    parts: Sequence[ScoredPart], decisions: Decisions, *, seconds: float = 30.0, bout_gap: float | None = None
) -> list[GroupGain]:
    """Measure the gain of the groups' own thresholds on the rest of the recordings, after the first seconds.

    Parameters
    ----------
    parts : sequence of ScoredPart, as `tune_groups` was given
    decisions : Decisions, as `tune_groups` returned them
    seconds, bout_gap : as there

    Returns
    -------
    gains : list of GroupGain, by class and group; if nothing of a group is left for the test, its counts are 0
    """
    gains = []
    for name, config in decisions.configs.items():
        for group in sorted({part.group for part in parts}):
            own = [part for part in parts if part.group == group]
            rest = [part.annotated for part in _leave(own, seconds)]
            tuned = decisions.groups.get(group, {}).get(name, config)
            first = [_begin(part, seconds).annotated for part in own]
            before, after = (
                add_counts(count_recordings(rest, one, labels=[name], bout_gap=bout_gap)) for one in (config, tuned)
            )
            n_first = sum(len(one.join_bouts(labels=[name], bout_gap=bout_gap)) for one in first)
            thresholds = config.confidence_threshold, tuned.confidence_threshold
            gains.append(GroupGain(group, name, n_first, *thresholds, before, after))
    return gains


def tune_each_group(
    recordings: Iterable[AnnotatedRecording],
    config: InferenceConfig,
    groups: Mapping[str, str],
    *,
    labels: Iterable[str],
    seconds: float = 30.0,
    bout_gap: float | None = None,
) -> tuple[Decisions, list[GroupGain]]:
    """Find and measure the groups' own thresholds for one class, on recordings that `config` was not tuned on.

    Parameters
    ----------
    recordings : iterable of AnnotatedRecording, like `Tuning.held_out`
    config : InferenceConfig, the settings of all groups, whose target class counts
    groups : mapping of a recording's name to its group; a recording that it does not name is a group of its own
    labels : names that stand for the target class
    seconds, bout_gap : as in `tune_groups`

    Returns
    -------
    decisions : Decisions
    gains : list of GroupGain

    Examples
    --------
    >>> from anemone_lib.detection import Annotation
    >>> from anemone_lib.scoring import Scores, WindowGrid
    >>> grid = WindowGrid(n_samples=80_000, sample_rate=8000, window_samples=8000, stride_samples=8000)
    >>> target = np.tile(np.float32([0.1, 0.7, 0.1, 0.1, 0.1]), 2)  # this hydrophone's calls never reach 0.9
    >>> scores = Scores(np.stack([1 - target, target], axis=1), ("noise", "grunt"), grid, recording_name="reef.wav")
    >>> recording = AnnotatedRecording(scores, [Annotation(1.2, 1.8, "grunt"), Annotation(6.2, 6.8, "grunt")])
    >>> config = InferenceConfig(
    ...     model_classes="noise,grunt", target_class="grunt", confidence_threshold=0.9, smoothing_window=1
    ... )
    >>> _, [gain] = tune_each_group([recording], config, {}, labels=["grunt"], seconds=5)
    >>> gain.threshold < 0.7, gain.before.f1, gain.after.f1
    (True, 0.0, 1.0)
    """
    parts = _lay_parts(recordings, groups, labels=labels, target_class=config.target_class)
    decisions, _ = tune_groups(parts, Decisions({config.target_class: config}, {}), seconds=seconds, bout_gap=bout_gap)
    return decisions, measure_groups(parts, decisions, seconds=seconds, bout_gap=bout_gap)


def list_gains(gains: Sequence[GroupGain]) -> list[str]:
    """Write a table of the gains of the groups' own thresholds, in Markdown.

    Parameters
    ----------
    gains : sequence of GroupGain

    Returns
    -------
    lines : list of str, the lines of the table; none if there are no gains

    Examples
    --------
    >>> gain = GroupGain("2021-07-07", "toadfish", 6, 0.98, 0.73, Counts(20, 9, 8, 120), Counts(20, 21, 18, 120))
    >>> print(list_gains([gain])[2])
    | 2021-07-07 | toadfish | 6 | 0.98 → 0.73 | 20 | 0.55 → 0.88 |
    """
    if not gains:
        return []
    lines = [
        "| group | class | bouts annotated for it | threshold → its own | bouts after that | F1 of events there |",
        "|---|---|---:|---|---:|---|",
    ]
    for one in gains:
        change = f"{one.threshold_before:.2g} → {one.threshold:.2g}"
        rates = " → ".join(
            format_rate(counts.f1 if counts.n_reference else None, ".2f") for counts in (one.before, one.after)
        )
        nothing = "no call" if one.after.duration else "nothing left"
        lines.append(
            f"| {one.group} | {one.class_name} | {one.n_first} | {change if one.n_first else 'none: as before'} "
            f"| {one.after.n_reference} | {rates if one.after.n_reference else nothing} |"
        )
    return lines


def spell_gains(gains: Sequence[GroupGain]) -> str:
    """Say for each class in a sentence how much its groups' own thresholds gain, with the interval by group.

    Examples
    --------
    >>> gain = GroupGain("2021-07-07", "toadfish", 6, 0.98, 0.73, Counts(20, 9, 8, 120), Counts(20, 21, 18, 120))
    >>> spell_gains([gain])
    'toadfish: F1 of events 0.552 → 0.878, +0.326 (interval unknown, 95 % by group).'
    """
    if not any(one.after.duration for one in gains):
        return "No recording is longer than the first seconds: there is nothing to test on."
    sentences = []
    for name in dict.fromkeys(one.class_name for one in gains):
        before, after = (
            [getattr(one, side) for one in gains if one.class_name == name and one.after.duration]
            for side in ("before", "after")
        )
        if not add_counts(after).n_reference:
            sentences.append(f"{name}: no call after the first seconds.")
            continue
        f1, f1_before = add_counts(after).f1, add_counts(before).f1
        interval = format_interval(*bootstrap_interval(after, baseline=before), "+.3f")
        sentences.append(
            f"{name}: F1 of events {f1_before:.3f} → {f1:.3f}, {f1 - f1_before:+.3f} ({interval}, 95 % by group)."
        )
    return " ".join(sentences)


def doubt_groups(gains: Sequence[GroupGain], name: str) -> list[str]:
    """Say why the groups' own thresholds of one class should not be written.

    A threshold that was found on a group's own annotations needs no test on other groups: a single new deployment has
    no other group, and its later seconds may have no annotation. A doubt needs a measured loss.

    Returns
    -------
    doubts : list of str
        A loss, or a gain whose interval by group reaches below 0. Empty if nothing was measured, or nothing changes.

    Examples
    --------
    >>> loss = [GroupGain(day, "grunt", 6, 0.9, 0.7, Counts(9, 9, 8, 99), Counts(9, 9, 7, 99)) for day in "ab"]
    >>> doubt_groups(loss, "grunt"), doubt_groups(loss, "knock")
    (['F1 is lower after the first seconds by 0.111 (-0.111 to -0.111)'], [])
    """
    own = [one for one in gains if one.class_name == name]
    if all(one.threshold == one.threshold_before for one in own):
        return []
    before, after = ([getattr(one, side) for one in own if one.after.duration] for side in ("before", "after"))
    gain = add_counts(after).f1 - add_counts(before).f1
    low, high = bootstrap_interval(after, baseline=before)
    if gain < 0 or low < 0:
        return doubt_gain(gain, low, high, where="after the first seconds")
    return []


def save_groups(
    decisions: Decisions, folder: Path, *, target_class: str, model_sha256: str, dataset_sha256: str = ""
) -> list[Path]:
    """Write the settings of every group that has its own, one file for each group, as ``--config`` reads them.

    Parameters
    ----------
    decisions : Decisions
    folder : path, made where it is missing
    target_class : str
    model_sha256, dataset_sha256 : str, as in `Promotion`

    Returns
    -------
    paths : list of pathlib.Path, by group
        In the names, "_" replaces characters that a file name may not have. A name that differs from another one in
        upper and lower case alone gets a number, because some disks take both for the same.
    """
    paths: list[Path] = []
    taken: set[str] = set()
    for group, own in sorted(decisions.groups.items()):
        if target_class in own:
            folder.mkdir(parents=True, exist_ok=True)
            stem, number = re.sub(r"[^\w.-]+", "_", group), 1
            name = stem
            while name.casefold() in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name.casefold())
            path = folder / f"{name}.auto.tfvars.json"
            paths.append(Promotion(own[target_class], model_sha256, dataset_sha256).save(path))
    return paths


def note_other_groups(folder: Path, written: Sequence[Path]) -> str:
    """Say which groups in a folder have settings of an earlier tuning.

    Parameters
    ----------
    folder : path
    written : sequence of pathlib.Path, as of `save_groups`

    Returns
    -------
    note : str, empty if all settings in the folder were written now

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> _ = Path(folder, "north.auto.tfvars.json").write_text("{}")
    >>> note_other_groups(folder, []).removeprefix(str(folder))
    ' also has settings of an earlier tuning, north.auto.tfvars.json; delete them if that group has none of its own now'
    """
    names = sorted(path.name for path in folder.glob("*.auto.tfvars.json") if path not in written)
    if not names:
        return ""
    groups = "that group has" if len(names) == 1 else "those groups have"
    return (
        f"{folder} also has settings of an earlier tuning, {', '.join(names)}; delete them if {groups} none of "
        f"{'its' if len(names) == 1 else 'their'} own now"
    )


def _begin(part: ScoredPart, seconds: float) -> ScoredPart:
    return part.narrow(part.span[0], part.span[0] + seconds)


def _leave(parts: Sequence[ScoredPart], seconds: float) -> list[ScoredPart]:
    """Return the rest of the parts after the first seconds; parts that are too short are left out."""
    return [
        part.narrow(part.span[0] + seconds, part.span[1])
        for part in parts
        if part.span[1] > part.span[0] + seconds + MIN_REST_S
    ]


def _lay_parts(
    recordings: Iterable[AnnotatedRecording], groups: Mapping[str, str], *, labels: Iterable[str], target_class: str
) -> list[ScoredPart]:
    """Make a part of a group from each annotated recording, from its first window with a score to its last."""
    targets, parts = {fold_label(label) for label in labels}, []
    for one in recordings:
        scored = np.flatnonzero(np.isfinite(one.scores.probabilities).all(axis=1))
        if len(scored) == 0:
            continue
        span = float(one.scores.start_times[scored[0]]), float(one.scores.end_times[scored[-1]])
        calls = [
            replace(call, label=target_class) if fold_label(call.label) in targets else call for call in one.annotations
        ]
        parts.append(ScoredPart(AnnotatedRecording(one.scores, calls), (), groups.get(one.name, one.name), span))
    return parts
