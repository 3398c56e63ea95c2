"""The recipe of the demonstration model.

Only `train_demonstration_model` makes it, from fixed seeds and simulated recordings and, if they are given, from real
recordings without calls. `anemone_lib.training.measuring` measures how good it is.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anemone_lib.config import DEFAULT_RATE_HZ, InferenceConfig
from anemone_lib.scoring.bundle import STEM, ModelCard
from anemone_lib.scoring.classifier import load_classifier
from anemone_lib.training.bundle import export_bundle, write_card
from anemone_lib.training.examples import Stretch, read_quiet
from anemone_lib.training.fitting import Progress, Training, find_hard_windows, reduce_windows, train_classifier
from anemone_lib.training.labelled import LabelledWindows, concatenate
from anemone_lib.training.measuring import measure_card
from anemone_lib.training.network import build_model
from anemone_lib.training.simulated import simulate_windows

#: First seeds of the recordings that the demonstration model learns from, of those over real noise, of those that it
#: is calibrated on, and of those in which its mistakes are looked for.
TRAINING_SEED, RECORDED_SEED, VALIDATION_SEED, MINING_SEED = 100_000, 150_000, 205_000, 400_000
SUMMARY = (
    "A demonstration. Trained on simulated recordings{real}, made after published descriptions of anemonefish calls, "
    "and never tested on real anemonefish calls, of which no recording is publicly available: what it finds in a real "
    "recording is a candidate for a person to listen to. Real calls of damselfish and other reef fish resemble those "
    "of anemonefish and will be among them. For work of your own, train on your annotated recordings."
)
#: Part of the recordings without calls that is kept to measure on.
CONTROL_PART = 1 / 3
#: Windows that are taken of each simulated recording, at most.
WINDOWS_OF_EACH = 32
#: With more, the model becomes surer of sounds in real recordings without calls, though better on simulated ones.
EPOCHS = 5
#: Settings that decide the events of both classes of sounds. They were chosen for anemonefish on simulated recordings
#: (`docs/adr/0019-event-settings-on-the-card.md`). The median takes three windows, so that a single call, which two or
#: three windows hold, is not lost; a high threshold makes up for it. Silence of less than 1.1 s between windows does
#: not end a bout.
EVENT_SETTINGS: dict[str, float | int] = {
    "confidence_threshold": 0.8,
    "smoothing_window": 3,
    "min_gap_duration": 1.1,
    "min_event_duration": 0.2,
}
#: Epochs and highest learning rate with the mistakes added.
MINED_EPOCHS, MINED_RATE = 2, 2e-3
#: More than a simulated recording has.
ALL_WINDOWS = 1000
#: Recordings in which mistakes are looked for, for each that the model learns from; their SNR in dB; the part of them
#: over real noise; and how far from the truth the probability of a window is at least.
MINED_PART, MINED_SNR_DB, MINED_OVER_NOISE, MARGIN = 0.42, (0.0, 24.0), 0.25, 0.4
#: Recordings whose images are in memory at once: 6,400 images take 420 MB, reduced 105 MB.
RECORDINGS_AT_ONCE = 200


def train_demonstration_model(
    folder: str | os.PathLike[str],
    *,
    n_recordings: int = 3800,
    epochs: int = EPOCHS,
    seed: int = 0,
    without_calls: Sequence[str | os.PathLike[str]] = (),
    control: Sequence[str | os.PathLike[str]] = (),
    mine: bool = False,
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
        In which no call of the target is known. Of the simulated recordings every fourth part is made over the first
        two thirds of them, in the order given; the last third is measured only. Names that begin with the site, in
        order, keep most sites on one side.
    control : paths of real recordings, optional
        More without a call of the target, measured only.
    mine : bool
        Then try the model on further simulated recordings, some of them over the recordings without calls, add the
        windows that it gets wrong (false alarms twice), and train on with all windows, varied each time they are
        shown. Fewer false alarms in simulated recordings, not in the real ones tried. Takes 10 GB of memory.
    progress : callable (done, total), optional
        Called after every epoch.

    Returns
    -------
    card : ModelCard
    """
    config = InferenceConfig()
    n_learnt = len(without_calls) - round(CONTROL_PART * len(without_calls))
    quiet = read_quiet(without_calls[:n_learnt], target_sr=config.target_sr)
    model = build_model(n_classes=len(config.classes), seed=seed)
    options: dict[str, Any] = {"config": config, "transform_sr": DEFAULT_RATE_HZ, "max_windows": WINDOWS_OF_EACH}
    parts = _plan_parts(n_recordings, over_noise=bool(quiet))
    train = _simulate_parts(parts, model, quiet, options)
    validation = _simulate_parts(
        [(n, VALIDATION_SEED + k, False) for k, n in _cut_parts(max(8, n_recordings // 10))], model, (), options
    )
    compared = simulate_windows(n_recordings=8, seed=VALIDATION_SEED, **options)
    n_mined = max(1, round(MINED_PART * n_recordings)) if mine else 0
    training, described = _learn(
        train, validation, model, n_mined, quiet, options, epochs=epochs, seed=seed, progress=progress
    )
    right = training.probabilities.argmax(axis=1) == validation.labels
    card = export_bundle(
        training.model,
        folder,
        config=config,
        name="Anemone demonstration model",
        version="demo-4-mined" if mine else "demo-4",
        summary=SUMMARY.format(real=", some of them over real noise without fish" if quiet else " only"),
        temperature=training.temperature,
        images=compared.images[:192],
        transform_sr=DEFAULT_RATE_HZ,
        decisions=dict.fromkeys(config.classes[1:], EVENT_SETTINGS),
        training={
            "command": f"anemone train --epochs {epochs}" + " --without-calls FOLDER" * bool(quiet) + " --mine" * mine,
            "data": f"{n_recordings} simulated recordings of 20 s at 8 to 200 kHz, SNR -3 to 24 dB, augmented",
            "over_real_noise": sum(n for n, _, over_noise in parts if over_noise),
            "real_noise": [stretch.recording for stretch in quiet],
            "seeds": {
                "recordings": TRAINING_SEED,
                "recordings_over_real_noise": RECORDED_SEED,
                "validation": VALIDATION_SEED,
                "weights": seed,
            },
            **described,
        },
        metrics={"validation_windows": {"n": validation.count_classes(), "accuracy": round(float(right.mean()), 4)}},
    )
    classifier = load_classifier(Path(folder) / f"{STEM}.tflite")
    measured = measure_card(classifier, control=[*without_calls[n_learnt:], *control])
    card = card.model_copy(update={"metrics": card.metrics | measured})
    write_card(card, folder)
    return card


def _learn(
    train: LabelledWindows,
    validation: LabelledWindows,
    model: Any,
    n_mined: int,
    quiet: Sequence[Stretch],
    options: dict[str, Any],
    *,
    epochs: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Training, dict[str, Any]]:
    """Train, and if recordings are to be mined, train on with the windows of them that the model gets wrong.

    Returns the training and what the card says of it.
    """
    n_epochs = epochs + (MINED_EPOCHS if n_mined else 0)

    def report(n_before: int) -> Progress | None:
        return progress and (lambda done, _: progress(n_before + done, n_epochs))

    training = train_classifier(train, validation, model=model, epochs=epochs, seed=seed, progress=report(0))
    described: dict[str, Any] = {"windows": train.count_classes(), "epochs": epochs, **_round_losses(training)}
    if not n_mined:
        return training, described
    hard = _mine(training.model, n_mined, quiet, options)
    false_alarms = hard.take(hard.labels != hard.classes.index(options["config"].target_class))
    training = train_classifier(
        concatenate([train, hard, false_alarms]),
        validation,
        model=training.model,
        epochs=MINED_EPOCHS,
        learning_rate=MINED_RATE,
        varied=True,
        seed=seed + 1,
        progress=report(epochs),
    )
    mined = {"recordings": n_mined, "first_seed": MINING_SEED, "windows": hard.count_classes(), "epochs": MINED_EPOCHS}
    return training, described | {"mined": mined | _round_losses(training)}


def _round_losses(training: Training) -> dict[str, list[float]]:
    return {
        "loss": [round(loss, 4) for loss in training.history["loss"]],
        "validation_loss": [round(loss, 4) for loss in training.history["val_loss"]],
    }


def _mine(model: Any, n: int, quiet: Sequence[Stretch], options: dict[str, Any]) -> LabelledWindows:
    """Simulate further recordings, some over recorded noise, and keep the windows that the model gets wrong."""
    options = options | {
        "max_windows": ALL_WINDOWS,
        "snr_db": MINED_SNR_DB,
        "quiet": quiet,
        "quiet_part": MINED_OVER_NOISE,
    }
    target = options["config"].target_class
    hard = []
    for k, n_part in _cut_parts(n):
        windows = reduce_windows(simulate_windows(n_recordings=n_part, seed=MINING_SEED + k, **options), model)
        hard.append(find_hard_windows(windows, model, target_class=target, margin=MARGIN))
    return concatenate(hard)


def _simulate_parts(
    parts: Sequence[tuple[int, int, bool]], model: Any, quiet: Sequence[Stretch], options: dict[str, Any]
) -> LabelledWindows:
    """Simulate windows part by part, and keep of each what the weights of the network see."""
    return concatenate(
        [
            reduce_windows(
                simulate_windows(n_recordings=n, seed=first, quiet=quiet if over_noise else (), **options), model
            )
            for n, first, over_noise in parts
        ]
    )


def _cut_parts(n: int) -> list[tuple[int, int]]:
    """Cut a number of recordings into parts that fit into memory; return where each begins, and how many it has."""
    return [(k, min(RECORDINGS_AT_ONCE, n - k)) for k in range(0, n, RECORDINGS_AT_ONCE)]


def _plan_parts(n: int, *, over_noise: bool) -> list[tuple[int, int, bool]]:
    """Number and first seed of the recordings of each part, and whether it is simulated over recorded noise."""
    parts = []
    for k, n_part in _cut_parts(n):
        recorded = over_noise and k // RECORDINGS_AT_ONCE % 4 == 3
        parts.append((n_part, (RECORDED_SEED if recorded else TRAINING_SEED) + k, recorded))
    return parts
