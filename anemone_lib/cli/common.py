"""Shared by all commands: the app, the consoles, the options, the bars."""

import io
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from anemone_lib.errors import AnemoneError, ConfigError
from anemone_lib.files import is_disk_full, spell_name
from anemone_lib.provenance import __version__, code_sha256

app = typer.Typer(
    name="anemone",
    help="Find anemonefish calls in hydrophone recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)
#: The most recordings that are named for one problem; the rest are counted.
SHOWN_NAMES = 3

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Model bundle: its folder or any of its files. Default: the demonstration model."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration: YAML, JSON or tfvars JSON. Default: the settings that the model was trained with.",
    ),
]
TimezoneOption = Annotated[
    str | None,
    typer.Option(help="Time zone of times in file names, like Asia/Tokyo or +09:00, if the names have none. Else UTC."),
]
StartTimeFormatOption = Annotated[
    str | None, typer.Option(help="How dates are written in the names, like %d-%m-%Y_%Hh%M (strptime).")
]
ChannelOption = Annotated[
    str,
    typer.Option("--channel", help="Which of several hydrophones is analysed: a number from 1, mean or loudest."),
]


@contextmanager
def usage_errors() -> Iterator[None]:
    """Say what is wrong in one line, and exit with 2."""
    try:
        yield
    except AnemoneError as error:
        err.print(f"[bold red]error:[/] {escape(make_printable(str(error)))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except Exception as error:
        if not is_disk_full(error):
            raise
        name = getattr(error, "filename", None)
        where = f" ({escape(make_printable(str(name)))})" if name else ""
        err.print(f"[bold red]error:[/] the disk is full{where}: make room, and run the command again", soft_wrap=True)
        raise typer.Exit(2) from None


def refuse_options(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse options that the command does not read in this case, instead of passing over them.

    Parameters
    ----------
    context : typer.Context, of the running command
    names : names of the command's parameters
    why : str, the rest of the message

    Raises
    ------
    ConfigError
        One of them is on the command line.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"{parameter.opts[0]} is given, but {why}")


@contextmanager
def refused_promotion() -> Iterator[None]:
    """Say in one sentence why settings are not promoted, and exit with 1."""
    try:
        yield
    except ConfigError as error:
        err.print(f"[bold red]refused:[/] {escape(make_printable(str(error)))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def print_version(is_asked_for: bool) -> None:
    """Print the version and stop."""
    if is_asked_for:
        print(f"anemone {__version__} (code {code_sha256()[:12]})")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find anemonefish calls in hydrophone recordings."""
    print_anything()


def make_printable(text: str) -> str:
    r"""Write a text so that any terminal shows it on one line: what is no text as ``\xe9``, a line end as ``\n``.

    >>> make_printable("reef\n.wav")
    'reef\\n.wav'
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in spell_name(text))


def spell_note(text: str) -> str:
    """Mark a text up as a note."""
    return f"[yellow]note:[/] {escape(make_printable(text))}"


def conclude_batch(failures: Sequence[tuple[str, str]]) -> None:
    """Name what failed in a batch, each with its reason, and exit with 1 if anything did."""
    for source, why in failures:
        line = f"[bold red]failed:[/] {escape(make_printable(source))}: {escape(make_printable(why))}"
        err.print(line, highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def print_anything() -> None:
    """Let standard output write escapes for what its encoding does not have, instead of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


print_anything()


def progress_bars(*, quiet: bool = False) -> Progress:
    """Bars for long work, on the terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )
