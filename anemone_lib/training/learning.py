"""Train a network on windows that are drawn again for every epoch, and stop when the validation does not improve.

*Method.* AdamW, with a learning rate that rises and then falls along a cosine. Classes of a window that are not known
(`known`) do not count. After every epoch, the model is tested on the validation windows; the weights of the best epoch
are kept. If training starts from another model, its features are copied; at first only the new head learns, then all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anemone_lib.errors import ModelError
from anemone_lib.evaluation.windows import compute_average_precision
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL, STEM
from anemone_lib.scoring.classifier import load_classifier
from anemone_lib.training.embedded import EmbeddedPool
from anemone_lib.training.examples import ExamplePool, Examples
from anemone_lib.training.fitting import find_temperature
from anemone_lib.training.network import REDUCED, build_model, check_numbers, compile_model, import_keras, trace_rates

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
    keras = import_keras()
    networks, histories, best_epochs, started_from = [], [], [], ""
    for k in range(members):

        def pass_on(done: int, _total: int, k: int = k) -> None:
            if progress:
                progress(k * epochs + done, members * epochs)

        network = build(
            input_shape, len(classes), activation="sigmoid" if multilabel else "softmax", seed=seed + 1000 * k
        )
        started_from = take_features(network, start_from) if start_from else "weights drawn at random"
        history, best_epoch = _fit(
            network,
            pool,
            validation,
            multilabel=multilabel,
            further=start_from is not None,
            epochs=epochs,
            seed=seed + 1000 * k,
            progress=pass_on,
        )
        networks.append(network)
        histories.append(history)
        best_epochs.append(best_epoch)
    model = networks[0] if members == 1 else _average(keras, networks, input_shape)
    probabilities = classify_examples(model, validation, len(classes))
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


def _fit(
    network: Any,
    pool: ExamplePool | EmbeddedPool,
    validation: Examples,
    *,
    multilabel: bool,
    further: bool,
    epochs: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[list[dict[str, float]], int]:
    """Train one network in place; return the history of its epochs, and the number of the best epoch."""
    keras = import_keras()
    n_classes = int(network.output_shape[-1])
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    front = keras.Model(network.input, network.get_layer(REDUCED).output)
    learner = keras.Model(front.output, network.output)
    least, most = EPOCH_WINDOWS
    n = int(np.clip(sum(pool.counts.values()), least, most))
    steps = epochs * -(-n // 64)
    rates = trace_rates(FURTHER_LEARNING_RATE if further else LEARNING_RATE, steps, first=0.02, rise=0.1)
    head_only = max(1, epochs // 6) if further else 0
    loss = _make_loss(keras, multilabel, n_classes)
    x_validation = _reduce(front, validation.images)
    best, best_weights, history, best_epoch = -np.inf, learner.get_weights(), [], 0
    for epoch in range(1, epochs + 1):
        if epoch in (1, head_only + 1):
            for layer in learner.layers[:-1]:
                layer.trainable = epoch > head_only
            set_rate = compile_model(learner, rates, loss)
        drawn = pool.draw(n, rng, channels=network.input_shape[-1])
        target = np.concatenate([drawn.present, drawn.known], axis=1).astype(np.float32)
        fitted = learner.fit(_reduce(front, drawn.images), target, batch_size=64, verbose=0, callbacks=[set_rate])
        reached = _score(_predict(learner, x_validation, n_classes), validation)
        history.append({"loss": round(float(fitted.history["loss"][0]), 4)})
        if np.isfinite(reached):
            history[-1]["validation"] = round(reached, 4)
        if reached >= best - TOLERANCE or not np.isfinite(reached):  # of equal epochs, the later
            best, best_weights, best_epoch = max(best, reached), learner.get_weights(), epoch
        progress(epoch, epochs)
        if epoch - best_epoch >= PATIENCE and epoch > epochs // 2:
            break
    learner.set_weights(best_weights)
    return history, best_epoch


def take_features(model: Any, start_from: str) -> str:
    """Copy the weights of another model, without its head, into the layers of the same shapes; describe it in words.

    Parameters
    ----------
    model : keras.Model, changed in place
    start_from : path of a model bundle, or "shipped"

    Raises
    ------
    ModelError
        No such model, or none of its layers fits.
    """
    keras = import_keras()
    path = DEMONSTRATION_MODEL if start_from == "shipped" else Path(start_from)
    path = path / f"{STEM}.keras" if path.is_dir() else path
    if not path.is_file():
        raise ModelError(f"there is no model to start from at {path}; give a bundle with its .keras, or none")
    described = load_classifier(path).version
    source = keras.models.load_model(path, compile=False, safe_mode=True)
    if members := [layer for layer in source.layers if isinstance(layer, keras.Model)]:
        source = members[0]  # the model averages several networks
    theirs = [layer for layer in source.layers if layer.weights][:-1]
    ours = [layer for layer in model.layers if layer.weights][:-1]
    taken = 0
    for layer, other in zip(ours, theirs, strict=False):
        if [w.shape for w in layer.weights] == [w.shape for w in other.weights]:
            layer.set_weights(other.get_weights())
            taken += 1
    if taken == 0:
        raise ModelError(f"no layer of {path} fits the network; start from none")
    return f"{taken} of {len(ours)} layers of {described}"


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


def _reduce(front: Any, images: np.ndarray) -> np.ndarray:
    parts = [np.asarray(front(images[k : k + 512])) for k in range(0, len(images), 512)]
    return np.concatenate(parts) if parts else np.zeros((0, *front.output.shape[1:]), np.float32)


def _predict(learner: Any, x: np.ndarray, n_classes: int) -> np.ndarray:
    if len(x) == 0:
        return np.zeros((0, n_classes), np.float32)
    return np.concatenate([np.asarray(learner(x[k : k + 512], training=False)) for k in range(0, len(x), 512)])


def classify_examples(model: Any, examples: Examples, n_classes: int) -> np.ndarray:
    """Return the probability of every class in examples [shape=(n, n_classes)], which may be none.

    Examples
    --------
    >>> from anemone_lib.training import build_model
    >>> present = np.zeros((5, 2), bool)
    >>> examples = Examples(np.zeros((5, 64, 64, 1), np.float32), present, ~present)
    >>> classify_examples(build_model((64, 64, 1), n_classes=2), examples, 2).shape
    (5, 2)
    """
    return _predict(model, examples.images, n_classes)


def measure_examples(model: Any, examples: Examples, classes: Sequence[str]) -> dict[str, float | None]:
    """Return the average precision of every class but the background; None where the examples hold none of it."""
    return _average_precisions(classify_examples(model, examples, len(classes)), examples, classes)


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
