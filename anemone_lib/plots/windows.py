"""Draw windows as the model sees them, and beside them the images by librosa."""

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.plots.axes import (
    SERIES,
    new_axes,
    new_figure,
)
from anemone_lib.plots.timeaxis import set_time_axis
from anemone_lib.scoring.images import draw_images
from anemone_lib.scoring.scores import Scores


def plot_window_image(
    image: np.ndarray,
    *,
    fmax_hz: float,
    window_duration: float,
    start_time: float = 0.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a window's image as the model sees it.

    Parameters
    ----------
    image : np.ndarray [shape=(height_pixels, width_pixels, channels)], float32 in [0, 1], row 0 the highest frequency
    fmax_hz : float > 0, in Hz
        Frequency of the upper edge: the setting, or half the sample rate if that is lower.
    window_duration : float > 0, in seconds
    start_time : float, in seconds
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> axes = plot_window_image(np.zeros((256, 256, 1), np.float32), fmax_hz=2000, window_duration=1.0)
    >>> len(axes.images)
    1
    """
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"image has shape {image.shape}; it must be (height_pixels, width_pixels, 1 or 3)")
    ax = ax or new_axes((5, 4))
    extent = (start_time, start_time + window_duration, 0.0, fmax_hz)
    ax.imshow(
        image if image.shape[2] == 3 else image[:, :, 0],
        cmap="gray_r",
        vmin=0,
        vmax=1,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_ylabel("Frequency (Hz)")
    set_time_axis(ax, *extent[:2])
    return ax


def draw_window(recording: Recording, scores: Scores, config: InferenceConfig, window: int) -> np.ndarray:
    """Draw the image of one window, as the model sees it.

    Parameters
    ----------
    recording : Recording
    scores : Scores, of that recording
    config : InferenceConfig, as used for the scores
    window : int, index of the window

    Returns
    -------
    image : np.ndarray [shape=(height_pixels, width_pixels, 1)], float32 in [0, 1], row 0 the highest frequency
    """
    samples = _read_window(recording, scores, window)
    return draw_images(samples[None], sample_rate=scores.sample_rate, **config.image_settings, channels=1)[0]


def draw_window_with_librosa(recording: Recording, scores: Scores, config: InferenceConfig, window: int) -> np.ndarray:
    """Draw the image of one window with ``librosa.display.specshow`` and matplotlib, at the size of the model's image.

    Published Keras models of this task were trained on images that were drawn this way. librosa is needed
    (``pip install 'anemone-lib[notebooks]'``).

    Parameters
    ----------
    recording, scores, config, window : as in `draw_window`

    Returns
    -------
    image : np.ndarray [shape=(height_pixels, width_pixels, 1)], float32 in [0, 1], steps of 1/255
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that librosa imports
        import librosa
        import librosa.display

    samples, rate = _read_window(recording, scores, window), scores.sample_rate
    n_fft, hop_length = config.n_fft, config.hop_length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # n_fft may be longer than a short window
        power = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop_length)) ** 2
    levels = librosa.power_to_db(power, ref=np.max)
    figure = Figure(figsize=(config.width_pixels / 100, config.height_pixels / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    librosa.display.specshow(levels, sr=rate, n_fft=n_fft, hop_length=hop_length, ax=ax, cmap="gray")
    top = int(config.fmax_hz / (rate / 2) * len(levels))
    if top < len(levels):
        ax.set_ylim(0, top)
    ax.axis("off")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :1].astype(np.float32) / 255


def plot_librosa_comparison(
    image: np.ndarray, by_librosa: np.ndarray, *, fmax_hz: float, window_duration: float, start_time: float = 0.0
) -> Figure:
    """Draw the model's image of a window beside the image by librosa, with the largest difference of a pixel.

    Parameters
    ----------
    image, by_librosa : np.ndarray [shape=(height_pixels, width_pixels, 1)], in [0, 1]
        As `draw_window` and `draw_window_with_librosa` draw them.
    fmax_hz, window_duration, start_time : as in `plot_window_image`

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> image = np.linspace(0, 1, 64).reshape(8, 8, 1)
    >>> figure = plot_librosa_comparison(image, np.round(image * 255) / 255, fmax_hz=2000, window_duration=1.0)
    >>> figure.get_suptitle()
    'largest difference of a pixel: 0.48 of 255 grey levels'
    """
    figure = new_figure((9, 3.8))
    left, right = figure.subplots(1, 2, sharey=True)
    axis = {"fmax_hz": fmax_hz, "window_duration": window_duration, "start_time": start_time}
    plot_window_image(image, **axis, ax=left)
    plot_window_image(by_librosa, **axis, ax=right)
    left.set_title("The model's image", fontsize="medium")
    right.set_title("librosa.display.specshow, same window and size", fontsize="medium")
    right.set_ylabel("")
    _add_scale(figure, [left, right])
    steps = measure_pixel_difference(image, by_librosa)
    figure.suptitle(f"largest difference of a pixel: {steps:.2f} of 255 grey levels", fontsize="medium")
    return figure


def measure_pixel_difference(image: np.ndarray, other: np.ndarray) -> float:
    """Measure the largest difference of a pixel between two images in [0, 1], in 255ths of the scale.

    Examples
    --------
    >>> measure_pixel_difference(np.zeros((2, 2, 1)), np.array([[[0], [0]], [[0], [1 / 255]]]))
    1.0
    """
    return float(np.abs(image - other).max() * 255)


def plot_seen_windows(
    recording: Recording,
    scores: Scores,
    config: InferenceConfig,
    windows: Sequence[int],
    *,
    titles: Sequence[str] = (),
) -> Figure:
    """Draw windows as the model sees them, with the probability of every class below.

    Parameters
    ----------
    recording : Recording
    scores : Scores, of that recording
    config : InferenceConfig, as used for the scores
    windows : indices of windows
    titles : one text for each window, optional; its times are added

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import InferenceConfig, detect, open_recording
    >>> recording, config = open_recording(path), InferenceConfig()
    >>> detections = detect(recording, config=config)
    >>> figure = plot_seen_windows(recording, detections.scores, config, [0, 5])
    >>> recording.close()
    >>> len(figure.axes) >= 2
    True
    """
    figure = new_figure((3.0 * len(windows) + 1.2, 4.8))
    grid = figure.subplots(2, len(windows), height_ratios=(3, 1), squeeze=False)
    for column, k in enumerate(windows):
        above, below = grid[:, column]
        duration = scores.grid.window_samples / scores.sample_rate
        start = float(scores.start_times[k])
        plot_window_image(
            draw_window(recording, scores, config, k),
            fmax_hz=min(config.fmax_hz, scores.sample_rate / 2),
            window_duration=duration,
            start_time=start,
            ax=above,
        )
        title = f"{titles[column]}\n" if column < len(titles) else ""
        above.set_title(f"{title}{start:.1f} to {start + duration:.1f} s", fontsize="medium")
        _draw_bars(below, scores.classes, scores.probabilities[k])
        if column:
            above.set_ylabel("")
            for ax in (above, below):
                ax.tick_params(labelleft=False)
    _add_scale(figure, list(grid[0]))
    return figure


def _read_window(recording: Recording, scores: Scores, window: int) -> np.ndarray:
    """Read the samples of a window; zeros beyond the recording, and for samples that are not readable."""
    start, stop = scores.grid.find_samples(window, window + 1)
    samples = np.zeros(scores.grid.window_samples, np.float32)
    samples[: stop - start] = np.nan_to_num(recording.read(start, stop))
    return samples


def _draw_bars(ax: Axes, classes: Sequence[str], probabilities: np.ndarray) -> None:
    ax.barh(classes, probabilities, color=[SERIES[k % len(SERIES)] for k in range(len(classes))])
    for row, probability in enumerate(probabilities):
        inside = probability > 0.7
        x, side, colour = (probability - 0.02, "right", "white") if inside else (probability + 0.02, "left", "black")
        ax.text(x, row, f"{probability:.2f}", ha=side, va="center", color=colour, fontsize="small")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="Probability")


def _add_scale(figure: Figure, axes: Sequence[Axes]) -> None:
    """Draw the scale of the grey levels of a window's image."""
    bar = figure.colorbar(axes[0].images[0], ax=list(axes), pad=0.02, aspect=25, ticks=(0, 0.5, 1))
    bar.ax.set_yticklabels(["quietest", "half of\nthe range", "loudest"], fontsize="small")
    bar.set_label("Level in this window\n(range at most 80 dB)")
