"""Windows as the model sees them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.plots.axes import (
    SERIES,
    new_axes,
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
        Frequency of the upper edge: the setting, or half the sample rate where that is lower.
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


def plot_seen_windows(recording: Recording, scores: Scores, config: InferenceConfig, windows: Sequence[int]) -> Figure:
    """Draw windows as the model sees them, and what it says of each.

    Parameters
    ----------
    recording : Recording
    scores : Scores, of that recording
    config : InferenceConfig, with which it was scored
    windows : indices of windows

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
    figure = new_axes((3.0 * len(windows) + 0.6, 4.6)).get_figure(root=True)
    assert figure is not None
    figure.clear()
    grid = figure.subplots(2, len(windows), height_ratios=(3, 1), squeeze=False)
    colours = [SERIES[k % len(SERIES)] for k in range(len(scores.classes))]
    for column, k in enumerate(windows):
        start, stop = scores.grid.sample_range(k, k + 1)
        samples = np.zeros((1, scores.grid.window_samples), np.float32)
        samples[0, : stop - start] = np.nan_to_num(recording.read(start, stop))
        image = draw_images(
            samples,
            sample_rate=scores.sample_rate,
            **config.image_settings,
            channels=1,
        )[0]
        above, below = grid[:, column]
        plot_window_image(
            image,
            fmax_hz=min(config.fmax_hz, scores.sample_rate / 2),
            window_duration=scores.grid.window_samples / scores.sample_rate,
            start_time=scores.start_times[k],
            ax=above,
        )
        below.barh(scores.classes, scores.probabilities[k], color=colours)
        for row, probability in enumerate(scores.probabilities[k]):
            inside = probability > 0.7
            x, side, colour = (
                (probability - 0.02, "right", "white") if inside else (probability + 0.02, "left", "black")
            )
            below.text(x, row, f"{probability:.2f}", ha=side, va="center", color=colour, fontsize="small")
        below.invert_yaxis()
        below.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="Probability")
        if column:
            above.set_ylabel("")
            for ax in (above, below):
                ax.tick_params(labelleft=False)
    return figure
