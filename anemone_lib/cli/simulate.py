"""``anemone simulate``: a reef recording and what is in it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from anemone_lib.cli.common import app, out, usage_errors
from anemone_lib.errors import ConfigError


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
    neighbours_per_minute: Annotated[float, typer.Option(help="Sounds of other reef animals.")] = 6.0,
    mammals_per_minute: Annotated[float, typer.Option(help="Voices of whales, dolphins and seals.")] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    noises: Annotated[str | None, typer.Option(help="Names separated by commas. Default: drawn from the seed.")] = None,
) -> None:
    """Write a simulated reef recording, and what is in it as a Raven selection table."""
    from anemone_lib.simulation.reef import write_recording
    from anemone_lib.tables.writing import write_raven

    with usage_errors():
        truth_path = path.with_suffix(".truth.txt")
        if (there := [str(one) for one in (path, truth_path) if one.exists()]) and not overwrite:
            raise ConfigError(f"{there[0]} exists already; choose another name, or replace it with --overwrite")
        path.parent.mkdir(parents=True, exist_ok=True)
        truth = write_recording(
            path,
            duration=duration,
            seed=seed,
            sample_rate=sample_rate,
            snr_db=snr_db,
            bouts_per_minute=bouts_per_minute,
            neighbours_per_minute=neighbours_per_minute,
            mammals_per_minute=mammals_per_minute,
            noises=None if noises is None else [name.strip() for name in noises.split(",")],
        )
        table = write_raven(truth_path, truth, high_hz=sample_rate / 2, recording_name=path.name)
    calls = sum(annotation.label == "anemonefish" for annotation in truth)
    out.print(f"Simulated {duration:g} s of reef with {calls} anemonefish calls, {len(truth) - calls} other sounds:")
    for written in (path, table):
        out.print(f"  {escape(str(written))}", highlight=False, soft_wrap=True)
