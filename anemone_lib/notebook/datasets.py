"""A dataset in a notebook: the settings of its model, its recordings, and those that the model has not learnt from."""

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from anemone_lib.audio.channels import Channel
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.detection.events import Annotation
from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.fit import choose_config, fill_event_settings
from anemone_lib.tuning.by_class import choose_decisions, score_part
from anemone_lib.tuning.recordings import ScoredFolder

#: Parameters of notebook 3 that a dataset stands for: their default, and what to do instead.
OF_FOLDERS: dict[str, tuple[Any, str]] = {
    "folder": ("", "dataset.yaml names the recordings"),
    "annotations": ("", "dataset.yaml says where the tables are"),
    "label_column": (None, "set label_column in dataset.yaml"),
    "channel": ("mean", "set channel in dataset.yaml"),
    "label_classes": ({}, "set labels in dataset.yaml"),
    "simulated_recordings": (32, "the model learns only from your recordings"),
    "learning_rate": (0.0005, "it rises and falls by itself"),
    "holdout": (0.25, "set split in dataset.yaml"),
    "balance": (0.5, "classes are drawn half-way between their numbers and equal numbers"),
}
#: Settings that a notebook takes from the model's card, unless its parameters give others.
OF_THE_MODEL = tuple(InferenceConfig().event_settings)
#: Those of `OF_FOLDERS` that notebook 2 has, too.
SOURCES = ("folder", "annotations", "label_column", "channel")
#: Parameters of notebook 2, beside settings, that decide what it finds.
REPEATED = ("dataset", "model", "labels", "bout_gap", "holdout", "seed", "beta", "max_false_alarms_per_hour", "force")


def choose_notebook_config(
    dataset: str | os.PathLike[str], classifier: Classifier, parameters: Mapping[str, Any]
) -> InferenceConfig:
    """Return the settings of a notebook: those of its parameters, or, with a dataset, those of the model.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``; empty for none
    classifier : Classifier
    parameters : mapping, the notebook's ``globals()``

    Returns
    -------
    config : InferenceConfig
        Event settings that the parameters do not give are those on the model's card. With a dataset, the target class
        is that of the dataset.

    Raises
    ------
    ConfigError
        The model does not know the classes of the dataset, or a parameter was changed that the model or the dataset
        decides.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> config = choose_notebook_config("", load_classifier(), {"n_fft": 512, "confidence_threshold": None})
    >>> config.n_fft, config.confidence_threshold
    (512, 0.8)
    """
    if not str(dataset):
        config = InferenceConfig.from_parameters(parameters)
        return fill_event_settings(config, classifier, unset={*OF_THE_MODEL} - {*list_changed(parameters)})
    description = Dataset.load(dataset)
    if "folder" in parameters:
        _refuse_passed_over(parameters, SOURCES, description)
    config = choose_config(None, classifier)
    changed = list_changed(parameters)
    target = changed.pop("target_class", description.target_class)
    if missing := [name for name in description.calls if name not in config.classes]:
        raise ConfigError(
            f"the dataset has the class {missing[0]}, the model knows {', '.join(config.classes)}; give the model that "
            "was trained for these classes (model)"
        )
    if target not in config.classes:
        raise ConfigError(f"target_class is {target!r}; with this dataset it is one of {', '.join(description.calls)}")
    fixed = {name: value for name, value in changed.items() if name not in (*EVENT_FIELDS, "batch_size")}
    _refuse(fixed, config, "with a dataset, settings come from the model; use another model")
    return choose_decisions(config, classifier.card, target).replace(**changed)


def choose_channel(dataset: str | os.PathLike[str], channel: Channel) -> Channel:
    """Return which hydrophone a notebook listens to: the dataset's, where there is one and no other is given.

    Examples
    --------
    >>> choose_channel("", "mean"), choose_channel("", 2)
    ('mean', 2)
    """
    return Dataset.load(dataset).channel if str(dataset) and channel == "mean" else channel


def choose_training_config(
    dataset: str | os.PathLike[str], classifier: Classifier, parameters: Mapping[str, Any]
) -> InferenceConfig:
    """Return the settings that a notebook trains with: those of its parameters, or those of the dataset.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``; empty for none
    classifier : Classifier
        The model to compare with. Without a dataset, event settings that the parameters do not give are those on its
        card.
    parameters : mapping, the notebook's ``globals()``

    Returns
    -------
    config : InferenceConfig

    Raises
    ------
    ConfigError
        A parameter was changed that does not count with a dataset, since the description says it.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> choose_training_config("", load_classifier(), {"n_fft": 512}).n_fft
    512
    """
    if not str(dataset):
        return choose_notebook_config(dataset, classifier, parameters)
    description = Dataset.load(dataset)
    _refuse_passed_over(parameters, OF_FOLDERS, description)
    config = description.to_config()
    _refuse(list_changed(parameters), config, "with a dataset, change settings and target_class in dataset.yaml")
    return config


def list_changed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings among a notebook's parameters that are not the defaults of the notebook.

    Examples
    --------
    >>> list_changed({"n_fft": 512, "hop_length": 256, "confidence_threshold": 0.5, "smoothing_window": None})
    {'n_fft': 512, 'confidence_threshold': 0.5}
    """
    default, changed = InferenceConfig().model_dump() | dict.fromkeys(OF_THE_MODEL), {}
    for name, own in default.items():
        value = parameters.get(name)
        if isinstance(value, list | tuple):
            value = ",".join(map(str, value))
        if value is not None and str(value).strip().casefold() not in ("", "none", "null", str(own).casefold()):
            changed[name] = value
    return {name: value for name, value in changed.items() if value != default[name]}


def write_notebook_command(name: str, parameters: Mapping[str, Any]) -> str:
    """Write the command that runs a notebook again with the same parameters.

    Parameters
    ----------
    name : str, of the notebook, without its suffix
    parameters : mapping, the notebook's ``globals()``

    Returns
    -------
    command : str, for a shell, in the folder of the notebooks

    Examples
    --------
    >>> write_notebook_command("02_tune_inference_config", {"dataset": "reef/dataset.yaml", "seed": 3, "labels": []})
    'papermill 02_tune_inference_config.ipynb repeated.ipynb -p dataset reef/dataset.yaml -p seed 3'
    """
    words = []
    for key, value in {**{key: parameters.get(key) for key in REPEATED}, **list_changed(parameters)}.items():
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
        words += ["-p", key, text] if text and value is not False else []
    return shlex.join(["papermill", f"{name}.ipynb", "repeated.ipynb", *words])


def _refuse_passed_over(parameters: Mapping[str, Any], names: Iterable[str], dataset: Dataset) -> None:
    """Refuse parameters that do not count with a dataset, unless they are what it says."""
    for name in names:
        default, instead = OF_FOLDERS[name]
        if parameters.get(name, default) not in (default, None, "", getattr(dataset, name, default)):
            raise ConfigError(f"{name} is {parameters[name]!r}, but is not used with a dataset: {instead}")


def _refuse(changed: Mapping[str, Any], config: InferenceConfig, instead: str) -> None:
    """Refuse settings that would be passed over."""
    for name, value in changed.items():
        if value != getattr(config, name) and str(value) != str(getattr(config, name)):
            raise ConfigError(f"{name} is {value!r}, but {getattr(config, name)!r} is used: {instead}, or leave it out")


def find_annotations(dataset: str | os.PathLike[str], path: str | os.PathLike[str]) -> tuple[Annotation, ...]:
    """Return the annotations of a recording of a dataset, with the verdicts of its reviews.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``; empty for none
    path : path of a recording

    Returns
    -------
    annotations : tuple of Annotation, with the names of classes; none where it is no recording of the dataset
    """
    if not str(dataset):
        return ()
    recordings = read_recordings(Dataset.load(dataset))
    return next((one.annotations for one in recordings if one.path.resolve() == Path(path).resolve()), ())


def list_recordings(dataset: str | os.PathLike[str]) -> list[Path]:
    """Return the paths of a dataset's recordings; none without a dataset."""
    return [one.path for one in read_recordings(Dataset.load(dataset))] if str(dataset) else []


def find_groups(dataset: str | os.PathLike[str]) -> dict[str, str]:
    """Return the group of every recording of a dataset by the recording's name; none without a dataset."""
    return {one.name: one.group for one in read_recordings(Dataset.load(dataset))} if str(dataset) else {}


def score_unseen(
    dataset: str | os.PathLike[str],
    *,
    classifier: Classifier,
    config: InferenceConfig,
    cache: str | os.PathLike[str] | None = None,
) -> ScoredFolder:
    """Score what is of the validation and of the test part of a dataset: what the model has not learnt from.

    Parameters
    ----------
    dataset : path of ``dataset.yaml``
    classifier : Classifier
    config : InferenceConfig
    cache : path of a folder, where scores are kept

    Returns
    -------
    recordings : ScoredFolder
        Annotations have the names of their classes. A recording of which one part was learnt from is cut to the others.

    Raises
    ------
    ConfigError
        The dataset has neither part.
    """
    description = Dataset.load(dataset)
    recordings = read_recordings(description)
    about: dict[str, Any] = {"classifier": classifier, "config": config, "timezone": description.timezone}
    parts = [part for part in ("validation", "test") if any(part in one.spans for one in recordings)]
    if not parts:
        raise ConfigError(f"{dataset} has no validation and no test part, so nothing is left to tune on")
    kept = None if cache is None else str(cache)
    unseen = []
    for one in recordings:  # of a recording that is cut in time, the parts lie side by side
        edges = [edge for part in parts for edge in one.spans.get(part, ())]
        spans: dict[str, tuple[float, float]] = {parts[0]: (min(edges), max(edges))} if edges else {}
        unseen.append(replace(one, spans=spans))
    scored = [one.annotated for one in score_part(unseen, parts[0], cache=kept, **about)]
    learnt = sum("train" in one.spans and len(one.spans) == 1 for one in recordings)
    notes = (
        [f"{spell_count(learnt, 'recording')} of the train part left out, because the model has learned from it"]
        if learnt
        else []
    )
    return ScoredFolder(tuple(scored), notes=tuple(notes))
