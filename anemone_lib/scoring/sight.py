"""Windows to probabilities: the model gets their images or, if it takes sound, the windows themselves."""

import threading

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.scoring.classifier import Classifier
from anemone_lib.scoring.fit import choose_transform
from anemone_lib.scoring.images import draw_images


def classify_windows(
    windows: np.ndarray, classifier: Classifier, config: InferenceConfig, *, sample_rate: int
) -> np.ndarray:
    """Return the probability of every class in windows.

    Parameters
    ----------
    windows : np.ndarray [shape=(n, window_samples)], float32
    classifier : Classifier
    config : InferenceConfig
    sample_rate : int > 0, in Hz

    Returns
    -------
    probabilities : np.ndarray [shape=(n, n_classes)], float32

    Examples
    --------
    >>> from anemone_lib.scoring import load_classifier
    >>> classify_windows(np.zeros((2, 8000), np.float32), load_classifier(), InferenceConfig(), sample_rate=8000).shape
    (2, 3)
    """
    takes_images = len(classifier.input_shape) == 3
    canvas = _get_canvas(min(len(windows), config.batch_size), classifier.input_shape) if takes_images else None
    settings = choose_transform(config, classifier, sample_rate=sample_rate).image_settings
    probabilities = np.empty((len(windows), classifier.n_classes), np.float32)
    for first in range(0, len(windows), config.batch_size):
        batch = windows[first : first + config.batch_size]
        if canvas is not None:
            batch = draw_images(
                batch,
                sample_rate=sample_rate,
                **settings,
                channels=classifier.input_shape[2],
                out=canvas[: len(batch)],
            )
        probabilities[first : first + config.batch_size] = classifier.probabilities(batch)
    return probabilities


_local = threading.local()


def _get_canvas(n_images: int, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return this thread's images. Every batch uses them again, which is faster than new memory."""
    canvas: np.ndarray | None = getattr(_local, "canvas", None)
    if canvas is None or len(canvas) < n_images or canvas.shape[1:] != image_shape:
        canvas = _local.canvas = np.empty((n_images, *image_shape), np.float32)
    return canvas
