"""The model bundle: its files, its card, its digest.

A bundle is a folder with ``best_model.tflite`` (what serving runs, in LiteRT), ``best_model.keras`` (what training
writes) and ``best_model.json``, the model card: the classes, the settings the model was trained with, the SHA-256 of
both files, and in words what it was trained on and what it was never trained on. A lone ``.keras`` works too, through
Keras. If the model has a backbone, its file lies in the bundle, too, and the two models are the head on it.

One digest covers everything that decides the probabilities: the file that runs and the card (classes, temperature,
activation, settings, SHA-256 of a backbone). `Classifier.sha256` is this digest: results name it, caches use it as
a key, and it pins a model. Without a card, it is the SHA-256 of the file.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anemone_lib.errors import ModelError
from anemone_lib.files import hash_file

#: The model that comes with the package.
DEMONSTRATION_MODEL = Path(__file__).parent.parent / "models"

STEM = "best_model"


class BackboneCard(BaseModel):
    """The card's description of the network that embeds the sound before the model classifies it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^[\w.-]+$", description="The file, or folder of a SavedModel, beside the card.")
    source: str = Field(description="Name of the file that was given.")
    sample_rate: int = Field(gt=0, description="Of its input, Hz.")
    window_samples: int = Field(gt=0, description="Samples of a window.")
    output: str = Field(description="The output that is the embedding.")
    head: Literal["linear", "small"] = Field(description="linear, or small: with one layer of 64 between.")


class ModelCard(BaseModel):
    """The description of a model, in ``best_model.json``.

    Examples
    --------
    >>> card = read_card(DEMONSTRATION_MODEL / "best_model.json")
    >>> card.classes, card.input_shape
    (('noise', 'anemonefish', 'biological'), (256, 256, 1))
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str = Field(description="Name of the model.")
    version: str = Field(description="Like v1.0; part of every result.")
    summary: str = Field("", description="In words: what it was trained on, and what it was never trained on.")
    classes: tuple[str, ...] = Field(description="In the order of the model's outputs.")
    input_shape: tuple[int, int, int] | tuple[int] = Field(
        description="height_pixels, width_pixels, channels; with a backbone, the numbers in an embedding."
    )
    settings: dict[str, int | float | str | None] = Field(
        description="The score-deciding settings of InferenceConfig that the model was trained with."
    )
    transform_sr: int | None = Field(
        None,
        gt=0,
        description="The sample rate in Hz that n_fft and hop_length are for: at another they are scaled, so that a "
        "frame lasts as long and the model sees the same. None: they are numbers of samples at every rate.",
    )
    sha256: dict[str, str] = Field(description="SHA-256 (hex) by file name.")
    backbone: BackboneCard | None = Field(None, description="The backbone, if the model takes embeddings.")
    activation: Literal["softmax", "sigmoid"] = Field(
        "softmax",
        description="softmax: one class a window, probabilities sum to 1. sigmoid: every class by itself, several may "
        "be present at once, and probabilities need not sum to 1.",
    )
    temperature: float = Field(
        1.0, gt=0, description="Logits are divided by this before the softmax, or the sigmoid (calibration)."
    )
    target_class: str | None = Field(None, description="The class that the model was made for; none: the default's.")
    decisions: dict[str, dict[str, float | int]] = Field(
        default_factory=dict,
        description="By class, the best event settings, like confidence_threshold, found on recordings that were not "
        "learnt from; they count where no others are given.",
    )
    segment_thresholds: dict[str, float] = Field(
        default_factory=dict, description="By class, the best threshold of 3-s segments on the validation part."
    )
    bands_hz: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="By class, the frequencies (low, high) in Hz between which its calls are measured.",
    )
    parity: dict[str, Any] = Field(
        default_factory=dict,
        description="Largest difference between the .keras and the .tflite, and on what.",
    )
    training: dict[str, Any] = Field(default_factory=dict, description="Data, seeds and command of the training.")
    metrics: dict[str, Any] = Field(default_factory=dict, description="What was measured, on what.")


def find_model_file(uri: str | os.PathLike[str] | None = None) -> Path:
    """Find the file of a bundle that runs: the ``.tflite``, or else the ``.keras``.

    Parameters
    ----------
    uri : path or ``file://`` address of the bundle's folder or of any of its files
        By default the demonstration model.

    Returns
    -------
    path : pathlib.Path

    Raises
    ------
    ModelError
        The file does not exist, or its format is not known.

    Examples
    --------
    >>> find_model_file().name
    'best_model.tflite'
    """
    path = _find_local_path(uri)
    if path.is_dir():
        candidates = [path / f"{STEM}.tflite", path / f"{STEM}.keras"]
    elif path.suffix == ".json":
        candidates = [path.with_suffix(".tflite"), path.with_suffix(".keras")]
    elif path.suffix == ".keras":
        candidates = [path.with_suffix(".tflite"), path]
    elif path.suffix == ".tflite":
        candidates = [path]
    elif path.suffix in (".h5", ".hdf5"):
        raise ModelError(
            f"{path} is in the legacy HDF5 format, which can run code when it is loaded; save it as .keras: "
            "keras.models.load_model(...).save('best_model.keras'), on a machine you can lose"
        )
    else:
        raise ModelError(f"{path} is no model: give a .keras, a .tflite, its .json card, or their folder")
    model_path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if model_path is None:
        raise ModelError(f"no model at {path}: looked for {' and '.join(str(c) for c in candidates)}")
    return model_path


def _find_local_path(uri: str | os.PathLike[str] | None) -> Path:
    if uri is None:
        return DEMONSTRATION_MODEL
    if isinstance(uri, str) and "://" in uri:
        parts = urlsplit(uri)
        if parts.scheme != "file":
            raise ModelError(f"cannot load a model from {uri}; download it and give its path")
        return Path(unquote(parts.path))
    return Path(uri)


def read_card(path: Path) -> ModelCard | None:
    """Read a model card.

    Parameters
    ----------
    path : pathlib.Path, of the ``.json`` file

    Returns
    -------
    card : ModelCard, or None if there is no such file

    Raises
    ------
    ModelError
        The file is not a model card.

    Examples
    --------
    >>> read_card(DEMONSTRATION_MODEL / "best_model.json").version
    'demo-4'
    """
    if not path.is_file():
        return None
    try:
        return ModelCard(**json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ModelError(f"the model card {path} cannot be read: {error}") from None


def digest_bundle(model_path: Path) -> str:
    """Compute the digest of a bundle: of the file that runs, and of its card if it has one.

    Parameters
    ----------
    model_path : pathlib.Path, of the ``.tflite`` or ``.keras`` file that runs

    Returns
    -------
    digest : str, SHA-256 in hexadecimal
        If there is a card beside the file, of the SHA-256 of both; otherwise of the file.

    Examples
    --------
    >>> digest_bundle(DEMONSTRATION_MODEL / "best_model.tflite") == digest_bundle(find_model_file())
    True
    """
    card_path, digest = model_path.with_suffix(".json"), hash_file(model_path)
    if not card_path.is_file():
        return digest
    return hashlib.sha256(f"model {digest}\ncard {hash_file(card_path)}\n".encode()).hexdigest()


def check_hashes(model_path: Path, card: ModelCard | None, pinned: str | None) -> str:
    """Refuse a bundle whose hashes differ from its card, or from the digest that the caller gives.

    Parameters
    ----------
    model_path : pathlib.Path, of the file that runs
    card : ModelCard, or None
    pinned : str, the digest that the bundle must have, or None

    Returns
    -------
    digest : str, of the bundle

    Raises
    ------
    ModelError

    Examples
    --------
    >>> path = find_model_file()
    >>> check_hashes(path, read_card(path.with_suffix(".json")), None) == digest_bundle(path)
    True
    """
    actual, digest = hash_file(model_path), digest_bundle(model_path)
    _compare_hash(model_path, actual, card.sha256.get(model_path.name) if card else None)
    if card and card.backbone:
        backbone = model_path.with_name(card.backbone.file)
        if not backbone.exists():
            raise ModelError(
                f"the backbone {backbone} is missing; the model at {model_path} is a head on it: copy the bundle whole"
            )
        _compare_hash(backbone, hash_file(backbone), card.sha256.get(backbone.name, "missing"))
    if pinned and pinned.lower() != digest:
        if card and pinned.lower() in {actual, *(value.lower() for value in card.sha256.values())}:
            raise ModelError(
                f"{pinned} is the SHA-256 of one file; the card decides the probabilities, too: pin {digest}, which "
                f"is over {model_path.name} and its card, after you checked that both are the ones that were tested"
            )
        raise ModelError(
            f"the SHA-256 of the bundle at {model_path} is {digest}, the expected digest is {pinned}; "
            "the model or its card is not the one that was tested: copy the bundle again"
        )
    return digest


def _compare_hash(path: Path, actual: str, said: str | None) -> None:
    if said and said.lower() != actual:
        raise ModelError(
            f"the SHA-256 of {path} is {actual}, the one in its card is {said}; "
            "the file is not the one that was tested: copy the bundle again"
        )
