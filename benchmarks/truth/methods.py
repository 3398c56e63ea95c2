"""The ways to a detector that are compared: each learns from the train part and scores validation and test parts."""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset import Dataset
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.evaluation.presence import mark_presence
from anemone_lib.scoring import Backbone, Scores, WindowGrid, choose_config, lay_grid, load_classifier
from anemone_lib.training.examples import read_stretches
from anemone_lib.training.from_dataset import configure, train_on_dataset
from anemone_lib.tuning import AnnotatedRecording
from anemone_lib.tuning.by_class import ScoredPart, score_part

sys.path.append(str(Path(__file__).parents[1]))

from measure import Worker

#: Mel bands of the baseline, at most.
MEL_BANDS = 32
#: Python of the environment of OpenSoundscape, and how to make it.
OPENSOUNDSCAPE = Path(__file__).parents[2] / "out/peers/opensoundscape/bin/python"
MAKE_OPENSOUNDSCAPE = (
    "`python3 -m venv out/peers/opensoundscape && out/peers/opensoundscape/bin/pip install opensoundscape`"
)

#: The scored parts on which event settings are chosen and measured, and the settings to begin with.
Judged = tuple[list[ScoredPart], list[ScoredPart], InferenceConfig]


def use_shipped(
    dataset: Dataset,
    _train_on: Sequence[LabelledRecording],
    recordings: Sequence[LabelledRecording],
    _options: argparse.Namespace,
) -> Judged:
    """Take the shipped model as it is: how much a window is no noise stands for every class."""
    classifier = load_classifier()
    config = choose_config(None, classifier)
    own = config.replace(model_classes=",".join(dataset.classes), target_class=dataset.target_class)
    parts = []
    for part in ("validation", "test"):
        scored = score_part(recordings, part, classifier=classifier, config=config, timezone=dataset.timezone)
        parts.append([_rename(one, dataset.classes) for one in scored])
    return parts[0], parts[1], own


def _rename(part: ScoredPart, classes: tuple[str, ...]) -> ScoredPart:
    scores = part.annotated.scores
    noise = scores.probabilities[:, :1]
    probabilities = np.concatenate([noise, *[1 - noise] * (len(classes) - 1)], axis=1)
    annotated = AnnotatedRecording(
        replace(scores, probabilities=probabilities, classes=classes), part.annotated.annotations
    )
    return replace(part, annotated=annotated)


def train_network(start_from: str | None, *, on_backbone: bool = False) -> Callable[..., Judged]:
    """Return the method that trains from weights drawn at random, from the shipped model's, or a head on a backbone."""

    def train(
        dataset: Dataset,
        train_on: Sequence[LabelledRecording],
        recordings: Sequence[LabelledRecording],
        options: argparse.Namespace,
    ) -> Judged:
        start: dict[str, Any] = {"start_from": start_from}
        if on_backbone:
            about = {"sample_rate": options.backbone_rate, "window_duration": options.backbone_window}
            start = {"backbone": Backbone(options.backbone, output=options.backbone_output, **about)}
        with TemporaryDirectory() as folder:
            train_on_dataset(
                dataset,
                folder,
                recordings=train_on,
                **start,
                epochs=options.epochs,
                members=options.members,
                seed=options.seed,
                force=True,
            )
            classifier = load_classifier(folder)
            config = choose_config(None, classifier)
            validation, test = (
                score_part(recordings, part, classifier=classifier, config=config, timezone=dataset.timezone)
                for part in ("validation", "test")
            )
        return validation, test, config

    return train


def boost(
    dataset: Dataset,
    train_on: Sequence[LabelledRecording],
    recordings: Sequence[LabelledRecording],
    options: argparse.Namespace,
) -> Judged:
    """Boost trees for every class on statistics of a window's log-mel spectrogram."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    config = configure(dataset, recordings)
    features, present, known = [], [], []
    for stretch in read_stretches(train_on, "train", config):
        scores, own = describe_windows(stretch.samples, stretch.sample_rate, config)
        there, sure = mark_presence(
            stretch.annotations,
            start_times=scores.start_times,
            end_times=scores.end_times,
            classes=config.classes,
            unclear=stretch.unclear,
        )
        features.append(own)
        present.append(there)
        known.append(sure & np.isfinite(own).all(axis=1, keepdims=True))
    x, there, sure = np.concatenate(features), np.concatenate(present), np.concatenate(known)
    models = []
    for k in range(1, len(config.classes)):
        rows = sure[:, k]
        both = 0 < there[rows, k].sum() < rows.sum()
        model = HistGradientBoostingClassifier(random_state=options.seed) if both else None
        models.append(model.fit(x[rows], there[rows, k]) if model else None)

    def score(one: LabelledRecording) -> Scores:
        with open_recording(one.path, target_sr=config.target_sr, channel=one.channel) as audio:
            samples, rate = audio.read(0, audio.n_samples), audio.sample_rate
        scores, own = describe_windows(samples, rate, config)
        columns = [model.predict_proba(own)[:, 1] if model else np.zeros(len(own)) for model in models]
        calls = np.stack(columns, axis=1).astype(np.float32)
        calls[~np.isfinite(own).all(axis=1)] = np.nan
        return add_noise(scores, calls)

    return cut_parts(recordings, score, config)


def add_noise(scores: Scores, calls: np.ndarray) -> Scores:
    """Put in the probabilities of the calls, and what they leave to the noise."""
    return replace(scores, probabilities=np.concatenate([1 - calls.max(axis=1, keepdims=True), calls], axis=1))


def cut_parts(
    recordings: Sequence[LabelledRecording], score: Callable[[LabelledRecording], Scores], config: InferenceConfig
) -> Judged:
    """Score recordings whole, and cut them into their validation and test parts."""
    parts: dict[str, list[ScoredPart]] = {"validation": [], "test": []}
    for one in recordings:
        if not parts.keys() & one.spans.keys():
            continue
        scores = replace(score(one), recording_name=one.name, recording_sha256=one.sha256)
        whole = ScoredPart(AnnotatedRecording(scores, one.annotations), one.unclear, one.group, (0.0, scores.duration))
        for part, found in parts.items():
            if part in one.spans:
                found.append(whole.narrow(*one.spans[part]))
    return parts["validation"], parts["test"], config


def train_resnet(
    dataset: Dataset,
    train_on: Sequence[LabelledRecording],
    recordings: Sequence[LabelledRecording],
    options: argparse.Namespace,
) -> Judged:
    """Train OpenSoundscape's ResNet18 from random weights on the same windows, with its own defaults otherwise."""
    config = configure(dataset, recordings)
    rate = config.target_sr or min(one.sample_rate for one in recordings)
    grids = {
        one.name: lay_grid(
            round(one.duration * rate),
            sample_rate=rate,
            window_duration=config.window_duration,
            stride_duration=config.stride_duration,
        )
        for one in recordings
    }
    chosen = {one.name: _find_windows(one, grids[one.name], ("validation", "test")) for one in recordings}
    with TemporaryDirectory() as folder:
        tables = {name: Path(folder) / f"{name}.csv" for name in ("train", "validation", "ask")}
        for part, known in (("train", train_on), ("validation", recordings)):
            _write_windows(
                tables[part], known, config, {o.name: _find_windows(o, grids[o.name], (part,)) for o in known}, grids
            )
        _write_windows(tables["ask"], recordings, config, chosen, grids, labels=False)
        with Worker("opensoundscape_training", python=options.opensoundscape) as worker:
            worker.ask(
                classes=list(dataset.calls),
                sample_rate=rate,
                steps=options.resnet_steps,
                seed=options.seed,
                out=str(Path(folder) / "scores.npy"),
                **{name: str(path) for name, path in tables.items()},
                **{name: getattr(config, name) for name in ("window_duration", "n_fft", "hop_length", "fmax_hz")},
            )
        answers = np.load(Path(folder) / "scores.npy")
    edges = np.cumsum([0, *(len(chosen[one.name]) for one in recordings)])
    answered = {one.name: answers[edges[k] : edges[k + 1]] for k, one in enumerate(recordings)}

    def score(one: LabelledRecording) -> Scores:
        calls = np.full((grids[one.name].n_windows, len(dataset.calls)), np.nan, np.float32)
        calls[chosen[one.name]] = answered[one.name]
        empty = np.zeros((len(calls), len(config.classes)), np.float32)
        return add_noise(Scores(empty, config.classes, grids[one.name]), calls)

    return cut_parts(recordings, score, config)


def _find_windows(one: LabelledRecording, grid: WindowGrid, parts: Sequence[str]) -> np.ndarray:
    """The windows that lie in some parts of a split."""
    inside = np.zeros(grid.n_windows, bool)
    for start, end in (one.spans[part] for part in parts if part in one.spans):
        last = np.inf if end >= one.duration - 1e-6 else end + 1e-6
        inside |= (grid.start_times >= start - 1e-6) & (grid.end_times <= last)
    return np.flatnonzero(inside)


def _write_windows(
    path: Path,
    recordings: Sequence[LabelledRecording],
    config: InferenceConfig,
    chosen: dict[str, np.ndarray],
    grids: dict[str, WindowGrid],
    *,
    labels: bool = True,
) -> None:
    """Write windows, with 0 and 1 for every class, those alone of which all classes are known."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "start_time", "end_time", *(config.classes[1:] if labels else ())])
        for one in recordings:
            grid, rows = grids[one.name], chosen[one.name]
            start, end = grid.start_times[rows], grid.end_times[rows]
            there, sure = mark_presence(
                one.annotations, start_times=start, end_times=end, classes=config.classes, unclear=one.unclear
            )
            for k in np.flatnonzero(sure.all(axis=1) | (not labels)):
                place = [str(one.path.resolve()), round(start[k], 6), round(start[k] + config.window_duration, 6)]
                table.writerow([*place, *(there[k, 1:].astype(int) if labels else ())])


def describe_windows(samples: np.ndarray, sample_rate: int, config: InferenceConfig) -> tuple[Scores, np.ndarray]:
    """Describe every window of the configuration's grid by its log-mel spectrogram.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)]
    sample_rate : int, in Hz
    config : InferenceConfig

    Returns
    -------
    scores : Scores, without probabilities yet
    features : np.ndarray [shape=(n_windows, 4 * n_bands)]
        Mean, standard deviation, least and highest level of each band, in dB; NaN where audio could not be read.
    """
    import librosa

    grid = lay_grid(
        len(samples),
        sample_rate=sample_rate,
        window_duration=config.window_duration,
        stride_duration=config.stride_duration,
    )
    highest = min(config.fmax_hz or sample_rate / 2, sample_rate / 2)
    bands = min(MEL_BANDS, max(4, round(highest / sample_rate * config.n_fft / 2)))
    padded = np.pad(samples, (0, grid.window_samples))
    features = np.full((grid.n_windows, 4 * bands), np.nan)
    filters = librosa.filters.mel(sr=sample_rate, n_fft=config.n_fft, n_mels=bands, fmax=highest)
    for k in range(grid.n_windows):
        window = padded[k * grid.stride_samples :][: grid.window_samples]
        if np.isfinite(window).all():
            power = np.abs(librosa.stft(window, n_fft=config.n_fft, hop_length=config.hop_length, center=False)) ** 2
            levels = 10 * np.log10(np.maximum(filters @ power, 1e-12))
            features[k] = np.concatenate([summary(levels, axis=1) for summary in (np.mean, np.std, np.min, np.max)])
    return Scores(np.full((grid.n_windows, len(config.classes)), np.nan, np.float32), config.classes, grid), features


METHODS: dict[str, Callable[..., Judged]] = {
    "shipped": use_shipped,
    "boosting": boost,
    "from scratch": train_network(None),
    "from shipped": train_network("shipped"),
    "backbone": train_network(None, on_backbone=True),
    "resnet": train_resnet,
}
