"""``anemone evaluate`` and ``anemone tune``: settings against annotations."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from anemone_lib.audio.channels import Channel, parse_channel
from anemone_lib.cli.chatter import catch_chatter
from anemone_lib.cli.common import (
    ChannelOption,
    ConfigOption,
    ModelOption,
    StartTimeFormatOption,
    TimezoneOption,
    app,
    conclude_batch,
    err,
    make_printable,
    out,
    progress_bars,
    refuse_options,
    refused_promotion,
    spell_note,
    usage_errors,
)
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.files import check_folder, write_text
from anemone_lib.scoring import choose_config, load_classifier

if TYPE_CHECKING:
    from anemone_lib.evaluation.rates import Counts
    from anemone_lib.tuning.recordings import ScoredFolder

SamplesArgument = Annotated[
    Path | None, typer.Argument(help="Folder of recordings with tables: reef.wav, reef.Table.1.selections.txt.")
]
AnnotationsOption = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        help="Folder with the tables, or one table that names its recordings. Default: beside the recordings.",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(help="Labels that stand for the target class, separated by commas. Default: the class itself."),
]
LabelColumnOption = Annotated[
    str | None,
    typer.Option(help="Column of the tables that has the labels, if its name is unusual; '' if no column has labels."),
]
BoutGapOption = Annotated[
    float | None,
    typer.Option(
        min=0, help="Annotations at most this far apart, in seconds, are one bout. Default: window and stride."
    ),
]
DatasetOption = Annotated[
    Path | None,
    typer.Option("--dataset", help="Description of the data, instead of a folder: every class is measured."),
]
SplitOption = Annotated[str | None, typer.Option("--split", help="Part of the dataset: train, validation or test.")]
AllowSeenOption = Annotated[
    bool,
    typer.Option(
        "--allow-seen", help="Also use recordings that the model was trained on; the result is then not a test."
    ),
]
CacheOption = Annotated[Path, typer.Option(help="Folder where scores are kept.")]
CACHE = Path("out/scores")
#: Options that only a folder of recordings needs, and those that only a dataset needs.
OF_A_FOLDER = ("annotations", "timezone", "start_time_format")
OF_A_DATASET = ("split", "allow_seen")
#: Options of the search on a folder; a dataset has a part to tune on, and its own way to search.
OF_THE_SEARCH = ("holdout", "seed", "beta", "max_false_alarms_per_hour")
#: All that a search on verdicts reads.
OF_VERDICTS = ("verdicts", "precision", "model", "config", "out_folder")


@app.command()
def evaluate(
    context: typer.Context,
    folder: SamplesArgument = None,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    annotations: AnnotationsOption = None,
    labels: LabelsOption = None,
    label_column: LabelColumnOption = None,
    channel: ChannelOption = "mean",
    timezone: TimezoneOption = None,
    start_time_format: StartTimeFormatOption = None,
    bout_gap: BoutGapOption = None,
    onset_tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Largest difference of starts, in seconds. Default: any overlap matches."),
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    cache: CacheOption = CACHE,
    allow_seen: AllowSeenOption = False,
    out_file: Annotated[Path | None, typer.Option("--out", "--json", help="JSON file to write.")] = None,
) -> None:
    """Compare detected events with annotations: precision, recall, F1, false alarms per hour."""
    from anemone_lib.evaluation.rates import METRICS, add_counts, bootstrap_interval, format_interval, format_rate
    from anemone_lib.tuning.recordings import count_recordings

    with usage_errors(), catch_chatter():
        if out_file:
            check_folder(out_file.parent, "--out")
        folder, chosen = _choose_source(folder, dataset, labels=labels, label_column=label_column, channel=channel)
        if dataset:
            from anemone_lib.cli.by_class import evaluate_dataset

            refuse_options(context, OF_A_FOLDER, f"{dataset} says where tables and times are: change it there")
            refuse_options(context, ["onset_tolerance"], "with --dataset, an event matches a call that it overlaps")

            evaluate_dataset(
                dataset,
                part=_check_part(split) or "test",
                model=model,
                config=config,
                cache=cache,
                allow_seen=allow_seen,
                bout_gap=bout_gap,
                json_file=out_file,
            )
            return
        refuse_options(context, OF_A_DATASET, "only a dataset has parts; describe the folder, and give --dataset")
        reading: dict[str, Any] = {"label_column": label_column, "channel": chosen}
        reading |= {"timezone": timezone, "start_time_format": start_time_format}
        settings, scored = _score_folder(folder, annotations, model, config, cache, reading)
        if labels:
            scored.check_labels(_parse_names(labels) or [])
        counts = count_recordings(
            scored, settings, labels=_parse_names(labels), bout_gap=bout_gap, onset_tolerance=onset_tolerance
        )
    if other := scored.describe_other_labels(_parse_names(labels) or [settings.target_class]):
        err.print(spell_note(other), highlight=False, soft_wrap=True)
    _show_counts([recording.name for recording in scored], counts)
    pooled = add_counts(counts).to_dict()
    bounds = {metric: bootstrap_interval(counts, metric=metric) for metric in METRICS}
    intervals = {metric: None if math.isnan(low) else [low, high] for metric, (low, high) in bounds.items()}
    for metric, interval in intervals.items():
        rate = format_rate(pooled[metric], unknown="unknown")
        doubt = f"  (95 % by recording: {format_interval(interval[0], interval[1])})" if interval else ""
        out.print(f"{metric.replace('_', ' ')}: {rate}{doubt}", highlight=False)
    content = {
        "recordings": [
            {"name": recording.name, "channel": recording.scores.channel, **one.to_dict()}
            for recording, one in zip(scored, counts, strict=True)
        ],
        "failed": [{"name": name, "reason": reason} for name, reason in scored.failures],
        "all": pooled,
        "intervals": intervals,
        "inference_config": settings.model_dump(),
        "model_sha256": scored[0].scores.model_sha256,
    }
    if out_file:
        write_text(out_file, json.dumps(content, indent=1) + "\n")
    conclude_batch(scored.failures)


@app.command()
def tune(
    context: typer.Context,
    folder: SamplesArgument = None,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    annotations: AnnotationsOption = None,
    labels: LabelsOption = None,
    label_column: LabelColumnOption = None,
    channel: ChannelOption = "mean",
    timezone: TimezoneOption = None,
    start_time_format: StartTimeFormatOption = None,
    bout_gap: BoutGapOption = None,
    holdout: Annotated[float, typer.Option(help="Part of the recordings that is set aside for the test.")] = 0.3,
    seed: Annotated[int, typer.Option(min=0, help="Seed that decides which recordings are set aside.")] = 0,
    beta: Annotated[float, typer.Option(help="2 weighs missed calls more than false alarms, 0.5 less.")] = 1.0,
    max_false_alarms_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Only settings with at most this many false alarms per hour.")
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    cache: CacheOption = CACHE,
    per: Annotated[
        str | None, typer.Option(help="group: a threshold for each group, from its first annotated seconds.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="With --per: how many seconds of each recording are annotated.")
    ] = 30.0,
    allow_seen: AllowSeenOption = False,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", help="Table of the verdicts of a review, instead of a folder.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="With --verdicts: the precision that the threshold must reach, like 0.9.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write settings even if their gain is doubtful.")] = False,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for settings and report, like terraform/environments/dev.")
    ] = Path("out/tuning"),
) -> None:
    """Search the event settings on annotated recordings; write the best for Terraform, and a report."""
    from anemone_lib.evaluation.rates import format_interval, format_rate
    from anemone_lib.tuning import tune as search_settings

    with usage_errors(), catch_chatter():
        if verdicts or precision is not None:
            from anemone_lib.cli.verdicts import tune_by_verdicts

            if verdicts is None or precision is None or folder or dataset:
                raise ConfigError("--verdicts and --precision belong together, without a folder and without --dataset")
            unread = {parameter.name or "" for parameter in context.command.params} - {*OF_VERDICTS}
            refuse_options(context, unread, "a search on verdicts does not read it: leave it out")
            tune_by_verdicts(verdicts, precision=precision, model=model, config=config, out_folder=out_folder)
            return
        folder, chosen = _choose_source(folder, dataset, labels=labels, label_column=label_column, channel=channel)
        if dataset:
            from anemone_lib.cli.by_class import tune_dataset

            refuse_options(context, OF_A_FOLDER, f"{dataset} says where tables and times are: change it there")
            refuse_options(context, OF_THE_SEARCH, "with --dataset, the settings are found on one part of the split")
            if per is None:
                refuse_options(context, ["seconds"], "only --per group reads it: give both, or leave it out")

            tune_dataset(
                dataset,
                model=model,
                config=config,
                cache=cache,
                allow_seen=allow_seen,
                bout_gap=bout_gap,
                per=per,
                part=_check_part(split),
                seconds=seconds,
                force=force,
                out_folder=out_folder,
            )
            return
        of_datasets = (*OF_A_DATASET, "per", "seconds")
        refuse_options(
            context, of_datasets, "only a dataset has parts and groups; describe the folder, and give --dataset"
        )
        if out_folder == Path("out/tuning") or out_folder.is_dir():
            check_folder(out_folder, "--out")
        else:  # a wrong word for an environment must not make a new one
            raise ConfigError(f"{out_folder} is not a folder; make it, or name a folder that exists")
        reading: dict[str, Any] = {"label_column": label_column, "channel": chosen}
        reading |= {"timezone": timezone, "start_time_format": start_time_format}
        settings, scored = _score_folder(folder, annotations, model, config, cache, reading)
        if labels:
            scored.check_labels(_parse_names(labels) or [])
        if other := scored.describe_other_labels(_parse_names(labels) or [settings.target_class]):
            err.print(spell_note(other), highlight=False, soft_wrap=True)
        best = search_settings(
            scored,
            settings,
            labels=_parse_names(labels),
            bout_gap=bout_gap,
            holdout=holdout,
            seed=seed,
            beta=beta,
            max_false_alarms_per_hour=max_false_alarms_per_hour,
        )
    table = Table(title=f"best of {best.sweep.space.size} settings by {best.objective}")
    for heading in ("setting", "tuned", "before"):
        table.add_column(heading)
    for name in best.sweep.space.axes:
        table.add_row(name, str(getattr(best.config, name)), str(getattr(best.base, name)))
    out.print(table)
    gain, low, high = best.measure_gain()
    aside = f"F1 on {spell_count(len(best.held_out), 'recording')} set aside"
    rate = format_rate(gain, "+.3f", unknown="unknown")
    out.print(f"{aside}: {rate} (95 % by recording: {format_interval(low, high, '+.3f')})", highlight=False)
    with refused_promotion():
        paths = best.promote(
            out_folder,
            recordings=folder,
            annotations=annotations,
            model=model,
            **reading,
            force=force,
        )
    for path in paths:
        out.print(f"  {escape(str(path))}", highlight=False, soft_wrap=True)
    conclude_batch(scored.failures)


def _choose_source(
    folder: Path | None, dataset: Path | None, *, labels: str | None, label_column: str | None, channel: str
) -> tuple[Path, Channel]:
    """Check that there is one source, a folder or a dataset, and the channel of the folder's recordings.

    A dataset says itself what its labels mean, where they are, and which channel is listened to.
    """
    if (folder is None) == (dataset is None):
        raise ConfigError("give a folder of recordings, or --dataset with its description, but not both")
    if channel == "each":
        raise ConfigError("channel is 'each'; the tables do not say which hydrophone was annotated: choose one")
    chosen = parse_channel(channel)
    own = {"--labels": labels, "--label-column": label_column, "--channel": None if channel == "mean" else channel}
    if dataset and (repeated := [f"{option} is {value}" for option, value in own.items() if value is not None]):
        raise ConfigError(f"{repeated[0]}; with a dataset, this is in the description: change it in {dataset}")
    return folder or Path(), chosen


def _check_part(name: str | None) -> str | None:
    if name not in (None, "train", "validation", "test"):
        raise ConfigError(f"--split is {name!r}; it must be train, validation or test")
    return name


def _score_folder(
    folder: Path, annotations: Path | None, model: str | None, config: Path | None, cache: Path, reading: dict[str, Any]
) -> tuple[InferenceConfig, "ScoredFolder"]:
    """Score the annotated recordings of a folder, or find their scores."""
    from anemone_lib.tuning.recordings import find_annotated_recordings, score_annotated_recordings

    check_folder(cache, "--cache")
    with catch_chatter():
        classifier = load_classifier(model)
    settings = choose_config(config, classifier)
    found = find_annotated_recordings(folder, annotations=annotations)
    said: list[str] = []
    with catch_chatter() as chatter, progress_bars() as bars:
        bar = bars.add_task("scoring", total=len(found))

        def progress(done: int, _total: int) -> None:
            said.extend(f"{found[done - 1].name}: {note}" for note in chatter.take_notes())
            bars.update(bar, completed=done)

        scored = score_annotated_recordings(
            found,
            classifier=classifier,
            config=settings,
            cache=cache,
            progress=progress,
            **reading,
        )
    for note in (*found.notes, *scored.notes, *said):
        err.print(spell_note(note), highlight=False, soft_wrap=True)
    return settings, scored


def _parse_names(text: str | None) -> list[str] | None:
    from anemone_lib.notebook.parameters import parse_list

    return parse_list(text) or None


def _show_counts(names: list[str], counts: list["Counts"]) -> None:
    from anemone_lib.evaluation.rates import format_rate

    table = Table()
    table.add_column("recording", overflow="fold")
    for heading in ("bouts", "found", "matched", "precision", "recall", "F1", "false alarms/h"):
        table.add_column(heading, justify="right")
    for name, one in zip(names, counts, strict=True):
        rates = (one.precision, one.recall, one.f1, one.false_alarms_per_hour)
        row = [str(one.n_reference), str(one.n_estimated), str(one.n_matched)]
        table.add_row(escape(make_printable(name)), *row, *map(format_rate, rates))
    out.print(table)
