"""From annotated recordings to a model bundle.

`train_classifier` is where to start. `labelled` cuts windows with their classes, `network` is the model, `fitting`
trains and calibrates it, `bundle` exports it, `recipes` makes the demonstration model. Imports simulation, evaluation
and what lies below them.
"""

from anemone_lib.training.bundle import export_bundle, export_model
from anemone_lib.training.fitting import train_classifier
from anemone_lib.training.labelled import LabelledWindows, concatenate, cut_labelled_windows, simulate_windows
from anemone_lib.training.network import build_model, import_keras

__all__ = [
    "LabelledWindows",
    "build_model",
    "concatenate",
    "cut_labelled_windows",
    "export_bundle",
    "export_model",
    "import_keras",
    "simulate_windows",
    "train_classifier",
]
