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
from anemone_lib.training.fitting import Progress, reduce_windows, train_classifier
from anemone_lib.training.labelled import LabelledWindows, concatenate
from anemone_lib.training.measuring import measure_card
from anemone_lib.training.network import build_model
from anemone_lib.training.simulated import simulate_windows

#: First seeds of the recordings that the demonstration model learns from, of those over real noise, and of those
#: that it is calibrated on.
TRAINING_SEED, RECORDED_SEED, VALIDATION_SEED = 100_000, 150_000, 205_000
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
    training = train_classifier(train, validation, model=model, epochs=epochs, seed=seed, progress=progress)
    right = training.probabilities.argmax(axis=1) == validation.labels
    card = export_bundle(
        training.model,
        folder,
        config=config,
        name="Anemone demonstration model",
        version="demo-3",
        summary=SUMMARY.format(real=", some of them over real noise without fish" if quiet else " only"),
        temperature=training.temperature,
        images=compared.images[:192],
        transform_sr=DEFAULT_RATE_HZ,
        training={
            "command": f"anemone train --epochs {epochs}" + " --without-calls FOLDER" * bool(quiet),
            "data": f"{n_recordings} simulated recordings of 20 s at 8 to 200 kHz, SNR -3 to 24 dB, augmented",
            "over_real_noise": sum(n for n, _, over_noise in parts if over_noise),
            "real_noise": [stretch.recording for stretch in quiet],
            "seeds": {
                "recordings": TRAINING_SEED,
                "recordings_over_real_noise": RECORDED_SEED,
                "validation": VALIDATION_SEED,
                "weights": seed,
            },
            "windows": train.counts(),
            "epochs": epochs,
            "loss": [round(loss, 4) for loss in training.history["loss"]],
            "validation_loss": [round(loss, 4) for loss in training.history["val_loss"]],
        },
        metrics={"validation_windows": {"n": validation.counts(), "accuracy": round(float(right.mean()), 4)}},
    )
    measured = measure_card(
        load_classifier(Path(folder) / f"{STEM}.tflite"), config=config, control=[*without_calls[n_learnt:], *control]
    )
    card = card.model_copy(update={"metrics": card.metrics | measured})
    write_card(card, folder)
    return card


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
