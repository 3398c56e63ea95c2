"""``anemone train`` and ``anemone export-model``: model bundles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape

from anemone_lib.audio import open_recording
from anemone_lib.cli.common import ConfigOption, app, out, progress_bars, usage_errors
from anemone_lib.config import InferenceConfig
from anemone_lib.errors import ConfigError
from anemone_lib.scoring.classifier import ModelCard
from anemone_lib.tables import read_annotations

if TYPE_CHECKING:
    from anemone_lib.training.labelled import LabelledWindows


@app.command()
def train(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of recordings, annotated throughout, with tables: reef.wav, reef.Table.1.selections.txt. "
            "Without it, the demonstration model is made anew, from simulated recordings."
        ),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Folder with the tables. Default: beside the recordings.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Classes of labels that are no class themselves: pulse_train=anemonefish,grunt=biological."),
    ] = None,
    config: ConfigOption = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the bundle.")] = Path("out/model"),
    name: Annotated[str, typer.Option(help="What to call the model.")] = "anemone",
    version: Annotated[str, typer.Option(help="Part of every result.")] = "v1.0",
    epochs: Annotated[int, typer.Option(min=1, help="Times that every window is seen.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights, the order, and the split by recording.")] = 0,
    without_calls: Annotated[
        Path | None,
        typer.Option(help="Folder of recordings without a known call; the card says how many false alarms they give."),
    ] = None,
) -> None:
    """Train a classifier and write its bundle: .keras, .tflite and the card."""
    from anemone_lib.training.bundle import export_bundle
    from anemone_lib.training.fitting import train_classifier
    from anemone_lib.training.recipes import train_demonstration_model

    with usage_errors(), progress_bars() as bars:
        bar = bars.add_task("training", total=epochs)

        def progress(done: int, _total: int) -> None:
            bars.update(bar, completed=done)

        if folder is None:
            quiet = sorted(without_calls.glob("*.wav")) if without_calls else []
            if without_calls and not quiet:
                raise ConfigError(f"--without-calls is {without_calls}; there are no .wav files")
            card = train_demonstration_model(
                out_folder, epochs=epochs, seed=seed, without_calls=quiet, progress=progress
            )
        else:
            settings = InferenceConfig.load(config) if config else InferenceConfig()
            windows = _labelled(folder, annotations, settings, labels)
            kept, held_back = windows.split(seed=seed)
            trained = train_classifier(kept.balanced(seed=seed), held_back, epochs=epochs, seed=seed, progress=progress)
            right = trained.probabilities.argmax(axis=1) == held_back.labels
            card = export_bundle(
                trained.model,
                out_folder,
                config=settings,
                name=name,
                version=version,
                summary=f"Trained on the annotated recordings of {folder.name}.",
                temperature=trained.temperature,
                images=held_back.images,
                training={
                    "recordings": sorted(set(kept.recordings.tolist())),
                    "windows": kept.counts(),
                    "epochs": epochs,
                    "seed": seed,
                },
                metrics={
                    "held_back_recordings": sorted(set(held_back.recordings.tolist())),
                    "held_back_windows": held_back.counts(),
                    "accuracy_on_held_back_windows": round(float(np.mean(right)), 4),
                },
            )
    _show(card, out_folder)


@app.command("export-model")
def export_model(
    model: Annotated[Path, typer.Argument(help="A .keras file, or a bundle, whose card is kept.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the bundle.")] = Path("out/model"),
    config: ConfigOption = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Folder of recordings whose images compare .keras and .tflite. Default: simulated ones."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="8-bit weights and activations.")] = False,
) -> None:
    """Convert a .keras model for serving, and check that both answer alike."""
    from anemone_lib.training.bundle import export_model as export

    with usage_errors():
        settings = InferenceConfig.load(config) if config else None
        images = None
        if recordings:
            images = _images(recordings, settings or InferenceConfig())
        card = export(model, out_folder, config=settings, images=images, int8=int8)
    _show(card, out_folder)


def _show(card: ModelCard, folder: Path) -> None:
    out.print(f"{card.name} {card.version}: {', '.join(card.classes)}", highlight=False)
    for heading, content in (("parity", card.parity), ("metrics", card.metrics)):
        for key, value in content.items():
            out.print(f"  {heading}: {escape(key)}: {escape(str(value))}", highlight=False, soft_wrap=True)
    for file in ("best_model.keras", "best_model.tflite", "best_model.json"):
        out.print(f"  {escape(str(folder / file))}", highlight=False, soft_wrap=True)


def _labelled(folder: Path, annotations: Path | None, config: InferenceConfig, labels: str | None) -> "LabelledWindows":
    from anemone_lib.training.labelled import concatenate, cut_labelled_windows
    from anemone_lib.tuning.recordings import find_annotated_recordings

    classes = dict(pair.split("=", 1) for pair in labels.split(",") if "=" in pair) if labels else None
    parts = []
    for source, table in find_annotated_recordings(folder, annotations=annotations):
        with open_recording(source, target_sr=config.target_sr) as recording:
            truth = read_annotations(table, label=config.target_class, recording_name=source.name)
            parts.append(cut_labelled_windows(recording, truth, config, label_classes=classes))
    return concatenate(parts)


def _images(folder: Path, config: InferenceConfig) -> np.ndarray:
    """Images of up to 32 windows of every recording in a folder."""
    from anemone_lib.training.labelled import cut_labelled_windows

    parts = []
    for path in sorted(folder.glob("*.wav")):
        with open_recording(path, target_sr=config.target_sr) as recording:
            parts.append(cut_labelled_windows(recording, [], config, max_windows=32).images)
    if not parts:
        raise ConfigError(f"--recordings is {folder}; there are no .wav files")
    return np.concatenate(parts)
