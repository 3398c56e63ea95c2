"""``anemone archive``: a season of recordings, from the files to the tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from anemone_lib.archive.execution import BUCKET_VARIABLE, MACHINE_VARIABLE
from anemone_lib.cli.chatter import catch_chatter
from anemone_lib.cli.common import (
    SHOWN_NAMES,
    ChannelOption,
    ConfigOption,
    ModelOption,
    StartTimeFormatOption,
    TimezoneOption,
    app,
    err,
    make_printable,
    out,
    progress_bars,
    spell_note,
    usage_errors,
)
from anemone_lib.cli.detect import ThresholdOption
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError, spell_count

archive_app = typer.Typer(help="A season of recordings, analysed as a whole: tables of events, effort and hours.")
app.add_typer(archive_app, name="archive")

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Folders, globs, files, manifests (CSV with the column path), s3://, gs:// and https:// addresses; "
        "results of jobs, in a deployment's output bucket or the store of `anemone serve`.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder of the archive; a run that was stopped goes on there.")]
ArchiveArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the archive.")]
DatasetOption = Annotated[
    Path | None,
    typer.Option("--dataset", help="dataset.yaml: gives settings, classes, channel, time zone and the rule of sites."),
]
SiteOption = Annotated[
    str | None,
    typer.Option(help="Regular expression that finds the site in a path. Default: the first folder below SOURCE."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what went wrong.")]
NoiseOption = Annotated[
    bool, typer.Option(help="Also measure the levels of every minute: a third more work at 48 kHz.")
]
CallLevelOption = Annotated[
    float | None,
    typer.Option("--call-level-db", help="Level of a call at the recorder, in dB: time that is too loud is counted."),
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a core.")]
#: The most failed recordings that are named on the screen; the table names all.
SHOWN_FAILURES = 10


@contextmanager
def library_errors() -> Iterator[None]:
    """Say what the optional dependencies are, where they are not installed, and what is wrong in one line."""
    try:
        with usage_errors():
            yield
    except ModuleNotFoundError as error:
        err.print(
            f"[bold red]error:[/] `anemone archive` needs {error.name}: pip install 'anemone-lib\\[archive]'",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        err.print("stopped; the results so far are kept: run the command again to go on", highlight=False)
        raise typer.Exit(130) from None


def say(text: str) -> None:
    """Print a note."""
    err.print(spell_note(text), highlight=False, soft_wrap=True)


@archive_app.command("plan")
def plan(
    sources: SourcesArgument,
    out_folder: OutOption,
    model: ModelOption = None,
    config: ConfigOption = None,
    dataset: DatasetOption = None,
    timezone: TimezoneOption = None,
    start_time_format: StartTimeFormatOption = None,
    site: SiteOption = None,
    channel: ChannelOption = "mean",
    noise: NoiseOption = True,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
) -> None:
    """List the recordings, find what does not fit together, estimate the time of a run; nothing is scored."""
    with library_errors(), catch_chatter():
        from anemone_lib.archive.estimate import estimate_run
        from anemone_lib.archive.inventory import save_timeline
        from anemone_lib.archive.steps import plan_archive
        from anemone_lib.archive.workers import count_workers

        request = _make_request(
            sources, model, config, dataset, None, timezone, start_time_format, site, channel, noise=noise
        )
        with progress_bars(quiet=quiet) as bars:
            bar = bars.add_task("", total=None)

            def progress(text: str) -> None:
                bars.update(bar, description=text)

            with plan_archive(request, out_folder, note=say, progress=progress) as state:
                bars.update(bar, description="a short calibration")
                estimate = estimate_run(state, request)
                timeline = save_timeline(state, out_folder)
        if not quiet:
            _show_plan(out_folder)
            out.print(estimate.spell(count_workers(workers, None)), highlight=False, soft_wrap=True)
            for path in (out_folder / "recordings.parquet", timeline):
                out.print(f"  {escape(make_printable(str(path)))}", highlight=False, soft_wrap=True)


def _show_plan(folder: Path) -> None:
    """Print what the inventory says: a line a site, and what does not fit together."""
    from rich.table import Table

    from anemone_lib.archive.tables import read_table

    columns = ["recording", "site", "duration_s", "start_utc", "gap_before_s", "overlap_s", "duplicate_of", "problem"]
    table = read_table(folder, "recordings", columns=columns).to_pandas()
    shown = Table()
    for heading in ("site", "recordings", "hours", "from (UTC)", "to", "gaps"):
        shown.add_column(heading, justify="left" if heading == "site" else "right", no_wrap=heading != "site")
    for site, rows in table.groupby("site"):
        known = rows["start_utc"].dropna()
        days = [f"{known.min():%Y-%m-%d}", f"{known.max():%Y-%m-%d}"] if len(known) else ["not known", ""]
        gaps = int((rows["gap_before_s"].fillna(0) >= 1).sum())
        hours = f"{rows['duration_s'].sum() / 3600:,.1f}"
        shown.add_row(escape(make_printable(str(site))), f"{len(rows):,}", hours, *days, f"{gaps:,}")
    out.print(shown)
    odd = {
        "overlap with the recording before": table["overlap_s"].fillna(0) >= 1,
        "have the same bytes as another recording": table["duplicate_of"].notna(),
        "have no time of day": table["start_utc"].isna() & table["problem"].isna(),
        "cannot be opened": table["problem"].notna(),
    }
    for what, rows in odd.items():
        names = table.loc[rows, "recording"]
        if len(names):
            some = ", ".join(names.head(SHOWN_NAMES)) + ", …" * (len(names) > SHOWN_NAMES)
            say(f"of {spell_count(len(table), 'recording')}, {len(names):,} {what}: {some}")


@archive_app.command("run")
def run(
    sources: SourcesArgument,
    out_folder: OutOption,
    model: ModelOption = None,
    config: ConfigOption = None,
    dataset: DatasetOption = None,
    threshold: ThresholdOption = None,
    timezone: TimezoneOption = None,
    start_time_format: StartTimeFormatOption = None,
    site: SiteOption = None,
    channel: ChannelOption = "mean",
    noise: NoiseOption = True,
    call_level: CallLevelOption = None,
    workers: WorkersOption = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, like tcp://10.0.0.4:8786, instead of processes.")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="With --scheduler: minutes to wait while no worker of the cluster can work.")
    ] = 60,
    timeout: Annotated[
        float, typer.Option(min=1, help="Minutes for a piece of work, added to 20 times its usual time; then it fails.")
    ] = 10,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Analyse only the I-th of N parts of the recordings, and write no tables."),
    ] = None,
    memory: Annotated[str | None, typer.Option(help="Memory that all processes may take together, like 4GB.")] = None,
    place: Annotated[
        str | None,
        typer.Option("--on", metavar="aws", help="Analyse recordings in S3 on AWS, instead of on this machine."),
    ] = None,
    state_machine: Annotated[
        str | None,
        typer.Option(envvar=MACHINE_VARIABLE, help="With --on aws: ARN of the state machine of the module archive."),
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(envvar=BUCKET_VARIABLE, help="With --on aws: its bucket of batches and results.")
    ] = None,
    json_files: Annotated[bool, typer.Option("--json", help="Write the JSON of every recording, too.")] = False,
    csv_files: Annotated[bool, typer.Option("--csv", help="Write the tables as CSV, too.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Analyse all recordings that are not done yet, and write the tables; one bad file never ends the run."""
    with library_errors(), catch_chatter():
        from anemone_lib.archive.exporting import write_csv_tables, write_json_results
        from anemone_lib.archive.steps import run_archive
        from anemone_lib.archive.workers import parse_memory
        from anemone_lib.cli.detect import parse_shard

        if scheduler is not None and (workers is not None or memory is not None):
            raise ConfigError("give --scheduler, or --workers and --memory: the cluster has its own workers and memory")
        aws = _choose_aws(place, state_machine, bucket, scheduler, workers, shard, memory)
        where = (timezone, start_time_format, site, channel)
        measures: dict[str, Any] = {"noise": noise, "call_level_db": call_level}
        request = _make_request(sources, model, config, dataset, threshold, *where, **measures)
        part = parse_shard(shard)
        amount = None if memory is None else parse_memory(memory)
        with progress_bars(quiet=quiet) as bars:
            bar = bars.add_task("", total=None)

            def progress(done: float, total: float) -> None:
                bars.update(bar, completed=done, total=total or None)

            archive = run_archive(
                request,
                out_folder,
                workers=workers,
                memory=amount,
                scheduler=scheduler,
                shard=part,
                aws=aws,
                wait_minutes=wait,
                timeout_minutes=timeout,
                note=say,
                progress=progress,
            )
        if archive is None:
            if not quiet:
                out.print(f"Part {shard} is done. When all parts are done, run without --shard: it writes the tables.")
            return
        if json_files:
            write_json_results(out_folder)
        if csv_files:
            write_csv_tables(out_folder)
        if conclude(archive, quiet=quiet):
            raise typer.Exit(1)


@archive_app.command("report")
def report(
    folder: ArchiveArgument,
    config: ConfigOption = None,
    threshold: ThresholdOption = None,
    csv_files: Annotated[bool, typer.Option("--csv", help="Write the tables as CSV, too.")] = False,
    call_level: CallLevelOption = None,
    gallery: Annotated[int, typer.Option(min=0, help="Events to listen to, for each of three kinds.")] = 8,
    quiet: QuietOption = False,
) -> None:
    """Write the tables and the page again, with other event settings if wanted; nothing is scored.

    Calls inside new events are measured where the recordings are on this machine.
    """
    with library_errors(), catch_chatter():
        from anemone_lib.archive.exporting import write_csv_tables
        from anemone_lib.archive.steps import report_archive

        settings = {} if threshold is None else {"confidence_threshold": threshold}
        chosen = InferenceConfig.load(config) if config else None
        archive = report_archive(folder, config=chosen, settings=settings, call_level_db=call_level, note=say)
        if csv_files:
            write_csv_tables(folder)
        conclude(archive, quiet=quiet, gallery=gallery)  # what failed is named, and no failure of the report


@archive_app.command("clips")
def clips(
    folder: ArchiveArgument,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the clips. Default: clips, in the archive's folder.")
    ] = None,
    margin: Annotated[float, typer.Option(min=0, help="Seconds before and after each event.")] = 1.0,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Only events of at least this confidence.")] = 0.0,
    site: Annotated[str | None, typer.Option(help="Only events of this site.")] = None,
    limit: Annotated[
        int | None, typer.Option("--n", min=1, help="Number of events, drawn at random. Default: all.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a WAV file of every event, and a sound-selection table for Raven that shows all in their recordings."""
    with library_errors(), catch_chatter():
        from anemone_lib.archive.clips import write_clips

        written = write_clips(
            folder, out_folder, margin=margin, min_confidence=min_confidence, site=site, limit=limit, note=say
        )
    if not quiet:
        place = escape(make_printable(str(written.folder)))
        out.print(f"{spell_count(written.number, 'clip')} in {place}", highlight=False, soft_wrap=True)
        out.print(f"  {escape(make_printable(str(written.table)))}", highlight=False, soft_wrap=True)


@archive_app.command("sample")
def sample(
    folder: ArchiveArgument,
    number: Annotated[int, typer.Option("--n", min=1, help="Number of events.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same events.")] = 0,
    margin: Annotated[float, typer.Option(min=0, help="Seconds of sound before and after each event.")] = 1.0,
    quiet: QuietOption = False,
) -> None:
    """Draw events for review at random, as many of each range of confidence, and write their sound."""
    with library_errors(), catch_chatter():
        from anemone_lib.archive.sampling import write_sample

        table, written = write_sample(folder, number, seed=seed, margin=margin, note=say)
    if not quiet:
        out.print(f"{spell_count(written.number, 'event')} drawn", highlight=False)
        for path in (table, written.table):
            out.print(f"  {escape(make_printable(str(path)))}", highlight=False, soft_wrap=True)


def _make_request(
    sources: list[str],
    model: str | None,
    config: Path | None,
    dataset: Path | None,
    threshold: float | None,
    timezone: str | None,
    start_time_format: str | None,
    site: str | None,
    channel: str,
    **measures: Any,
) -> Any:
    from anemone_lib.archive.request import make_request

    return make_request(
        sources,
        model=model,
        config=InferenceConfig.load(config) if config else None,
        dataset=dataset,
        settings={} if threshold is None else {"confidence_threshold": threshold},
        timezone=timezone,
        start_time_format=start_time_format,
        channel=channel,
        site=site,
        **measures,
    )


def _choose_aws(place: str | None, state_machine: str | None, bucket: str | None, *others: Any) -> Any:
    """Return where recordings are analysed on AWS, or None: on this machine."""
    from anemone_lib.archive.execution import find_place

    if place is None:
        return None
    if place != "aws":
        raise ConfigError(f"--on is {place!r}; it must be aws")
    if any(other is not None for other in others):
        raise ConfigError("--on aws takes no --workers, --scheduler, --shard and --memory: they are for your machines")
    return find_place(state_machine, bucket)


def _show_page(archive: Any, *, quiet: bool, **options: Any) -> None:
    """Write ``report.html`` and name it."""
    from anemone_lib.archive.report import write_report

    page = write_report(archive, **options)
    if not quiet:
        out.print(f"  {escape(make_printable(str(page)))}", highlight=False, soft_wrap=True)


def conclude(archive: Any, *, quiet: bool, **options: Any) -> bool:
    """Write the page; say what is in the tables, and name what failed; return whether anything did."""
    _show_page(archive, quiet=quiet, **options)
    about = archive.provenance
    counts = about["recordings"]
    if not quiet:
        out.print(
            f"{counts.get('analysed', 0):,} of {spell_count(counts['listed'], 'recording')} analysed, "
            f"{about['effort_s'] / 3600:,.2f} h of effort, {spell_count(about['events'], 'event')}; tables in "
            f"{escape(make_printable(str(archive.folder)))}",
            highlight=False,
            soft_wrap=True,
        )
        if counts.get("duplicate"):
            say(f"{spell_count(counts['duplicate'], 'recording')} with the same bytes as another one: counted once")
        if counts.get("found"):
            say(f"{spell_count(counts['found'], 'recording')} not analysed yet: run again")
    if not (failed := counts.get("failed", 0)):
        return False
    table = archive.read("recordings", columns=["recording", "status", "problem"])
    rows = table[table["status"] == "failed"]
    for name, why in rows[["recording", "problem"]].head(SHOWN_FAILURES).itertuples(index=False):
        line = f"[bold red]failed:[/] {escape(make_printable(name))}: {escape(make_printable(why))}"
        err.print(line, highlight=False, soft_wrap=True)
    if failed > SHOWN_FAILURES:
        err.print(f"… and {failed - SHOWN_FAILURES:,} more, in recordings.parquet", highlight=False, soft_wrap=True)
    return True
