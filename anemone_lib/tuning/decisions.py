"""The event settings of every class, found on the validation part.

*Conventions.* Every class has its own threshold, because the confidence of a model differs between classes. Groups may
have their own thresholds, too (`anemone_lib.tuning.by_group`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.errors import AnnotationError, ConfigError
from anemone_lib.evaluation.rates import add_counts, bootstrap_interval
from anemone_lib.evaluation.segments import compute_f1
from anemone_lib.files import write_text
from anemone_lib.scoring.bundle import ModelCard
from anemone_lib.tuning.by_class import SEGMENT_THRESHOLD, ScoredPart, choose_decisions, collect_segments
from anemone_lib.tuning.doubts import doubt_edges, doubt_gain
from anemone_lib.tuning.recordings import count_recordings
from anemone_lib.tuning.sweep import SearchSpace, Sweep, sweep_settings

#: The file beside the target's configuration that holds the settings of every class and group.
FILE_NAME = "class_settings.json"
#: Thresholds that are tried: even steps of the logit, since the best often lie close to 1.
THRESHOLDS = tuple(round(1 / (1 + math.exp(-0.25 * k)), 4) for k in range(-16, 29))
#: Thresholds on each side over which the measure of a setting is averaged, so that one lucky threshold does not win.
NEIGHBOURS = 2


@dataclass(frozen=True)
class Decisions:
    """The settings that decide the events of every class.

    Attributes
    ----------
    configs : dict of class to InferenceConfig
    segment_thresholds : dict of class to the threshold of 3-s segments
    groups : dict of group to dict of class to InferenceConfig, where groups have their own
    untuned : tuple of str, the classes without a call in the validation part
    """

    configs: dict[str, InferenceConfig]
    segment_thresholds: dict[str, float]
    groups: dict[str, dict[str, InferenceConfig]] = field(default_factory=dict)
    untuned: tuple[str, ...] = ()

    def to_card(self) -> dict[str, dict[str, float | int]]:
        """Return the event settings of every class, as a model's card keeps them."""
        return {name: config.event_settings for name, config in self.configs.items()}

    def restore(self, name: str, before: "Decisions") -> "Decisions":
        """Return the same with the settings of one class as they were before."""
        thresholds = {one: value for one, value in self.segment_thresholds.items() if one != name}
        thresholds |= {one: value for one, value in before.segment_thresholds.items() if one == name}
        groups = {group: {one: own for one, own in of.items() if one != name} for group, of in self.groups.items()}
        groups = {group: own for group, own in groups.items() if own}
        return Decisions({**self.configs, name: before.configs[name]}, thresholds, groups, self.untuned)

    def save(self, path: Path, *, model_sha256: str) -> Path:
        """Write to a JSON file, whole or not at all."""
        content = {
            "model_sha256": model_sha256,
            "classes": {name: _list_settings(config) for name, config in self.configs.items()},
            "segment_thresholds": self.segment_thresholds,
            "groups": {
                group: {name: _list_settings(config) for name, config in own.items()}
                for group, own in self.groups.items()
            },
            "untuned": list(self.untuned),
        }
        return write_text(path, json.dumps(content, indent=1) + "\n")


def load_decisions(
    card: ModelCard | None, config: InferenceConfig, *, path: Path | None = None, model_sha256: str = ""
) -> Decisions:
    """Return the settings of every class: from a file if there is one, else from the model's card.

    Parameters
    ----------
    card : ModelCard, or None
    config : InferenceConfig, of the target class
    path : path of what `Decisions.save` wrote, optional
    model_sha256 : str, of the model that is used

    Raises
    ------
    ConfigError
        The file cannot be read, or was made with another model.
    """
    configs = {name: choose_decisions(config, card, name) for name in config.classes[1:]}
    if path is None:
        return Decisions(configs, dict(card.segment_thresholds) if card else {})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        classes, groups = content["classes"], content["groups"]
        thresholds = {name: float(value) for name, value in content["segment_thresholds"].items()}
        made_with = content["model_sha256"]
        own = {
            name: config.replace(**settings)
            for name, settings in classes.items()
            if name in configs and name != config.target_class
        }
        of_groups = {group: {name: config.replace(**s) for name, s in of.items()} for group, of in groups.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise ConfigError(f"{path} does not have settings by class ({error}); `anemone tune` writes it") from None
    if model_sha256 and made_with != model_sha256:
        raise ConfigError(
            f"{path} was made with model {made_with[:12]}, this is {model_sha256[:12]}; tune again with this model"
        )
    return Decisions({**configs, **own}, thresholds, of_groups, tuple(content.get("untuned", ())))


def tune_classes(parts: Sequence[ScoredPart], config: InferenceConfig, *, bout_gap: float | None = None) -> Decisions:
    """Find the event settings and the segment threshold of every class.

    Parameters
    ----------
    parts : sequence of ScoredPart, of the validation part
    config : InferenceConfig, the settings before
    bout_gap : float >= 0, in seconds, as in `AnnotatedRecording.join_bouts`

    Returns
    -------
    decisions : Decisions
    """
    recordings = [part.annotated for part in parts]
    configs, thresholds, untuned = {}, {}, []
    for name in config.classes[1:]:
        base = config.replace(target_class=name)
        try:
            tried = sweep_settings(recordings, _space(base), target_class=name, labels=[name], bout_gap=bout_gap)
            configs[name] = choose_plateau(tried, base)
        except AnnotationError:  # it holds no call of this class
            configs[name] = base
            untuned.append(name)
        thresholds[name] = _tune_segments(parts, name)
    return Decisions(configs, thresholds, {}, tuple(untuned))


def cross_check(
    parts: Sequence[ScoredPart], before: InferenceConfig, *, bout_gap: float | None = None
) -> tuple[float, float, float]:
    """Measure the gain of tuning on groups that were not tuned on: each group has settings from the other groups.

    Parameters
    ----------
    parts : sequence of ScoredPart
    before : InferenceConfig, the settings before, whose target class counts
    bout_gap : float >= 0, in seconds, as in `AnnotatedRecording.join_bouts`

    Returns
    -------
    gain, low, high : float, of F1, with its 95 % interval by group; NaN where there are fewer than two groups
    """
    name, groups = before.target_class, sorted({part.group for part in parts})
    if len(groups) < 2:
        return math.nan, math.nan, math.nan
    old, new = [], []
    for group in groups:
        own = [part.annotated for part in parts if part.group == group]
        others = [part.annotated for part in parts if part.group != group]
        try:
            tried = sweep_settings(others, _space(before), target_class=name, labels=[name], bout_gap=bout_gap)
            chosen = choose_plateau(tried, before)
        except AnnotationError:  # the others hold no call
            chosen = before
        old.append(add_counts(count_recordings(own, before, labels=[name], bout_gap=bout_gap)))
        new.append(add_counts(count_recordings(own, chosen, labels=[name], bout_gap=bout_gap)))
    return add_counts(new).f1 - add_counts(old).f1, *bootstrap_interval(new, baseline=old)


def doubt_classes(
    parts: Sequence[ScoredPart], decisions: Decisions, before: Decisions, *, bout_gap: float | None = None
) -> dict[str, tuple[tuple[float, float, float], list[str]]]:
    """Measure the gain of every class whose settings changed, on groups not tuned on, and say why it may be chance.

    Parameters
    ----------
    parts : sequence of ScoredPart, which `decisions` were found on
    decisions, before : Decisions
    bout_gap : float >= 0, in seconds

    Returns
    -------
    found : dict of class to the gain with its interval, as `cross_check` returns it, and the doubts
    """
    found = {}
    longest = max((part.annotated.shortest_gap for part in parts), default=0.0) if bout_gap is None else bout_gap
    for name, config in decisions.configs.items():
        if config != before.configs[name]:
            gain = cross_check(parts, before.configs[name], bout_gap=bout_gap)
            edges = doubt_edges(config, _space(config).axes, bout_gap=longest)
            found[name] = gain, [*doubt_gain(*gain, where="on groups not tuned on"), *edges]
    return found


def _space(config: InferenceConfig) -> SearchSpace:
    """Return the values to try: few, because on a small validation part some of many values would fit by chance.

    Windows overlap, so events with less than two windows of silence between them touch. A gap of 0 separates all other
    events.
    """
    return SearchSpace(
        smoothing_window=(1, 3, 5),
        confidence_threshold=THRESHOLDS,
        min_gap_duration=(0.0, 0.1, round(0.5 * config.window_duration, 3)),
        min_event_duration=(config.min_event_duration,),
    )


def choose_plateau(tried: Sweep, base: InferenceConfig, *, near_base: bool = False) -> InferenceConfig:
    """Choose the setting whose F1, averaged over neighbouring thresholds, is the highest.

    Parameters
    ----------
    tried : Sweep
    base : InferenceConfig
    near_base : bool
        Of settings that are equally good, the one whose threshold is nearest that of `base`, by its place among those
        that were tried; otherwise the one in their middle.

    Returns
    -------
    config : InferenceConfig

    Raises
    ------
    AnnotationError
        No bout to find.
    """
    tried.find_best(base)  # raises if there is no bout
    score = np.nan_to_num(tried.rates["f1"])
    width = min(NEIGHBOURS, (score.shape[1] - 1) // 2)
    padded = np.pad(score, ((0, 0), (width, width), (0, 0), (0, 0)), mode="edge")
    mean = np.mean([padded[:, k : k + score.shape[1]] for k in range(2 * width + 1)], axis=0)
    best = np.argwhere(mean >= mean.max() - 1e-12)
    chosen = len(best) // 2
    if near_base:
        chosen = int(np.argmin(np.abs(best[:, 1] - tried.space.confidence_threshold.index(base.confidence_threshold))))
    return tried.space.make_config(best[chosen].tolist(), base)


def _tune_segments(parts: Sequence[ScoredPart], name: str) -> float:
    """Return the threshold of segments with the best F1; of several, the one in their middle."""
    present, scores, _ = collect_segments(parts, name)
    if not present.any():
        return SEGMENT_THRESHOLD
    values: list[float] = [compute_f1(present, scores >= t) or 0.0 for t in THRESHOLDS]
    best = np.flatnonzero(np.array(values) >= max(values) - 1e-12)
    return float(THRESHOLDS[best[len(best) // 2]])


def _list_settings(config: InferenceConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in EVENT_FIELDS}
