"""``anemone detect``: recordings to events, files and a table on the screen."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anemone_lib.audio import Recording, open_recording
from anemone_lib.audio.channels import parse_channel
from anemone_lib.audio.clock import read_clock, spell_offset
from anemone_lib.audio.finding import Finding, FoundRecording, find_recordings
from anemone_lib.audio.gaps import add_pauses
from anemone_lib.cli.chatter import Chatter, catch_chatter
from anemone_lib.cli.common import (
    SHOWN_NAMES,
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
    spell_note,
    usage_errors,
)
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import Detections
from anemone_lib.detection.detections import detect as detect_events
from anemone_lib.detection.events import Annotation, fold_label
from anemone_lib.detection.formats import FORMATS, name_output
from anemone_lib.errors import AnemoneError, ConfigError, spell_count
from anemone_lib.files import check_folder
from anemone_lib.scoring import choose_promoted, load_classifier, score_recording
from anemone_lib.scoring.chunks import Progress, check_fit
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.tables import read_annotations

#: More events than this are in the files, not on the screen.
SHOWN_EVENTS = 40
#: Detections, the files that were written, and those that were there and kept.
Shown = tuple[Detections, list[Path], list[Path]]


@dataclass(frozen=True)
class Task:
    """One recording to be analysed, and the folder its results go to."""

    recording: FoundRecording
    folder: Path


@dataclass
class Batch:
    """The options that all recordings of a command share, and the outcome of each."""

    classifier: Classifier
    settings: InferenceConfig
    kinds: list[str]
    cache: Path | None
    part: tuple[int, int] | None
    clock: dict[str, Any]
    quiet: bool
    channel: str = "mean"
    truth: list[Annotation] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    without_start: list[str] = field(default_factory=list)
    n_done: int = 0
    n_events: int = 0


ThresholdOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="Confidence threshold, instead of the configuration's.")
]
CacheOption = Annotated[Path | None, typer.Option(help="Folder where scores are kept, so that a stopped run resumes.")]
ShardOption = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Score only the I-th of N parts (1/4 … 4/4) into the cache, and write nothing."),
]
StartTimeOption = Annotated[
    str | None, typer.Option(help="When the recording began, like '2023-02-10 00:00:01'; for one recording only.")
]
AnnotationsOption = Annotated[
    Path | None,
    typer.Option(help="Table of what is in the recording: drawn in the png, and compared. Of one recording only."),
]
EachChannelOption = Annotated[
    str,
    typer.Option(help="Which of several hydrophones: a number from 1, mean, loudest, or each for a result of each."),
]


@app.command()
def detect(
    recordings: Annotated[
        list[str], typer.Argument(metavar="RECORDING...", help="Files, folders, globs or s3:// addresses.")
    ],
    model: ModelOption = None,
    config: ConfigOption = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("out"),
    formats: Annotated[
        str, typer.Option(help=f"What to write, separated by commas: {', '.join(FORMATS)}.")
    ] = "json,csv,raven,calls",
    threshold: ThresholdOption = None,
    annotations: AnnotationsOption = None,
    cache: CacheOption = None,
    shard: ShardOption = None,
    timezone: TimezoneOption = None,
    start_time: StartTimeOption = None,
    start_time_format: StartTimeFormatOption = None,
    channel: EachChannelOption = "mean",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one a core.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only what went wrong.")] = False,
) -> None:
    """Find events in recordings; one bad file never ends the batch."""
    with catch_chatter() as chatter:
        with usage_errors():
            kinds, part = _parse_formats(formats), parse_shard(shard)
            if part and cache is None:
                raise ConfigError("--shard needs --cache, a folder that all parts share")
            parse_channel(channel, words=("mean", "loudest", "each"))
            clock: dict[str, Any] = {"timezone": timezone, "start_time": start_time}
            clock["start_time_format"] = start_time_format
            read_clock("", **clock)  # a wrong word is reported once, not for every recording
            classifier = load_classifier(model)
            settings = choose_promoted(config, classifier)
            if threshold is not None:
                settings = settings.replace(confidence_threshold=threshold)
            check_fit(classifier, settings)
            finding = find_recordings(recordings)
            _check_found(finding, start_time)
            if annotations and len(finding.recordings) > 1:
                raise ConfigError("--annotations is of one recording; `anemone evaluate` compares many")
            truth = [] if annotations is None else read_annotations(annotations, label=settings.target_class)
            for option, folder in (("--out", None if part else out_folder), ("--cache", cache)):
                if folder is not None:
                    check_folder(folder, option)
            tasks = _plan_tasks(finding, out_folder)
        failures = list(finding.failures)
        batch = Batch(classifier, settings, kinds, cache, part, clock, quiet, channel, truth, failures)
        _run(batch, tasks, workers, chatter)
    _conclude(batch, finding, out_folder, shard, len(tasks))


def _run(batch: Batch, tasks: Sequence[Task], workers: int | None, chatter: Chatter) -> None:
    """Analyse the recordings one after the other, each by all workers."""
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1, "anemone") as executor,
        progress_bars(quiet=batch.quiet) as bars,
    ):
        bar = bars.add_task("", total=None)
        for position, task in enumerate(tasks, start=1):
            title = escape(make_printable(f"{position}/{len(tasks)} {task.recording.name}"))
            bars.reset(bar, description=title, total=None)

            def progress(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total)

            shown: list[Shown] = []
            try:
                shown.extend(_analyse(batch, task, executor, progress))
                batch.n_done += 1
            except AnemoneError as error:
                batch.failures.append((task.recording.source, str(error)))
            except OSError as error:
                batch.failures.append((task.recording.source, f"cannot be written or read: {error}"))
            except Exception as error:  # noqa: BLE001 a defect of ours must not end a night's batch either
                batch.failures.append((task.recording.source, f"unexpected {type(error).__name__}: {error}"))
            said = chatter.take_notes()
            if shown and not batch.quiet:
                bars.stop()
                for number, result in enumerate(shown):
                    _show(*result, said if number == 0 else [])
                bars.start()
            elif said:
                err.print(spell_note(f"{task.recording.name}: {'; '.join(said)}"), highlight=False, soft_wrap=True)


def _analyse(batch: Batch, task: Task, executor: Executor, progress: Progress) -> Iterator[Shown]:
    """Score one recording, and unless that is all that was asked for, write its events, of each channel if wanted."""
    options: dict[str, Any] = {"target_sr": batch.settings.target_sr, "name": task.recording.name, **batch.clock}
    each = batch.channel == "each"
    channels: list[int | str] = [batch.channel]
    if each:
        with open_recording(task.recording.source, **options) as recording:
            channels = list(range(1, recording.channels + 1))
    for channel in channels:
        with open_recording(task.recording.source, channel=channel, **options) as recording:
            if recording.start_time is None and channel == channels[0]:
                batch.without_start.append(task.recording.name)
            shown = _analyse_channel(batch, task, recording, executor, progress, each=each)
        if shown is not None:
            yield shown


def _analyse_channel(
    batch: Batch, task: Task, recording: Recording, executor: Executor, progress: Progress, *, each: bool
) -> Shown | None:
    """Score one channel of an open recording, and unless that is all that was asked for, write its events."""
    options: dict[str, Any] = {"executor": executor, "cache": batch.cache, "progress": progress}
    if batch.part:
        score_recording(recording, batch.classifier, batch.settings, shard=batch.part, **options)
        return None
    if not task.folder.is_dir() and task.folder.exists():
        raise ConfigError(f"{task.folder} is a file; the results need a folder of that name")
    found = detect_events(recording, config=batch.settings, classifier=batch.classifier, **options)
    target = fold_label(batch.settings.target_class)
    truth = tuple(one for one in batch.truth if fold_label(one.label) == target)
    found = replace(found, of_each_channel=each, annotations=truth)
    batch.n_events += len(found.events)
    paths = found.save(task.folder, formats=batch.kinds)
    names = [name_output(recording.name, kind, part=found.part) for kind in batch.kinds]
    usual = [task.folder / name for name in names]
    return found, paths, [path for path, written in zip(usual, paths, strict=True) if path != written]


def _conclude(batch: Batch, finding: Finding, out_folder: Path, shard: str | None, n_tasks: int) -> None:
    """Say what became of the batch, and exit with 1 if not all went well."""
    if batch.part and not batch.quiet:
        out.print(
            f"Scored part {shard} of {spell_count(batch.n_done, 'recording')} into {batch.cache}. "
            "When all parts are done, run without --shard."
        )
    elif n_tasks > 1 and not batch.quiet:
        out.print(
            f"{batch.n_done} of {spell_count(n_tasks, 'recording')} analysed, {spell_count(batch.n_events, 'event')}; "
            f"results in {escape(make_printable(str(out_folder)))}"
        )
    for note in finding.notes:
        err.print(spell_note(note), highlight=False, soft_wrap=True)
    if batch.without_start:
        names = ", ".join(batch.without_start[:SHOWN_NAMES]) + ", …" * (len(batch.without_start) > SHOWN_NAMES)
        err.print(
            spell_note(
                f"{spell_count(len(batch.without_start), 'recording')} without a start time ({names}), so the "
                f"tables have no time of day; say with --start-time-format how dates are written in the names, or "
                "with --start-time when a recording began"
            ),
            highlight=False,
            soft_wrap=True,
        )
    conclude_batch(batch.failures)


def _show(found: Detections, paths: list[Path], kept: list[Path], said: list[str]) -> None:
    """Print the events of one recording as a table, what was odd, and where the files are."""
    scores, events = found.scores, found.events
    speed = scores.duration / max(found.metadata["processing_time"], 1e-9)
    count = spell_count(len(events), f"{found.config.target_class} event")
    channel = f", channel {scores.channel}" if found.of_each_channel else ""
    title = make_printable(f"{scores.recording_name}{channel}: {scores.duration:.1f} s, {count}")
    out.print(f"[bold]{escape(title)}[/]  ({speed:,.0f}× real time)", highlight=False, soft_wrap=True)
    if events:
        _show_events(out, found)
    if found.annotations:
        out.print(escape(make_printable(_compare(found))), highlight=False, soft_wrap=True)
    for note in [*scores.warnings, *said]:
        out.print(spell_note(note), highlight=False, soft_wrap=True)
    for gap in scores.skipped[:SHOWN_EVENTS]:
        text = f"skipped {gap.start_time:.2f} to {gap.end_time:.2f} s: {gap.reason}"
        out.print(spell_note(text), highlight=False, soft_wrap=True)
    for path in kept:
        text = f"{path} was not made by this program, or was changed since: it is kept; the result is written beside it"
        out.print(spell_note(text), highlight=False, soft_wrap=True)
    for path in paths:
        out.print(f"  {escape(make_printable(str(path)))}", highlight=False, soft_wrap=True)


def _compare(found: Detections) -> str:
    """Say how the events and what is annotated belong together, and why their numbers differ."""
    from anemone_lib.evaluation.matching import count_events
    from anemone_lib.tuning.recordings import AnnotatedRecording

    recording = AnnotatedRecording(found.scores, found.annotations)
    bouts = recording.join_bouts(labels=[found.config.target_class])
    matched = count_events(bouts, found.events, duration=found.scores.duration).n_matched
    calls = spell_count(len(found.annotations), f"annotated {found.config.target_class} call")
    return (
        f"{calls} in {spell_count(len(bouts), 'bout')} (calls up to {recording.shortest_gap:g} s apart are one bout, "
        f"which one event covers): {matched} found, {len(bouts) - matched} missed; "
        f"{len(found.events) - matched} of {spell_count(len(found.events), 'event')} without a call"
    )


def _show_events(console: Console, found: Detections) -> None:
    began, table = found.scores.start_time, Table()
    for heading in ("start", "end", "duration", "confidence (mean)", "(max)", "windows"):
        table.add_column(heading, justify="right")
    if began:
        table.add_column(f"start, {spell_offset(began)}")
    for event in found.events[:SHOWN_EVENTS]:
        row = [f"{event.start_time:.2f} s", f"{event.end_time:.2f} s", f"{event.duration:.2f} s"]
        row += [f"{event.mean_confidence:.2f}", f"{event.max_confidence:.2f}", str(event.num_windows)]
        if began:
            moment = began + timedelta(seconds=add_pauses(event.start_time, found.scores.pauses))
            row.append(moment.strftime("%Y-%m-%d %H:%M:%S"))
        table.add_row(*row)
    console.print(table)
    if len(found.events) > SHOWN_EVENTS:
        console.print(f"… and {len(found.events) - SHOWN_EVENTS} more, in the files")


def _parse_formats(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in FORMATS:
            raise ConfigError(f"--formats has {kind!r}; known are {', '.join(FORMATS)}")
    if not kinds:
        raise ConfigError(f"--formats is empty; known are {', '.join(FORMATS)}")
    return list(dict.fromkeys(kinds))


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Read which part of the work is meant, as ``I/N``; the parts are counted from 0 here, from 1 by people."""
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise ConfigError(f"--shard is {text!r}; write it as I/N, from 1/4 to 4/4 for four parts")
    return int(index) - 1, int(count)


def _check_found(finding: Finding, start_time: str | None) -> None:
    """Refuse what leaves nothing to do, and one start for several recordings."""
    if not finding.recordings:
        reasons = "; ".join([f"{source}: {why}" for source, why in finding.failures] + finding.notes)
        raise ConfigError(f"there is nothing to analyse: {reasons}")
    if start_time is not None and len(finding.recordings) > 1:
        raise ConfigError(
            f"--start-time is {start_time!r} for {len(finding.recordings)} recordings; it can be given for one "
            "recording only: say with --start-time-format how dates are written in the names"
        )


def _plan_tasks(finding: Finding, out_folder: Path) -> list[Task]:
    """Give every recording a place for its results: its folder, as it was found."""
    places = [out_folder.joinpath(*_list_parents(recording.name)) for recording in finding.recordings]
    # Recordings that would write over each other's results get a folder each, by their full name; a disk may hold
    # upper and lower case for the same.
    stems = [str(place / Path(r.name).stem).casefold() for place, r in zip(places, finding.recordings, strict=True)]
    shared, tasks, taken = Counter(stems), [], set()
    for place, stem, recording in zip(places, stems, finding.recordings, strict=True):
        if shared[stem] > 1:
            full, number = place / Path(recording.name).name, 1
            place = full
            while str(place).casefold() in taken:
                number += 1
                place = full.with_name(f"{full.name}-{number}")
            taken.add(str(place).casefold())
        tasks.append(Task(recording, place))
    return tasks


def _list_parents(name: str) -> list[str]:
    return [make_printable(part) for part in name.split("/")[:-1] if part not in ("", ".", "..")]
