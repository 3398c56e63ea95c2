"""How good a model is: bouts found in simulated recordings, and false alarms in recordings without a call.

*Conventions.* A bout is a run of calls less than 2 s apart: windows of a second that are smoothed cannot separate these
calls, so events are compared with bouts. Events are decided with the settings on the model's card, where no others are
given. The seeds are different from all seeds of the training.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.events import decide_events
from anemone_lib.evaluation.intervals import as_intervals, join_intervals
from anemone_lib.evaluation.matching import count_events
from anemone_lib.evaluation.rates import Counts, add_counts, compute_wilson_interval
from anemone_lib.scoring.chunks import score_recording
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.fit import choose_config
from anemone_lib.simulation.reef import write_recording

#: Calls closer than this are one bout; the simulation keeps bouts three times as far apart.
BOUT_JOIN_S = 2.0
#: First seed of the simulated recordings that are measured.
TEST_SEED = 300_000
#: Sample rates at which a card says how good the model is, in Hz.
CARD_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
#: Thresholds at which a card says how many false alarms there are.
CARD_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Simulated sounds without anemonefish by kind, as settings of `anemone_lib.simulation.simulate_recording`.
OTHER_SOUNDS: dict[str, dict[str, Any]] = {
    "reef fish and other neighbours": {"noises": ["wind"], "neighbours_per_minute": 20},
    "whales, dolphins and seals": {"noises": ["wind"], "mammals_per_minute": 10},
    **{
        kind: {"noises": ["wind", kind]}
        for kind in ("snaps", "shrimp_bed", "rain", "flow", "boat", "propeller", "knocks", "chain", "sonar")
    },
    **{kind: {"noises": ["wind", kind]} for kind in ("explosions", "bubbles", "distant_chorus")},
}

Seconds = float


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

    Calls less than 2 s apart are one bout; an event matches a bout that it overlaps, one to one.

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
    config = choose_config(config, classifier)
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
    return add_counts(counts)


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
    config = choose_config(config, classifier)
    counts = []
    for path in recordings:
        with open_recording(path, target_sr=config.target_sr) as recording:
            events = decide_events(score_recording(recording, classifier, config), config)
            counts.append(count_events([], events, duration=recording.duration))
    return add_counts(counts)


def measure_card(
    classifier: Classifier,
    *,
    config: InferenceConfig | None = None,
    control: Sequence[str | os.PathLike[str]] = (),
    n_recordings: int = 4,
) -> dict[str, Any]:
    """Measure the figures on a model card: bouts over SNR and sample rates, and false alarms over thresholds.

    Parameters
    ----------
    classifier : Classifier
    config : InferenceConfig, optional
    control : paths of real recordings without a known call, which the model did not learn from
    n_recordings : int > 0, of five minutes, for each level and rate; four times as many for the first
        figure, half as many for each kind of sound without anemonefish

    Returns
    -------
    metrics : dict, for the card
    """
    config = choose_config(config, classifier)

    def measured(seed: int, n: int = n_recordings, **settings: Any) -> dict[str, Any]:
        counts = measure_events(classifier, seed=seed, config=config, n_recordings=n, **settings)
        rates: dict[str, Any] = {
            name: round(v, 4) if isinstance(v, float) else v for name, v in counts.to_dict().items()
        }
        for name, n_all in (("precision", counts.n_estimated), ("recall", counts.n_reference)):
            rates[f"{name}_interval"] = [round(v, 4) for v in compute_wilson_interval(counts.n_matched, n_all)]
        return rates

    metrics: dict[str, Any] = {
        "how": (
            "Events of the settings on the card against bouts of calls (less than 2 s apart) in simulated recordings "
            "of seeds that were not trained on; any overlap, one to one. SNR in the call's band. Intervals: Wilson, "
            "95 %."
        ),
        "snr_6_to_18_db": measured(TEST_SEED, 4 * n_recordings),
        "by_snr_db": {
            str(snr): measured(TEST_SEED + 1000 + 10 * k, snr_db=(snr, snr)) for k, snr in enumerate(range(-6, 19, 3))
        },
        "by_sample_rate_at_6_to_18_db": {
            str(rate): measured(TEST_SEED + 2000 + 10 * k, sample_rate=rate) for k, rate in enumerate(CARD_RATES)
        },
        "false_alarms_per_hour_by_kind_and_threshold": {
            kind: _count_simulated(classifier, config, TEST_SEED + 3000 + 10 * k, -(-n_recordings // 2), settings)
            for k, (kind, settings) in enumerate(OTHER_SOUNDS.items())
        },
    }
    if control:
        metrics |= _measure_control(classifier, config, control)
    return metrics


def _count_simulated(
    classifier: Classifier, config: InferenceConfig, seed: int, n_recordings: int, settings: Mapping[str, Any]
) -> dict[str, float]:
    """False alarms an hour by threshold in simulated recordings without anemonefish; with their minutes."""
    quiet = {"bouts_per_minute": 0.0, "neighbours_per_minute": 0.0} | dict(settings)
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{seed + k}.wav" for k in range(n_recordings)]
        for k, path in enumerate(paths):
            write_recording(path, duration=300.0, seed=seed + k, **quiet)
        counted = _count_by_threshold(classifier, config, paths)
    minutes = round(next(iter(counted.values())).duration / 60, 2)
    return {"minutes": minutes} | {key: round(one.false_alarms_per_hour, 2) for key, one in counted.items()}


def _measure_control(
    classifier: Classifier, config: InferenceConfig, paths: Sequence[str | os.PathLike[str]]
) -> dict[str, Any]:
    """False alarms in real recordings, one by one and together."""
    each = {Path(path).name: _count_by_threshold(classifier, config, [path]) for path in paths}
    usual = count_false_alarms(classifier, paths, config=config)
    return {
        "real_recordings_without_known_calls": {
            "n_recordings": len(paths),
            "minutes": round(usual.duration / 60, 2),
            "events": usual.n_estimated,
            "false_alarms_per_hour": round(usual.false_alarms_per_hour, 2),
            "note": "not trained on; no expert has checked that they hold no call",
        },
        "real_events_by_recording_and_threshold": {
            name: {"minutes": round(next(iter(one.values())).duration / 60, 2)}
            | {threshold: counts.n_estimated for threshold, counts in one.items()}
            for name, one in each.items()
        },
    }


def _count_by_threshold(
    classifier: Classifier, config: InferenceConfig, paths: Sequence[str | os.PathLike[str]]
) -> dict[str, Counts]:
    """Count the events in recordings without a call at every threshold of a card."""
    counts: dict[str, list[Counts]] = {str(threshold): [] for threshold in CARD_THRESHOLDS}
    for path in paths:
        with open_recording(path, target_sr=config.target_sr) as recording:
            scores, duration = score_recording(recording, classifier, config), recording.duration
        for key, own in counts.items():
            events = decide_events(scores, config.replace(confidence_threshold=float(key)))
            own.append(count_events([], events, duration=duration))
    return {key: add_counts(own) for key, own in counts.items()}
