"""``anemone dataset init`` and ``anemone dataset check``: one description of the data."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from anemone_lib.audio.channels import parse_channel
from anemone_lib.cli.chatter import catch_chatter
from anemone_lib.cli.common import ChannelOption, app, err, make_printable, out, spell_note, usage_errors
from anemone_lib.errors import ConfigError

dataset_app = typer.Typer(help="Describe annotated recordings once: labels, classes, split, settings.")
app.add_typer(dataset_app, name="dataset")


@dataset_app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings with tables: reef.wav, reef.Table.1.txt.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Class of a label, again for every label: lt=toadfish; '?=' for neither call nor background."
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Class to detect. Default: that with most annotations.")] = None,
    label_column: Annotated[str | None, typer.Option(help="Column of the labels. Default: found by its name.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Folder of the tables. Default: beside the audio.")] = None,
    group: Annotated[
        str | None,
        typer.Option(help="What a split keeps together: recording, day, site, or a pattern on the path."),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="auto, group, time (each recording cut in time), or train, validation, test: all of it."),
    ] = "auto",
    timezone: Annotated[str, typer.Option(help="Time zone of the times in file names.")] = "UTC",
    channel: ChannelOption = "mean",
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 0,
    out_file: Annotated[Path | None, typer.Option("--out", help="Default: dataset.yaml in the folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a description that exists.")] = False,
) -> None:
    """Read recordings and their tables, show the labels, and write dataset.yaml."""
    from anemone_lib.dataset import draft_dataset
    from anemone_lib.dataset.splitting import SPLITS

    with usage_errors(), catch_chatter():
        if split not in SPLITS:
            raise ConfigError(f"--split is {split!r}; it must be one of {', '.join(SPLITS)}")
        path = out_file or folder / "dataset.yaml"
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists already; choose another name with --out, or replace it with --overwrite")
        interactive = not label and sys.stdin.isatty() and sys.stdout.isatty()
        draft = draft_dataset(
            folder,
            labels=parse_labels(label) if label else None,
            target_class=target,
            label_column=label_column,
            annotations=annotations,
            group=group,
            split=split,
            timezone=timezone,
            channel=parse_channel(channel),
            seed=seed,
            relative_to=path.parent,
            ask=_ask if interactive else None,
        )
        draft.dataset.save(path, overwrite=overwrite)
    table = Table("label", "class")
    table.add_column("annotations", justify="right")
    for name, n in draft.counts.most_common():
        table.add_row(escape(make_printable(name)) or "(empty)", draft.dataset.find_class(name) or "–", str(n))
    out.print(table)
    for note in draft.notes:
        err.print(spell_note(note), highlight=False, soft_wrap=True)
    settings = ", ".join(f"{name} {value}" for name, value in draft.dataset.settings.items())
    out.print(f"target {draft.dataset.target_class}; settings: {settings}", highlight=False, soft_wrap=True)
    out.print(escape(str(path)), highlight=False, soft_wrap=True)


@dataset_app.command("check")
def check(
    path: Annotated[Path, typer.Argument(metavar="DATASET", help="The description: dataset.yaml.")],
) -> None:
    """Say what a dataset holds and what is wrong with it; exit with 1 if results would be wrong."""
    from anemone_lib.dataset import Dataset, check_dataset
    from anemone_lib.dataset.description import PARTS

    with usage_errors(), catch_chatter():
        dataset = Dataset.load(path)
        report = check_dataset(dataset)
    table = Table()
    table.add_column("part")
    for heading in ("recordings", "groups", "minutes", *dataset.calls):
        table.add_column(heading, justify="right")
    for part in PARTS:
        own = [one for one in report.recordings if part in one.spans]
        cells = [str(len(own)), str(len({one.group for one in own})), f"{60 * report.hours[part]:.1f}"]
        table.add_row(part, *cells, *(str(report.calls[part][name]) for name in dataset.calls))
    out.print(table)
    rates = sorted({one.sample_rate for one in report.recordings})
    out.print(f"sample rates: {', '.join(f'{rate} Hz' for rate in rates)}", highlight=False)
    for text in report.errors:
        err.print(f"[bold red]wrong:[/] {escape(make_printable(text))}", highlight=False, soft_wrap=True)
    for text in (*report.warnings, *report.suggestions):
        err.print(spell_note(text), highlight=False, soft_wrap=True)
    if report.errors:
        raise typer.Exit(1)


def parse_labels(pairs: list[str]) -> dict[str, str | None]:
    """Read ``lt=toadfish``; several may stand in one, separated by commas.

    >>> parse_labels(["lt=toadfish,k=knocker", "?="])
    {'lt': 'toadfish', 'k': 'knocker', '?': None}
    """
    labels: dict[str, str | None] = {}
    for pair in (piece for text in pairs for piece in text.split(",") if piece.strip()):
        name, sign, value = pair.partition("=")
        if not sign:
            raise ConfigError(f"--label is {pair!r}; it must be LABEL=CLASS, like lt=toadfish, or '?=' for no class")
        labels[name.strip()] = value.strip() or None
    return labels


def _ask(label: str, count: int) -> str | None:
    answer = typer.prompt(
        f"{label or '(empty)'} ({count} annotations): class, 'noise' for background, '-' for neither",
        default=label or "-",
    )
    return None if answer.strip() == "-" else answer.strip()
