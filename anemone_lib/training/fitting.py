"""Train and calibrate a classifier."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.scoring.classifier import apply_temperature
from anemone_lib.training.labelled import LabelledWindows
from anemone_lib.training.network import (
    REDUCED,
    build_model,
    check_numbers,
    compile_model,
    follow_rates,
    import_keras,
    trace_rates,
)

#: The contrast of a window is multiplied by e to the power of a normal random number with this standard deviation. The
#: second number is the part of the windows in which a stripe is hidden. `anemone_lib.training.examples` has other
#: amounts, and says why.
CONTRAST, HIDDEN_PART = 0.2, 0.3
#: Called with the number of epochs done and of all epochs.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Training:
    """The result of a training.

    Attributes
    ----------
    model : keras.Model, images in [0, 1] to probabilities
    history : dict of lists, one number an epoch: loss, accuracy, val_loss, val_accuracy
    temperature : float > 0, by which the logits are divided so that probabilities hold (`calibrate`)
    probabilities : np.ndarray [shape=(n_validation, n_classes)], of the validation windows, calibrated
    """

    model: Any
    history: dict[str, list[float]]
    temperature: float
    probabilities: np.ndarray


def train_classifier(
    train: LabelledWindows,
    validation: LabelledWindows,
    *,
    model: Any = None,
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    balance: float = 0.0,
    varied: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Training:
    """Train a classifier and calibrate it.

    Parameters
    ----------
    train, validation : LabelledWindows, of different recordings; of `reduce_windows`, where memory is short
    model : keras.Model, optional
        A model to train on, or one of your own; by default `build_model`.
    epochs, batch_size : int > 0
    learning_rate : float > 0
        At its highest; it rises over the first 5 % and falls along a cosine (AdamW).
    balance : float in [0, 1]
        How much rare classes count: at 0 each window counts alike, at 1 each class; 0.5 is half-way. No window is
        left out.
    varied : bool
        Each time a window is shown, its contrast is another, and a stripe of time or of frequency may be hidden
        (SpecAugment; Park et al. 2019). For models of `build_model`.
    seed : int, of the first weights and of the order of the windows
    progress : callable (done, total), optional
        Called after every epoch.

    Returns
    -------
    training : Training

    Raises
    ------
    ConfigError
        The sets share a recording, a class is missing from the training set, or a number is out of its range.

    Examples
    --------
    Random images teach nothing, but they show every step:

    >>> from anemone_lib.training import LabelledWindows, build_model
    >>> rng = np.random.default_rng(0)
    >>> train, validation = (
    ...     LabelledWindows(
    ...         images=rng.integers(0, 256, (8, 64, 64, 1), np.uint8),
    ...         labels=np.arange(8) % 2,
    ...         recordings=np.full(8, name),
    ...         start_times=np.arange(8.0),
    ...         classes=("noise", "anemonefish"),
    ...     )
    ...     for name in ("a.wav", "b.wav")
    ... )
    >>> training = train_classifier(train, validation, model=build_model((64, 64, 1), n_classes=2), epochs=1)
    >>> len(training.history["loss"]), training.probabilities.shape
    (1, (8, 2))
    """
    if shared := set(train.recordings) & set(validation.recordings):
        raise ConfigError(
            f"{spell_count(len(shared), 'recording')} in both sets ({min(shared)}, …); split by recording, otherwise "
            "the validation uses windows that the model has learned"
        )
    check_numbers(epochs=epochs, batch_size=batch_size)
    if not 0 <= balance <= 1:
        raise ConfigError(f"balance is {balance:g}; it is between 0 (each window counts alike) and 1 (each class)")
    if missing := [name for name, n in train.count_classes().items() if n == 0]:
        raise ConfigError(f"no window of {', '.join(missing)} to learn from; annotate some, or add simulated windows")
    keras = import_keras()
    model = model or build_model(train.images.shape[1:], len(train.classes), seed=seed)
    keras.utils.set_random_seed(seed)
    # The layers before the first weights are computed once.
    front = _find_front(model)
    learner = keras.Model(front.output, model.output) if front else model
    x, x_validation = reduce_windows(train, model).images, reduce_windows(validation, model).images
    steps = epochs * -(-len(train) // batch_size)
    rates = trace_rates(learning_rate, steps, first=0.01, rise=0.05)
    compile_model(learner, "sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks = [follow_rates(learner, rates)]
    if progress:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(epoch + 1, epochs)))
    shown: dict[str, Any] = {"x": x, "y": train.labels, "batch_size": batch_size}
    if varied:
        shown = {"x": _make_varied_batches(x, train.labels, batch_size, seed), "shuffle": False}
    history = learner.fit(
        **shown,
        validation_data=(x_validation, validation.labels),
        validation_batch_size=batch_size,
        epochs=epochs,
        class_weight=weigh_classes(train.count_classes(), balance),
        callbacks=callbacks,
        verbose=0,
    ).history
    probabilities = learner.predict(x_validation, batch_size=batch_size, verbose=0)
    temperature = calibrate(probabilities, validation.labels)
    return Training(model, history, temperature, apply_temperature(probabilities, temperature))


def weigh_classes(counts: Mapping[str, int], balance: float) -> dict[int, float]:
    """Say how much a window of each class counts: less, the more windows its class has.

    Parameters
    ----------
    counts : mapping of class to its number of windows, at least 1
    balance : float in [0, 1], as for `train_classifier`

    Returns
    -------
    weights : dict of the class's index to its weight; the mean over all windows is 1

    Examples
    --------
    >>> weigh_classes({"noise": 90, "anemonefish": 10}, 1.0)
    {0: 0.5555555555555556, 1: 5.0}
    """
    numbers = np.array(list(counts.values()), np.float64)
    weights = numbers**-balance
    weights *= numbers.sum() / (numbers * weights).sum()
    return dict(enumerate(weights.tolist()))


def reduce_windows(windows: LabelledWindows, model: Any) -> LabelledWindows:
    """Return windows as the first layer with weights sees them, in half precision: an eighth of the memory.

    Parameters
    ----------
    windows : LabelledWindows, images, or reduced already
    model : keras.Model, as `build_model` makes it, or one of your own, whose windows stay images

    Returns
    -------
    windows : LabelledWindows, whose images are float16

    Examples
    --------
    >>> from anemone_lib.training.simulated import simulate_windows
    >>> windows = simulate_windows(n_recordings=1, seed=1, duration=5.0, max_windows=4)
    >>> reduce_windows(windows, build_model()).images.shape
    (4, 32, 128, 2)
    """
    if windows.images.dtype == np.float16:
        return windows
    front = _find_front(model)
    parts = []
    for start in range(0, len(windows), 512):
        images = windows.images[start : start + 512].astype(np.float32) / np.float32(255)
        parts.append(np.asarray(front(images) if front else images, np.float16))
    return replace(windows, images=np.concatenate(parts))


def find_hard_windows(
    windows: LabelledWindows, model: Any, *, target_class: str, margin: float = 0.5
) -> LabelledWindows:
    """Return the windows that a model gets wrong: other sounds that it takes for the target, and calls that it misses.

    Parameters
    ----------
    windows : LabelledWindows, of `reduce_windows`
    model : keras.Model
    target_class : str, one of the windows' classes
    margin : float in [0, 1]
        How far the probability of the target is from 0, or for a call from 1, at least.

    Returns
    -------
    windows : LabelledWindows

    Examples
    --------
    >>> from anemone_lib.training.simulated import simulate_windows
    >>> model = build_model()
    >>> windows = reduce_windows(simulate_windows(n_recordings=1, seed=1, duration=5.0), model)
    >>> len(find_hard_windows(windows, model, target_class="anemonefish", margin=0.0)) == len(windows)
    True
    """
    front, target = _find_front(model), windows.classes.index(target_class)
    learner = import_keras().Model(front.output, model.output) if front else model
    probabilities = learner.predict(windows.images, batch_size=512, verbose=0)[:, target]
    return windows.take(np.abs(probabilities - (windows.labels == target)) >= margin)


def _make_varied_batches(x: np.ndarray, labels: np.ndarray, batch_size: int, seed: int) -> Any:
    """Make batches of windows, in another order in each epoch, and vary each window; see `train_classifier`."""

    class VariedBatches(import_keras().utils.PyDataset):  # type: ignore[misc]
        """Batches that are made when they are used, so that memory holds no copy of all windows."""

        def __init__(self) -> None:
            super().__init__(workers=1)
            self.rng = np.random.default_rng(seed)
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            self.order = self.rng.permutation(len(x))

        def __len__(self) -> int:
            return -(-len(x) // batch_size)

        def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[k * batch_size : (k + 1) * batch_size]
            return _vary(x[chosen].astype(np.float32), np.random.default_rng([seed, k, chosen[0]])), labels[chosen]

    return VariedBatches()


def _vary(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary the contrast of reduced windows, whose rows have a mean of 0, and hide stripes of some of them, in place."""
    _, height, width, _ = x.shape
    x *= np.exp(rng.normal(0, CONTRAST, (len(x), 1, 1, 1))).astype(np.float32)
    for k in range(len(x)):
        if rng.random() < HIDDEN_PART:
            size = int(rng.integers(1, max(2, height // 6)))
            first = int(rng.integers(0, height - size))
            x[k, first : first + size] = 0
        if rng.random() < HIDDEN_PART:
            size = int(rng.integers(1, max(2, width // 10)))
            first = int(rng.integers(0, width - size))
            x[k, :, first : first + size] = 0
    return x


def _find_front(model: Any) -> Any:
    """Return the layers before those with weights as a model; None if the model has no such layers."""
    names = [layer.name for layer in model.layers]
    return import_keras().Model(model.input, model.get_layer(REDUCED).output) if REDUCED in names else None


def calibrate(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature with the lowest cross-entropy (Guo et al. 2017, On calibration of modern neural networks).

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_classes)]
    labels : np.ndarray [shape=(n,)], int

    Returns
    -------
    temperature : float, 0.25 to 4

    Examples
    --------
    Probabilities of 0.99 that are true in three of four windows are too sure:

    >>> calibrate(np.array([[0.01, 0.99]] * 4), np.array([1, 1, 1, 0])) > 1
    True
    """

    def measure_surprise(temperature: float) -> float:
        true = apply_temperature(probabilities, temperature)[np.arange(len(labels)), labels]
        return -float(np.mean(np.log(np.maximum(true, 1e-12))))

    return find_temperature(measure_surprise)


def find_temperature(measure_surprise: Callable[[float], float]) -> float:
    """Find the temperature from 0.25 to 4 at which the cross-entropy of validation windows is lowest.

    >>> find_temperature(lambda temperature: (temperature - 2) ** 2)
    2.0
    """
    from scipy.optimize import minimize_scalar

    bounds = np.log([0.25, 4.0])
    search = minimize_scalar(lambda log: measure_surprise(float(np.exp(log))), bounds=bounds, method="bounded")
    return round(float(np.exp(search.x)), 4)
