"""A dataset in a notebook: the settings of its model, its recordings, and those that the model has not learnt from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anemone_lib.config import InferenceConfig
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.fit import choose_config
from anemone_lib.tuning.by_class import choose_decisions, score_part
from anemone_lib.tuning.recordings import ScoredFolder


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
    config : InferenceConfig, whose target class is that of the dataset

    Raises
    ------
    ConfigError
        The model does not know the classes of the dataset.

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> choose_notebook_config("", load_classifier(), {"n_fft": 512}).n_fft
    512
    """
    if not str(dataset):
        return InferenceConfig.from_parameters(parameters)
    description = Dataset.load(dataset)
    config = choose_config(None, classifier)
    if missing := [name for name in description.calls if name not in config.classes]:
        raise ConfigError(
            f"the dataset has the class {missing[0]}, the model knows {', '.join(config.classes)}; give the model that "
            "was trained for these classes (model)"
        )
    return choose_decisions(config, classifier.card, description.target_class)


def list_recordings(dataset: str | os.PathLike[str]) -> list[Path]:
    """Return the paths of a dataset's recordings; none without a dataset."""
    return [one.path for one in read_recordings(Dataset.load(dataset))] if str(dataset) else []


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
        raise ConfigError(f"{dataset} has no validation and no test part, so that nothing is left to tune on")
    kept = None if cache is None else str(cache)
    scored = [one.annotated for part in parts for one in score_part(recordings, part, cache=kept, **about)]
    learnt = sum("train" in one.spans and len(one.spans) == 1 for one in recordings)
    notes = (
        [f"{spell_count(learnt, 'recording')} of the train part left out: the model has learnt from it"]
        if learnt
        else []
    )
    return ScoredFolder(tuple(scored), notes=tuple(notes))
