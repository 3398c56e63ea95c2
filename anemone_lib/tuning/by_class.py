"""Score the recordings of a dataset, and measure how good a model is on one part of it, class by class.

*Conventions.* Only the seconds of the part count: windows that reach outside are treated as skipped, and annotations
are cut at the edges of the part. Windows that are not certainly calls or background do not count.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anemone_lib.audio.gaps import Gap
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.dataset.recordings import LabelledRecording, cut_annotations
from anemone_lib.detection.events import Annotation, decide_events
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.intervals import as_intervals
from anemone_lib.evaluation.matching import count_events, match_intervals
from anemone_lib.evaluation.presence import mark_presence
from anemone_lib.evaluation.rates import Counts, add_counts
from anemone_lib.evaluation.segments import (
    SEGMENT_S,
    compute_f1,
    cut_segments,
    resample_groups,
    take_interval,
)
from anemone_lib.evaluation.windows import compute_average_precision
from anemone_lib.scoring.bundle import ModelCard
from anemone_lib.scoring.chunks import score_recording
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.scores import Scores
from anemone_lib.tuning.recordings import AnnotatedRecording

#: Reason of the gaps outside of a part of a split.
OUTSIDE = "another part of the split"
#: Threshold of segments where none was tuned.
SEGMENT_THRESHOLD = 0.5


@dataclass(frozen=True, eq=False)
class ScoredPart:
    """A recording's scores and annotations in one part of a split.

    Attributes
    ----------
    annotated : AnnotatedRecording, windows outside of `span` skipped
    unclear : tuple of Annotation
    group : str
    span : (start, end) in seconds
    """

    annotated: AnnotatedRecording
    unclear: tuple[Annotation, ...]
    group: str
    span: tuple[float, float]

    def narrow(self, start: float, end: float) -> "ScoredPart":
        """Return a stretch of it, in seconds from the recording's start."""
        span = max(start, self.span[0]), min(end, self.span[1])
        annotations = cut_annotations(self.annotated.annotations, span)
        scores = skip_outside(self.annotated.scores, span)
        return ScoredPart(
            AnnotatedRecording(scores, annotations), cut_annotations(self.unclear, span), self.group, span
        )


def score_part(
    recordings: Iterable[LabelledRecording],
    part: str,
    *,
    classifier: Classifier,
    config: InferenceConfig,
    cache: str | None = None,
    timezone: str = "UTC",
    progress: Callable[[int, int], None] | None = None,
) -> list[ScoredPart]:
    """Score the recordings that have some of a part.

    Parameters
    ----------
    recordings : iterable of LabelledRecording
    part : "train", "validation" or "test"
    classifier : Classifier
    config : InferenceConfig
    cache : path of a folder, optional
    timezone : str
    progress : callable (done, total), optional

    Returns
    -------
    parts : list of ScoredPart

    Raises
    ------
    ConfigError
        No recording has any of that part.
    """
    chosen = [one for one in recordings if part in one.spans]
    if not chosen:
        raise ConfigError(
            f"no recording is of the {part} part; say in dataset.yaml which recordings are, or write it again with "
            f"`anemone dataset init FOLDER --split {part}`, which makes all recordings the {part} part"
        )
    parts = []
    for done, one in enumerate(chosen, start=1):
        with open_recording(one.path, target_sr=config.target_sr, timezone=timezone, channel=one.channel) as audio:
            scores = score_recording(audio, classifier, config, cache=cache)
        whole = ScoredPart(
            AnnotatedRecording(replace(scores, recording_sha256=one.sha256), one.annotations),
            one.unclear,
            one.group,
            (0.0, scores.duration),
        )
        parts.append(whole.narrow(*one.spans[part]))
        if progress:
            progress(done, len(chosen))
    return parts


def skip_outside(scores: Scores, span: tuple[float, float]) -> Scores:
    """Return scores in which the windows that do not lie in a stretch are skipped.

    Examples
    --------
    >>> from anemone_lib.scoring import WindowGrid
    >>> grid = WindowGrid(n_samples=32_000, sample_rate=8000, window_samples=8000, stride_samples=8000)
    >>> scores = Scores(np.full((4, 2), 0.5, np.float32), ("noise", "grunt"), grid)
    >>> skip_outside(scores, (1.0, 3.0)).probabilities[:, 1].tolist()
    [nan, 0.5, 0.5, nan]
    """
    start, end = span
    if start <= 0 and end >= scores.duration - 1e-6:
        return scores
    inside = (scores.start_times >= start - 1e-6) & (scores.end_times <= end + 1e-6)
    probabilities = np.where(inside[:, None], scores.probabilities, np.nan).astype(np.float32)
    gaps = [gap for gap in scores.skipped if gap.reason != OUTSIDE and start < gap.end_time and end > gap.start_time]
    kept = [replace(gap, start_time=max(gap.start_time, start), end_time=min(gap.end_time, end)) for gap in gaps]
    before = [Gap(0.0, start, OUTSIDE)] if start > 0 else []
    after = [Gap(end, scores.duration, OUTSIDE)] if end < scores.duration else []
    return replace(scores, probabilities=probabilities, skipped=(*before, *kept, *after))


# ---------------------------------------------------------------------- what the model has seen


def refuse_seen(
    card: ModelCard | None, recordings: Iterable[LabelledRecording], part: str, *, seen: Sequence[str]
) -> None:
    """Refuse to test on recordings that the model was trained or tuned on.

    Parameters
    ----------
    card : ModelCard, or None
    recordings : iterable of LabelledRecording
    part : the part that is to be held out
    seen : names of the parts on the card that the model has seen

    Raises
    ------
    ConfigError
        The card says that the model has seen the same seconds of a recording (with the same hash).
    """
    known = (card.training.get("recordings") or {}) if card else {}
    if not isinstance(known, Mapping):
        return
    for one in recordings:
        if part not in one.spans:
            continue
        start, end = one.spans[part]
        for name in seen:
            for row in known.get(name, ()):
                overlap = min(end, row["end_s"]) - max(start, row["start_s"])
                if row["sha256"] == one.sha256 and overlap > 1e-3:
                    raise ConfigError(
                        f"{one.name} is of the {part} part, but the model has seen {overlap:.1f} s of it ({name}); a "
                        "result on it says nothing about new recordings: use other recordings, or allow it with "
                        "--allow-seen"
                    )


# ---------------------------------------------------------------------- measures


def choose_decisions(config: InferenceConfig, card: ModelCard | None, name: str) -> InferenceConfig:
    """Return the settings that decide the events of one class: from the card, if it has them.

    Examples
    --------
    >>> config = InferenceConfig(model_classes="noise,grunt,knock", target_class="grunt")
    >>> choose_decisions(config, None, "knock").target_class
    'knock'
    """
    if name == config.target_class:
        return config
    return config.replace(**{**((card.decisions if card else {}).get(name, {})), "target_class": name})


def measure_classes(
    parts: Sequence[ScoredPart],
    configs: Mapping[str, InferenceConfig],
    *,
    segment_thresholds: Mapping[str, float] | None = None,
    group_configs: Mapping[str, Mapping[str, InferenceConfig]] | None = None,
    bout_gap: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure every class: average precision of windows, F1 of segments and of events.

    Parameters
    ----------
    parts : sequence of ScoredPart
    configs : mapping of class to the configuration that decides its events
    segment_thresholds : mapping of class to threshold, optional
    group_configs : mapping of group to such mappings as `configs`, optional, where a group has its own
    bout_gap : float >= 0, in seconds, as in `AnnotatedRecording.join_bouts`

    Returns
    -------
    measures : dict of class to dict, for JSON: no number is NaN
    """
    return {
        name: {
            "average_precision": _measure_windows(parts, name),
            "segment_f1": _measure_segments(parts, name, (segment_thresholds or {}).get(name, SEGMENT_THRESHOLD)),
            "event_f1": _measure_events(parts, name, config, group_configs or {}, bout_gap),
        }
        for name, config in configs.items()
    }


def collect_windows(parts: Sequence[ScoredPart], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return presence, probability and group of every window for which presence and probability are known."""
    there, scored, groups = [], [], []
    for part in parts:
        scores = part.annotated.scores
        k = scores.classes.index(name)
        present, known = mark_presence(
            part.annotated.annotations,
            start_times=scores.start_times,
            end_times=scores.end_times,
            classes=scores.classes,
            unclear=part.unclear,
        )
        kept = known[:, k] & np.isfinite(scores.probabilities[:, k])
        there.append(present[kept, k])
        scored.append(scores.probabilities[kept, k])
        groups.append(np.full(int(kept.sum()), part.group, object))
    return np.concatenate(there), np.concatenate(scored), np.concatenate(groups)


def collect_segments(parts: Sequence[ScoredPart], name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return presence, score and group of every segment."""
    there, scored, groups = [], [], []
    for part in parts:
        scores = part.annotated.scores
        present, values = cut_segments(
            as_intervals(part.annotated.annotations, labels=[name]),
            scores.probabilities[:, scores.classes.index(name)],
            start_times=scores.start_times,
            end_times=scores.end_times,
            span=part.span,
        )
        kept = np.isfinite(values)
        there.append(present[kept])
        scored.append(values[kept])
        groups.append(np.full(int(kept.sum()), part.group, object))
    return np.concatenate(there), np.concatenate(scored), np.concatenate(groups)


def _measure_windows(parts: Sequence[ScoredPart], name: str) -> dict[str, Any]:
    present, scores, groups = collect_windows(parts, name)
    values = [compute_average_precision(present, scores, weights=w) for w in resample_groups(groups.tolist())]
    value = compute_average_precision(present, scores)
    return _make_entry(value, values, int(present.sum()), n_windows=len(present))


def _measure_segments(parts: Sequence[ScoredPart], name: str, threshold: float) -> dict[str, Any]:
    present, scores, groups = collect_segments(parts, name)
    found = scores >= threshold
    values = [compute_f1(present, found, weights=w) for w in resample_groups(groups.tolist())]
    about = {"n_segments": len(present), "segment_s": SEGMENT_S, "threshold": round(float(threshold), 4)}
    return _make_entry(compute_f1(present, found), values, int(present.sum()), **about)


def _measure_events(
    parts: Sequence[ScoredPart],
    name: str,
    config: InferenceConfig,
    group_configs: Mapping[str, Mapping[str, InferenceConfig]],
    bout_gap: float | None,
) -> dict[str, Any]:
    counts, lengths, gap = [], [], 0.0
    for part in parts:
        own = group_configs.get(part.group, {}).get(name, config)
        bouts = part.annotated.join_bouts(labels=[name], bout_gap=bout_gap)
        duration = max(1e-3, part.annotated.scores.analysed_duration)
        counts.append(count_events(bouts, decide_events(part.annotated.scores, own), duration=duration))
        lengths += (bouts[:, 1] - bouts[:, 0]).tolist()
        gap = max(gap, part.annotated.shortest_gap if bout_gap is None else bout_gap)
    pooled = add_counts(counts)
    values = [_resample_f1(counts, w) for w in resample_groups([part.group for part in parts])]
    entry = _make_entry(pooled.f1 if pooled.n_reference else None, values, pooled.n_reference, **pooled.to_dict())
    entry |= {
        "bout_gap_s": round(gap, 3),
        "median_bout_s": round(float(np.median(lengths)), 3) if lengths else None,
        "matching": "any overlap, one to one",
        "settings": {field: getattr(config, field) for field in EVENT_FIELDS},
    }
    if not pooled.n_reference:
        entry["f1"] = None
    return entry


def _resample_f1(counts: Sequence[Counts], weights: np.ndarray) -> float | None:
    there = sum(w * one.n_reference for w, one in zip(weights, counts, strict=True))
    found = sum(w * one.n_estimated for w, one in zip(weights, counts, strict=True))
    matched = sum(w * one.n_matched for w, one in zip(weights, counts, strict=True))
    return float(2 * matched / (there + found)) if there else None


def _make_entry(value: float | None, resampled: Sequence[float | None], n: int, **about: Any) -> dict[str, Any]:
    return {
        "value": None if value is None else round(value, 4),
        "interval": take_interval(resampled) if resampled and value is not None else None,
        "n": n,
        **about,
    }


def count_event_confusions(
    parts: Sequence[ScoredPart], configs: Mapping[str, InferenceConfig]
) -> dict[str, dict[str, int]]:
    """Count, of the bouts of every class, those that an event of each class overlaps.

    Returns
    -------
    counts : dict of annotated class to dict of detected class to number of bouts; ``"none"``: no event at all
    """
    rows = {name: dict.fromkeys((*configs, "none"), 0) for name in configs}
    for part in parts:
        events = {name: as_intervals(decide_events(part.annotated.scores, own)) for name, own in configs.items()}
        for name, row in rows.items():
            bouts = part.annotated.join_bouts(labels=[name])
            found = np.zeros(len(bouts), bool)
            for other, intervals in events.items():
                hit = [bool(len(match_intervals(bout[None], intervals))) for bout in bouts]
                row[other] += sum(hit)
                found |= np.array(hit, bool)
            row["none"] += int((~found).sum())
    return rows
