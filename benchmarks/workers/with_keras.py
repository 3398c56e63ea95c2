"""The same model as published pipelines run it: librosa and matplotlib draw each window, Keras predicts."""

import time
import warnings
from typing import Any

import numpy as np
from measure import serve

from anemone_lib import InferenceConfig
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL
from anemone_lib.training.network import import_keras

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import librosa
    import librosa.display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

model = import_keras().models.load_model(DEMONSTRATION_MODEL / "best_model.keras", compile=False)
config = InferenceConfig()


def image_of(window: np.ndarray, sample_rate: int) -> np.ndarray:
    """Draw a window at the model's size, in shades of grey."""
    power = np.abs(librosa.stft(window, n_fft=config.n_fft, hop_length=config.hop_length)) ** 2
    levels = librosa.power_to_db(power, ref=np.max)
    figure = Figure(figsize=(config.width_pixels / 100, config.height_pixels / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    librosa.display.specshow(
        levels, sr=sample_rate, n_fft=config.n_fft, hop_length=config.hop_length, ax=axes, cmap="gray"
    )
    axes.set_ylim(0, int(config.fmax_hz / (sample_rate / 2) * len(levels)))
    axes.axis("off")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :1].astype(np.float32) / 255


def measure(recording: str) -> dict[str, Any]:
    """Analyse a recording."""
    began = time.perf_counter()
    samples, sample_rate = librosa.load(recording, sr=None)
    window, stride = (round(s * sample_rate) for s in (config.window_duration, config.stride_duration))
    starts = range(0, len(samples) - window + 1, stride)
    images = np.stack([image_of(samples[start : start + window], sample_rate) for start in starts])
    drawn = time.perf_counter()
    probabilities = model.predict(images, batch_size=config.batch_size, verbose=0)
    ended = time.perf_counter()
    target = probabilities[:, config.classes.index(config.target_class)]
    return {
        "seconds": ended - began,
        "windows": len(images),
        "drawing_seconds": drawn - began,
        "target_windows": int((target >= config.confidence_threshold).sum()),
    }


if __name__ == "__main__":
    serve(measure)
