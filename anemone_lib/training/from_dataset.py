"""From a dataset's description to a model bundle: read, train, check that the model learned, export, write the card."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from anemone_lib.audio.finding import list_audio
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset.checking import warn_of_few
from anemone_lib.dataset.description import PARTS, Dataset
from anemone_lib.dataset.proposal import measure_bands, propose_settings
from anemone_lib.dataset.recordings import LabelledRecording, read_recordings
from anemone_lib.errors import ConfigError, ModelError, spell_count
from anemone_lib.scoring.backbone import Backbone
from anemone_lib.scoring.bundle import ModelCard
from anemone_lib.training.bundle import export_bundle
from anemone_lib.training.embedded import EmbeddedPool, draw_examples, fit_backbone
from anemone_lib.training.examples import (
    ExamplePool,
    Examples,
    Stretch,
    cut_examples,
    read_quiet,
    read_stretches,
)
from anemone_lib.training.learning import Learning, learn
from anemone_lib.training.network import build_head

#: The model from which training starts. On the six recordings that were tried, no difference from random weights is
#: certain.
DEFAULT_START = "shipped"


def train_on_dataset(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    *,
    recordings: Sequence[LabelledRecording] | None = None,
    multilabel: bool = True,
    backbone: Backbone | None = None,
    head: str = "linear",
    without_calls: str | os.PathLike[str] | None = None,
    force: bool = False,
    name: str = "anemone",
    version: str = "v1.0",
    seed: int = 0,
    **options: Any,
) -> ModelCard:
    """Train a classifier on the train part of a dataset, and write its bundle.

    Parameters
    ----------
    dataset : Dataset
    folder : path of the bundle
    recordings : sequence of LabelledRecording, by default those of the dataset
    multilabel : bool, whether classes may overlap (sigmoid) or not (softmax)
    backbone : Backbone, optional
        The model learns from its embeddings instead of images; a copy of it is part of the bundle.
    head : "linear" or "small", on the backbone; see `anemone_lib.training.network.build_head`
    without_calls : path of a folder of recordings without a call, more background to learn from, optional
    force : bool, export a model even if it is no better than chance
    name, version : str, of the model
    seed : int
    **options
        start_from, members, epochs, progress: as in `anemone_lib.training.learning.learn`.

    Returns
    -------
    card : ModelCard

    Raises
    ------
    ConfigError
        No recording of the train part, or no call in it; a backbone and a model to start from.
    ModelError
        The model is no better than chance on the validation part; nothing is written.
    """
    recordings = list(read_recordings(dataset) if recordings is None else recordings)
    config = configure(dataset, recordings, backbone)
    stretches = read_stretches(recordings, "train", config)
    if not stretches:
        raise ConfigError("no recording is in the train part; say in dataset.yaml which recordings are")
    paths = list_audio(without_calls, "--without-calls") if without_calls else []
    quiet = read_quiet(paths, target_sr=config.target_sr, channel=dataset.channel)
    pool = ExamplePool(stretches, config, background=quiet)
    if not any(pool.counts[name_] for name_ in config.classes[1:]):
        raise ConfigError("the train part has no call of any class; annotate some, or change the split")
    validation = cut_examples(
        read_stretches(recordings, "validation", config), config, see=backbone.embed if backbone else None
    )
    learning = learn_from(
        pool,
        validation,
        config,
        backbone=backbone,
        head=head,
        multilabel=multilabel,
        seed=seed,
        **options,
    )
    if not learning.beats_chance and not force:
        raise ModelError(_explain_failure(learning))
    examples = validation if len(validation) else draw_examples(pool, backbone, n=64, seed=seed)
    return export_bundle(
        learning.model,
        folder,
        config=config,
        backbone=backbone,
        head=head,
        name=name,
        version=version,
        summary=f"Trained on {spell_count(len(stretches), 'annotated recording')} for {', '.join(config.classes[1:])}.",
        temperature=learning.temperature,
        activation="sigmoid" if multilabel else "softmax",
        target_class=config.target_class,
        bands_hz=measure_bands([call for one in stretches for call in one.annotations]),
        images=examples.images[:: max(1, len(examples) // 192)],
        training=_describe(dataset, recordings, pool, learning, quiet=quiet, seed=seed),
        metrics=_measure(learning, validation),
    )


def learn_from(
    pool: ExamplePool,
    validation: Examples,
    config: InferenceConfig,
    *,
    backbone: Backbone | None = None,
    head: str = "linear",
    seed: int = 0,
    **options: Any,
) -> Learning:
    """Train the small network on images, or a head on a backbone; the rest is as in `learn`."""
    if backbone is None:
        shape = (config.height_pixels, config.width_pixels, 1)
        return learn(pool, validation, config.classes, input_shape=shape, seed=seed, **options)
    if options.get("start_from"):
        raise ConfigError("a head on a backbone cannot start from another model; leave out start_from")
    embedded = EmbeddedPool(pool, backbone, seed=seed)
    build = partial(build_head, embeddings=embedded.examples.images, kind=head)
    width = (backbone.n_features,)
    return learn(embedded, validation, config.classes, input_shape=width, build=build, seed=seed, **options)


def choose_start(
    start_from: str | None,
    backbone: str | os.PathLike[str] | None,
    *,
    rate: int | None = None,
    window: float | None = None,
    output: str | None = None,
    head: str = "linear",
) -> dict[str, Any]:
    """Return the options of `train_on_dataset` that say from which model or backbone training starts.

    Parameters
    ----------
    start_from : path of a model bundle, "shipped", "none", or None: the shipped one, unless there is a backbone
    backbone : path, or None
    rate, window, output : as in `anemone_lib.scoring.backbone.Backbone`
    head : "linear" or "small"

    Raises
    ------
    ConfigError
        Two starts at once, or options of a backbone without a backbone.
    ModelError
        The backbone cannot be used.

    Examples
    --------
    >>> choose_start(None, None), choose_start("none", None)
    ({'start_from': 'shipped'}, {'start_from': None})
    """
    if not backbone:
        options = {"--backbone-rate": rate, "--backbone-window": window, "--backbone-output": output}
        if named := [name for name, value in options.items() if value is not None]:
            raise ConfigError(f"{named[0]} is given without --backbone; also give --backbone with the file")
        return {"start_from": None if start_from == "none" else start_from or DEFAULT_START}
    if start_from not in (None, "none"):
        raise ConfigError(
            "a head on a backbone cannot start from another model; give --backbone or --start-from, not both"
        )
    return {"backbone": Backbone(backbone, sample_rate=rate, window_duration=window, output=output), "head": head}


def configure(
    dataset: Dataset, recordings: Sequence[LabelledRecording], backbone: Backbone | None = None
) -> InferenceConfig:
    """Return the dataset's settings, as a backbone needs them. If the dataset names none, they are proposed."""
    settings = dataset.settings or propose_settings(recordings)
    config = Dataset(**{**dataset.model_dump(), "settings": settings}).to_config()
    if backbone is None:
        return config
    rate = config.target_sr or min(one.sample_rate for one in recordings)
    return fit_backbone(config, backbone, sample_rate=rate)


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
    """Return the card's description of the training."""
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


def _measure(learning: Learning, validation: Examples) -> dict[str, Any]:
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
