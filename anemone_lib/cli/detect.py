"""``anemone detect``: recordings to events, files and a table on the screen."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from anemone_lib.audio import open_recording
from anemone_lib.audio.recording import AUDIO_SUFFIXES
from anemone_lib.cli.common import ConfigOption, ModelOption, app, err, out, progress_bars, usage_errors
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.detections import FORMATS, Detections
from anemone_lib.detection.detections import detect as detect_events
from anemone_lib.errors import AnemoneError, ConfigError
from anemone_lib.scoring import Scores, choose_config, load_classifier, score_recording
from anemone_lib.scoring.chunks import check_fit

#: More events than this are in the files, not on the screen.
SHOWN_EVENTS = 40


@dataclass(frozen=True)
class Task:
    """One recording to be analysed, and the folder its results go to."""

    source: str
    folder: Path


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
    ] = "json,csv,raven",
    cache: Annotated[
        Path | None, typer.Option(help="Folder where scores are kept, so that a stopped run resumes.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Score only the I-th of N parts (1/4 … 4/4) into the cache, and write nothing."
        ),
    ] = None,
    timezone: Annotated[str, typer.Option(help="Clock that named the files, like Asia/Tokyo or +09:00.")] = "UTC",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads. Default: one a core.")] = None,
) -> None:
    """Find events in recordings; one bad file never ends the batch."""
    with usage_errors():
        kinds = _formats(formats)
        part = _shard(shard, cache)
        classifier = load_classifier(model)
        settings = choose_config(InferenceConfig.load(config) if config else None, classifier)
        check_fit(classifier, settings)
        tasks = _tasks(recordings, out_folder)
    failures: list[tuple[str, str]] = []
    n_events = 0
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, "anemone") as executor, progress_bars() as bars:
        bar = bars.add_task("", total=None)
        for position, task in enumerate(tasks, start=1):
            name = Path(task.source).name
            bars.reset(bar, description=escape(f"{position}/{len(tasks)} {name}"), total=None)

            def progress(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total)

            try:
                if part:
                    recording = open_recording(task.source, target_sr=settings.target_sr, timezone=timezone)
                    with recording:
                        score_recording(
                            recording,
                            classifier,
                            settings,
                            executor=executor,
                            cache=cache,
                            shard=part,
                            progress=progress,
                        )
                    continue
                found = detect_events(
                    task.source,
                    config=settings,
                    classifier=classifier,
                    executor=executor,
                    cache=cache,
                    timezone=timezone,
                    progress=progress,
                )
                paths = found.save(task.folder, formats=kinds)
            except AnemoneError as error:
                failures.append((task.source, str(error)))
                continue
            except Exception as error:  # noqa: BLE001 a defect of ours must not end a night's batch either
                failures.append((task.source, f"unexpected {type(error).__name__}: {error}"))
                continue
            n_events += len(found.events)
            bars.stop()
            _show(found, paths)
            bars.start()
    done = len(tasks) - len(failures)
    if part:
        out.print(
            f"Scored part {shard} of {done} recordings into {cache}. When all parts are done, run without --shard."
        )
    elif len(tasks) > 1:
        out.print(f"{done} of {len(tasks)} recordings analysed, {n_events} events; results in {out_folder}")
    for source, why in failures:
        err.print(f"[bold red]failed:[/] {escape(source)}: {escape(why)}", highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _show(found: Detections, paths: list[Path]) -> None:
    """Print the events of one recording as a table, what was odd, and where the files are."""
    scores, events = found.scores, found.events
    speed = scores.duration / max(found.metadata["processing_time"], 1e-9)
    title = f"{scores.recording_name}: {scores.duration:.1f} s, {len(events)} {found.config.target_class} events"
    out.print(f"[bold]{escape(title)}[/]  ({speed:,.0f}× real time)", highlight=False, soft_wrap=True)
    if events:
        table = Table()
        for heading in ("start", "end", "duration", "confidence (mean)", "(max)", "windows"):
            table.add_column(heading, justify="right")
        if scores.start_time:
            table.add_column("start, UTC")
        for event in events[:SHOWN_EVENTS]:
            row = [f"{event.start_time:.2f} s", f"{event.end_time:.2f} s", f"{event.duration:.2f} s"]
            row += [f"{event.mean_confidence:.2f}", f"{event.max_confidence:.2f}", str(event.num_windows)]
            if scores.start_time:
                row.append(_utc(scores, event.start_time))
            table.add_row(*row)
        out.print(table)
        if len(events) > SHOWN_EVENTS:
            out.print(f"… and {len(events) - SHOWN_EVENTS} more, in the files")
    for warning in scores.warnings:
        out.print(f"[yellow]note:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    for gap in scores.skipped[:SHOWN_EVENTS]:
        text = f"skipped {gap.start_time:.2f} to {gap.end_time:.2f} s: {gap.reason}"
        out.print(f"[yellow]note:[/] {escape(text)}", highlight=False, soft_wrap=True)
    for path in paths:
        out.print(f"  {escape(str(path))}", highlight=False, soft_wrap=True)


def _utc(scores: Scores, seconds: float) -> str:
    assert scores.start_time is not None
    return (scores.start_time + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")


def _formats(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in FORMATS:
            raise ConfigError(f"--formats has {kind!r}; known are {', '.join(FORMATS)}")
    if not kinds:
        raise ConfigError(f"--formats is empty; known are {', '.join(FORMATS)}")
    return list(dict.fromkeys(kinds))


def _shard(text: str | None, cache: Path | None) -> tuple[int, int] | None:
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise ConfigError(f"--shard is {text!r}; write it as I/N, from 1/4 to 4/4 for four parts")
    if cache is None:
        raise ConfigError("--shard needs --cache, a folder that all parts share")
    return int(index) - 1, int(count)


def _tasks(arguments: Iterable[str], out_folder: Path) -> list[Task]:
    """Find the recordings that were named, and give each a place for its results."""
    found: list[tuple[str, Path]] = []
    for argument in arguments:
        path = Path(argument)
        if "://" in argument or path.is_file():
            found.append((argument, out_folder))
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in AUDIO_SUFFIXES)
            inside = [p for p in inside if not p.name.startswith(".")]
            if not inside:
                raise ConfigError(f"the folder {argument} holds no recordings ({', '.join(AUDIO_SUFFIXES)})")
            found += [(str(p), out_folder / p.relative_to(path).parent) for p in inside]
        elif any(letter in argument for letter in "*?["):
            matches = sorted(p for p in glob.glob(argument, recursive=True) if Path(p).is_file())
            if not matches:
                raise ConfigError(f"no file matches {argument}")
            found += [(match, out_folder) for match in matches]
        else:
            found.append((argument, out_folder))  # fails by its own error, beside the others
    found = list(dict.fromkeys(found))
    # Recordings that would write over each other's results get a folder each, by their full name.
    shared = Counter((folder, Path(source).stem) for source, folder in found)
    tasks, taken = [], set()
    for source, folder in found:
        path = Path(source)
        if shared[folder, path.stem] > 1:
            folder, number = folder / path.name, 1
            while folder in taken:
                number += 1
                folder = folder.with_name(f"{path.name}-{number}")
            taken.add(folder)
        tasks.append(Task(source, folder))
    return tasks
