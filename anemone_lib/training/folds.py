"""Cross-validation by group: measures on groups that a model was not trained on, for data with few groups."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anemone_lib.dataset.description import Dataset
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.windows import compute_average_precision
from anemone_lib.scoring.backbone import Backbone
from anemone_lib.training.examples import ExamplePool, cut_examples, read_stretches
from anemone_lib.training.from_dataset import configure, learn_from
from anemone_lib.training.learning import classify_examples

#: Part of each recording that is the validation part, in the groups on which a fold trains.
VALIDATION_PART = 0.15


def draw_folds(
    recordings: Sequence[LabelledRecording], n_folds: int, *, seed: int = 0
) -> list[list[LabelledRecording]]:
    """Draw folds by group, so that the calls of every class are spread over them.

    The group with the largest part of the calls of a class is placed first. Each group is placed in the fold that has
    the fewest calls of the group's classes; if several folds have as few, in the one with the fewest groups.

    Parameters
    ----------
    recordings : sequence of LabelledRecording, whose own split does not count
    n_folds : int >= 2
    seed : int, of the order of groups with equal parts of the calls

    Returns
    -------
    folds : list of lists of LabelledRecording
        Each fold has all recordings, with other groups as the test part. The end of every other recording is the
        validation part, and its start the train part.

    Raises
    ------
    ConfigError
        Fewer groups than folds.
    """
    groups = sorted({one.group for one in recordings})
    if not 2 <= n_folds <= len(groups):
        raise ConfigError(f"--folds is {n_folds}; it must be from 2 to the number of groups, {len(groups)}")
    calls = {group: sum((one.count_calls() for one in recordings if one.group == group), Counter()) for group in groups}
    names = sorted({name for own in calls.values() for name in own})
    counts = np.array([[calls[group][name] for name in names] for group in groups], float)
    parts = counts / np.maximum(counts.sum(axis=0), 1)  # of the calls of each class, the part in a group
    drawn = np.random.default_rng(seed).permutation(len(groups))
    order = drawn[np.argsort(-parts.max(axis=1, initial=0)[drawn], kind="stable")]
    sums, sizes, aside = np.zeros((n_folds, len(names))), np.zeros(n_folds), [set[str]() for _ in range(n_folds)]
    for k in order:
        fold = min(range(n_folds), key=lambda f: (sizes[f] > 0, round(float(sums[f] @ parts[k]), 9), sizes[f]))
        sums[fold] += parts[k]
        sizes[fold] += 1
        aside[fold].add(groups[k])
    return [[_set_spans(one, one.group in own) for one in recordings] for own in aside]


def cross_validate(
    dataset: Dataset,
    recordings: Sequence[LabelledRecording],
    *,
    n_folds: int = 3,
    multilabel: bool = True,
    backbone: Backbone | None = None,
    epochs: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train as many models as folds, each without the groups of its fold, and measure each on those.

    Parameters
    ----------
    dataset : Dataset
    recordings : sequence of LabelledRecording, whose own split does not count
    n_folds : int >= 2
    multilabel, backbone, epochs, seed : as in `anemone_lib.training.from_dataset.train_on_dataset`
    progress : callable (done, total), optional
    **options
        start_from, head, members: as there.

    Returns
    -------
    measures : dict of class to average precision of the windows: of each fold, their mean and spread (standard
        deviation), and of all windows together; None where a fold holds no call

    Raises
    ------
    ConfigError
        Fewer groups than folds.
    """
    config = configure(dataset, recordings, backbone)
    see = backbone.embed if backbone else None
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in config.classes[1:]}
    for fold, spans in enumerate(draw_folds(recordings, n_folds, seed=seed)):
        test = cut_examples(read_stretches(spans, "test", config), config, most=20_000, see=see)
        learning = learn_from(
            ExamplePool(read_stretches(spans, "train", config), config),
            cut_examples(read_stretches(spans, "validation", config), config, see=see),
            config,
            backbone=backbone,
            multilabel=multilabel,
            epochs=epochs,
            seed=seed,
            **options,
        )
        probabilities = classify_examples(learning.model, test)
        for k, name in enumerate(config.classes[1:], start=1):
            known = test.known[:, k]
            found[name].append((test.present[known, k], probabilities[known, k]))
        if progress:
            progress(fold + 1, n_folds)
    return {name: _summarise(pairs) for name, pairs in found.items()}


def _set_spans(one: LabelledRecording, aside: bool) -> LabelledRecording:
    middle = (1 - VALIDATION_PART) * one.duration
    if aside:
        return replace(one, spans={"test": (0.0, one.duration)})
    return replace(one, spans={"train": (0.0, middle), "validation": (middle, one.duration)})


def _summarise(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    values = [compute_average_precision(*pair) for pair in pairs]
    known = [value for value in values if value is not None]
    pooled = compute_average_precision(*(np.concatenate(column) for column in zip(*pairs, strict=True)))
    return {
        "folds": [None if value is None else round(value, 4) for value in values],
        "mean": round(float(np.mean(known)), 4) if known else None,
        "spread": round(float(np.std(known)), 4) if len(known) > 1 else None,
        "pooled": None if pooled is None else round(pooled, 4),
    }
