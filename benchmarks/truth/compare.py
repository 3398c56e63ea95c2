"""Compare ways to a detector on one labelled set, on the same split, in one run; print one table.

``python benchmarks/truth/compare.py FOLDER [--methods NAMES] [--curve] [--epochs N] [--seed N] [--out FILE]``. How the
folder is laid out, and what the columns mean, is in ``benchmarks/truth/README.md``.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import anemone_lib
from anemone_lib.audio.recording import open_recording
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.evaluation.presence import mark_presence
from anemone_lib.provenance import code_sha256
from anemone_lib.scoring import Backbone, Scores, choose_config, lay_grid, load_classifier
from anemone_lib.training.examples import read_stretches
from anemone_lib.training.from_dataset import configure, train_on_dataset
from anemone_lib.tuning import AnnotatedRecording
from anemone_lib.tuning.by_class import ScoredPart, cut_annotations, measure_classes, score_part
from anemone_lib.tuning.decisions import tune_classes

sys.path.append(str(Path(__file__).parents[1]))

from measure import Others, describe_machine

#: The measures of `anemone evaluate --json`, and what the table calls them.
MEASURES = {"average_precision": "window AP", "segment_f1": "F1, 3-s segments", "event_f1": "F1, events"}
#: Calls a class in the train part; then all of them.
CURVE = (5, 10, 20, 50, 100)
#: Mel bands of the baseline, at most.
MEL_BANDS = 32

#: The scored parts on which event settings are chosen and measured, and the settings to begin with.
Judged = tuple[list[ScoredPart], list[ScoredPart], InferenceConfig]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with dataset.yaml, or such a file")
    parser.add_argument("--methods", help="which, separated by commas (default: all; backbone only where one is given)")
    parser.add_argument("--curve", action="store_true", help="also train on 5, 10, 20, 50, 100 calls a class")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", type=Path, help="network whose embeddings a linear head is trained on")
    parser.add_argument("--backbone-rate", type=int, help="of it, as of `anemone train`")
    parser.add_argument("--backbone-window", type=float, help="of it, as of `anemone train`")
    parser.add_argument("--backbone-output", help="of it, as of `anemone train`")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    options = parser.parse_args(arguments)
    default = [name for name in METHODS if name != "backbone" or options.backbone]
    methods = [name for name in options.methods.split(",") if name] if options.methods else default
    if unknown := set(methods) - set(METHODS):
        parser.error(f"--methods names {', '.join(sorted(unknown))}; the methods are {', '.join(METHODS)}")
    if "backbone" in methods and not options.backbone:
        parser.error("the method backbone needs --backbone, the file of one")
    dataset = Dataset.load(options.folder / "dataset.yaml" if options.folder.is_dir() else options.folder)
    recordings = read_recordings(dataset)
    for part in ("train", "validation", "test"):
        if not any(part in one.spans for one in recordings):
            parser.error(f"no recording is of the {part} part; all three parts are needed")
    others, lines = Others(), []
    for line in _report(dataset, recordings, methods, options, others):
        print(line, flush=True)
        lines.append(line)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _report(
    dataset: Dataset,
    recordings: Sequence[LabelledRecording],
    methods: Sequence[str],
    options: argparse.Namespace,
    others: Others,
) -> Iterator[str]:
    """Write the lines, each as soon as it is known."""
    calls = ", ".join(
        f"{name} {sum(one.count_calls('train')[name] for one in recordings)}/"
        f"{sum(one.count_calls('validation')[name] for one in recordings)}/"
        f"{sum(one.count_calls('test')[name] for one in recordings)}"
        for name in dataset.calls
    )
    yield "# Ways to a detector, on one labelled set"
    yield ""
    yield "Written by `benchmarks/truth/compare.py`; what it means is in the README beside it."
    yield ""
    yield f"- {datetime.now(UTC):%Y-%m-%d}, Anemone {anemone_lib.__version__}, code {code_sha256()[:12]}"
    yield from (f"- {line}" for line in describe_machine())
    split = f"cut in time, {dataset.split.fractions}" if hasattr(dataset.split, "fractions") else "by name"
    yield f"- {len(recordings)} recordings, split {split}; calls to train, validate, test: {calls}"
    yield f"- seed {options.seed}, at most {options.epochs} epochs"
    yield ""
    heading = [f"{name}, {text}" for name in dataset.calls for text in MEASURES.values()]
    yield f"| method | {' | '.join(heading)} | processor minutes |"
    yield f"|---|{'---:|' * (len(heading) + 1)}"
    for method in methods:
        began = time.process_time()
        measures = judge(dataset, METHODS[method](dataset, recordings, recordings, options))
        spent = (time.process_time() - began) / 60
        cells = [spell(measures[name][key]) for name in dataset.calls for key in MEASURES]
        yield f"| {method} | {' | '.join(cells)} | {spent:.1f} |"
    trained = [name for name in methods if name != "shipped"]
    if options.curve and trained:
        yield ""
        yield "Average precision of the windows, trained on so many calls a class (of all, drawn at random):"
        yield ""
        yield f"| calls a class | method | {' | '.join(dataset.calls)} |"
        yield f"|---:|---|{'---:|' * len(dataset.calls)}"
        most = max(sum(one.count_calls("train")[name] for one in recordings) for name in dataset.calls)
        for number in (n for n in CURVE if n < most):
            fewer = keep_calls(recordings, number, seed=options.seed)
            for method in trained:
                measures = judge(dataset, METHODS[method](dataset, fewer, recordings, options))
                cells = [spell(measures[name]["average_precision"]) for name in dataset.calls]
                yield f"| {number} | {method} | {' | '.join(cells)} |"
    yield ""
    yield f"Other work took {100 * others.share():.0f} % of the processors meanwhile."


def judge(dataset: Dataset, judged: Judged) -> dict[str, dict[str, Any]]:
    """Choose the settings of every class on the validation part, and measure them on the test part."""
    validation, test, config = judged
    decisions = tune_classes(validation, config)
    configs = {name: decisions.configs[name] for name in dataset.calls}
    return measure_classes(test, configs, segment_thresholds=decisions.segment_thresholds)


def spell(entry: Mapping[str, Any]) -> str:
    """Spell a measure with its interval."""
    if entry["value"] is None:
        return "no call"
    low_high = entry["interval"]
    return f"{entry['value']:.3f}" + (f" ({low_high[0]:.2f}–{low_high[1]:.2f})" if low_high else "")


def keep_calls(recordings: Sequence[LabelledRecording], number: int, *, seed: int) -> list[LabelledRecording]:
    """Keep so many calls of each class in the train part; the others there are neither calls nor background.

    Parameters
    ----------
    recordings : sequence of LabelledRecording
    number : int > 0; a class with fewer keeps all
    seed : int, of which ones are kept

    Returns
    -------
    recordings : list of LabelledRecording, the same outside of the train part
    """
    rng = np.random.default_rng(seed)
    places: dict[str, list[tuple[int, int]]] = {}
    for k, one in enumerate(recordings):
        start, end = one.spans.get("train", (0.0, 0.0))
        for j, call in enumerate(one.annotations):
            if call.start_time < end and call.end_time > start:
                places.setdefault(call.label, []).append((k, j))
    dropped = {
        own[int(i)] for own in (places[name] for name in sorted(places)) for i in rng.permutation(len(own))[number:]
    }
    fewer = []
    for k, one in enumerate(recordings):
        start, end = one.spans.get("train", (0.0, 0.0))
        gone = [call for j, call in enumerate(one.annotations) if (k, j) in dropped]
        kept = [call for j, call in enumerate(one.annotations) if (k, j) not in dropped]
        for span in ((0.0, start), (end, one.duration)):  # what reaches out of the train part stays there
            kept += cut_annotations(gone, span)
        unclear = (*one.unclear, *cut_annotations(gone, (start, end)))
        fewer.append(replace(one, annotations=tuple(kept), unclear=unclear))
    return fewer


# ---------------------------------------------------------------------- the methods


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
    parts: dict[str, list[ScoredPart]] = {"validation": [], "test": []}
    for one in recordings:
        with open_recording(one.path, target_sr=config.target_sr, channel=one.channel) as audio:
            samples, rate = audio.read(0, audio.n_samples), audio.sample_rate
        scores, own = describe_windows(samples, rate, config)
        columns = [model.predict_proba(own)[:, 1] if model else np.zeros(len(own)) for model in models]
        calls = np.stack(columns, axis=1).astype(np.float32)
        probabilities = np.concatenate([1 - calls.max(axis=1, keepdims=True), calls], axis=1)
        probabilities[~np.isfinite(own).all(axis=1)] = np.nan
        scores = replace(scores, probabilities=probabilities, recording_name=one.name, recording_sha256=one.sha256)
        whole = ScoredPart(AnnotatedRecording(scores, one.annotations), one.unclear, one.group, (0.0, scores.duration))
        for part, found in parts.items():
            if part in one.spans:
                found.append(whole.narrow(*one.spans[part]))
    return parts["validation"], parts["test"], config


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
}

if __name__ == "__main__":
    main()
