"""Simulated reef recordings with exact truth.

`write_recording` is where to start; `write_dataset` writes several with their tables. `sounds`, `mammals` and `noises`
make single sounds, `background` makes continuous noise, `reef` puts them together, `augmentation` changes a recording
as
if another recorder had made it. Imports tables and what lies below them.
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
