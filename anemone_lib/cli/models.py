"""``anemone train`` and ``anemone export-model``: model bundles."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from anemone_lib.audio.finding import find_recordings, list_audio
from anemone_lib.cli.chatter import catch_chatter
from anemone_lib.cli.common import ChannelOption, ConfigOption, app, out, progress_bars, refuse_options, usage_errors
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.scoring.bundle import ModelCard

#: Recordings on which `anemone export-model` compares two models, at most.
MAX_COMPARED = 32
#: All that is read where the demonstration model is trained.
OF_THE_DEMONSTRATION = ("out_folder", "epochs", "seed", "without_calls", "control", "mine")


class Head(StrEnum):
    """The network that is trained on a backbone."""

    linear = "linear"
    small = "small"


@app.command()
def train(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of recordings, annotated from start to end, with tables: reef.wav, "
            "reef.Table.1.selections.txt. Without it and --dataset, the demonstration model is trained again, from "
            "simulated recordings."
        ),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option(help="Description of the data: what `anemone dataset init FOLDER` writes.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Folder with the tables. Default: beside the recordings.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(help="Column of the tables with the labels, if its name is unusual; '' if no column has labels."),
    ] = None,
    channel: ChannelOption = "mean",
    labels: Annotated[
        str | None,
        typer.Option(help="Classes of labels that are not names of classes: pulse_train=anemonefish,grunt=biological."),
    ] = None,
    config: ConfigOption = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the bundle.")] = Path("out/model"),
    start_from: Annotated[
        str | None,
        typer.Option(help="Model bundle to start from, shipped, or none (random weights). Default: shipped."),
    ] = None,
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="Network that others trained, like Perch, SurfPerch or BirdNET: a .tflite, or the folder "
            "of a SavedModel. The model learns from its embeddings instead of images."
        ),
    ] = None,
    backbone_rate: Annotated[
        int | None,
        typer.Option(min=100, help="Sample rate that the backbone takes, in Hz, if its input does not show it."),
    ] = None,
    backbone_window: Annotated[
        float | None,
        typer.Option(min=0.01, max=60, help="Seconds in a window. Default: as much as the backbone takes."),
    ] = None,
    backbone_output: Annotated[
        str | None, typer.Option(help="Name of the output that has the embedding, if there are several outputs.")
    ] = None,
    head: Annotated[
        Head,
        typer.Option(help="The part that learns from the embeddings: linear; or small, with a layer of 64 in between."),
    ] = Head.linear,
    multilabel: Annotated[
        bool, typer.Option("--multilabel/--single-label", help="Classes may overlap, or each window has one class.")
    ] = True,
    members: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10,
            help="Number of networks whose probabilities are averaged; each network is trained separately. Default: 3. "
            "One is trained in a third of the time.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="Number of folds: for each, also train without its groups and test on them.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Also export a model that is not better than chance.")] = False,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "anemone",
    version: Annotated[str, typer.Option(help="Version of the model; every result names it.")] = "v1.0",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Most epochs. Default: 12; for the demonstration model 5."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights, the order, and the split by recording.")] = 0,
    without_calls: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings without a known call: background to learn from. For the demonstration "
            "model, the last third by name is set aside, and the card says how many false alarms there are in it."
        ),
    ] = None,
    control: Annotated[
        Path | None,
        typer.Option(
            help="For the demonstration model: folder of more recordings without a known call, in which false alarms "
            "are only counted."
        ),
    ] = None,
    mine: Annotated[
        bool,
        typer.Option(
            "--mine",
            help="For the demonstration model: look for its mistakes in further simulated recordings, some of them "
            "over the recordings without calls, add these, and train on.",
        ),
    ] = False,
) -> None:
    """Train a classifier and write its bundle: .keras, .tflite and the card."""
    with usage_errors(), catch_chatter(), progress_bars() as bars:
        bar = bars.add_task("training")

        def progress(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        if folder is None and dataset is None:
            if backbone:
                raise ConfigError("--backbone learns from annotated recordings; give a folder of them, or --dataset")
            unread = {parameter.name or "" for parameter in context.command.params} - {*OF_THE_DEMONSTRATION}
            refuse_options(
                context, unread, "the demonstration model is trained in one way: give a folder, or --dataset"
            )
            from anemone_lib.training.recipes import EPOCHS, train_demonstration_model

            card = train_demonstration_model(
                out_folder,
                epochs=epochs or EPOCHS,
                seed=seed,
                without_calls=list_audio(without_calls, "--without-calls") if without_calls else [],
                control=list_audio(control, "--control") if control else [],
                mine=mine,
                progress=progress,
            )
        else:
            if mine:
                raise ConfigError(
                    "--mine simulates more recordings, for the demonstration model; leave it out, and give recordings "
                    "in which your model is wrong with --without-calls, or annotate them"
                )
            refuse_options(context, ["control"], "only the demonstration model is measured on it: leave it out")
            if not backbone:
                refuse_options(context, ["head"], "only a backbone has a head: also give --backbone with the file")
            from anemone_lib.cli.by_class import train_dataset
            from anemone_lib.training.from_dataset import choose_start
            from anemone_lib.training.learning import MEMBERS

            card = train_dataset(
                dataset,
                folder,
                annotations=annotations,
                labels=labels,
                label_column=label_column,
                channel=channel,
                config=config,
                out_folder=out_folder,
                folds=folds,
                options={
                    "multilabel": multilabel,
                    **choose_start(
                        start_from,
                        backbone,
                        rate=backbone_rate,
                        window=backbone_window,
                        output=backbone_output,
                        head=head.value,
                    ),
                    "members": members or MEMBERS,
                    "epochs": epochs or 12,
                    "seed": seed,
                },
                export={"force": force, "name": name, "version": version, "without_calls": without_calls},
                progress=progress,
            )
    _show(card, out_folder)


@app.command("export-model")
def export_model(
    model: Annotated[Path, typer.Argument(help="A .keras file, or a bundle, whose card is kept.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the bundle.")] = Path("out/model"),
    config: ConfigOption = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings like those to be analysed. Both models are compared on the first 32 of them, "
            "and an 8-bit model is calibrated on them. Required."
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="8-bit weights and activations, if the events stay the same."),
    ] = False,
) -> None:
    """Convert a .keras model for serving, and check that both answer alike."""
    from anemone_lib.training.bundle import export_model as export

    with usage_errors(), catch_chatter():
        settings = InferenceConfig.load(config) if config else None
        if recordings is None:
            raise ConfigError(
                "the .keras and the .tflite model are compared on recordings like yours: give --recordings FOLDER "
                "(`anemone simulate FILE` writes a recording if you have none)"
            )
        paths = [Path(found.source) for found in find_recordings([recordings]).recordings[:MAX_COMPARED]]
        if not paths:
            raise ConfigError(f"--recordings is {recordings}; there are no recordings in it")
        card = export(model, out_folder, recordings=paths, config=settings, int8=int8)
    _show(card, out_folder)


def _show(card: ModelCard, folder: Path) -> None:
    out.print(f"{card.name} {card.version}: {', '.join(card.classes)}", highlight=False)
    for heading, content in (("parity", card.parity), ("metrics", card.metrics)):
        for key, value in content.items():
            if key in ("validation", "test"):  # printed as tables
                continue
            words = f"{heading}: {key.replace('_', ' ')}: {_spell(value)}"
            out.print(f"  {escape(words)}", highlight=False, soft_wrap=True)
    for file in (*card.sha256, "best_model.json"):
        out.print(f"  {escape(str(folder / file))}", highlight=False, soft_wrap=True)


def _spell(value: Any) -> str:
    """Write what a card says, for people: names with what belongs to them, numbers in few digits."""
    if isinstance(value, dict):
        inner = {str(key).replace("_", " "): own for key, own in value.items()}
        return ", ".join(
            f"{key} ({_spell(v)})" if isinstance(v, dict) else f"{key} {_spell(v)}" for key, v in inner.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(_spell, value))
    return "unknown" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
