"""Training, tuning and evaluation of a dataset, for the commands that take ``--dataset``."""

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from anemone_lib.cli.common import err, make_printable, out, progress_bars, refused_promotion, spell_note
from anemone_lib.config import InferenceConfig
from anemone_lib.dataset import Dataset, read_recordings
from anemone_lib.dataset.recordings import LabelledRecording
from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.evaluation.rates import format_interval
from anemone_lib.files import write_text
from anemone_lib.promotion import SETTINGS_FILE, Promotion
from anemone_lib.provenance import code_sha256
from anemone_lib.scoring import Classifier, ModelCard, choose_config, load_classifier


def train_dataset(
    path: Path | None,
    folder: Path | None,
    *,
    annotations: Path | None,
    labels: str | None,
    label_column: str | None,
    channel: str,
    config: Path | None,
    out_folder: Path,
    folds: int,
    options: dict[str, Any],
    export: dict[str, Any],
    progress: Callable[[int, int], None],
) -> ModelCard:
    """Train on a dataset, or on a folder that is taken for one, and write the bundle and its whole card."""
    from anemone_lib.cli.dataset import parse_labels
    from anemone_lib.dataset.checking import warn_of_few
    from anemone_lib.dataset.drafting import describe_folder
    from anemone_lib.notebook.training import judge_bundle
    from anemone_lib.training.bundle import write_card
    from anemone_lib.training.folds import cross_validate
    from anemone_lib.training.from_dataset import train_on_dataset

    if path is not None and (folder or annotations or labels or config or label_column or channel != "mean"):
        raise ConfigError("--dataset says where recordings, tables, labels, channel and settings are; give it alone")
    if path is not None:
        dataset = Dataset.load(path)
        recordings = read_recordings(dataset)
    else:
        assert folder is not None
        dataset, recordings = describe_folder(
            folder,
            InferenceConfig.load(config) if config else InferenceConfig(),
            labels=parse_labels([labels]) if labels else {},
            annotations=annotations,
            label_column=label_column,
            channel=channel,
            seed=options["seed"],
        )
    for warning in warn_of_few(recordings, dataset):
        err.print(spell_note(warning), highlight=False, soft_wrap=True)
    measured = {"folds_by_group": cross_validate(dataset, recordings, n_folds=folds, **options)} if folds else {}
    train_on_dataset(dataset, out_folder, recordings=recordings, progress=progress, **options, **export)
    card = judge_bundle(out_folder, dataset, recordings)
    for part in ("validation", "test"):
        if part in card.metrics:
            show_measures(card.metrics[part], part)
    if measured:
        card = card.model_copy(update={"metrics": {**card.metrics, **measured}})
        write_card(card, out_folder)
    return card


def evaluate_dataset(
    path: Path,
    *,
    part: str,
    model: str | None,
    config: Path | None,
    cache: Path,
    allow_seen: bool,
    bout_gap: float | None,
    json_file: Path | None,
) -> None:
    """Measure a model on one part of a dataset, class by class."""
    from anemone_lib.tuning.by_class import count_event_confusions, measure_classes, refuse_seen
    from anemone_lib.tuning.decisions import FILE_NAME, load_decisions

    dataset, classifier, settings, recordings = _open(path, model, config)
    if part != "train" and not allow_seen:
        refuse_seen(classifier.card, recordings, part, seen=_list_seen(part))
    beside = config.parent / FILE_NAME if config else None
    decisions = load_decisions(
        classifier.card,
        settings,
        path=beside if beside and beside.is_file() else None,
        model_sha256=classifier.sha256,
    )
    parts = _score(recordings, part, classifier, settings, cache, dataset)
    measures = measure_classes(
        parts,
        decisions.configs,
        segment_thresholds=decisions.segment_thresholds,
        group_configs=decisions.groups,
        bout_gap=bout_gap,
    )
    show_measures(measures, part)
    confusions = count_event_confusions(parts, decisions.configs)
    content = {
        "split": part,
        "classes": measures,
        "event_confusions": confusions,
        "recordings": [
            {
                "name": p.annotated.name,
                "sha256": p.annotated.scores.recording_sha256,
                "group": p.group,
                "span_s": p.span,
            }
            for p in parts
        ],
        "inference_config": settings.model_dump(),
        "dataset_sha256": dataset.sha256,
        "model_sha256": classifier.sha256,
        "model_version": classifier.version,
        "code_sha256": code_sha256(),
    }
    if json_file:
        write_text(json_file, json.dumps(content, indent=1, allow_nan=False) + "\n")
        out.print(f"  {escape(str(json_file))}", highlight=False, soft_wrap=True)


def tune_dataset(
    path: Path,
    *,
    model: str | None,
    config: Path | None,
    cache: Path,
    allow_seen: bool,
    bout_gap: float | None,
    per: str | None,
    part: str | None,
    seconds: float,
    force: bool,
    out_folder: Path,
) -> None:
    """Find the event settings of every class on the validation part, or the thresholds of each group."""
    from anemone_lib.tuning.by_class import measure_classes, refuse_seen
    from anemone_lib.tuning.by_group import (
        list_gains,
        measure_groups,
        note_other_groups,
        save_groups,
        spell_gains,
        tune_groups,
    )
    from anemone_lib.tuning.decisions import FILE_NAME, load_decisions, tune_classes
    from anemone_lib.tuning.doubts import refuse_doubtful
    from anemone_lib.tuning.report import BASE_FILE

    if per not in (None, "group"):
        raise ConfigError(f"--per is {per!r}; it must be group, or left out")
    dataset, classifier, settings, recordings = _open(path, model, config)
    there = {name for one in recordings for name in one.spans}
    part = part or ("validation" if per is None or "test" not in there else "test")
    if not allow_seen:
        refuse_seen(classifier.card, recordings, part, seen=("train",) if part == "validation" else _list_seen(part))
    parts = _score(recordings, part, classifier, settings, cache, dataset)
    before = load_decisions(classifier.card, settings)
    if per is None:
        decisions, compared = tune_classes(parts, settings, bout_gap=bout_gap), parts
        how = (
            f"Found on the {part} part, {spell_count(len(parts), 'recording')}. The measures are of the same part, so "
            "they are better than on other parts: test the settings on the test part with `anemone evaluate`."
        )
    else:
        decisions, compared = tune_groups(parts, before, seconds=seconds, bout_gap=bout_gap)
        how = (
            f"Thresholds of each group, found on the first {seconds:g} s of its recordings ({part} part). The "
            "measures are of the rest of the recordings."
        )
    for name in decisions.untuned:
        err.print(spell_note(f"{name} is not in the {part} part: its settings are as before"), highlight=False)
    lines = ["No recording is long enough to leave a part for the test."]
    if compared:
        old, new = (
            measure_classes(
                compared,
                one.configs,
                segment_thresholds=one.segment_thresholds,
                group_configs=one.groups,
                bout_gap=bout_gap,
            )
            for one in (before, decisions)
        )
        table, lines = _compare(old, new)
        out.print(table)
    gains = measure_groups(parts, decisions, seconds=seconds, bout_gap=bout_gap) if per else []
    if per and compared:
        out.print(_tabulate(list_gains(gains)))
        out.print(spell_gains(gains), highlight=False)
        lines += ["", *list_gains(gains), "", spell_gains(gains)]
    doubts, said = _find_doubts(parts, decisions, before, gains, per=per, bout_gap=bout_gap)
    with refused_promotion():
        refuse_doubtful([] if force else doubts.get(settings.target_class, []))
    for name in () if force else doubts:
        decisions = decisions.restore(name, before)
        said.append(f"The settings of {name} are as before, because {', and '.join(doubts[name])}.")
        err.print(spell_note(said[-1][:-1]), highlight=False, soft_wrap=True)
    how = " ".join([how, *said])
    out_folder.mkdir(parents=True, exist_ok=True)
    base = settings.save(out_folder / BASE_FILE) if config else None  # what was given may be replaced below
    again = _write_command(
        path,
        model,
        base=base,
        part=part,
        per=per,
        seconds=seconds,
        bout_gap=bout_gap,
        flags=[*(["--allow-seen"] if allow_seen else []), *(["--force"] if force and doubts else [])],
    )
    lines += ["", f"The command `{again}` finds the same settings again."]
    about = f"Model {classifier.version}, {classifier.sha256}; dataset {dataset.sha256}; code {code_sha256()}."
    page = [f"# Settings for {', '.join(dataset.calls)}", "", how, "", *lines, "", about]
    paths = [
        Promotion(decisions.configs[settings.target_class], classifier.sha256, dataset.sha256).save(
            out_folder / SETTINGS_FILE
        ),
        decisions.save(out_folder / FILE_NAME, model_sha256=classifier.sha256),
        write_text(out_folder / "inference_config.md", "\n".join(page) + "\n"),
        *([base] if base else []),
        *save_groups(
            decisions,
            out_folder / "groups",
            target_class=settings.target_class,
            model_sha256=classifier.sha256,
            dataset_sha256=dataset.sha256,
        ),
    ]
    for written in paths:
        out.print(f"  {escape(str(written))}", highlight=False, soft_wrap=True)
    if note := note_other_groups(out_folder / "groups", paths):
        err.print(spell_note(note), highlight=False, soft_wrap=True)


def _find_doubts(
    parts: Sequence[Any], decisions: Any, before: Any, gains: Sequence[Any], *, per: str | None, bout_gap: float | None
) -> tuple[dict[str, list[str]], list[str]]:
    """Say by class why its new settings cannot be believed, and in sentences what they gain."""
    from anemone_lib.tuning.by_group import doubt_groups
    from anemone_lib.tuning.decisions import doubt_classes

    if per:
        doubts, said = {name: doubt_groups(gains, name) for name in decisions.configs}, []
    else:
        found = doubt_classes(parts, decisions, before, bout_gap=bout_gap)
        doubts, said = (
            {name: own for name, (_, own) in found.items()},
            [spell_gain(n, *g) for n, (g, _) in found.items()],
        )
    return {name: own for name, own in doubts.items() if own}, said


def spell_gain(name: str, gain: float, low: float, high: float) -> str:
    """Say what tuning gains on groups that it has not seen.

    >>> spell_gain("grunt", 0.05, 0.01, 0.09)
    'Each group with settings from the other groups: F1 of grunt +0.050 (+0.010 to +0.090, 95 % by group).'
    """
    if math.isnan(gain):
        return f"Their gain for {name} on groups that were not used for tuning is unknown: fewer than two groups."
    interval = format_interval(low, high, "+.3f")
    return f"Each group with settings from the other groups: F1 of {name} {gain:+.3f} ({interval}, 95 % by group)."


def _write_command(path: Path, model: str | None, *, base: Path | None, flags: Sequence[str], **options: Any) -> str:
    """The command that finds the settings of a dataset again."""
    named = {
        "--dataset": path,
        "--model": model,
        "--config": base,
        "--split": options["part"],
        "--per": options["per"],
        "--seconds": options["seconds"] if options["per"] else None,
        "--bout-gap": options["bout_gap"],
    }
    words = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    return shlex.join(["anemone", "tune", *words, *flags])


def show_measures(measures: Mapping[str, Mapping[str, Any]], part: str) -> None:
    """Print the measures of every class."""
    table = Table(title=f"{part} part (95 % interval by group)")
    table.add_column("class")
    for heading in ("average precision", "F1, 3-s segments", "F1, events"):
        table.add_column(heading, justify="right")
    for heading in ("bouts", "found", "matched"):
        table.add_column(heading, justify="right")
    for name, own in measures.items():
        events = own["event_f1"]
        cells = [spell_entry(own[key]) for key in ("average_precision", "segment_f1", "event_f1")]
        numbers = [str(events[key]) for key in ("n_reference", "n_estimated", "n_matched")]
        table.add_row(escape(make_printable(name)), *cells, *numbers)
    out.print(table)
    gaps = {own["event_f1"]["bout_gap_s"] for own in measures.values()}
    medians = {name: own["event_f1"]["median_bout_s"] for name, own in measures.items()}
    lengths = ", ".join(f"{make_printable(name)} {s:.1f} s" for name, s in medians.items() if s is not None)
    bouts = f"annotations up to {max(gaps, default=0):g} s apart are one bout (median: {lengths or 'no call'})"
    out.print(f"{escape(bouts)}; an event matches a bout that it overlaps", highlight=False)


def spell_entry(entry: Mapping[str, Any]) -> str:
    """Write a measure with its interval.

    >>> spell_entry({"value": 0.8, "interval": [0.71, 0.88]}), spell_entry({"value": None, "interval": None})
    ('0.800 (0.71–0.88)', 'no call')
    """
    if entry["value"] is None:
        return "no call"
    interval = entry["interval"]
    return f"{entry['value']:.3f}" + (f" ({interval[0]:.2f}–{interval[1]:.2f})" if interval else "")


def _compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Table, list[str]]:
    """Event F1 before and after, as a table for the terminal and for the report."""
    table = Table(title="F1 of events")
    for heading in ("class", "before", "tuned", "bouts"):
        table.add_column(heading)
    lines = ["| class | event F1 before | tuned | bouts |", "|---|---|---|---|"]
    for name, own in new.items():
        row = [name, spell_entry(old[name]["event_f1"]), spell_entry(own["event_f1"]), str(own["event_f1"]["n"])]
        table.add_row(*map(escape, row))
        lines.append(f"| {' | '.join(row)} |")
    return table, lines


def _tabulate(lines: Sequence[str]) -> Table:
    """A table of Markdown for the terminal."""
    heading, _, *rows = (line.strip("|").split("|") for line in lines)
    table = Table(*(word.strip() for word in heading))
    for row in rows:
        table.add_row(*(escape(make_printable(word.strip())) for word in row))
    return table


def _list_seen(part: str) -> tuple[str, ...]:
    return () if part == "train" else ("train", "validation") if part == "test" else ("train",)


def _open(
    path: Path, model: str | None, config: Path | None
) -> tuple[Dataset, Classifier, InferenceConfig, list[LabelledRecording]]:
    """Load the description and the model, and check that they fit together."""
    from anemone_lib.tuning.by_class import choose_decisions

    dataset = Dataset.load(path)
    classifier = load_classifier(model)
    settings = choose_config(config, classifier)
    if missing := [name for name in dataset.calls if name not in settings.classes]:
        raise ConfigError(
            f"the dataset has the class {missing[0]}, the model knows {', '.join(settings.classes)}; use a model that "
            "was trained for these classes"
        )
    if config is None and dataset.target_class != settings.target_class:
        settings = choose_decisions(settings, classifier.card, dataset.target_class)
    return dataset, classifier, settings, read_recordings(dataset)


def _score(
    recordings: Sequence[LabelledRecording],
    part: str,
    classifier: Classifier,
    settings: InferenceConfig,
    cache: Path,
    dataset: Dataset,
) -> list[Any]:
    from anemone_lib.tuning.by_class import score_part

    with progress_bars() as bars:
        bar = bars.add_task("scoring", total=len(recordings))
        return score_part(
            recordings,
            part,
            classifier=classifier,
            config=settings,
            cache=str(cache),
            timezone=dataset.timezone,
            progress=lambda done, total: bars.update(bar, completed=done, total=total),
        )
