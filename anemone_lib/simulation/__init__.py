"""Simulated reef recordings with exact truth.

`write_recording` is where to start; `write_dataset` writes several with their tables. `sounds`, `mammals` and `noises`
make single sounds, `background` the noise that lasts, `reef` puts them together, `augmentation` makes a recording sound
as if from another recorder. Imports tables and what lies below them.
"""

from anemone_lib.simulation.augmentation import augment
from anemone_lib.simulation.dataset import write_dataset
from anemone_lib.simulation.reef import simulate_recording, write_recording

__all__ = [
    "augment",
    "simulate_recording",
    "write_dataset",
    "write_recording",
]
