"""Training for the classes of a dataset, with what notebook 3 shows of it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation.rates import Counts, add_counts
from anemone_lib.scoring.chunks import choose_config
from anemone_lib.scoring.classifier import Classifier, ModelCard, load_classifier
from anemone_lib.scoring.sight import classify_windows
from anemone_lib.training.bundle import write_card
from anemone_lib.training.curve import CurvePoint, trace_learning_curve
from anemone_lib.training.examples import Stretch, cut_examples, read_stretches
from anemone_lib.training.from_dataset import choose_start, train_on_dataset
from anemone_lib.training.labelled import LabelledWindows, concatenate, cut_annotated_files
from anemone_lib.training.simulated import simulate_windows
from anemone_lib.tuning.by_class import choose_decisions, measure_classes, score_part
from anemone_lib.tuning.decisions import tune_classes
from anemone_lib.tuning.recordings import count_recordings

#: First seed of the simulated recordings that notebook 3 adds; no other part of the package uses it.
SIMULATED_SEED = 5_000_000


@dataclass(frozen=True, eq=False)
class OwnTraining:
    """A model of a dataset's classes, and the windows that it was validated on.

    Attributes
    ----------
    card : ModelCard, of the bundle that was written
    history : mapping of ``loss`` and ``validation``, the average precision of `test`, to a value an epoch, of the first
        network
    recordings : tuple of str, names of those of the validation part
    test : LabelledWindows, of the validation part, those that hold one class or none for certain
    probabilities : np.ndarray [shape=(n, n_classes)], float32, of these windows
    temperature : float
    answers : mapping of a model's name to its probabilities of these windows
    """

    card: ModelCard
    history: Mapping[str, Sequence[float]]
    test: LabelledWindows
    probabilities: np.ndarray
    temperature: float
    answers: Mapping[str, np.ndarray]
    recordings: tuple[str, ...] = ()


def read_transform_rate(start_from: str) -> int | None:
    """Return the sample rate that the transform of the model to start from is for (`ModelCard.transform_sr`).

    Parameters
    ----------
    start_from : path of a model bundle, or ``demonstration``; empty for no model

    Returns
    -------
    transform_sr : int, in Hz; None where there is no model, or its card names none

    Examples
    --------
    >>> read_transform_rate("demonstration"), read_transform_rate("")
    (48000, None)
    """
    if not start_from:
        return None
    card = load_classifier(None if start_from == "demonstration" else start_from).card
    return card.transform_sr if card else None


def gather_windows(
    pairs: Iterable[Sequence[str | os.PathLike[str]]],
    config: InferenceConfig,
    *,
    simulated_recordings: int = 0,
    transform_sr: int | None = None,
    **options: Any,
) -> LabelledWindows:
    """Put together the labelled windows of annotated recordings, and of simulated recordings that are added.

    Parameters
    ----------
    pairs : pairs of (recording, table of annotations); there may be none
    config : InferenceConfig
    simulated_recordings : int >= 0
        Simulated recordings of 20 s to add, at many sample rates.
    transform_sr : int > 0, in Hz, optional
        The rate that ``n_fft`` and ``hop_length`` are for: that of the model to start from (`read_transform_rate`).
    **options
        channel, label_column, label_classes, seed: as for `anemone_lib.training.labelled.cut_annotated_files`.

    Returns
    -------
    windows : LabelledWindows

    Raises
    ------
    ConfigError
        There are no recordings at all, or a label belongs to no class.

    Examples
    --------
    >>> windows = gather_windows([], InferenceConfig(), simulated_recordings=2)
    >>> len(set(windows.recordings))
    2
    """
    seen: dict[str, Any] = {"config": config, "transform_sr": transform_sr}
    parts = cut_annotated_files(pairs, **seen, **options)
    if simulated_recordings:
        parts.append(simulate_windows(n_recordings=simulated_recordings, seed=SIMULATED_SEED, **seen))
    return concatenate(parts)


def train_own_classes(
    dataset: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    previous: Classifier | None = None,
    **options: Any,
) -> OwnTraining:
    """Train on a dataset as ``anemone train --dataset`` does, and answer on its validation part.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``
    folder : path of the bundle
    previous : Classifier, optional
        Asked about the same windows, where it has the same classes, window and rate.
    **options
        As in `train_on_dataset`.

    Returns
    -------
    training : OwnTraining

    Raises
    ------
    ConfigError, ModelError
        As in `train_on_dataset`.
    """
    description = Dataset.load(dataset)
    recordings = read_recordings(description)
    train_on_dataset(description, folder, recordings=recordings, **options)
    card = judge_bundle(folder, description, recordings)
    classifier = load_classifier(folder)
    config = choose_config(None, classifier)
    stretches = read_stretches(recordings, "validation", config)
    examples = cut_examples(stretches, config)
    certain = examples.known.all(axis=1) & (examples.present[:, 1:].sum(axis=1) <= 1)
    images = examples.images[certain]
    test = LabelledWindows(
        images=np.round(255 * images).astype(np.uint8),
        labels=examples.present[certain, 1:].argmax(axis=1) + examples.present[certain, 1:].any(axis=1),
        recordings=np.full(len(images), "validation"),
        start_times=np.zeros(len(images)),
        classes=config.classes,
    )
    models = {"new": classifier}
    if previous and previous.card and _compares(previous, classifier):
        models[f"previous ({previous.version})"] = previous
    answers = {name: _ask(model, stretches, config)[certain] for name, model in models.items()}
    curve = card.training["learning_curves"][0]
    history = {key: [row[key] for row in curve if row.get(key) is not None] for key in ("loss", "validation")}
    names = tuple(one.recording for one in stretches)
    return OwnTraining(card, history, test, answers["new"], card.temperature, answers, names)


def trace_own_curve(
    dataset: str | os.PathLike[str], numbers: Sequence[Any], **options: Any
) -> tuple[dict[tuple[str, str], dict[int, float]], str]:
    """Trace the learning curve of a dataset, as `anemone_lib.plots.plot_learning_curve` draws it.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``
    numbers : calls a class; none: there is no curve
    **options
        epochs, seed: as in `trace_learning_curve`.

    Returns
    -------
    curves : dict of (class, start) to dict of calls a class to average precision
    part : str, of the split, that was measured on

    Raises
    ------
    ConfigError
        There is no dataset, something is no number, or what `trace_learning_curve` raises.
    """
    if not numbers:
        return {}, ""
    if not str(dataset):
        raise ConfigError("a learning curve needs a dataset; describe your folder with `anemone dataset init FOLDER`")
    if wrong := [number for number in numbers if not str(number).isdecimal()]:
        raise ConfigError(f"curve_calls has {wrong[0]!r}; it is a list of whole numbers, like 5, 10, 20")
    description = Dataset.load(dataset)
    points: list[CurvePoint] = trace_learning_curve(
        description, read_recordings(description), [int(number) for number in numbers], **options
    )
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for point in points:
        for name, value in point.average_precision.items():
            if value is not None:
                curves.setdefault((name, point.start_from), {})[point.n_calls] = value
    return curves, points[0].part


def choose_notebook_start(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what notebook 3 starts from with a dataset, as options of `train_on_dataset`.

    Parameters
    ----------
    parameters : mapping, the notebook's ``globals()``

    Raises
    ------
    ConfigError, ModelError
        As in `choose_start`; a backbone without a dataset.

    Examples
    --------
    >>> choose_notebook_start({"start_from": "demonstration"}), choose_notebook_start({"start_from": ""})
    ({'start_from': 'shipped'}, {'start_from': None})
    """
    start, backbone = parameters.get("start_from"), parameters.get("backbone")
    if backbone and not parameters.get("dataset"):
        raise ConfigError("a backbone learns from a dataset; describe your folder with `anemone dataset init FOLDER`")
    return choose_start(
        None if start == "demonstration" else start or "none",
        backbone,
        rate=parameters.get("backbone_rate"),
        window=parameters.get("backbone_window"),
        output=parameters.get("backbone_output") or None,
        head=parameters.get("head", "linear"),
    )


def _compares(one: Classifier, other: Classifier) -> bool:
    """Tell whether two models answer for the same classes on the same windows."""
    assert one.card is not None
    assert other.card is not None
    names = ("window_duration", "target_sr")
    return one.card.classes == other.card.classes and all(
        one.card.settings.get(name) == other.card.settings.get(name) for name in names
    )


def _ask(classifier: Classifier, stretches: Sequence[Stretch], config: InferenceConfig) -> np.ndarray:
    """Probabilities of a model, with the images that it was trained with, in the windows of `cut_examples`."""
    if not stretches:
        return np.zeros((0, classifier.n_classes), np.float32)
    own = choose_config(None, classifier)
    ask = partial(classify_windows, classifier=classifier, config=own, sample_rate=stretches[0].sample_rate)
    return cut_examples(stretches, config, see=ask).images


def judge_bundle(
    folder: str | os.PathLike[str], dataset: Dataset, recordings: Sequence[LabelledRecording]
) -> ModelCard:
    """Add to a new bundle's card the event settings of every class, and what the model is worth with them.

    Parameters
    ----------
    folder : path of the bundle
    dataset : Dataset
    recordings : sequence of LabelledRecording

    Returns
    -------
    card : ModelCard, as written
    """
    classifier = load_classifier(folder)
    card = classifier.card
    assert card is not None
    config = choose_config(None, classifier)
    if not any("validation" in one.spans for one in recordings):
        return card
    parts = score_part(recordings, "validation", classifier=classifier, config=config, timezone=dataset.timezone)
    decisions = tune_classes(parts, config)
    thresholds = decisions.segment_thresholds
    measured = {"validation": measure_classes(parts, decisions.configs, segment_thresholds=thresholds)}
    if any("test" in one.spans for one in recordings):
        parts = score_part(recordings, "test", classifier=classifier, config=config, timezone=dataset.timezone)
        measured["test"] = measure_classes(parts, decisions.configs, segment_thresholds=thresholds)
    card = card.model_copy(
        update={
            "decisions": decisions.to_card(),
            "segment_thresholds": thresholds,
            "metrics": {**card.metrics, **measured},
        }
    )
    write_card(card, Path(folder))
    return card


def count_own_events(dataset: str | os.PathLike[str], classifier: Classifier) -> dict[str, Counts]:
    """Count the events of every class in the part that nothing was chosen by: the test part, or else the validation.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``
    classifier : Classifier

    Returns
    -------
    counts : dict of Counts, all recordings together, by class and part
    """
    description = Dataset.load(dataset)
    recordings, config = read_recordings(description), choose_config(None, classifier)
    part = "test" if any("test" in one.spans for one in recordings) else "validation"
    parts = score_part(recordings, part, classifier=classifier, config=config, timezone=description.timezone)
    counts = {}
    for name in description.calls:
        own = choose_decisions(config, classifier.card, name)
        counts[f"{name} ({part} part)"] = add_counts(count_recordings([p.annotated for p in parts], own, labels=[name]))
    return counts
