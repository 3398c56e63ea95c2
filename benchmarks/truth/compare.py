"""Compare ways to a detector on one labelled set, on the same split or the same folds, in one run; print one table.

``python benchmarks/truth/compare.py FOLDER [--methods NAMES] [--folds N [--split]] [--curve] [--out FILE] ...``.
How the folder is laid out, and what the columns mean, is in ``benchmarks/truth/README.md``.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import anemone_lib
from anemone_lib.cli.by_class import spell_entry
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.errors import spell_count
from anemone_lib.provenance import code_sha256
from anemone_lib.training.curve import keep_calls
from anemone_lib.training.folds import draw_folds
from anemone_lib.training.learning import MEMBERS
from anemone_lib.tuning.by_class import ScoredPart, measure_classes
from anemone_lib.tuning.by_group import tune_groups
from anemone_lib.tuning.decisions import Decisions, tune_classes

sys.path.extend([str(Path(__file__).parents[1]), str(Path(__file__).parent)])

from measure import Others, describe_machine
from methods import MAKE_OPENSOUNDSCAPE, METHODS, OPENSOUNDSCAPE

#: The measures of `anemone evaluate --json`, and what the table calls them.
MEASURES = {"average_precision": "window AP", "segment_f1": "F1, 3-s segments", "event_f1": "F1, events"}
#: Calls a class in the train part; then all of them.
CURVE = (5, 10, 20, 50, 100)
#: Seconds of each new recording that somebody annotates for its threshold.
FIRST_S = 30.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with dataset.yaml, or such a file")
    parser.add_argument("--methods", help="which, separated by commas (default: all that can be run)")
    parser.add_argument("--folds", type=int, help="so many folds by group, in place of the split")
    parser.add_argument("--split", action="store_true", help="the split as well as the folds")
    parser.add_argument("--curve", action="store_true", help="also train on 5, 10, 20, 50, 100 calls a class")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument(
        "--members", type=int, default=MEMBERS, help="networks that a model averages, as `anemone train`"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="train so many times, from --seed on, and print means")
    parser.add_argument("--backbone", type=Path, help="network whose embeddings a linear head is trained on")
    parser.add_argument("--backbone-rate", type=int, help="of it, as of `anemone train`")
    parser.add_argument("--backbone-window", type=float, help="of it, as of `anemone train`")
    parser.add_argument("--backbone-output", help="of it, as of `anemone train`")
    parser.add_argument("--opensoundscape", type=Path, default=OPENSOUNDSCAPE, help="the Python that has it")
    parser.add_argument("--resnet-steps", type=int, default=120, help="steps of 64 windows that ResNet18 is trained")
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    options = parser.parse_args(arguments)
    missing = {} if options.backbone else {"backbone": "it needs --backbone, the file of one"}
    if not options.opensoundscape.is_file():
        missing["resnet"] = f"OpenSoundscape has no environment at {options.opensoundscape}: {MAKE_OPENSOUNDSCAPE}"
    default = [name for name in METHODS if name not in missing]
    methods = [name for name in options.methods.split(",") if name] if options.methods else default
    if unknown := set(methods) - set(METHODS):
        parser.error(f"--methods names {', '.join(sorted(unknown))}; the methods are {', '.join(METHODS)}")
    if impossible := [name for name in methods if name in missing]:
        parser.error(f"the method {impossible[0]} cannot be run: {missing[impossible[0]]}")
    dataset = Dataset.load(options.folder / "dataset.yaml" if options.folder.is_dir() else options.folder)
    recordings = read_recordings(dataset)
    for part in ("train", "validation", "test") if _needs_split(options) else ():
        if not any(part in one.spans for one in recordings):
            parser.error(f"no recording is of the {part} part; all three parts are needed")
    others, lines = Others(), []
    for line in _report(dataset, recordings, methods, options):
        print(line, flush=True)
        lines.append(line)
    left_out = [] if options.methods else [f"Left out: {name}. {why}." for name, why in missing.items()]
    for line in ["", *left_out, f"Other work took {100 * others.share():.0f} % of the processors meanwhile."]:
        print(line, flush=True)
        lines.append(line)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _report(
    dataset: Dataset, recordings: Sequence[LabelledRecording], methods: Sequence[str], options: argparse.Namespace
) -> Iterator[str]:
    """Write the lines, each as soon as it is known."""
    yield "# Ways to a detector, on one labelled set"
    yield ""
    yield "Written by `benchmarks/truth/compare.py`; what it means is in the README beside it."
    yield ""
    yield f"- {datetime.now(UTC):%Y-%m-%d}, Anemone {anemone_lib.__version__}, code {code_sha256()[:12]}"
    yield from (f"- {line}" for line in describe_machine())
    seeds = [str(one.seed) for one in _list_seeds(options)]
    about = (
        f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}, at most {options.epochs} epochs, "
        f"{spell_count(options.members, 'network')} a model that `anemone train` makes"
    )
    yield f"- {about}; ResNet18: {options.resnet_steps} steps of 64 windows" if "resnet" in methods else f"- {about}"
    if options.backbone and "backbone" in methods:
        yield f"- backbone {options.backbone.name}"
    yield ""
    if options.split or not options.folds:
        yield from _compare_on_split(dataset, recordings, methods, options)
        yield ""
    if options.folds:
        yield from _compare_on_folds(dataset, recordings, methods, options)
    if options.curve:
        yield ""
        yield from _trace_curve(dataset, recordings, [name for name in methods if name != "shipped"], options)


def _needs_split(options: argparse.Namespace) -> bool:
    return options.split or options.curve or not options.folds


def _compare_on_split(
    dataset: Dataset, recordings: Sequence[LabelledRecording], methods: Sequence[str], options: argparse.Namespace
) -> Iterator[str]:
    split = f"cut in time, {dataset.split.fractions}" if hasattr(dataset.split, "fractions") else "by name"
    brackets = "95 % intervals by group" if options.seeds == 1 else "Mean (lowest–highest) of the seeds"
    yield f"{len(recordings)} recordings, split {split}. {_count_calls(dataset, recordings)}. {brackets}."
    yield ""
    heading = [f"{name}, {text}" for name in dataset.calls for text in MEASURES.values()]
    yield f"| method | {' | '.join(heading)} | processor minutes |"
    yield f"|---|{'---:|' * (len(heading) + 1)}"
    for method in methods:
        began = _spend()
        found = [
            judge(dataset, METHODS[method](dataset, recordings, recordings, one))[2] for one in _list_seeds(options)
        ]
        cells = [spell_seeds([one[name][key] for one in found]) for name in dataset.calls for key in MEASURES]
        yield f"| {method} | {' | '.join(cells)} | {_spend() - began:.1f} |"


def _list_seeds(options: argparse.Namespace) -> list[argparse.Namespace]:
    """The options, once for each seed."""
    return [argparse.Namespace(**{**vars(options), "seed": options.seed + k}) for k in range(options.seeds)]


def _compare_on_folds(
    dataset: Dataset, recordings: Sequence[LabelledRecording], methods: Sequence[str], options: argparse.Namespace
) -> Iterator[str]:
    folds = draw_folds(recordings, options.folds, seed=options.seed)
    means = "mean (each fold)" if options.seeds == 1 else "mean (each fold), of all seeds"
    yield f"{len(folds)} folds by group: {means}. Event settings are chosen on the groups that are trained on."
    yield ""
    for k, fold in enumerate(folds, start=1):
        names = ", ".join(sorted({one.group for one in fold if "test" in one.spans}))
        yield f"- fold {k} tests on {names}. {_count_calls(dataset, fold)}."
    yield ""
    heading = [f"{name}, {text}" for name in dataset.calls for text in MEASURES.values()]
    yield f"| method | {' | '.join(heading)} | processor minutes |"
    yield f"|---|{'---:|' * (len(heading) + 1)}"
    pooled = []
    for method in methods:
        began = _spend()
        found, together = zip(*(_judge_folds(dataset, method, folds, one) for one in _list_seeds(options)), strict=True)
        cells = [
            spell_folds([average([one[k][name][key] for one in found]) for k in range(len(folds))])
            for name in dataset.calls
            for key in MEASURES
        ]
        yield f"| {method} | {' | '.join(cells)} | {_spend() - began:.1f} |"
        pooled.append((method, together))
    yield ""
    brackets = "with 95 % intervals by group" if options.seeds == 1 else "mean (lowest–highest) of the seeds"
    yield (
        f"The tests of all folds together, {brackets}; and after the first {FIRST_S:g} s of each "
        "recording, with the thresholds of the groups trained on → with thresholds that were found in those seconds:"
    )
    yield ""
    titles = (MEASURES["average_precision"], MEASURES["event_f1"], "the same, later → with its own threshold")
    heading = [f"{name}, {title}" for name in dataset.calls for title in titles]
    yield f"| method | {' | '.join(heading)} |"
    yield f"|---|{'---:|' * len(heading)}"
    for method, together in pooled:
        cells = []
        for name in dataset.calls:
            cells += [spell_seeds([one[0][name][key] for one in together]) for key in ("average_precision", "event_f1")]
            later = (average([one[k][name]["event_f1"] for one in together]) for k in (1, 2))
            cells.append(" → ".join(spell_entry({**entry, "interval": None}) for entry in later))
        yield f"| {method} | {' | '.join(cells)} |"


def _judge_folds(
    dataset: Dataset, method: str, folds: Sequence[Sequence[LabelledRecording]], options: argparse.Namespace
) -> tuple[list[dict[str, dict[str, Any]]], tuple[dict[str, dict[str, Any]], ...]]:
    """Train and measure on each fold; return the measures of each, and of all tests together: with the settings of
    the groups trained on, the same after the first seconds, and there with the thresholds found in those seconds."""
    found, tests, rests = [], [], []
    own: dict[str, dict[str, InferenceConfig]] = {}
    annotated: dict[str, dict[str, InferenceConfig]] = {}
    for fold in folds:
        decisions, parts, measures = judge(dataset, METHODS[method](dataset, fold, fold, options))
        found.append(measures)
        tests += parts
        own |= {part.group: _choose_calls(dataset, decisions) for part in parts}
        tuned, rest = tune_groups(parts, decisions, seconds=FIRST_S)
        rests += rest
        annotated |= {part.group: own[part.group] | tuned.groups.get(part.group, {}) for part in parts}
    base = next(iter(own.values()))
    together = [(tests, own), (rests, own), (rests, annotated)]
    return found, tuple(measure_classes(parts, base, group_configs=configs) for parts, configs in together)


def _trace_curve(
    dataset: Dataset, recordings: Sequence[LabelledRecording], methods: Sequence[str], options: argparse.Namespace
) -> Iterator[str]:
    yield "Average precision of the windows, trained on so many calls a class (of all, drawn at random):"
    yield ""
    yield f"| calls a class | method | {' | '.join(dataset.calls)} |"
    yield f"|---:|---|{'---:|' * len(dataset.calls)}"
    most = max(sum(one.count_calls("train")[name] for one in recordings) for name in dataset.calls)
    for number in (n for n in CURVE if n < most):
        fewer = keep_calls(recordings, number, seed=options.seed)
        for method in methods:
            _, _, measures = judge(dataset, METHODS[method](dataset, fewer, recordings, options))
            cells = [spell_entry(measures[name]["average_precision"]) for name in dataset.calls]
            yield f"| {number} | {method} | {' | '.join(cells)} |"


def judge(
    dataset: Dataset, judged: tuple[list[ScoredPart], list[ScoredPart], InferenceConfig]
) -> tuple[Decisions, list[ScoredPart], dict[str, dict[str, Any]]]:
    """Choose the settings of every class on the validation part, and measure them on the test part."""
    validation, test, config = judged
    decisions = tune_classes(validation, config)
    thresholds = decisions.segment_thresholds
    return decisions, test, measure_classes(test, _choose_calls(dataset, decisions), segment_thresholds=thresholds)


def _choose_calls(dataset: Dataset, decisions: Decisions) -> dict[str, InferenceConfig]:
    return {name: decisions.configs[name] for name in dataset.calls}


def _count_calls(dataset: Dataset, recordings: Sequence[LabelledRecording]) -> str:
    """Calls of every class in the three parts, in words."""
    counts = {
        name: "/".join(
            str(sum(one.count_calls(part)[name] for one in recordings)) for part in ("train", "validation", "test")
        )
        for name in dataset.calls
    }
    return "Calls to train, validate, test: " + ", ".join(f"{name} {text}" for name, text in counts.items())


def _spend() -> float:
    """Processor minutes of this process and of the workers that have ended."""
    spent = os.times()
    return (spent.user + spent.system + spent.children_user + spent.children_system) / 60


def average(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One measure of all seeds: their mean, and from the lowest to the highest; of a single one its interval."""
    known = [entry["value"] for entry in entries if entry["value"] is not None]
    if len(entries) == 1 or not known:
        return dict(entries[0])
    return {"value": float(np.mean(known)), "interval": (min(known), max(known))}


def spell_seeds(entries: Sequence[Mapping[str, Any]]) -> str:
    """Spell a measure of all seeds."""
    if len(entries) == 1 or entries[0]["value"] is None:
        return spell_entry(entries[0])
    mean = average(entries)
    return f"{mean['value']:.3f} ({mean['interval'][0]:.3f}–{mean['interval'][1]:.3f})"


def spell_folds(entries: Sequence[Mapping[str, Any]]) -> str:
    """Spell the mean of a measure over folds, and what it is in each."""
    known = [entry["value"] for entry in entries if entry["value"] is not None]
    if not known:
        return "no call"
    each = ", ".join("–" if entry["value"] is None else f"{entry['value']:.2f}" for entry in entries)
    return f"{np.mean(known):.3f} ({each})"


if __name__ == "__main__":
    main()
