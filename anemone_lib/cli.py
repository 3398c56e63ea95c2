"""The command ``anemone``: parse, call the library, present.

Exit codes: 0, all done; 1, some recordings failed, the others are done and a summary names each; 2, the command itself
cannot be carried out (usage, configuration, model).
"""

import glob
import json
import math
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import anemone_lib
from anemone_lib.audio import AUDIO_SUFFIXES
from anemone_lib.config import InferenceConfig
from anemone_lib.detect import FORMATS
from anemone_lib.errors import AnemoneError, ConfigError

if TYPE_CHECKING:
    from anemone_lib.evaluation import Counts
    from anemone_lib.sweep import Sample

app = typer.Typer(
    name="anemone",
    help="Find anemonefish calls in hydrophone recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(
    help="Show a configuration, or spell it for Terraform or the environment.", no_args_is_help=True
)
app.add_typer(config_app, name="config")

#: More events than this are in the files, not on the screen.
SHOWN_EVENTS = 40

out = Console()
err = Console(stderr=True)


ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Model bundle: its folder or any of its files. Default: the demonstration model."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration: YAML, JSON or tfvars JSON. Default: what the model was trained with."
    ),
]


@contextmanager
def usage_errors() -> Iterator[None]:
    """Say what is wrong in one line, and exit with 2."""
    try:
        yield
    except AnemoneError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def version_wanted(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"anemone {anemone_lib.__version__} (code {anemone_lib.code_sha256()[:12]})")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=version_wanted, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find anemonefish calls in hydrophone recordings."""


# ---------------------------------------------------------------------- detect


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
        classifier = anemone_lib.load_classifier(model)
        settings = InferenceConfig.load(config) if config else anemone_lib.default_config(classifier)
        from anemone_lib.scores import check_fit

        check_fit(classifier, settings)
        tasks = _tasks(recordings, out_folder)
    failures: list[tuple[str, str]] = []
    n_events = 0
    with ThreadPoolExecutor(workers or os.cpu_count() or 1, "anemone") as executor, _progress() as bars:
        bar = bars.add_task("", total=None)
        for position, task in enumerate(tasks, start=1):
            name = Path(task.source).name
            bars.reset(bar, description=escape(f"{position}/{len(tasks)} {name}"), total=None)

            def progress(done: int, total: int) -> None:
                bars.update(bar, completed=done, total=total)

            try:
                if part:
                    recording = anemone_lib.open_recording(task.source, target_sr=settings.target_sr, timezone=timezone)
                    with recording:
                        anemone_lib.score_recording(
                            recording,
                            classifier,
                            settings,
                            executor=executor,
                            cache=cache,
                            shard=part,
                            progress=progress,
                        )
                    continue
                found = anemone_lib.detect(
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


def _show(found: anemone_lib.Detections, paths: list[Path]) -> None:
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


def _utc(scores: anemone_lib.Scores, seconds: float) -> str:
    from datetime import timedelta

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


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


# ---------------------------------------------------------------------- simulate


@app.command()
def simulate(
    path: Annotated[Path, typer.Argument(help="Recording to write: .wav or .flac; the truth goes beside it.")],
    duration: Annotated[float, typer.Option(help="Seconds.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and settings give the same samples.")] = 0,
    sample_rate: Annotated[int, typer.Option(help="Hz, 8000 to 200000.")] = 48_000,
    snr_db: Annotated[tuple[float, float], typer.Option(help="Lowest and highest SNR in the call's band.")] = (
        6.0,
        18.0,
    ),
    bouts_per_minute: Annotated[float, typer.Option(help="Bouts of anemonefish calls.")] = 3.0,
    neighbours_per_minute: Annotated[float, typer.Option(help="Sounds of other animals.")] = 6.0,
    noises: Annotated[str | None, typer.Option(help="Names separated by commas. Default: drawn from the seed.")] = None,
) -> None:
    """Write a simulated reef recording, and what is in it as a Raven selection table."""
    from anemone_lib.formats import write_raven
    from anemone_lib.simulate import write_recording

    with usage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        truth = write_recording(
            path,
            duration=duration,
            seed=seed,
            sample_rate=sample_rate,
            snr_db=snr_db,
            bouts_per_minute=bouts_per_minute,
            neighbours_per_minute=neighbours_per_minute,
            noises=None if noises is None else [name.strip() for name in noises.split(",")],
        )
        table = write_raven(path.with_suffix(".truth.txt"), truth, high_hz=sample_rate / 2, recording_name=path.name)
    calls = sum(annotation.label == "anemonefish" for annotation in truth)
    out.print(f"Simulated {duration:g} s of reef with {calls} anemonefish calls, {len(truth) - calls} other sounds:")
    for written in (path, table):
        out.print(f"  {escape(str(written))}", highlight=False, soft_wrap=True)


# ---------------------------------------------------------------------- serve


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    model: ModelOption = None,
    config: ConfigOption = None,
    store: Annotated[Path, typer.Option(help="Folder for the recordings and results of jobs.")] = Path("out/jobs"),
    limits: Annotated[
        bool, typer.Option(help="Hold requests to what AWS lets through: 4.5 MB of audio and 29 s a call.")
    ] = True,
) -> None:
    """Answer over HTTP: a page at /, POST /predict, POST /jobs, the interface's description at /docs."""
    with usage_errors():
        try:
            import uvicorn
        except ImportError:
            raise ConfigError("serving needs more packages: pip install 'anemone-lib[serve]'") from None
        from anemone_lib.scores import check_fit

        classifier = anemone_lib.load_classifier(model)
        settings = InferenceConfig.load(config) if config else anemone_lib.default_config(classifier)
        check_fit(classifier, settings)
    # The app reads its settings from the environment, here as on AWS.
    for name in InferenceConfig.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ |= {**settings.to_env(), "ANEMONE_STORE": str(store), "ANEMONE_LIMITS": "on" if limits else "off"}
    if model:
        os.environ["MODEL_LOCAL_PATH"] = model
    out.print(f"Anemone listens on http://{host}:{port}; stop it with Ctrl-C", highlight=False)
    uvicorn.run("anemone_lib.service.local:from_env", factory=True, host=host, port=port, log_level="warning")


# ---------------------------------------------------------------------- evaluate, tune


SamplesArgument = Annotated[
    Path, typer.Argument(help="Folder of recordings with tables: reef.wav, reef.Table.1.selections.txt.")
]
AnnotationsOption = Annotated[
    Path | None, typer.Option("--annotations", help="Folder with the tables. Default: beside the recordings.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(help="Labels that stand for the target class, separated by commas. Default: the class itself."),
]
BoutGapOption = Annotated[
    float | None,
    typer.Option(min=0, help="Annotations up to so many seconds apart are one bout. Default: a window and a stride."),
]
CacheOption = Annotated[Path, typer.Option(help="Folder where scores are kept.")]
CACHE = Path("out/scores")


@app.command()
def evaluate(
    folder: SamplesArgument,
    annotations: AnnotationsOption = None,
    labels: LabelsOption = None,
    bout_gap: BoutGapOption = None,
    onset_tolerance: Annotated[
        float | None, typer.Option(min=0, help="Starts may differ by so many seconds. Default: any overlap matches.")
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    cache: CacheOption = CACHE,
    out_file: Annotated[Path | None, typer.Option("--out", help="JSON file to write.")] = None,
) -> None:
    """Hold what is detected against annotations: precision, recall, F1, false alarms per hour."""
    from anemone_lib.evaluation import METRICS, bootstrap, total
    from anemone_lib.tuning import count_samples

    with usage_errors():
        settings, samples = _samples(folder, annotations, model, config, cache)
        counts = count_samples(
            samples, settings, labels=_names(labels), bout_gap=bout_gap, onset_tolerance=onset_tolerance
        )
    _show_counts([sample.name for sample in samples], counts)
    pooled = total(counts).to_dict()
    bounds = {metric: bootstrap(counts, metric=metric) for metric in METRICS}
    intervals = {metric: None if math.isnan(low) else [low, high] for metric, (low, high) in bounds.items()}
    for metric, interval in intervals.items():
        rate = "unknown" if pooled[metric] is None else f"{pooled[metric]:.3g}"
        doubt = f"  (95 % by recording: {interval[0]:.3g} to {interval[1]:.3g})" if interval else ""
        out.print(f"{metric.replace('_', ' ')}: {rate}{doubt}", highlight=False)
    content = {
        "recordings": [{"name": sample.name, **one.to_dict()} for sample, one in zip(samples, counts, strict=True)],
        "all": pooled,
        "intervals": intervals,
        "inference_config": settings.model_dump(),
        "model_sha256": samples[0].scores.model_sha256,
    }
    if out_file:
        out_file.parent.mkdir(parents=True, exist_ok=True)
        out_file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@app.command()
def tune(
    folder: SamplesArgument,
    annotations: AnnotationsOption = None,
    labels: LabelsOption = None,
    bout_gap: BoutGapOption = None,
    holdout: Annotated[float, typer.Option(help="Part of the recordings that is set aside for the test.")] = 0.3,
    seed: Annotated[int, typer.Option(min=0, help="Which recordings are set aside.")] = 0,
    beta: Annotated[float, typer.Option(help="2 weighs missed calls more than false alarms, 0.5 less.")] = 1.0,
    max_false_alarms_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Only settings with at most so many.")
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    cache: CacheOption = CACHE,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for settings and report, like terraform/environments/dev.")
    ] = Path("out/tuning"),
) -> None:
    """Search the event settings on annotated recordings; write the best for Terraform, and a report."""
    from anemone_lib import tuning

    with usage_errors():
        settings, samples = _samples(folder, annotations, model, config, cache)
        best = tuning.tune(
            samples,
            settings,
            labels=_names(labels),
            bout_gap=bout_gap,
            holdout=holdout,
            seed=seed,
            beta=beta,
            max_false_alarms_per_hour=max_false_alarms_per_hour,
        )
        if out_folder == Path("out/tuning"):
            out_folder.mkdir(parents=True, exist_ok=True)
        paths = best.promote(out_folder, command=shlex.join(["anemone", *sys.argv[1:]]))
    table = Table(title=f"best of {best.sweep.space.size} settings by {best.objective}")
    for heading in ("setting", "tuned", "before"):
        table.add_column(heading)
    for name in best.sweep.space.axes:
        table.add_row(name, str(getattr(best.config, name)), str(getattr(best.base, name)))
    out.print(table)
    gain, low, high = best.gain()
    interval = "unknown" if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"
    aside = f"F1 on {len(best.held_out)} recordings set aside"
    out.print(f"{aside}: {gain:+.3f} (95 % by recording: {interval})", highlight=False)
    for path in paths:
        out.print(f"  {escape(str(path))}", highlight=False, soft_wrap=True)


def _samples(
    folder: Path, annotations: Path | None, model: str | None, config: Path | None, cache: Path
) -> tuple[InferenceConfig, list["Sample"]]:
    """Score the annotated recordings of a folder, or find their scores."""
    from anemone_lib.tuning import find_samples, score_samples

    classifier = anemone_lib.load_classifier(model)
    settings = InferenceConfig.load(config) if config else anemone_lib.default_config(classifier)
    found = find_samples(folder, annotations=annotations)
    with _progress() as bars:
        bar = bars.add_task("scoring", total=len(found))
        samples = score_samples(
            found,
            classifier=classifier,
            config=settings,
            cache=cache,
            progress=lambda done, _: bars.update(bar, completed=done),
        )
    return settings, samples


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def _show_counts(names: list[str], counts: list["Counts"]) -> None:
    table = Table()
    table.add_column("recording", overflow="fold")
    for heading in ("bouts", "found", "matched", "precision", "recall", "F1", "false alarms/h"):
        table.add_column(heading, justify="right")
    for name, one in zip(names, counts, strict=True):
        rates = (one.precision, one.recall, one.f1, one.false_alarms_per_hour)
        row = [str(one.n_reference), str(one.n_estimated), str(one.n_matched)]
        table.add_row(escape(name), *row, *("–" if math.isnan(rate) else f"{rate:.3g}" for rate in rates))
    out.print(table)


# ---------------------------------------------------------------------- config


@config_app.command("show")
def config_show(config: ConfigOption = None, model: ModelOption = None) -> None:
    """Print every setting, what it means, and the fingerprints."""
    with usage_errors():
        settings = _settings(config, model)
    table = Table()
    for heading in ("setting", "value", "meaning"):
        table.add_column(heading, overflow="fold")
    for name, field in InferenceConfig.model_fields.items():
        value = getattr(settings, name)
        table.add_row(name, "none" if value is None else str(value), field.description or "")
    out.print(table)
    print(f"fingerprint         {settings.fingerprint}")
    print(f"scores_fingerprint  {settings.scores_fingerprint}")


@config_app.command("to-env")
def config_to_env(config: ConfigOption = None, model: ModelOption = None) -> None:
    """Print the settings as environment variables."""
    with usage_errors():
        settings = _settings(config, model)
    for name, value in settings.to_env().items():
        print(f"{name}={value}")


@config_app.command("to-tfvars")
def config_to_tfvars(
    config: ConfigOption = None,
    model: ModelOption = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write, like inference_config.auto.tfvars.json.")
    ] = None,
) -> None:
    """Print or write the settings as Terraform loads them."""
    with usage_errors():
        settings = _settings(config, model)
        if out_file is None:
            print(settings.to_tfvars(), end="")
            return
        if not out_file.name.endswith(".tfvars.json"):
            raise ConfigError(f"--out is {out_file}; Terraform loads by itself only a name ending in .auto.tfvars.json")
        settings.save(out_file)
    print(out_file)


def _settings(config: Path | None, model: str | None) -> InferenceConfig:
    if config:
        return InferenceConfig.load(config)
    return anemone_lib.default_config(anemone_lib.load_classifier(model)) if model else InferenceConfig()
