"""Train a network on windows that are drawn again for every epoch, and stop when the validation does not improve.

*Method.* AdamW, with a learning rate that rises and then falls along a cosine. Classes of a window that are not known
(`known`) do not count. After every epoch, the model is tested on the validation windows; the weights of the best epoch
are kept. If training starts from another model, its features are copied; at first only the new head learns, then all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from anemone_lib.evaluation.windows import compute_average_precision
from anemone_lib.training.embedded import EmbeddedPool
from anemone_lib.training.examples import ExamplePool, Examples
from anemone_lib.training.fitting import find_temperature
from anemone_lib.training.network import (
    FEATURES,
    REDUCED,
    build_model,
    check_numbers,
    compile_model,
    follow_rates,
    import_keras,
    read_features,
    take_features,
    trace_rates,
)

#: Windows drawn for an epoch, at least and at most.
EPOCH_WINDOWS = (512, 3000)
#: Epochs without a better validation after which training stops, once the learning rate has begun to fall.
PATIENCE = 5
#: Networks whose probabilities are averaged. On recordings of others, three found events better than one.
MEMBERS = 3
#: Average precisions that differ by less than this count as equal.
TOLERANCE = 0.003
#: Highest learning rate from the first weights, and from those of another model.
LEARNING_RATE, FURTHER_LEARNING_RATE = 3e-3, 2e-3


@dataclass(frozen=True, eq=False)
class Learning:
    """The result of a training.

    Attributes
    ----------
    model : keras.Model, images in [0, 1] to probabilities
    temperature : float > 0, by which logits are divided
    average_precision : dict of class to average precision of the validation windows; None where it holds none
    chance : dict of class to the part of the windows that hold it: the average precision of random probabilities
    histories : list of lists of dict (loss, validation), one list for each network, one dict for each epoch
    best_epochs : list of int, from 1, one for each network
    started_from : str, the first weights, in words
    beats_chance : bool
        Whether the score on the validation part is higher than 99 % of the scores that the same probabilities have if
        they are moved in time against the annotations.
    """

    model: Any
    temperature: float
    average_precision: dict[str, float | None]
    chance: dict[str, float | None]
    histories: list[list[dict[str, float]]]
    best_epochs: list[int]
    started_from: str
    beats_chance: bool


def learn(
    pool: ExamplePool | EmbeddedPool,
    validation: Examples,
    classes: Sequence[str],
    *,
    input_shape: tuple[int, ...],
    build: Callable[..., Any] = build_model,
    multilabel: bool = True,
    start_from: str | None = None,
    members: int = MEMBERS,
    epochs: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Learning:
    """Train a classifier.

    Parameters
    ----------
    pool : ExamplePool, of the train part, or EmbeddedPool
    validation : Examples, of the validation part; if it is empty, the last epoch counts
    classes : names, the background first
    input_shape : (height_pixels, width_pixels, channels), or (n_features,)
    build : callable that makes the network, like `build_model`
    multilabel : bool
        Classes may overlap: a sigmoid for each. Otherwise one class a window: a softmax.
    start_from : path of a model bundle, "shipped", or None for weights drawn at random
    members : int > 0
        Networks, each trained from a seed of its own, whose probabilities are averaged.
    epochs : int > 0, at most
    seed : int
    progress : callable (done, total), optional
        Called after every epoch.

    Returns
    -------
    learning : Learning

    Raises
    ------
    ConfigError
        There are no members or no epochs.
    ModelError
        As in `take_features`.
    """
    check_numbers(members=members, epochs=epochs)
    activation = "sigmoid" if multilabel else "softmax"
    features = read_features(start_from) if start_from else None
    networks, histories, best_epochs, started_from = [], [], [], "weights drawn at random"
    compiled: _Compiled | None = None
    for k in range(members):

        def pass_on(done: int, _total: int, k: int = k) -> None:
            if progress:
                progress(k * epochs + done, members * epochs)

        network = build(input_shape, len(classes), activation=activation, seed=seed + 1000 * k)
        if features:
            started_from = take_features(network, features)
        if compiled is None:
            compiled = _Compiled(build(input_shape, len(classes), activation=activation, seed=seed), multilabel)
        compiled.take(network)
        history, best_epoch = _fit(
            compiled,
            pool,
            validation,
            further=features is not None,
            epochs=epochs,
            seed=seed + 1000 * k,
            progress=pass_on,
        )
        compiled.give(network)
        networks.append(network)
        histories.append(history)
        best_epochs.append(best_epoch)
    model = networks[0] if members == 1 else _average(import_keras(), networks, input_shape)
    probabilities = classify_examples(model, validation)
    return Learning(
        model=model,
        temperature=_calibrate(probabilities, validation, multilabel),
        average_precision=_average_precisions(probabilities, validation, classes),
        chance=_measure_chance(validation, classes),
        histories=histories,
        best_epochs=best_epochs,
        started_from=started_from,
        beats_chance=_beats_chance(probabilities, validation, seed),
    )


def _average(keras: Any, networks: Sequence[Any], input_shape: tuple[int, ...]) -> Any:
    """Make one model whose probabilities are the mean of those of several networks."""
    image = keras.layers.Input(input_shape, name="image")
    for k, network in enumerate(networks):
        network.name = f"member_{k}"
    mean = keras.layers.Average(name="probabilities")([network(image) for network in networks])
    return keras.Model(image, mean, name="anemone")


class _Compiled:
    """A network in parts, which are compiled once: networks of the same shape take turns to be trained in it.

    Until a small network begins to learn, most time is spent on tracing the steps of its training.
    """

    def __init__(self, network: Any, multilabel: bool):
        keras = import_keras()
        self.channels = int(network.input_shape[-1])
        self._network, self._loss = network, _make_loss(keras, multilabel, int(network.output_shape[-1]))
        reduced = network.get_layer(REDUCED).output
        self.front = keras.Model(network.input, reduced)
        self.whole = keras.Model(reduced, network.output)

    @cached_property
    def body(self) -> Any:
        """From the layer `REDUCED` to the layer `FEATURES`."""
        return import_keras().Model(self.front.output, self._network.get_layer(FEATURES).output)

    @cached_property
    def head(self) -> Any:
        """From the layer `FEATURES` to the probabilities."""
        return import_keras().Model(self._network.get_layer(FEATURES).output, self._network.output)

    def take(self, network: Any) -> None:
        """Copy the values of another network of the same shape, also those of its random numbers."""
        for own, other in zip(self._network.variables, network.variables, strict=True):
            own.assign(other)

    def give(self, network: Any) -> None:
        """Copy the values into another network."""
        for own, other in zip(self._network.variables, network.variables, strict=True):
            other.assign(own)

    def begin(self, part: Any, rates: np.ndarray) -> Any:
        """Prepare the training of `head` or `whole`; return the callback that sets the learning rates."""
        if not part.compiled:
            compile_model(part, self._loss)
        for variable in part.optimizer.variables:
            variable.assign(np.zeros_like(variable))  # as AdamW begins
        return follow_rates(part, rates)


def _fit(
    compiled: _Compiled,
    pool: ExamplePool | EmbeddedPool,
    validation: Examples,
    *,
    further: bool,
    epochs: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[list[dict[str, float]], int]:
    """Train a network in place; return the history of its epochs, and the number of the best epoch."""
    import_keras().utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    front, whole = compiled.front, compiled.whole
    least, most = EPOCH_WINDOWS
    n = int(np.clip(sum(pool.counts.values()), least, most))
    steps = epochs * -(-n // 64)
    rates = trace_rates(FURTHER_LEARNING_RATE if further else LEARNING_RATE, steps, first=0.02, rise=0.1)
    head_only = max(1, epochs // 6) if further else 0
    x_validation = _run(front, validation.images)
    best, best_weights, history, best_epoch = -np.inf, whole.get_weights(), [], 0
    for epoch in range(1, epochs + 1):
        part = whole if epoch > head_only else compiled.head
        if epoch in (1, head_only + 1):
            set_rate = compiled.begin(part, rates)
        drawn = pool.draw(n, rng, channels=compiled.channels)
        x = _run(front, drawn.images)
        target = np.concatenate([drawn.present, drawn.known], axis=1).astype(np.float32)
        x = x if part is whole else _run(compiled.body, x)
        fitted = part.fit(x, target, batch_size=64, verbose=0, callbacks=[set_rate])
        reached = _score(_run(whole, x_validation), validation)
        history.append({"loss": round(float(fitted.history["loss"][0]), 4)})
        if np.isfinite(reached):
            history[-1]["validation"] = round(reached, 4)
        if reached >= best - TOLERANCE or not np.isfinite(reached):  # of equal epochs, the later
            best, best_weights, best_epoch = max(best, reached), whole.get_weights(), epoch
        progress(epoch, epochs)
        if epoch - best_epoch >= PATIENCE and epoch > epochs // 2:
            break
    whole.set_weights(best_weights)
    return history, best_epoch


def _make_loss(keras: Any, multilabel: bool, n_classes: int) -> Callable[[Any, Any], Any]:
    """Make the loss: cross-entropy over what is known. Its target is `present` and `known` side by side."""
    ops = keras.ops

    def loss(target: Any, probabilities: Any) -> Any:
        present, known = target[:, :n_classes], target[:, n_classes:]
        if multilabel:
            inner = ops.clip(probabilities, 1e-6, 1 - 1e-6)
            surprise = -(present * ops.log(inner) + (1 - present) * ops.log(1 - inner))
            return ops.sum(known * surprise, axis=1) / n_classes
        shared = present / ops.maximum(ops.sum(present, axis=1, keepdims=True), 1e-6)
        sure = ops.min(known, axis=1)
        return -sure * ops.sum(shared * ops.log(ops.maximum(probabilities, 1e-7)), axis=1)

    return loss


def _run(model: Any, x: np.ndarray) -> np.ndarray:
    """Return what a model, as it is after training, makes of `x`, which may be empty."""
    parts = [np.asarray(model(x[k : k + 512], training=False)) for k in range(0, len(x), 512)]
    return np.concatenate(parts) if parts else np.zeros((0, *model.output.shape[1:]), np.float32)


def classify_examples(model: Any, examples: Examples) -> np.ndarray:
    """Return the probability of every class in examples [shape=(n, n_classes)], which may be none.

    Examples
    --------
    >>> from anemone_lib.training import build_model
    >>> present = np.zeros((5, 2), bool)
    >>> examples = Examples(np.zeros((5, 64, 64, 1), np.float32), present, ~present)
    >>> classify_examples(build_model((64, 64, 1), n_classes=2), examples).shape
    (5, 2)
    """
    return _run(model, examples.images)


def measure_examples(model: Any, examples: Examples, classes: Sequence[str]) -> dict[str, float | None]:
    """Return the average precision of every class but the background; None where the examples hold none of it."""
    return _average_precisions(classify_examples(model, examples), examples, classes)


def _average_precisions(
    probabilities: np.ndarray, validation: Examples, classes: Sequence[str]
) -> dict[str, float | None]:
    precisions: dict[str, float | None] = {}
    for k, name in enumerate(classes[1:], start=1):
        known = validation.known[:, k]
        precisions[name] = compute_average_precision(validation.present[known, k], probabilities[known, k])
    return precisions


def _measure_chance(validation: Examples, classes: Sequence[str]) -> dict[str, float | None]:
    columns = zip(classes[1:], validation.present.T[1:], validation.known.T[1:], strict=True)
    return {name: float(present[known].mean()) if known.any() else None for name, present, known in columns}


def _score(probabilities: np.ndarray, validation: Examples) -> float:
    """Return the mean average precision of the classes that the validation part holds; −inf if it holds none.

    The weight of a class is the square root of its number of windows, because the precision of a few windows is mostly
    chance.
    """
    names = [str(k) for k in range(probabilities.shape[1])]
    found = _average_precisions(probabilities, validation, names)
    weights = np.sqrt((validation.present & validation.known).sum(axis=0))
    pairs = [(v, weights[int(k)]) for k, v in found.items() if v is not None]
    if not pairs:
        return -np.inf
    return float(sum(v * w for v, w in pairs) / sum(w for _, w in pairs))


def _beats_chance(probabilities: np.ndarray, validation: Examples, seed: int) -> bool:
    """Compare the score with the scores of the same probabilities moved in time, which do not depend on the calls."""
    reached, n = _score(probabilities, validation), len(probabilities)
    if not np.isfinite(reached) or n < 20 or reached > 1 - 1e-9:
        return True  # too little to judge by, or perfect
    steps = np.random.default_rng(seed).integers(n // 10, n - n // 10, 100)
    moved = [_score(np.roll(probabilities, step, axis=0), validation) for step in steps]
    return bool(reached > np.quantile(moved, 0.99) + 1e-9) or bool(np.ptp([*moved, reached]) < 1e-9)


def _calibrate(probabilities: np.ndarray, validation: Examples, multilabel: bool) -> float:
    """Find the temperature, 0.25 to 4, with the lowest cross-entropy of the validation windows."""
    if len(probabilities) == 0:
        return 1.0
    inner = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    logits = np.log(inner / (1 - inner)) if multilabel else np.log(inner)
    present, known = validation.present, validation.known

    def measure_surprise(temperature: float) -> float:
        scaled = logits / temperature
        if multilabel:
            return float(np.mean(np.logaddexp(0, np.where(present, -scaled, scaled))[known]))
        log_p = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        sure = known.all(axis=1)
        shared = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
        return -float(np.mean((shared * log_p).sum(axis=1)[sure])) if sure.any() else 0.0

    return find_temperature(measure_surprise)
