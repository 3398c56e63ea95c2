"""The small network, the heads on a backbone, and Keras."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.errors import ConfigError, ModelError
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL, STEM
from anemone_lib.scoring.classifier import load_classifier

#: Name of the last layer before those with weights.
REDUCED = "reduced"
#: Name of the last layer before the head.
FEATURES = "features"
#: Momentum of the batch normalisation: how much of its old mean and variance a layer keeps after each batch. Few calls
#: make few batches: with Keras's default of 0.99, the first values would still count for two thirds after 42 batches.
MOMENTUM = 0.9
#: Number of units in the hidden layer of the small head.
HEAD_UNITS = 64


def build_model(
    input_shape: tuple[int, int, int] = (256, 256, 1),
    n_classes: int = 3,
    *,
    activation: str = "softmax",
    seed: int = 0,
) -> Any:
    """Build the small network: about 47,000 weights and 4 million multiplications a window.

    First, rows are averaged to 32 (a bin of the transform covers several rows), and their mean over the window is
    subtracted, which removes steady noise and the response of the recorder. Columns are kept and taken in pairs, so
    pulses 10 ms apart stay separate. The network keeps the position of features in frequency. In time, it takes their
    maximum and their mean, after each moment has seen an eighth of a second on each side, because the number of pulses
    separates fish species.

    Parameters
    ----------
    input_shape : (height_pixels, width_pixels, channels)
    n_classes : int >= 2
    activation : "softmax", one class a window, or "sigmoid", classes that may overlap
    seed : int, of the first weights

    Returns
    -------
    model : keras.Model
        Of stock layers, with the activation inside, so that it loads in safe mode.

    Examples
    --------
    >>> model = build_model((64, 64, 1), n_classes=2)
    >>> model.output_shape
    (None, 2)
    """
    keras = import_keras()
    layers = keras.layers
    height, width, channels = input_shape
    rows = next(k for k in range(max(1, min(8, height // 32)), 0, -1) if height % k == 0)
    columns = 2 if width % 2 == 0 else 1
    keras.utils.set_random_seed(seed)

    def normalised(x: Any) -> Any:
        return layers.BatchNormalization(momentum=MOMENTUM)(x)

    def convolved(x: Any, filters: int, size: tuple[int, int], strides: int = 1, padding: str = "same") -> Any:
        x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False)(x)
        return layers.ReLU()(normalised(x))

    image = layers.Input(input_shape, name="image")
    x = layers.Reshape((height // rows, rows, width * channels))(image)
    x = layers.AveragePooling2D((1, rows))(x)
    x = layers.Reshape((height // rows, width, channels))(x)
    x = layers.Subtract()([x, layers.AveragePooling2D((1, width))(x)])
    x = layers.Rescaling(6.0)(x)  # a pulse 13 dB above the noise becomes 1
    x = layers.Reshape((height // rows, width // columns, columns * channels), name=REDUCED)(x)
    x = convolved(x, 22, (4, 6), 2)
    x = convolved(x, 32, (2, 3), 2)
    x = normalised(layers.DepthwiseConv2D((3, 5), padding="same", use_bias=False)(x))
    x = convolved(x, 64, (1, 1))
    x = convolved(x, 64, (x.shape[1], 1), padding="valid")
    around = normalised(layers.DepthwiseConv2D((1, 9), padding="same", use_bias=False)(x))
    x = layers.Add()([x, convolved(around, 64, (1, 1))])
    x = layers.Concatenate(name=FEATURES)([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = layers.Dropout(0.2, seed=seed)(x)
    return keras.Model(image, layers.Dense(n_classes, activation=activation, name="probabilities")(x), name="anemone")


def build_head(
    input_shape: tuple[int, ...],
    n_classes: int,
    *,
    embeddings: np.ndarray,
    kind: str = "linear",
    activation: str = "sigmoid",
    seed: int = 0,
) -> Any:
    """Build the head that classifies the embeddings of a backbone.

    Parameters
    ----------
    input_shape : (n_features,)
    n_classes : int >= 2
    embeddings : np.ndarray [shape=(n, n_features)]
        Of the windows to learn from; the head first subtracts their mean and divides by their standard deviation.
    kind : "linear", or "small": with one hidden layer of `HEAD_UNITS`
    activation : "softmax" or "sigmoid"
    seed : int, of the first weights

    Returns
    -------
    model : keras.Model

    Examples
    --------
    >>> build_head((8,), 3, embeddings=np.eye(8), kind="small").output_shape
    (None, 3)
    """
    keras = import_keras()
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    embedding = layers.Input(input_shape, name="embedding")
    variance = np.maximum(embeddings.var(axis=0, dtype=np.float64), 1e-12)
    scaled = layers.Normalization(mean=embeddings.mean(axis=0).tolist(), variance=variance.tolist(), name=REDUCED)
    x = scaled(embedding)
    if kind == "small":
        x = layers.Dropout(0.3, seed=seed)(layers.Dense(HEAD_UNITS, activation="relu")(x))
    return keras.Model(
        embedding, layers.Dense(n_classes, activation=activation, name="probabilities")(x), name="anemone"
    )


@dataclass(frozen=True, eq=False)
class Features:
    """The weights of a model without its head.

    Attributes
    ----------
    name : str, the version of the model
    path : pathlib.Path
    layers : tuple of lists of np.ndarray, the weights of every layer that has some
    """

    name: str
    path: Path
    layers: tuple[list[np.ndarray], ...]


def read_features(start_from: str) -> Features:
    """Read the weights of a model that another one starts from.

    Parameters
    ----------
    start_from : path of a model bundle or of its .keras, or "shipped"

    Raises
    ------
    ModelError
        There is no such model.

    Examples
    --------
    >>> len(read_features("shipped").layers)
    14
    """
    keras = import_keras()
    path = DEMONSTRATION_MODEL if start_from == "shipped" else Path(start_from)
    path = path / f"{STEM}.keras" if path.is_dir() else path
    if not path.is_file():
        raise ModelError(f"there is no model to start from at {path}; give a bundle with its .keras, or none")
    name = load_classifier(path).version
    source = keras.models.load_model(path, compile=False, safe_mode=True)
    if members := [layer for layer in source.layers if isinstance(layer, keras.Model)]:
        source = members[0]  # the model averages several networks
    return Features(name, path, tuple(layer.get_weights() for layer in source.layers if layer.weights)[:-1])


def take_features(model: Any, features: Features) -> str:
    """Copy the weights of another model, without its head, into the layers of the same shapes; describe it in words.

    Parameters
    ----------
    model : keras.Model, changed in place
    features : Features

    Raises
    ------
    ModelError
        None of the layers fits.

    Examples
    --------
    >>> from anemone_lib.training import build_model
    >>> take_features(build_model(), read_features("shipped"))
    '14 of 14 layers of demo-4'
    """
    ours = [layer for layer in model.layers if layer.weights][:-1]
    taken = 0
    for layer, weights in zip(ours, features.layers, strict=False):
        if [own.shape for own in layer.weights] == [other.shape for other in weights]:
            layer.set_weights(weights)
            taken += 1
    if taken == 0:
        raise ModelError(f"no layer of {features.path} fits the network; start from none")
    return f"{taken} of {len(ours)} layers of {features.name}"


# ---------------------------------------------------------------------- training


def trace_rates(highest: float, n_steps: int, *, first: float, rise: float) -> np.ndarray:
    """Return the learning rate of every step: a rise, and a fall along a cosine to a hundredth of the highest.

    Parameters
    ----------
    highest : float > 0
    n_steps : int > 0
    first : float > 0, where the rise begins, as a part of `highest`
    rise : float in [0, 1], the part of the steps that rise, one at least

    Returns
    -------
    rates : np.ndarray [shape=(n_steps,)], float32

    Examples
    --------
    >>> trace_rates(1.0, 5, first=0.5, rise=0.4).tolist()[:3]
    [0.5, 0.75, 1.0]
    """
    n_rising, steps = max(1, int(n_steps * rise)), np.arange(n_steps)
    risen = first + (1 - first) * steps / n_rising
    fallen = 0.01 + 0.99 * (1 + np.cos(np.pi * (steps - n_rising) / n_steps)) / 2
    return (highest * np.where(steps < n_rising, risen, fallen)).astype(np.float32)


def compile_model(model: Any, loss: str | Callable[[Any, Any], Any], **options: Any) -> None:
    """Compile a model for AdamW, whose learning rate `follow_rates` sets from outside the graph.

    Two thirds of the time until a small network begins to learn are saved so. With a schedule, Keras would compute the
    rate for each weight again; and without variables in the optimiser, it would trace the step twice.

    Parameters
    ----------
    model : keras.Model
    loss : str or callable, as for Keras
    **options
        More of `compile`, as ``metrics``.
    """
    optimiser = import_keras().optimizers.AdamW(weight_decay=1e-3)
    optimiser.build(model.trainable_variables)
    model.compile(optimiser, loss, jit_compile=False, **options)


def follow_rates(model: Any, rates: np.ndarray) -> Any:
    """Return the callback for `fit` that sets the learning rate of every step of a compiled model.

    Parameters
    ----------
    model : keras.Model
    rates : np.ndarray, of `trace_rates`
    """
    left = iter(rates)

    def set_rate(batch: int, logs: Any = None) -> None:
        model.optimizer.learning_rate = next(left)

    return import_keras().callbacks.LambdaCallback(on_train_batch_begin=set_rate)


def check_numbers(**numbers: int) -> None:
    """Refuse numbers of epochs, networks or windows that are less than 1.

    Raises
    ------
    ConfigError
        One is; the message has its name.

    Examples
    --------
    >>> check_numbers(epochs=12, members=3)
    """
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"{name} is {number}; it must be 1 or more")


def import_keras() -> Any:
    """Import Keras on TensorFlow, quietly.

    Examples
    --------
    >>> import_keras().config.backend()
    'tensorflow'
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        import keras
    except ImportError:
        raise ModelError("training needs Keras and TensorFlow: pip install 'anemone-lib[keras]'") from None
    return keras
