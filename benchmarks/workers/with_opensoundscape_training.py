"""OpenSoundscape's ResNet18, trained and asked on the windows that it is given; in its own environment."""

import tempfile
import time
import warnings
from typing import Any

from measure import serve

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from opensoundscape import CNN  # noqa: E402

#: Windows in a step, and steps between two validations.
BATCH, VALIDATION_STEPS = 64, 40


def measure(
    *,
    classes: list[str],
    sample_rate: int,
    window_duration: float,
    n_fft: int,
    hop_length: int,
    fmax_hz: float,
    train: str,
    validation: str,
    ask: str,
    out: str,
    steps: int,
    seed: int,
) -> dict[str, Any]:
    """Train on the windows of one table, stop by those of another, write the scores of those of a third.

    Tables are CSV: file, start_time, end_time in seconds, and 0 or 1 for each class (not in `ask`).
    """
    began = time.process_time()
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - OpenSoundscape draws from it
    model = CNN(
        "resnet18",
        classes=classes,
        sample_duration=window_duration,
        sample_rate=sample_rate,
        arch_weights=None,  # random: weights of other pictures would have to be fetched
        channels=1,
        bandpass_range=(0, min(fmax_hz, sample_rate / 2)),
    )
    model.preprocessor.pipeline.to_spec.set(window_samples=n_fft, hop_samples=hop_length)
    place = ["file", "start_time", "end_time"]
    with tempfile.TemporaryDirectory() as folder:
        model.train(
            pd.read_csv(train).set_index(place),
            pd.read_csv(validation).set_index(place),
            steps=steps,
            batch_size=BATCH,
            validation_interval=VALIDATION_STEPS,
            save_path=folder,
            invalid_samples_log=None,
            progress_bar=False,
        )
    asked = pd.read_csv(ask).set_index(place)
    found = model.predict(asked, batch_size=256, activation_layer="sigmoid", progress_bar=False)
    np.save(out, found.loc[asked.index, classes].to_numpy(np.float32))
    return {"seconds": time.process_time() - began, "windows": len(found), "best_step": int(model.best_step)}


if __name__ == "__main__":
    serve(measure)
