"""Convert a Keras model to TensorFlow Lite."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from anemone_lib.training.network import import_keras

#: Number of images that calibrate the ranges of an 8-bit model.
REPRESENTATIVE_IMAGES = 200


def convert_model(model: Any, *, images: np.ndarray | None = None) -> bytes:
    """Convert a model to TensorFlow Lite.

    The weights are made constants before the graph is written. `model.export` of Keras writes them as variables; to
    trace, write and read that takes three times as long, and the result computes the same.

    Parameters
    ----------
    model : keras.Model, of one input and one output
    images : np.ndarray, inputs of the model, optional
        With them, weights and activations have 8 bits; the images calibrate the ranges of the activations.

    Returns
    -------
    converted : bytes, a ``.tflite`` file, whose signature takes ``image`` and gives ``output_0``

    Examples
    --------
    >>> from anemone_lib.training import build_model
    >>> convert_model(build_model((64, 64, 1)))[4:8]
    b'TFL3'
    """
    import_keras()
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), name="image")], autograph=False)
    def answer(image: Any) -> dict[str, Any]:
        return {"output_0": model(image, training=False)}

    with TemporaryDirectory() as folder, _silence_converter():
        module = tf.Module()
        module.answer = convert_variables_to_constants_v2(answer.get_concrete_function())
        tf.saved_model.save(module, folder, signatures=module.answer)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if images is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[None]] for image in images[:REPRESENTATIVE_IMAGES])
        converted: bytes = converter.convert()
    return converted


@contextlib.contextmanager
def _silence_converter() -> Iterator[None]:
    """Drop what the converter prints, in Python and in its C++ libraries."""
    sys.stderr.flush()
    saved, log = os.dup(2), logging.getLogger("tensorflow")
    level = log.level
    with open(os.devnull, "w") as nothing, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            log.setLevel(level)
