"""From a dataset's description to a model bundle: read, learn, refuse what learnt nothing, export, write the card."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.audio.channels import Channel
from anemone_lib.audio.recording import AUDIO_SUFFIXES
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset.checking import warn_of_few
from anemone_lib.dataset.description import PARTS, Dataset
from anemone_lib.dataset.proposal import measure_bands, propose_settings
from anemone_lib.dataset.recordings import LabelledRecording, read_recordings
from anemone_lib.errors import ConfigError, ModelError
from anemone_lib.scoring.bundle import ModelCard
from anemone_lib.training.bundle import export_bundle
from anemone_lib.training.examples import ExamplePool, Examples, Stretch, cut_examples, read_stretches
from anemone_lib.training.learning import Learning, learn


def train_on_dataset(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    recordings: Sequence[LabelledRecording] | None = None,
    multilabel: bool = True,
    start_from: str | None = None,
    members: int = 1,
    without_calls: str | os.PathLike[str] | None = None,
    force: bool = False,
    name: str = "anemone",
    version: str = "v1.0",
    epochs: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ModelCard:
    """Train a classifier on the train part of a dataset, and write its bundle.

    Parameters
    ----------
    dataset : Dataset
    folder : path of the bundle
    recordings : sequence of LabelledRecording, by default those of the dataset
    multilabel : bool, whether classes may overlap (sigmoid) or not (softmax)
    start_from : path of a model bundle, "shipped", or None for weights drawn at random
    members : int > 0, networks whose probabilities are averaged
    without_calls : path of a folder of recordings without a call, more background to learn from, optional
    force : bool, export a model even if it is no better than chance
    name, version : str, of the model
    epochs : int > 0, at most
    seed : int
    progress : callable (done, total), optional

    Returns
    -------
    card : ModelCard

    Raises
    ------
    ConfigError
        No recording of the train part, or no call in it.
    ModelError
        The model is no better than chance on the validation part; nothing is written.
    """
    recordings = list(read_recordings(dataset) if recordings is None else recordings)
    config = configure(dataset, recordings)
    stretches = read_stretches(recordings, "train", config)
    if not stretches:
        raise ConfigError("no recording is of the train part; say in dataset.yaml which are")
    quiet = _read_quiet(without_calls, config, dataset.channel) if without_calls else []
    pool = ExamplePool(stretches, config, background=quiet)
    if not any(pool.counts[name_] for name_ in config.classes[1:]):
        raise ConfigError("the train part holds no call of any class; annotate some, or split otherwise")
    validation = cut_examples(read_stretches(recordings, "validation", config), config)
    learning = learn(
        pool,
        validation,
        config.classes,
        input_shape=(config.height_pixels, config.width_pixels, 1),
        multilabel=multilabel,
        start_from=start_from,
        members=members,
        epochs=epochs,
        seed=seed,
        progress=progress,
    )
    if not learning.beats_chance and not force:
        raise ModelError(_explain_failure(learning))
    images = validation.images if len(validation) else pool.draw(64, np.random.default_rng(seed)).images
    return export_bundle(
        learning.model,
        folder,
        config=config,
        name=name,
        version=version,
        summary=f"Trained on {len(stretches)} annotated recordings for {', '.join(config.classes[1:])}.",
        temperature=learning.temperature,
        activation="sigmoid" if multilabel else "softmax",
        target_class=config.target_class,
        bands_hz=measure_bands([call for one in stretches for call in one.annotations]),
        images=images[:: max(1, len(images) // 192)],
        training=_describe(dataset, recordings, pool, learning, quiet=quiet, seed=seed),
        metrics=_measure(learning, validation, config),
    )


def configure(dataset: Dataset, recordings: Sequence[LabelledRecording]) -> InferenceConfig:
    """Return the dataset's settings, those that it does not name as proposed for its recordings."""
    settings = {**propose_settings(recordings), **dataset.settings} if not dataset.settings else dataset.settings
    return Dataset(**{**dataset.model_dump(), "settings": settings}).to_config()


def _read_quiet(folder: str | os.PathLike[str], config: InferenceConfig, channel: Channel) -> list[Stretch]:
    """Read recordings without calls."""
    from anemone_lib.audio.recording import open_recording

    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise ConfigError(f"--without-calls is {folder}; there are no recordings in it")
    stretches = []
    for path in paths:
        with open_recording(path, target_sr=config.target_sr, channel=channel) as audio:
            samples = audio.read(0, audio.n_samples)
            stretches.append(Stretch(audio.name, path.stem, samples, audio.sample_rate, ()))
    return stretches


def _explain_failure(learning: Learning) -> str:
    reached = ", ".join(
        f"{name} {value:.2f} (chance {learning.chance[name] or 0:.2f})"
        for name, value in learning.average_precision.items()
        if value is not None
    )
    return (
        f"the model is no better than chance on the validation part: average precision {reached}. Nothing was "
        "written. Check labels and settings with `anemone dataset check`, annotate more, or export it all the same "
        "with --force"
    )


def _describe(
    dataset: Dataset,
    recordings: Sequence[LabelledRecording],
    pool: ExamplePool,
    learning: Learning,
    *,
    quiet: Sequence[Stretch],
    seed: int,
) -> dict[str, Any]:
    """What the card says of the training."""
    return {
        "dataset_sha256": dataset.sha256,
        "channel": dataset.channel,
        "recordings": {
            part: [
                {
                    "name": one.name,
                    "sha256": one.sha256,
                    "group": one.group,
                    "start_s": round(one.spans[part][0], 3),
                    "end_s": round(one.spans[part][1], 3),
                    "calls": dict(one.count_calls(part)),
                }
                for one in recordings
                if part in one.spans
            ]
            for part in PARTS
        },
        "without_calls": [stretch.recording for stretch in quiet],
        "labels": dict(dataset.labels),
        "windows_to_draw_from": pool.counts,
        "networks": len(learning.histories),
        "best_epochs": learning.best_epochs,
        "learning_curves": learning.histories,
        "started_from": learning.started_from,
        "seed": seed,
        "warnings": warn_of_few(recordings, dataset),
    }


def _measure(learning: Learning, validation: Examples, config: InferenceConfig) -> dict[str, Any]:
    return {
        "validation_windows": {
            "n": len(validation),
            **{
                name: {
                    "average_precision": None if value is None else round(value, 4),
                    "chance": None if learning.chance[name] is None else round(float(learning.chance[name] or 0), 4),
                    "n": int((validation.present & validation.known)[:, k].sum()),
                }
                for k, (name, value) in enumerate(learning.average_precision.items(), start=1)
            },
        }
    }
