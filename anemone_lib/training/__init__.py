"""From annotated recordings to a model bundle.

`from_dataset` (what ``anemone train --dataset`` runs) and `train_classifier` are where to start. `labelled`,
`simulated` and `examples` cut windows with their classes, `network` is the model, `fitting`, `learning`, `folds` and
`curve` train and judge it, `bundle` exports it by `conversion`, `recipes` makes the demonstration model. Imports
dataset, simulation, evaluation and what lies below them.
"""

from anemone_lib.training.bundle import export_bundle, export_model
from anemone_lib.training.fitting import train_classifier
from anemone_lib.training.labelled import LabelledWindows, concatenate, cut_annotated_files, cut_labelled_windows
from anemone_lib.training.network import build_model, import_keras
from anemone_lib.training.simulated import simulate_windows

__all__ = [
    "LabelledWindows",
    "build_model",
    "concatenate",
    "cut_annotated_files",
    "cut_labelled_windows",
    "export_bundle",
    "export_model",
    "import_keras",
    "simulate_windows",
    "train_classifier",
]
