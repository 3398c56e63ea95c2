"""The spectrogram of a part of a recording."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from anemone_lib.config import InferenceConfig
from anemone_lib.plots.axes import new_axes
from anemone_lib.plots.timeaxis import set_time_axis
from anemone_lib.soundscape.levels import measure_power

#: Lowest power that is drawn: −200 dB, less than the noise of any converter.
POWER_FLOOR = 1e-20


#: Labels of the scale, for levels and for levels above the background.
LEVEL_LABEL = "Level (dB re full scale,\nuncalibrated)"
ABOVE_BACKGROUND_LABEL = "Level above the median\nof each frequency (dB)"


def plot_spectrogram(
    samples: np.ndarray,
    sample_rate: int,
    *,
    n_fft: int = 1024,
    hop_length: int = 256,
    fmax_hz: float = 2000.0,
    start_time: float = 0.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the spectrogram of samples in memory.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32, full scale ±1
    sample_rate : int > 0, in Hz
    n_fft, hop_length : int > 0, in samples
    fmax_hz : float > 0, in Hz
        Highest frequency shown.
    start_time : float, in seconds
        Where the first sample lies in its recording.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    >>> axes = plot_spectrogram(tone, 8000, fmax_hz=2000)
    >>> round(axes.get_ylim()[1])
    2000
    """
    if samples.ndim != 1 or len(samples) == 0:
        raise ValueError(f"samples has shape {samples.shape}; it must be (n,) with n > 0")
    ax = ax or new_axes((10, 4))
    config = InferenceConfig(n_fft=n_fft, hop_length=hop_length, fmax_hz=fmax_hz)
    draw_spectrogram(
        ax, lambda a, b: samples[a:b], len(samples), sample_rate, 0, len(samples), config, offset=start_time
    )
    return ax


def draw_spectrogram(
    ax: Axes,
    read: Callable[[int, int], np.ndarray],
    n_samples: int,
    sample_rate: int,
    start: int,
    stop: int,
    config: InferenceConfig,
    *,
    offset: float = 0.0,
    subtract_background: bool = False,
) -> AxesImage:
    """Draw a spectrogram block by block; the axes then show it from edge to edge.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    read : callable (start, stop) -> samples
    n_samples : int > 0, length of what `read` reads
    sample_rate : int > 0, in Hz
    start, stop : int, the samples to show
    config : InferenceConfig, whose `n_fft`, `hop_length` and `fmax_hz` are read
    offset : float, in seconds, added to all times
    subtract_background : bool
        Subtract the median of each frequency over the time shown: steady sound, like wind, flow and a boat, becomes
        white, and sounds that come and go become visible. `LEVEL_LABEL` and `ABOVE_BACKGROUND_LABEL` name the two
        scales.

    Returns
    -------
    image : matplotlib.image.AxesImage
    """
    width_hz = sample_rate / config.n_fft
    top_hz = min(config.fmax_hz, sample_rate / 2)
    n_bins = min(config.n_fft // 2 + 1, int(top_hz / width_hz + 0.5) + 1)
    power = measure_power(
        read,
        n_samples,
        start=start,
        stop=stop,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_bins=n_bins,
    )
    levels = 10 * np.log10(np.maximum(power, POWER_FLOOR))
    # NaN, silence, and the hum below 100 Hz of most recordings do not count for the range.
    quiet = round(100 / width_hz) if n_bins > round(100 / width_hz) + 2 else 0
    audible = power > POWER_FLOOR
    if subtract_background:
        levels = levels - _measure_background(np.where(audible, levels, np.nan))
    drawn = levels[:, quiet:][audible[:, quiet:]]
    bottom, top = np.percentile(drawn, (10, 99.9)) if len(drawn) else (-200.0, -180.0)
    bottom = 0.0 if subtract_background else bottom
    begin, end = offset + start / sample_rate, offset + stop / sample_rate
    image = ax.imshow(
        levels.T,
        origin="lower",
        aspect="auto",
        cmap="gray_r",
        vmin=bottom,
        vmax=max(top, bottom + 20),
        extent=(begin, end, -width_hz / 2, (n_bins - 0.5) * width_hz),
    )
    ax.set_ylim(0, top_hz)
    ax.set_ylabel("Frequency (Hz)")
    set_time_axis(ax, begin, end)
    return image


def _measure_background(levels: np.ndarray) -> np.ndarray:
    """Return the median of each frequency over time [shape=(n_bins,)] without NaN; 0 if nothing is audible."""
    background = np.zeros(levels.shape[1])
    some = np.isfinite(levels).any(axis=0)
    background[some] = np.nanmedian(levels[:, some], axis=0)
    return background
