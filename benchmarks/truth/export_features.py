"""Write the features of the shipped model as a backbone, a SavedModel that takes sound.

``python benchmarks/truth/export_features.py FOLDER --sample-rate 4000``, then ``compare.py ... --backbone FOLDER
--backbone-rate 4000``. It draws the image as `anemone_lib.scoring.images` defines it, and leaves out the last layer.
"""

import argparse
from pathlib import Path

import numpy as np

from anemone_lib.config import InferenceConfig
from anemone_lib.scoring import choose_config, choose_transform, load_classifier
from anemone_lib.scoring.bundle import DEMONSTRATION_MODEL, STEM
from anemone_lib.training.network import import_keras


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample-rate", type=int, required=True, help="of the recordings, in Hz")
    options = parser.parse_args()
    export_features(options.folder, options.sample_rate)


def export_features(folder: Path, sample_rate: int) -> None:
    """Write the SavedModel: a window of sound to what the shipped model's last layer sees of it.

    Parameters
    ----------
    folder : path
    sample_rate : int > 0, in Hz
    """
    keras = import_keras()
    import tensorflow as tf

    classifier = load_classifier()
    config = choose_transform(choose_config(None, classifier), classifier, sample_rate=sample_rate)
    model = keras.models.load_model(DEMONSTRATION_MODEL / f"{STEM}.keras", compile=False, safe_mode=True)
    features = keras.Model(model.input, model.layers[-1].input)
    n = round(config.window_duration * sample_rate)

    class Features(tf.Module):
        """The features, with their weights."""

        def __init__(self) -> None:
            super().__init__()
            self.features = features

        @tf.function(input_signature=[tf.TensorSpec((1, n), tf.float32, name="samples")])
        def __call__(self, samples: "tf.Tensor") -> dict[str, "tf.Tensor"]:
            return {"embedding": self.features(draw(samples, config, sample_rate), training=False)}

    module = Features()
    tf.saved_model.save(module, str(folder), signatures=module.__call__)


def draw(samples: "tf.Tensor", config: InferenceConfig, sample_rate: int) -> "tf.Tensor":  # noqa: F821
    """Draw windows [shape=(n, window_samples)] in TensorFlow; see the definition in `anemone_lib.scoring.images`."""
    import tensorflow as tf

    pad = config.n_fft // 2
    frames = tf.signal.stft(tf.pad(samples, [[0, 0], [pad, pad]]), config.n_fft, config.hop_length, config.n_fft)
    power = tf.abs(frames) ** 2
    levels = 10 * tf.math.log(tf.maximum(power, 1e-10)) / float(np.log(10))
    levels -= tf.reduce_max(levels, axis=(1, 2), keepdims=True)
    bottom = tf.maximum(tf.reduce_min(levels, axis=(1, 2), keepdims=True), -80.0)
    shown = tf.math.divide_no_nan(tf.maximum(levels, bottom) - bottom, -bottom)
    n_bins, n_frames = pad + 1, int(shown.shape[1])
    height, width = config.height_pixels, config.width_pixels
    top = int(config.fmax_hz / (sample_rate / 2) * n_bins)
    row, column = 2 * np.arange(height) + 1, 2 * np.arange(width) + 1
    bins = (row * top + height) // (2 * height) if top < n_bins else row * n_bins // (2 * height)
    columns = -(-column * n_frames // (2 * width)) - 1
    image = tf.gather(tf.gather(shown, columns, axis=1), bins[::-1].copy(), axis=2)
    return tf.transpose(image, [0, 2, 1])[..., None]


if __name__ == "__main__":
    main()
