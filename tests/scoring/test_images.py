"""Truth: what librosa and matplotlib draw, which is how published models of this task were trained."""

import warnings

import numpy as np
import pytest

from anemone_lib.scoring import cut_windows, draw_images
from anemone_lib.scoring import images as module

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import librosa
    import librosa.display
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

RATES_HZ = (3000, 4000, 8000, 16000, 22050, 44100, 48000, 96000, 200000)
SIZES = ((1024, 256, 256, 256), (512, 128, 128, 200), (2048, 512, 256, 300), (256, 256, 64, 96))


def drawn_by_librosa(window, sample_rate, n_fft, hop_length, fmax_hz, height, width, colours):
    """8-bit RGB as a figure without axes shows it."""
    power = np.abs(librosa.stft(window, n_fft=n_fft, hop_length=hop_length)) ** 2
    levels = librosa.power_to_db(power, ref=np.max)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    librosa.display.specshow(levels, sr=sample_rate, n_fft=n_fft, hop_length=hop_length, ax=axes, cmap=colours)
    top = int(fmax_hz / (sample_rate / 2) * len(levels))
    if top < len(levels):
        axes.set_ylim(0, top)
    axes.axis("off")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def sounds(sample_rate, rng):
    time = np.arange(sample_rate) / sample_rate
    return {
        "noise": 0.1 * rng.standard_normal(sample_rate),
        "tone": 0.5 * np.sin(2 * np.pi * 600 * time),
        "tone in noise": 0.01 * rng.standard_normal(sample_rate) + np.sin(2 * np.pi * 500 * time),
        "silence": np.zeros(sample_rate),
        "half silent": np.where(time < 0.5, 0, 0.1 * rng.standard_normal(sample_rate)),
        "constant": np.full(sample_rate, 0.25),
    }


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("sample_rate", RATES_HZ)
def test_every_pixel_is_as_librosa_and_matplotlib_draw_it(sample_rate, size, rng):
    n_fft, hop_length, height, width = size
    for name, sound in sounds(sample_rate, rng).items():
        window = sound.astype(np.float32)
        image = draw_images(
            window[None],
            sample_rate=sample_rate,
            n_fft=n_fft,
            hop_length=hop_length,
            fmax_hz=2000,
            height_pixels=height,
            width_pixels=width,
        )[0, :, :, 0]
        expected = drawn_by_librosa(window, sample_rate, n_fft, hop_length, 2000, height, width, "gray")[:, :, 0] / 255
        assert np.abs(image - expected).max() <= 1.5 / 255, name


@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_three_channels_are_the_colours_that_matplotlib_renders(sample_rate, rng):
    window = sounds(sample_rate, rng)["tone in noise"].astype(np.float32)[None]
    level = draw_images(window, sample_rate=sample_rate)[0, :, :, 0]
    colour = draw_images(window, sample_rate=sample_rate, channels=3)[0]
    drawn = drawn_by_librosa(window[0], sample_rate, 1024, 256, 2000, 256, 256, "magma")
    off = np.round(colour * 255).astype(int) != drawn
    # Only a level that lies on the line between two of the 256 colours may fall to the other side.
    lines = np.abs(level * 256 - np.round(level * 256))[off.any(axis=2)]
    assert off.mean() < 0.001
    assert lines.max(initial=0) < 0.001


def test_the_colour_table_is_matplotlibs():
    expected = np.floor(matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(np.round(module.load_magma() * 255).astype(np.uint8), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("sample_rate", "stride"),
    [(48000, 19200), (44100, 17640), (96000, 38400), (16000, 6400), (8000, 3200), (3000, 1200)],
)
def test_an_image_does_not_depend_on_its_neighbours(sample_rate, stride, channels, rng):
    samples = rng.standard_normal(sample_rate + 12 * stride).astype(np.float32)
    windows = cut_windows(samples, n_windows=13, window_samples=sample_rate, stride_samples=stride)
    together = draw_images(windows, sample_rate=sample_rate, channels=channels)
    copied = draw_images(np.ascontiguousarray(windows), sample_rate=sample_rate, channels=channels)
    np.testing.assert_array_equal(together, copied)
    for size in (1, 2, 7):
        parts = [
            draw_images(windows[first : first + size], sample_rate=sample_rate, channels=channels)
            for first in range(0, 13, size)
        ]
        np.testing.assert_array_equal(together, np.concatenate(parts))


@pytest.mark.parametrize("window_samples", [1, 100, 255, 256, 511, 700, 1024, 1500])
def test_windows_shorter_than_a_transform_are_drawn_as_librosa_would(window_samples, rng):
    window = rng.standard_normal(window_samples).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # librosa: n_fft is too large
        expected = drawn_by_librosa(window, 8000, 1024, 256, 2000, 64, 64, "gray")[:, :, 0] / 255
    image = draw_images(window[None], sample_rate=8000, height_pixels=64, width_pixels=64)[0, :, :, 0]
    if 1 + window_samples // 256 > 1:  # matplotlib draws a single column with its own idea of the axis
        assert np.abs(image - expected).max() <= 1.5 / 255
    assert image.min() >= 0
    assert image.max() <= 1


def test_images_are_float32_between_0_and_1_and_row_0_is_the_highest_frequency(rng):
    time = np.arange(8000) / 8000
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 1800 * time)
    images = draw_images(np.stack([low, high]).astype(np.float32), sample_rate=8000)
    assert images.dtype == np.float32
    assert images.shape == (2, 256, 256, 1)
    assert images.min() >= 0
    assert images.max() <= 1
    brightest = images[..., 0].mean(axis=2).argmax(axis=1)
    np.testing.assert_allclose(brightest, [256 * 0.9, 256 * 0.1], atol=3)


def test_no_windows_give_no_images():
    assert draw_images(np.zeros((0, 100), np.float32), sample_rate=100).shape == (0, 256, 256, 1)


def test_images_can_be_drawn_where_others_were(rng):
    windows = rng.standard_normal((3, 8000)).astype(np.float32)
    canvas = np.full((5, 256, 256, 1), np.nan, np.float32)
    images = draw_images(windows, sample_rate=8000, out=canvas[:3])
    assert np.shares_memory(images, canvas)
    np.testing.assert_array_equal(images, draw_images(windows, sample_rate=8000))
    assert np.isnan(canvas[3:]).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(10,\)"):
        draw_images(np.zeros(10, np.float32), sample_rate=100)
    with pytest.raises(ValueError, match="channels is 2"):
        draw_images(np.zeros((1, 100), np.float32), sample_rate=100, channels=2)
    for wrong in (np.zeros((2, 256, 256, 1), np.float32), np.zeros((1, 256, 256, 1))):
        with pytest.raises(ValueError, match=r"out is float.*must be float32 of shape \(1, 256, 256, 1\)"):
            draw_images(np.zeros((1, 100), np.float32), sample_rate=100, out=wrong)


def test_frames_that_windows_share_are_transformed_once(rng, monkeypatch):
    """Counted, not timed: at 48 kHz a window of 188 frames shares all but 75 and its 4 at the edges."""
    transformed = []
    original = module._transform
    monkeypatch.setattr(
        module, "_transform", lambda block, *rest: (transformed.append(len(block)), original(block, *rest))
    )
    n = 50
    windows = cut_windows(
        rng.standard_normal(48000 + 49 * 19200).astype(np.float32),
        n_windows=n,
        window_samples=48000,
        stride_samples=19200,
    )
    draw_images(windows, sample_rate=48000)
    assert sum(transformed) == 184 + (n - 1) * 75 + n * 4
    assert max(transformed) <= module.BLOCK_FRAMES
