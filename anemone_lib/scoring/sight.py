"""Windows to probabilities: the model gets their images or, if it takes sound, the windows themselves.

LiteRT's images are drawn in its own memory, one after another; those of other models in batches of `batch_size`.
"""

import threading

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.scoring.classifier import Classifier, LiteRTClassifier
from anemone_lib.scoring.fit import choose_transform
from anemone_lib.scoring.images import paint_images


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
    probabilities = np.empty((len(windows), classifier.n_classes), np.float32)
    batches = [slice(k, min(k + config.batch_size, len(windows))) for k in range(0, len(windows), config.batch_size)]
    if len(classifier.input_shape) != 3:
        for some in batches:
            probabilities[some] = classifier.classify(windows[some])
        return probabilities
    settings = choose_transform(config, classifier, sample_rate=sample_rate).image_settings
    paints = paint_images(windows, sample_rate=sample_rate, **settings, channels=classifier.input_shape[2])
    if isinstance(classifier, LiteRTClassifier):
        return classifier.classify_painted(len(windows), paints)
    canvas = _get_canvas(min(len(windows), config.batch_size), classifier.input_shape)
    for some in batches:
        images = canvas[: some.stop - some.start]
        for image, paint in zip(images, paints, strict=False):  # as many paints as this batch has images
            paint(image)
        probabilities[some] = classifier.classify(images)
    return probabilities


_local = threading.local()


def _get_canvas(n_images: int, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return this thread's images. Every batch uses them again, which is faster than new memory."""
    canvas: np.ndarray | None = getattr(_local, "canvas", None)
    if canvas is None or len(canvas) < n_images or canvas.shape[1:] != image_shape:
        canvas = _local.canvas = np.empty((n_images, *image_shape), np.float32)
    return canvas
