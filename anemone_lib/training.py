"""Train a classifier: a small network, its calibration, and what it is worth event by event.

*Conventions.* A bout is a run of calls less than 2 s apart: windows of a second and a median over five of them cannot
tell them apart, so bouts are what events are held against. `anemone_lib.labelled` makes the windows,
`anemone_lib.export` the bundle.

The demonstration model is made by `train_demonstration_model` alone, from fixed seeds and simulated recordings.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from anemone_lib.audio import open_recording
from anemone_lib.classifier import STEM, Classifier, ModelCard, load_classifier
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.evaluation import Counts, as_intervals, count_events, join_intervals, total
from anemone_lib.export import export_bundle, keras_module, write_card
from anemone_lib.labelled import LabelledWindows, simulated_windows
from anemone_lib.scores import events_of, score_recording
from anemone_lib.simulate import write_recording

#: Calls closer than this are one bout; the simulation keeps bouts three times as far apart.
BOUT_JOIN_S = 2.0
#: The layer after which weights begin.
REDUCED = "reduced"
#: First seeds of the simulated recordings that the demonstration model learns from, is calibrated on and tested on.
TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 100_000, 200_000, 300_000

Seconds = float
Progress = Callable[[int, int], None]


# ---------------------------------------------------------------------- the network


@dataclass(frozen=True, eq=False)
class Training:
    """What a training gave.

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


def build_model(input_shape: tuple[int, int, int] = (256, 256, 1), n_classes: int = 3, *, seed: int = 0) -> Any:
    """Build the small network: about 30,000 weights and 3 million multiplications a window.

    Rows are averaged by eight first (a bin of the transform is drawn over several) and their mean over the window is
    taken away, so that lasting noise and a recorder's response go. Columns are kept and taken in pairs, so that
    pulses 10 ms apart stay apart. What is found in frequency counts by where it is, what is found in time by its
    maximum and its mean.

    Parameters
    ----------
    input_shape : (height_pixels, width_pixels, channels)
    n_classes : int >= 2
    seed : int, of the first weights

    Returns
    -------
    model : keras.Model
        Of stock layers, with the softmax inside, so that it loads in safe mode.
    """
    keras = keras_module()
    layers = keras.layers
    height, width, channels = input_shape
    rows = next(k for k in (8, 7, 6, 5, 4, 3, 2, 1) if height % k == 0)
    columns = 2 if width % 2 == 0 else 1
    keras.utils.set_random_seed(seed)

    def convolved(x: Any, filters: int, size: tuple[int, int], strides: int = 1, padding: str = "same") -> Any:
        x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    image = layers.Input(input_shape, name="image")
    x = layers.Reshape((height // rows, rows, width * channels))(image)
    x = layers.AveragePooling2D((1, rows))(x)
    x = layers.Reshape((height // rows, width, channels))(x)
    x = layers.Subtract()([x, layers.AveragePooling2D((1, width))(x)])
    x = layers.Rescaling(6.0)(x)  # a pulse 13 dB above the noise becomes 1
    x = layers.Reshape((height // rows, width // columns, columns * channels), name=REDUCED)(x)
    x = convolved(x, 24, (4, 6), 2)
    x = convolved(x, 32, (2, 3), 2)
    x = layers.BatchNormalization()(layers.DepthwiseConv2D((3, 5), padding="same", use_bias=False)(x))
    x = convolved(x, 64, (1, 1))
    x = convolved(x, 64, (x.shape[1], 1), padding="valid")
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = layers.Dropout(0.2, seed=seed)(x)
    return keras.Model(image, layers.Dense(n_classes, activation="softmax", name="probabilities")(x), name="anemone")


def train_classifier(
    train: LabelledWindows,
    validation: LabelledWindows,
    *,
    model: Any = None,
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Training:
    """Train a classifier and calibrate it.

    Parameters
    ----------
    train, validation : LabelledWindows, of different recordings
    model : keras.Model, optional
        A model to train on, or one of your own; by default `build_model`.
    epochs, batch_size : int > 0
    learning_rate : float > 0
        At its highest; it rises over the first 5 % and falls along a cosine (AdamW).
    seed : int, of the first weights and of the order of the windows
    progress : callable (done, total), optional
        Called after every epoch.

    Returns
    -------
    training : Training

    Raises
    ------
    ConfigError
        The sets share a recording, or a class is missing from the training set.
    """
    if shared := set(train.recordings) & set(validation.recordings):
        raise ConfigError(
            f"{len(shared)} recordings are in both sets ({min(shared)}, …); split by recording, or the validation "
            "would be held on what was learnt"
        )
    if missing := [name for name, n in train.counts().items() if n == 0]:
        raise ConfigError(f"no window of {', '.join(missing)} to learn from; annotate some, or add simulated windows")
    keras = keras_module()
    model = model or build_model(train.images.shape[1:], len(train.classes), seed=seed)
    keras.utils.set_random_seed(seed)
    # What comes before has no weights: it is computed once.
    names = [layer.name for layer in model.layers]
    front = keras.Model(model.input, model.get_layer(REDUCED).output) if REDUCED in names else None
    learner = keras.Model(front.output, model.output) if front else model
    x, x_validation = _reduced(train, front), _reduced(validation, front)
    steps = epochs * -(-len(train) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 100, steps, warmup_target=learning_rate, warmup_steps=max(1, steps // 20), alpha=0.01
    )
    learner.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    callbacks = []
    if progress:
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress(epoch + 1, epochs)))
    history = learner.fit(
        x,
        train.labels,
        validation_data=(x_validation, validation.labels),
        batch_size=batch_size,
        epochs=epochs,
        callbacks=callbacks,
        verbose=0,
    ).history
    probabilities = learner.predict(x_validation, batch_size=batch_size, verbose=0)
    temperature = calibrate(probabilities, validation.labels)
    return Training(model, history, temperature, tempered(probabilities, temperature))


def _reduced(windows: LabelledWindows, front: Any) -> np.ndarray:
    """Windows as the first layer with weights sees them, in half precision."""
    parts = []
    for start in range(0, len(windows), 512):
        images = windows.images[start : start + 512].astype(np.float32) / np.float32(255)
        parts.append(np.asarray(front(images) if front else images, np.float16))
    return np.concatenate(parts)


def calibrate(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature at which probabilities are most believable (Guo et al. 2017, On calibration of modern
    neural networks).

    Parameters
    ----------
    probabilities : np.ndarray [shape=(n, n_classes)]
    labels : np.ndarray [shape=(n,)], int

    Returns
    -------
    temperature : float, 0.25 to 4
    """
    from scipy.optimize import minimize_scalar

    def surprise(log_temperature: float) -> float:
        true = tempered(probabilities, float(np.exp(log_temperature)))[np.arange(len(labels)), labels]
        return -float(np.mean(np.log(np.maximum(true, 1e-12))))

    return round(float(np.exp(minimize_scalar(surprise, bounds=np.log([0.25, 4.0]), method="bounded").x)), 4)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits by a temperature: above 1 the probabilities come closer to each other."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


# ---------------------------------------------------------------------- what it is worth


def measure_events(
    classifier: Classifier,
    *,
    seed: int,
    config: InferenceConfig | None = None,
    n_recordings: int = 2,
    duration: Seconds = 300.0,
    sample_rate: int = 48_000,
    snr_db: tuple[float, float] = (6.0, 18.0),
) -> Counts:
    """Detect bouts of calls in simulated recordings and count.

    Calls less than 2 s apart are one bout, the least that windows of a second and a median over five of them can tell
    apart; an event matches a bout that it overlaps, one to one.

    Parameters
    ----------
    classifier : Classifier
    seed : int, of the first recording; never one that the model was trained on
    config : InferenceConfig, optional
    n_recordings : int > 0
    duration : float > 0, in seconds, of each
    sample_rate : int, in Hz
    snr_db : (lowest, highest), in dB

    Returns
    -------
    counts : anemone_lib.evaluation.Counts
    """
    config = config or InferenceConfig()
    counts = []
    with TemporaryDirectory() as folder:
        for k in range(n_recordings):
            path = Path(folder) / f"{seed + k}.wav"
            truth = write_recording(path, duration=duration, seed=seed + k, sample_rate=sample_rate, snr_db=snr_db)
            calls = as_intervals(truth, labels=[config.target_class])
            with open_recording(path, target_sr=config.target_sr) as recording:
                events = events_of(score_recording(recording, classifier, config), config)
            counts.append(count_events(join_intervals(calls, max_gap=BOUT_JOIN_S), events, duration=duration))
            path.unlink()
    return total(counts)


def count_false_alarms(
    classifier: Classifier, recordings: Sequence[str | os.PathLike[str]], *, config: InferenceConfig | None = None
) -> Counts:
    """Count the events in recordings that hold no call of the target.

    Parameters
    ----------
    classifier : Classifier
    recordings : paths
    config : InferenceConfig, optional

    Returns
    -------
    counts : anemone_lib.evaluation.Counts
        With its `false_alarms_per_hour`.
    """
    config = config or InferenceConfig()
    counts = []
    for path in recordings:
        with open_recording(path, target_sr=config.target_sr) as recording:
            events = events_of(score_recording(recording, classifier, config), config)
            counts.append(count_events([], events, duration=recording.duration))
    return total(counts)


# ---------------------------------------------------------------------- the demonstration model

SUMMARY = (
    "A demonstration. Trained on simulated recordings only, made after published descriptions of anemonefish calls, "
    "and never tested on real anemonefish calls, of which no recording is publicly available: what it finds in a real "
    "recording is a candidate for a person to listen to. Real calls of damselfish and other reef fish resemble those "
    "of anemonefish and will be among them. For work of your own, train on your annotated recordings."
)


def train_demonstration_model(
    folder: str | os.PathLike[str],
    *,
    n_recordings: int = 1600,
    epochs: int = 12,
    seed: int = 0,
    without_calls: Sequence[str | os.PathLike[str]] = (),
    progress: Progress | None = None,
) -> ModelCard:
    """Make the model that comes with the package: simulate, train, calibrate, export, measure.

    Parameters
    ----------
    folder : path of the bundle
    n_recordings : int > 0, simulated to learn from, 20 s each
    epochs : int > 0
    seed : int
    without_calls : paths of real recordings, optional
        In which no call of the target is known; events in them are counted as false alarms on the card.
    progress : callable (done, total), optional
        Called after every epoch.

    Returns
    -------
    card : ModelCard
    """
    config = InferenceConfig()
    train = simulated_windows(n_recordings=n_recordings, seed=TRAINING_SEED, config=config)
    validation = simulated_windows(n_recordings=max(8, n_recordings // 8), seed=VALIDATION_SEED, config=config)
    training = train_classifier(train, validation, epochs=epochs, seed=seed, progress=progress)
    predicted = training.probabilities.argmax(axis=1)
    card = export_bundle(
        training.model,
        folder,
        config=config,
        name="Anemone demonstration model",
        version="demo-1",
        summary=SUMMARY,
        temperature=training.temperature,
        images=validation.images[:: max(1, len(validation) // 192)],
        training={
            "command": "anemone train",
            "data": f"{n_recordings} simulated recordings of 20 s at 8 to 200 kHz, SNR -3 to 24 dB, augmented",
            "seeds": {"recordings": TRAINING_SEED, "validation": VALIDATION_SEED, "weights": seed},
            "windows": train.counts(),
            "epochs": epochs,
            "loss": [round(loss, 4) for loss in training.history["loss"]],
            "validation_loss": [round(loss, 4) for loss in training.history["val_loss"]],
        },
        metrics={
            "validation_windows": {
                "n": validation.counts(),
                "accuracy": round(float(np.mean(predicted == validation.labels)), 4),
            }
        },
    )
    measured = measure_card(
        load_classifier(Path(folder) / f"{STEM}.tflite"), config=config, without_calls=without_calls
    )
    card = card.model_copy(update={"metrics": card.metrics | measured})
    write_card(card, folder)
    return card


def measure_card(
    classifier: Classifier,
    *,
    config: InferenceConfig | None = None,
    without_calls: Sequence[str | os.PathLike[str]] = (),
    n_recordings: int = 3,
) -> dict[str, Any]:
    """Measure what a card says of a model: events over SNR, over sample rates, and false alarms in real recordings.

    Parameters
    ----------
    classifier : Classifier
    config : InferenceConfig, optional
    without_calls : paths, as for `train_demonstration_model`
    n_recordings : int > 0, of five minutes, for each point

    Returns
    -------
    metrics : dict, for the card
    """

    def measured(seed: int, **settings: Any) -> dict[str, float | int | None]:
        counts = measure_events(classifier, seed=seed, config=config, n_recordings=n_recordings, **settings)
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in counts.to_dict().items()}

    metrics: dict[str, Any] = {
        "how": (
            "Events of the default settings against bouts of calls (less than 2 s apart) in simulated recordings of "
            "seeds that were not trained on; any overlap, one to one. SNR in the call's band."
        ),
        "snr_6_to_18_db": measured(TEST_SEED),
        "by_snr_db": {
            str(snr): measured(TEST_SEED + 1000 + 10 * k, snr_db=(snr, snr)) for k, snr in enumerate(range(-6, 19, 3))
        },
        "by_sample_rate_at_6_to_18_db": {
            str(rate): measured(TEST_SEED + 2000 + 10 * k, sample_rate=rate)
            for k, rate in enumerate((8_000, 16_000, 32_000, 44_100, 96_000, 192_000))
        },
    }
    if without_calls:
        counts = count_false_alarms(classifier, without_calls, config=config)
        metrics["real_recordings_without_known_calls"] = {
            "n_recordings": len(without_calls),
            "minutes": round(counts.duration / 60, 2),
            "events": counts.n_estimated,
            "false_alarms_per_hour": round(counts.false_alarms_per_hour, 2),
            "note": "no expert has checked that they hold no call",
        }
    return metrics
