"""What the tests of surveys share: detections without audio, whose probabilities are given."""

import numpy as np
import pytest

from anemone_lib.config import InferenceConfig
from anemone_lib.detection import Detections, decide_events
from anemone_lib.scoring import Scores, WindowGrid

CONFIG = InferenceConfig(smoothing_window=1, min_event_duration=0.1, min_gap_duration=0.0)


def make_detections(target, name):
    """Detections in windows of 1 s that lie side by side, of these probabilities of the target."""
    target = np.asarray(target, np.float32)
    grid = WindowGrid(n_samples=1000 * len(target), sample_rate=1000, window_samples=1000, stride_samples=1000)
    probabilities = np.column_stack([1 - target, target, 0 * target])
    scores = Scores(
        probabilities, ("noise", "anemonefish", "biological"), grid,
        recording_name=name, recording_sha256=name, model_sha256="a" * 64,
    )  # fmt: skip
    return Detections(decide_events(scores, CONFIG), scores, CONFIG, {})


@pytest.fixture
def season(rng):
    """Two recordings at each of two sites; every third window has a high probability, so that it is an event."""
    found = {}
    for site in ("north", "south"):
        for k in range(2):
            target = np.where(np.arange(300) % 3 == 0, rng.uniform(0.5, 1, 300), rng.uniform(0, 0.4, 300))
            found[f"{site}/reef{k}.wav"] = make_detections(target, f"{site}{k}")
    return found
