"""A trained model as the bundle that serving loads: ``best_model.keras``, ``best_model.tflite``, ``best_model.json``.

*Parity.* A bundle is written only if the two models give the same probabilities on images that the caller gives. A
float ``.tflite`` must agree within 1e-4. A model with 8-bit weights and activations (inputs and outputs stay float) is
taken only if it finds the same events in recordings that the caller gives: the F1 between the events of both models is
at least 0.95, and at most 2 % of the windows are above the threshold in one model and below it in the other. Otherwise
the float model is kept, and the card says so.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from anemone_lib.audio.recording import open_recording
from anemone_lib.config import EVENT_FIELDS, InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.errors import ModelError, spell_count
from anemone_lib.evaluation.matching import count_events
from anemone_lib.evaluation.rates import add_counts
from anemone_lib.files import hash_file, write_text
from anemone_lib.scoring.backbone import Backbone
from anemone_lib.scoring.bundle import STEM, BackboneCard, ModelCard, read_card
from anemone_lib.scoring.chunks import score_recording
from anemone_lib.scoring.classifier import Classifier, LiteRTClassifier, load_classifier
from anemone_lib.scoring.fit import scale_transform
from anemone_lib.training.conversion import convert_model
from anemone_lib.training.labelled import cut_labelled_windows
from anemone_lib.training.network import import_keras

#: Largest difference of a probability between the .keras and a float .tflite.
PARITY = 1e-4
#: Limits for an 8-bit model: the lowest F1 of its events, compared with those of the float model, and the largest part
#: of the windows that are above the threshold in one model and below it in the other.
INT8_MIN_EVENT_F1, INT8_MAX_CHANGED = 0.95, 0.02
#: Number of windows of each recording on which two models are compared.
WINDOWS_OF_EACH = 32


def export_bundle(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    images: np.ndarray,
    config: InferenceConfig | None = None,
    name: str = "anemone",
    version: str = "v1.0",
    summary: str = "",
    temperature: float = 1.0,
    activation: str = "softmax",
    transform_sr: int | None = None,
    target_class: str | None = None,
    decisions: dict[str, dict[str, float | int]] | None = None,
    segment_thresholds: dict[str, float] | None = None,
    bands_hz: dict[str, tuple[float, float]] | None = None,
    training: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    backbone: Backbone | None = None,
    head: str = "linear",
    int8_on: Sequence[str | os.PathLike[str]] = (),
) -> ModelCard:
    """Write a model bundle.

    Parameters
    ----------
    model : keras.Model, images in [0, 1] to probabilities
    folder : path
        Made if it is missing. An old bundle in it is replaced when the new bundle is complete.
    images : np.ndarray [shape=(n, height_pixels, width_pixels, channels)], uint8, or float32 in [0, 1]
        Images of recordings like those to be analysed; 200 are plenty. The two models are compared on them, and the
        ranges of an 8-bit model are calibrated on them.
    config : InferenceConfig, optional
        The settings the model was trained with.
    name, version, summary, temperature, activation, transform_sr, target_class, decisions, segment_thresholds
        As in `anemone_lib.scoring.classifier.ModelCard`.
    bands_hz, training, metrics
        As there.
    backbone : Backbone, optional
        The network whose embeddings `model` classifies; `images` then has embeddings. It is copied into the folder.
    head : "linear" or "small", the kind of `model` on a backbone
    int8_on : sequence of paths, optional
        Recordings with calls. With them, a model with 8-bit weights and activations is tried, and is taken if it finds
        the same events in these recordings.

    Returns
    -------
    card : ModelCard

    Raises
    ------
    ModelError
        There are no images, the model does not fit the configuration, or the .tflite does not agree with it.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.training import build_model
    >>> config = InferenceConfig(height_pixels=64, width_pixels=64)
    >>> images = np.random.default_rng(0).random((4, 64, 64, 1), np.float32)
    >>> card = export_bundle(build_model((64, 64, 1)), mkdtemp(), images=images, config=config, version="v0.1")
    >>> card.version, sorted(card.sha256), card.parity["max_abs_difference"] < 1e-4
    ('v0.1', ['best_model.keras', 'best_model.tflite'], True)
    """
    config = config or InferenceConfig()
    folder = Path(folder)
    shape = _check_shapes(model, config, images, backbone)
    images = images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".anemone-") as unfinished:
        keras_path, tflite_path = Path(unfinished) / f"{STEM}.keras", Path(unfinished) / f"{STEM}.tflite"
        model.save(keras_path)
        parity = _write_tflite(model, tflite_path, images)
        if int8_on:
            decided = config.replace(**(decisions or {}).get(config.target_class, {}))
            parity["int8"] = _try_int8(model, tflite_path, images, decided, int8_on, transform_sr=transform_sr)
            parity["tflite"] = "int8" if parity["int8"]["taken"] else "float32"
        parts = [keras_path, tflite_path, *([_copy_backbone(backbone, Path(unfinished))] if backbone else [])]
        card = ModelCard(
            name=name,
            version=version,
            summary=summary,
            classes=config.classes,
            input_shape=shape,
            settings=config.model_dump(exclude={*EVENT_FIELDS, "batch_size"}),
            transform_sr=transform_sr,
            sha256={path.name: hash_file(path) for path in parts},
            backbone=_describe_backbone(backbone, parts[-1].name, head) if backbone else None,
            temperature=temperature,
            activation=activation,  # type: ignore[arg-type]
            target_class=target_class,
            decisions=decisions or {},
            segment_thresholds=segment_thresholds or {},
            bands_hz=bands_hz or {},
            parity=parity,
            training=training or {},
            metrics=metrics or {},
        )
        (folder / f"{STEM}.json").unlink(missing_ok=True)  # the old card does not describe the new files
        _move(parts, folder)
    write_card(card, folder)
    return card


def _move(paths: Sequence[Path], folder: Path) -> None:
    """Move files and folders into a folder; they replace those of the same names."""
    for path in paths:
        if path.is_dir() and (folder / path.name).exists():
            shutil.rmtree(folder / path.name)
        path.replace(folder / path.name)


def _write_tflite(model: Any, path: Path, images: np.ndarray) -> dict[str, Any]:
    """Convert a model; return how much the two models differ, and refuse a difference above `PARITY`."""
    path.write_bytes(convert_model(model))
    parity = _measure_parity(model, path, images)
    if not parity["max_abs_difference"] <= PARITY:
        raise ModelError(
            f"a probability of the .tflite model differs from that of the .keras model by "
            f"{parity['max_abs_difference']:.2g}; at most {PARITY:g} is allowed. Give the model layers that TensorFlow "
            "Lite computes exactly"
        )
    return parity


def _copy_backbone(backbone: Backbone, folder: Path) -> Path:
    """Copy the file of a backbone, or its folder, under the name that it has in a bundle."""
    path = folder / f"{STEM}.backbone{backbone.path.suffix if backbone.path.is_file() else ''}"
    if backbone.path.is_dir():
        shutil.copytree(backbone.path, path)
    else:
        shutil.copyfile(backbone.path, path)
    return path


def _describe_backbone(backbone: Backbone, file: str, head: str) -> BackboneCard:
    return BackboneCard(
        file=file,
        source=backbone.path.name,
        sample_rate=backbone.sample_rate,
        window_samples=backbone.window_samples,
        output=backbone.output,
        head=head,  # type: ignore[arg-type]
    )


def _check_shapes(
    model: Any, config: InferenceConfig, images: np.ndarray, backbone: Backbone | None
) -> tuple[int, int, int] | tuple[int]:
    """Check that the shapes of a model, its configuration and the images agree; return the model's input shape."""
    shape = tuple(model.input_shape[1:])
    fits = len(shape) == 3 and shape[:2] == (config.height_pixels, config.width_pixels) and shape[2] in (1, 3)
    if backbone and shape != (backbone.n_features,):
        raise ModelError(f"the model takes {shape}; the embeddings have {backbone.n_features} numbers")
    if not backbone and not fits:
        raise ModelError(
            f"the model takes images of shape {shape}; the configuration draws "
            f"({config.height_pixels}, {config.width_pixels}, 1 or 3)"
        )
    if model.output_shape[-1] != len(config.classes):
        raise ModelError(
            f"the model has {model.output_shape[-1]} outputs; the configuration names {config.model_classes}"
        )
    if images.shape[1:] != shape or len(images) == 0:
        raise ModelError(
            f"images has shape {images.shape}; the model is compared on images of shape {shape}, at least 1"
        )
    return shape


def write_card(card: ModelCard, folder: str | os.PathLike[str]) -> Path:
    """Write the card of a bundle into its folder; return its path.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.scoring import load_classifier
    >>> write_card(load_classifier().card, mkdtemp()).name
    'best_model.json'
    """
    return write_text(Path(folder) / f"{STEM}.json", f"{card.model_dump_json(indent=2)}\n")


def export_model(
    model_path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    recordings: Sequence[str | os.PathLike[str]],
    config: InferenceConfig | None = None,
    int8: bool = False,
) -> ModelCard:
    """Make a bundle of a ``.keras`` file.

    Parameters
    ----------
    model_path : path of a ``.keras`` file, or of a bundle, whose card is kept
    folder : path
    recordings : sequence of paths
        Recordings like those to be analysed. The two models are compared on images of them, and an 8-bit model on
        their events.
    config : InferenceConfig, optional
        The settings the model was trained with; by default those on its card, else the defaults.
    int8 : bool
        Try 8-bit weights and activations.

    Returns
    -------
    card : ModelCard

    Raises
    ------
    ModelError
        No such model, or not one that may be loaded or can be converted.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> from anemone_lib.training import build_model
    >>> folder = Path(mkdtemp())
    >>> build_model((64, 64, 1)).save(folder / "mine.keras")
    >>> _ = write_recording(folder / "reef.wav", duration=5, seed=1, sample_rate=16_000)
    >>> config = InferenceConfig(height_pixels=64, width_pixels=64)
    >>> card = export_model(folder / "mine.keras", folder / "bundle", recordings=[folder / "reef.wav"], config=config)
    >>> card.input_shape, card.parity["on"]
    ((64, 64, 1), '11 spectrogram images')
    """
    path = Path(model_path)
    path = path / f"{STEM}.keras" if path.is_dir() else path
    if path.suffix != ".keras":
        raise ModelError(f"{path} is not a .keras file; export needs the file that training wrote")
    if not path.is_file():
        raise ModelError(f"no model at {path}")
    if (its_card := read_card(path.with_suffix(".json"))) and its_card.backbone:
        raise ModelError(
            f"{path} is a head on a backbone; use the bundle as `anemone train --backbone` wrote it, without export"
        )
    keras = import_keras()
    with TemporaryDirectory() as alone:  # the checks of serving: version, safe mode, hash on the card
        for file in (path, path.with_suffix(".json")):
            if file.is_file():
                (Path(alone) / f"{STEM}{file.suffix}").write_bytes(file.read_bytes())
        loaded = load_classifier(Path(alone) / f"{STEM}.keras")
        model = keras.models.load_model(Path(alone) / f"{STEM}.keras", compile=False, safe_mode=True)
    card = loaded.card
    if config is None:
        height, width, _ = loaded.input_shape
        settings = card.settings if card else {"height_pixels": height, "width_pixels": width}
        target = card.target_class if card else None
        config = InferenceConfig(**settings, **({"target_class": target} if target else {}))
    kept = {"name", "version", "summary", "temperature", "activation", "transform_sr", "target_class"}
    kept |= {"decisions", "segment_thresholds", "bands_hz", "training", "metrics"}
    described = card.model_dump(include=kept) if card else {}
    described.setdefault("name", path.stem)
    images = _draw_some(recordings, config, loaded.input_shape[2], transform_sr=described.get("transform_sr"))
    return export_bundle(model, folder, images=images, config=config, int8_on=recordings if int8 else (), **described)


def _draw_some(
    recordings: Sequence[str | os.PathLike[str]], config: InferenceConfig, channels: int, *, transform_sr: int | None
) -> np.ndarray:
    """Draw images of some windows of every recording, at random."""
    parts = []
    for path in recordings:
        with open_recording(path, target_sr=config.target_sr) as recording:
            options: dict[str, Any] = {"channels": channels, "transform_sr": transform_sr}
            some = cut_labelled_windows(recording, [], config, **options, max_windows=WINDOWS_OF_EACH)
            parts.append(some.images)
    if not any(map(len, parts)):
        raise ModelError("no recording has a window that can be read; give recordings like those to be analysed")
    return np.concatenate(parts)


def _measure_parity(model: Any, tflite_path: Path, images: np.ndarray) -> dict[str, Any]:
    exact = np.concatenate([np.asarray(model(images[k : k + 32], training=False)) for k in range(0, len(images), 32)])
    lite = _load_alone(tflite_path)
    found = np.concatenate([lite.classify(images[k : k + 32]) for k in range(0, len(images), 32)])
    return {
        "max_abs_difference": float(np.abs(exact - found).max()),
        "on": f"{len(images)} {'spectrogram images' if images.ndim == 4 else 'embeddings'}",
        "tflite": "float32",
    }


def _try_int8(
    model: Any,
    tflite_path: Path,
    images: np.ndarray,
    config: InferenceConfig,
    recordings: Sequence[str | os.PathLike[str]],
    *,
    transform_sr: int | None,
) -> dict[str, Any]:
    """Replace the float model by an 8-bit one if both find the same events; return how well they agree."""
    path = tflite_path.with_name(f"{STEM}.int8.tflite")
    path.write_bytes(convert_model(model, images=images))
    target, counts, changed = config.classes.index(config.target_class), [], []
    models = [_load_alone(tflite_path), _load_alone(path)]
    for one in recordings:
        with open_recording(one, target_sr=config.target_sr) as recording:
            seen = scale_transform(config, recording.sample_rate, transform_sr=transform_sr)
            scores = [score_recording(recording, model, seen) for model in models]
            events = [decide_events(found, config) for found in scores]
            counts.append(count_events(*events, duration=recording.duration))
        sides = [found.probabilities[:, target] >= config.confidence_threshold for found in scores]
        changed.append(sides[0] != sides[1])
    counted, part_changed = add_counts(counts), float(np.mean(np.concatenate(changed)))
    taken = counted.f1 >= INT8_MIN_EVENT_F1 and part_changed <= INT8_MAX_CHANGED
    agreement = {
        "taken": taken,
        "events_float": counted.n_reference,
        "events_int8": counted.n_estimated,
        "events_matched": counted.n_matched,
        "windows_changed": part_changed,
        "max_abs_difference": _measure_parity(model, path, images)["max_abs_difference"],
        "on": f"{spell_count(len(counts), 'recording')}, {counted.duration:g} s, threshold "
        f"{config.confidence_threshold:g}",
    }
    if taken:
        path.replace(tflite_path)
    path.unlink(missing_ok=True)
    return agreement


def _load_alone(tflite_path: Path) -> Classifier:
    """Load a .tflite model without its card."""
    return LiteRTClassifier(tflite_path, card=None, sha256=hash_file(tflite_path))
