"""OpenSoundscape's `CNN.predict` with a network the size of Anemone's, on the same windows; in its own environment."""

import os
import time
import warnings
from typing import Any

from measure import serve

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from opensoundscape import CNN  # noqa: E402
from torch import nn  # noqa: E402

WINDOW_S, STRIDE_S, FMAX_HZ = 1.0, 0.4, 2000
CLASSES = ["noise", "anemonefish", "biological"]


def network() -> nn.Module:
    """Return layers of the same sizes as those of `anemone_lib.training.network.build_model`, with random weights."""
    return nn.Sequential(
        nn.AvgPool2d((8, 1)),
        nn.Conv2d(1, 24, (4, 12), stride=(2, 4), padding=(1, 4), bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 32, (2, 3), stride=2, padding=(0, 1), bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, (3, 5), padding=(1, 2), groups=32, bias=False),
        nn.BatchNorm2d(32),
        nn.Conv2d(32, 64, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 64, (8, 1), bias=False),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(64, len(CLASSES)),
    )


def measure(recording: str) -> dict[str, Any]:
    """Analyse a recording, softmax included."""
    began = time.perf_counter()
    scores = model.predict(
        recording,
        batch_size=32,
        num_workers=os.cpu_count() or 1,
        overlap_fraction=1 - STRIDE_S / WINDOW_S,
        final_clip=None,
        activation_layer="softmax",
        progress_bar=False,
    )
    return {"seconds": time.perf_counter() - began, "windows": len(scores)}


torch.manual_seed(0)
model = CNN(network(), classes=CLASSES, sample_duration=WINDOW_S, sample_rate=48_000, height=256, width=256, channels=1)
model.preprocessor.pipeline.bandpass.set(min_f=0, max_f=FMAX_HZ)
if __name__ == "__main__":
    serve(measure)
