"""Train a classifier: a small network, its calibration, and what it is worth event by event.

*Conventions.* A bout is a run of calls less than 2 s apart: windows of a second and a median over five of them cannot
tell them apart, so events are compared with bouts. `anemone_lib.training.labelled` makes the windows,
`anemone_lib.training.bundle` the bundle.

The demonstration model is made by `train_demonstration_model` alone, from fixed seeds and simulated recordings.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.evaluation.intervals import as_intervals, join_intervals
from anemone_lib.evaluation.matching import count_events
from anemone_lib.evaluation.rates import Counts, total
from anemone_lib.scoring.bundle import STEM, ModelCard
from anemone_lib.scoring.chunks import score_recording
from anemone_lib.scoring.classifier import Classifier, load_classifier
from anemone_lib.simulation.reef import write_recording
from anemone_lib.training.bundle import export_bundle, write_card
from anemone_lib.training.fitting import Progress, train_classifier
from anemone_lib.training.simulated import SAMPLE_RATES, simulate_windows

#: Calls closer than this are one bout; the simulation keeps bouts three times as far apart.
BOUT_JOIN_S = 2.0


#: First seeds of the simulated recordings that the demonstration model learns from, is calibrated on and tested on.
TRAINING_SEED, VALIDATION_SEED, TEST_SEED = 100_000, 200_000, 300_000
#: First seed of the simulated recordings on which two models are compared; training uses none of them.
COMPARISON_SEED = 900_000


Seconds = float


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
    counts : anemone_lib.evaluation.rates.Counts
    """
    config = config or InferenceConfig()
    counts = []
    with TemporaryDirectory() as folder:
        for k in range(n_recordings):
            path = Path(folder) / f"{seed + k}.wav"
            truth = write_recording(path, duration=duration, seed=seed + k, sample_rate=sample_rate, snr_db=snr_db)
            calls = as_intervals(truth, labels=[config.target_class])
            with open_recording(path, target_sr=config.target_sr) as recording:
                events = decide_events(score_recording(recording, classifier, config), config)
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
    counts : anemone_lib.evaluation.rates.Counts
        With its `false_alarms_per_hour`.
    """
    config = config or InferenceConfig()
    counts = []
    for path in recordings:
        with open_recording(path, target_sr=config.target_sr) as recording:
            events = decide_events(score_recording(recording, classifier, config), config)
            counts.append(count_events([], events, duration=recording.duration))
    return total(counts)


def write_comparison_recordings(folder: str | os.PathLike[str]) -> list[Path]:
    """Simulate recordings to export a model with, for who has none: five minutes, at the sample rates of recorders.

    Parameters
    ----------
    folder : path, made if it is missing

    Returns
    -------
    paths : list of pathlib.Path
    """
    paths = []
    for k, sample_rate in enumerate(SAMPLE_RATES):
        paths.append(Path(folder) / f"comparison_{sample_rate}.wav")
        write_recording(paths[-1], duration=30, seed=COMPARISON_SEED + k, sample_rate=sample_rate, snr_db=(0.0, 18.0))
    return paths


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
    train = simulate_windows(n_recordings=n_recordings, seed=TRAINING_SEED, config=config)
    validation = simulate_windows(n_recordings=max(8, n_recordings // 8), seed=VALIDATION_SEED, config=config)
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
