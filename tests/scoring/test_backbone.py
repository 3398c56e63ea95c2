import numpy as np
import pytest

from anemone_lib.errors import ModelError
from anemone_lib.scoring import DEMONSTRATION_MODEL, Backbone

pytestmark = pytest.mark.slow
ABOUT = {"sample_rate": 4000}


@pytest.fixture
def windows(rng):
    return rng.standard_normal((3, 4000)).astype(np.float32)


def embed_by_hand(window):
    """The mean and the maximum of the filters, computed without TensorFlow."""
    samples = window.astype(np.float64) - window.mean(dtype=np.float64)
    samples *= 0.25 / np.abs(samples).max()
    time = np.arange(128) / 4000
    waves = [np.sin(2 * np.pi * f * time + p) for f in (120, 240, 400, 700, 1000, 1500) for p in (0, np.pi / 2)]
    frames = np.lib.stride_tricks.sliding_window_view(samples, 128)[::32]
    found = np.maximum(0, frames @ (np.hanning(128) * np.array(waves)).T)
    return np.concatenate([found.mean(axis=0), found.max(axis=0)])


@pytest.mark.parametrize("name", ["network.tflite", "network"])
def test_the_embedding_is_the_output_of_that_name_of_the_levelled_window(backbones, windows, name):
    backbone = Backbone(backbones / name, **ABOUT)
    assert (backbone.output, backbone.n_features, backbone.window_samples) == ("embedding", 24, 4000)
    embeddings = backbone.embed(windows)
    np.testing.assert_allclose(embeddings, [embed_by_hand(window) for window in windows], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(backbone.embed(windows * 0.01 + 0.3), embeddings, rtol=1e-3, atol=1e-4)  # the level
    np.testing.assert_array_equal(backbone.embed(windows[1:2])[0], embeddings[1])  # the neighbours
    assert Backbone(backbones / name, **ABOUT, output="logits").embed(windows).shape == (3, 5)


def test_any_tensor_inside_a_tflite_may_be_the_embedding(backbones, windows):
    from ai_edge_litert.interpreter import Interpreter

    inside = Interpreter(str(backbones / "network.tflite")).get_tensor_details()
    frames = [d["name"] for d in inside if list(d["shape"])[-2:] == [122, 12]]
    means = [Backbone(backbones / "network.tflite", **ABOUT, output=name).embed(windows) for name in frames]
    expected = Backbone(backbones / "network.tflite", **ABOUT).embed(windows)[:, :12]  # means over the frames
    assert any(np.allclose(found, expected, rtol=1e-3, atol=1e-4) for found in means)


def test_a_shorter_window_is_followed_by_silence(backbones, windows):
    backbone = Backbone(backbones / "network.tflite", **ABOUT, window_duration=0.5)
    assert backbone.window_samples == 2000
    sound = windows[:, :2000] - windows[:, :2000].mean(axis=1, keepdims=True)
    whole = Backbone(backbones / "network.tflite", **ABOUT)
    expected = whole.embed(np.pad(sound, ((0, 0), (0, 2000))))
    np.testing.assert_allclose(backbone.embed(windows[:, :2000]), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("absent.tflite", ABOUT, "there is no backbone at .*absent.tflite"),
        ("", ABOUT, "is no backbone; give a .tflite file, or the folder of a SavedModel"),
        ("network.tflite", {}, "does not say the sample rate of its input; give it, in Hz, with --backbone-rate"),
        ("network.tflite", {**ABOUT, "window_duration": 2}, "has 8000 samples at 4000 Hz; .* takes 4000, 1 s"),
        ("network.tflite", {**ABOUT, "output": "x"}, "has no output 'x'; it has .*logits.*, and inside "),
        ("network", {**ABOUT, "output": "x"}, "has no output 'x'; it has embedding, logits"),
    ],
)
def test_what_cannot_be_used_says_why_and_what_to_give(backbones, name, options, words):
    with pytest.raises(ModelError, match=words):
        Backbone(backbones / name, **options)


def test_several_outputs_without_a_likely_name_are_listed(backbones, monkeypatch):
    monkeypatch.setattr("anemone_lib.scoring.backbone.EMBEDDING_NAMES", ())
    with pytest.raises(ModelError, match="has 2 outputs; say with --backbone-output which one is the embedding: "):
        Backbone(backbones / "network.tflite", **ABOUT)


def test_a_network_that_takes_images_is_no_backbone():
    with pytest.raises(ModelError, match="takes float32 input of shape .*samples of one channel"):
        Backbone(DEMONSTRATION_MODEL / "best_model.tflite", **ABOUT)
