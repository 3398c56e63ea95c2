"""Images, or windows of sound, to probabilities: the model bundle and what runs it.

`anemone_lib.scoring.bundle` finds and checks the files.

LiteRT's answers are the same bits whatever else is in the batch, so a window's probabilities never depend on its
neighbours.
"""

import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from anemone_lib.errors import ModelError
from anemone_lib.scoring.backbone import Backbone
from anemone_lib.scoring.bundle import ModelCard, check_hashes, find_model_file, read_card

#: Keras before this runs code from a .keras file even in safe mode (CVE-2025-49655, CVE-2026-1669).
MIN_KERAS = (3, 13, 2)


class Classifier(Protocol):
    """Turns images, or with a backbone windows of sound, into probabilities.

    Attributes
    ----------
    card : ModelCard, or None for a lone .keras
    sha256 : str, over the file that runs and its card; see `digest_bundle`
    version : str, from the card, or the file's name
    input_shape : (height_pixels, width_pixels, channels), or (window_samples,) if it takes sound
    n_classes : int

    Examples
    --------
    >>> classifier = load_classifier()
    >>> probabilities = classifier.classify(np.zeros((2, *classifier.input_shape), np.float32))
    >>> probabilities.shape, np.allclose(probabilities.sum(axis=1), 1)
    ((2, 3), True)
    """

    card: ModelCard | None
    sha256: str
    version: str
    input_shape: tuple[int, ...]
    n_classes: int

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class.

        Parameters
        ----------
        images : np.ndarray [shape=(n, height_pixels, width_pixels, channels)], float32 in [0, 1]
            Or windows of sound [shape=(n, window_samples)], if `input_shape` has one dimension.

        Returns
        -------
        probabilities : np.ndarray [shape=(n, n_classes)], float32
            Rows sum to 1, except for a model of overlapping classes (sigmoid on its card).
        """
        ...


def load_classifier(
    uri: str | os.PathLike[str] | None = None, *, sha256: str | None = None, num_threads: int = 1
) -> Classifier:
    """Load a model bundle.

    Parameters
    ----------
    uri : path or ``file://`` address of the bundle's folder or of any of its files
        By default the demonstration model. The ``.tflite`` is preferred to the ``.keras``.
    sha256 : str, optional
        The digest of the bundle (`Classifier.sha256`, `digest_bundle`); checked before the model is loaded.
    num_threads : int > 0
        Threads inside one call; windows are scored by several calls at once, so 1 is fastest.

    Returns
    -------
    classifier : Classifier

    Raises
    ------
    ModelError
        The model does not exist, its format is not known, a hash does not match, or it is damaged.

    Examples
    --------
    >>> classifier = load_classifier()
    >>> classifier.version, classifier.n_classes
    ('demo-4', 3)
    >>> load_classifier(sha256=classifier.sha256).sha256 == classifier.sha256
    True
    """
    model_path = find_model_file(uri)
    card = read_card(model_path.with_suffix(".json"))
    digest = check_hashes(model_path, card, sha256)
    model: Classifier
    if model_path.suffix == ".tflite":
        model = LiteRTClassifier(model_path, card=card, sha256=digest, num_threads=num_threads)
    else:
        model = KerasClassifier(model_path, card=card, sha256=digest)
    if card and card.backbone:
        return EmbeddingClassifier(model_path, model, card=card, num_threads=num_threads)
    if len(model.input_shape) != 3:
        raise ModelError(f"{model_path} takes embeddings, and has no card that names their backbone; copy the bundle")
    return model


def rename_classifier(classifier: Classifier, version: str) -> Classifier:
    """Return the same classifier with another version, as its scores will state it.

    Examples
    --------
    >>> rename_classifier(load_classifier(), "reef-7").version
    'reef-7'
    """
    renamed = object.__new__(type(classifier))
    vars(renamed).update(vars(classifier))
    renamed.version = version
    return renamed


class LiteRTClassifier:
    """A ``.tflite`` model in LiteRT; each thread has an interpreter of its own."""

    def __init__(self, path: Path, *, card: ModelCard | None, sha256: str, num_threads: int = 1) -> None:
        self.card, self.sha256 = card, sha256
        self.version = card.version if card else path.stem
        self._path, self._num_threads = path, num_threads
        self._local = threading.local()
        _, expected, answer = self._get_interpreter()
        self.input_shape = _read_shape(expected["shape"], path)
        self.n_classes = int(answer["shape"][-1])
        _check_card(self, path)

    def _get_interpreter(self) -> tuple[Any, Any, Any]:
        """Return this thread's interpreter, ready for one image."""
        if hasattr(self._local, "ready"):
            return self._local.ready
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(model_path=str(self._path), num_threads=self._num_threads)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self._path} is not a model that LiteRT can run: {error}") from None
        expected = interpreter.get_input_details()[0]
        interpreter.resize_tensor_input(expected["index"], [1, *expected["shape"][1:]])
        interpreter.allocate_tensors()
        self._local.ready = interpreter, interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        return self._local.ready

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class; see `Classifier`."""
        _check_images(images, self.input_shape)
        return self.classify_painted(len(images), (partial(_copy, image) for image in images))

    def classify_painted(self, n_images: int, paints: Iterable[Callable[[np.ndarray], object]]) -> np.ndarray:
        """Return the probability of every class in images that are drawn where the model reads them.

        LiteRT gets one image at a time: it and the values between the layers then stay in the core's cache, which is
        faster than any batch and needs the memory of one image only.

        Parameters
        ----------
        n_images : int
        paints : iterable of callable, as many
            Each fills an array of float32 [shape=`input_shape`], and keeps no reference to it.

        Returns
        -------
        probabilities : np.ndarray [shape=(n_images, n_classes)], float32
        """
        interpreter, expected, answer = self._get_interpreter()
        get_input = interpreter.tensor(expected["index"])
        apart = None if expected["dtype"] is np.float32 else np.empty(self.input_shape, np.float32)
        answers = np.empty((n_images, self.n_classes), answer["dtype"])
        for paint, row in zip(paints, answers, strict=True):
            paint(get_input()[0] if apart is None else apart)
            if apart is not None:
                interpreter.set_tensor(expected["index"], _quantise(apart, expected)[np.newaxis])
            interpreter.invoke()
            row[:] = interpreter.get_tensor(answer["index"])[0]
        return _calibrate(_dequantise(answers, answer, self.card), self.card)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to another process as a path, which is checked there against the same hash."""
        return _reload, (str(self._path), self.sha256, self._num_threads)


class KerasClassifier:
    """A ``.keras`` model in Keras; TensorFlow is imported when the first one is loaded."""

    def __init__(self, path: Path, *, card: ModelCard | None, sha256: str) -> None:
        try:
            import keras
        except ImportError:
            raise ModelError(
                f"{path} needs Keras and TensorFlow, which are not installed: export it once with "
                "`anemone export-model --recordings FOLDER`, and keep the .tflite beside it; or "
                "pip install 'anemone-lib[keras]' "
                '(an image: build it with EXTRAS="serve keras")'
            ) from None
        if tuple(int(part) for part in keras.__version__.split(".")[:3]) < MIN_KERAS:
            raise ModelError(
                f"Keras is {keras.__version__}; loading a model safely needs {'.'.join(map(str, MIN_KERAS))} or later"
            )
        try:
            self._model = keras.models.load_model(path, compile=False, safe_mode=True)
        except (ValueError, OSError, TypeError, KeyError, RuntimeError) as error:
            raise ModelError(f"{path} cannot be loaded by Keras: {error}") from None
        self.card, self.sha256 = card, sha256
        self.version = card.version if card else path.stem
        self._path = path
        self._lock = threading.Lock()
        self.input_shape = _read_shape(self._model.input_shape, path)
        self.n_classes = int(self._model.output_shape[-1])
        _check_card(self, path)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class; see `Classifier`."""
        _check_images(images, self.input_shape)
        if len(images) == 0:
            return np.zeros((0, self.n_classes), np.float32)
        with self._lock:
            answer = np.asarray(self._model(images, training=False), np.float32)
        return _calibrate(answer, self.card)

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to another process as a path, which is checked there against the same hash."""
        return _reload, (str(self._path), self.sha256, 1)


class EmbeddingClassifier:
    """A backbone that embeds windows of sound, and a model that classifies the embeddings."""

    def __init__(self, path: Path, head: Classifier, *, card: ModelCard, num_threads: int = 1) -> None:
        about = card.backbone
        assert about is not None
        self._path, self._head, self._num_threads = path, head, num_threads
        self._backbone = Backbone(
            path.with_name(about.file),
            sample_rate=about.sample_rate,
            window_duration=about.window_samples / about.sample_rate,
            output=about.output,
            num_threads=num_threads,
        )
        if head.input_shape != (self._backbone.n_features,):
            raise ModelError(
                f"{path} takes {head.input_shape[0]} numbers, the embedding of {about.file} has "
                f"{self._backbone.n_features}; copy the bundle again"
            )
        self.card: ModelCard | None = card
        self.sha256, self.version, self.n_classes = head.sha256, head.version, head.n_classes
        self.input_shape: tuple[int, ...] = (self._backbone.window_samples,)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class in windows of sound; see `Classifier`."""
        _check_images(images, self.input_shape)
        return self._head.classify(self._backbone.embed(images))

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to another process as a path, which is checked there against the same hash."""
        return _reload, (str(self._path), self.sha256, self._num_threads)


_loaded: dict[tuple[str, str], Classifier] = {}


def _reload(path: str, sha256: str, num_threads: int) -> Classifier:
    """Load a classifier once in a process, even if many pieces of work are sent with it."""
    if (path, sha256) not in _loaded:
        _loaded[path, sha256] = load_classifier(path, sha256=sha256, num_threads=num_threads)
    return _loaded[path, sha256]


def _read_shape(shape: Any, path: Path) -> tuple[int, ...]:
    """Return the shape of an image, or the length of an embedding."""
    sizes = [int(size) if size is not None else 0 for size in shape]
    if len(sizes) == 2 and sizes[1] > 0:
        return (sizes[1],)
    if len(sizes) != 4 or min(sizes[1:]) < 1 or sizes[3] not in (1, 3):
        raise ModelError(f"{path} takes input of shape {sizes}; it must be (any, height_pixels, width_pixels, 1 or 3)")
    return sizes[1], sizes[2], sizes[3]


def _check_card(classifier: Classifier, path: Path) -> None:
    card = classifier.card
    if card is None:
        return
    if card.input_shape != classifier.input_shape:
        raise ModelError(
            f"the card of {path} says images are {card.input_shape}, the model takes {classifier.input_shape}"
        )
    if len(card.classes) != classifier.n_classes:
        raise ModelError(
            f"the card of {path} names {len(card.classes)} classes ({', '.join(card.classes)}), "
            f"the model answers with {classifier.n_classes}"
        )


def _check_images(images: np.ndarray, shape: tuple[int, ...]) -> None:
    if images.shape[1:] != shape:
        what = "images" if len(shape) == 3 else "windows"
        raise ModelError(f"{what} have shape {images.shape}; the model takes (n, {', '.join(map(str, shape))})")


def _copy(image: np.ndarray, out: np.ndarray) -> None:
    out[:] = image


def _quantise(images: np.ndarray, details: Any) -> np.ndarray:
    """Convert images to the input type of a fully quantised model."""
    scale, zero = details["quantization"]
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(images / scale + zero), limits.min, limits.max).astype(details["dtype"])


def _dequantise(answer: np.ndarray, details: Any, card: ModelCard | None) -> np.ndarray:
    if details["dtype"] is np.float32:
        return answer
    scale, zero = details["quantization"]
    probabilities = (answer.astype(np.float32) - zero) * np.float32(scale)
    if card is not None and card.activation == "sigmoid":
        return probabilities
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits of a softmax by a temperature (Guo et al. 2017, On calibration of modern neural networks).

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_classes)], float, rows sum to 1
    temperature : float > 0
        Above 1, the probabilities of a row come closer to each other; below 1, they move apart. Their order stays.

    Returns
    -------
    calibrated : np.ndarray [shape=(n, n_classes)], float32, rows sum to 1

    Examples
    --------
    >>> import numpy as np
    >>> apply_temperature(np.array([[0.1, 0.9]]), 2.0).round(2).tolist()
    [[0.25, 0.75]]
    """
    logits = np.log(np.maximum(probabilities, 1e-30)) / probabilities.dtype.type(temperature)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _calibrate(probabilities: np.ndarray, card: ModelCard | None) -> np.ndarray:
    """Divide the logits by the card's temperature (Guo et al. 2017, On calibration of modern neural networks)."""
    if card is None or card.temperature == 1.0:
        return probabilities
    if card.activation == "sigmoid":
        inner = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
        return (1 / (1 + ((1 - inner) / inner) ** (1 / card.temperature))).astype(np.float32)
    return apply_temperature(probabilities, card.temperature)
