"""The waveform of a part of a recording, unfiltered and in the band of the calls."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anemone_lib.plots.axes import SMOOTHED_COLOUR, new_axes, new_figure
from anemone_lib.plots.timeaxis import set_time_axis
from anemone_lib.soundscape.noise import BANDS_HZ


def plot_waveform(samples: np.ndarray, sample_rate: int, *, start_time: float = 0.0, ax: Axes | None = None) -> Axes:
    """Draw samples, each column from its lowest to its highest.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32, NaN where unreadable
    sample_rate : int > 0, in Hz
    start_time : float, in seconds
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> ax = plot_waveform(np.sin(np.arange(8000) / 10).astype(np.float32), 8000)
    >>> ax.get_xlim()
    (np.float64(0.0), np.float64(1.0))
    """
    ax = ax or new_axes((10, 2))
    step = max(1, len(samples) // 2000)
    starts = np.arange(0, len(samples), step)
    low, high = np.fmin.reduceat(samples, starts), np.fmax.reduceat(samples, starts)
    ax.fill_between(start_time + starts / sample_rate, low, high, color=SMOOTHED_COLOUR, linewidth=0.5)
    set_time_axis(ax, start_time, start_time + len(samples) / sample_rate)
    ax.set_ylabel("Amplitude\n(full scale 1)")
    ax.grid(alpha=0.3)
    return ax


def plot_waveforms(
    samples: np.ndarray,
    sample_rate: int,
    *,
    band_hz: tuple[float, float] = BANDS_HZ["calls"],
    start_time: float = 0.0,
) -> Figure:
    """Draw the waveform with all frequencies, and below it only the band in which the calls are.

    Each has its own scale, because calls are often much weaker than the waves and the flow below 100 Hz.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32, NaN where unreadable
    sample_rate : int > 0, in Hz
    band_hz : (low, high), in Hz, by default 300 to 1000 (Colleye & Parmentier 2012)
    start_time : float, in seconds

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> figure = plot_waveforms(np.sin(np.arange(8000) / 10).astype(np.float32), 8000)
    >>> [ax.get_title("left") for ax in figure.axes]
    ['All frequencies', 'Band of the calls, 300 to 1000 Hz']
    """
    figure = new_figure((10, 3.6))
    above, below = figure.subplots(2, 1, sharex=True)
    plot_waveform(samples, sample_rate, start_time=start_time, ax=above)
    plot_waveform(filter_band(samples, sample_rate, band_hz), sample_rate, start_time=start_time, ax=below)
    above.set_title("All frequencies", fontsize="small", loc="left")
    below.set_title(f"Band of the calls, {band_hz[0]:g} to {band_hz[1]:g} Hz", fontsize="small", loc="left")
    above.tick_params(labelbottom=False)
    above.set_xlabel("")
    return figure


def filter_band(samples: np.ndarray, sample_rate: int, band_hz: tuple[float, float]) -> np.ndarray:
    """Keep the frequencies of a band: a Butterworth filter of order 4, run forwards and backwards.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32, NaN where unreadable
    sample_rate : int > 0, in Hz
    band_hz : (low, high), in Hz; the band ends at 0.45 of the sample rate if `high` is above that

    Returns
    -------
    filtered : np.ndarray [shape=(n,)], float32, NaN where `samples` is; all zero if the rate is too low for the band

    Examples
    --------
    >>> import numpy as np
    >>> time = np.arange(8000) / 8000
    >>> low, call = np.sin(2 * np.pi * 50 * time), np.sin(2 * np.pi * 600 * time)
    >>> bool(np.abs(filter_band(low + call, 8000, (300, 1000)) - call)[1000:-1000].max() < 0.02)
    True
    """
    from scipy.signal import butter, sosfiltfilt

    low, high = band_hz[0], min(band_hz[1], 0.45 * sample_rate)
    if low >= high:
        return np.zeros_like(samples)
    sections = butter(4, (low, high), "band", fs=sample_rate, output="sos")
    unreadable = ~np.isfinite(samples)
    pad = min(len(samples) - 1, round(3 * sample_rate / low))
    filtered = sosfiltfilt(sections, np.where(unreadable, 0, samples), padlen=max(0, pad)).astype(np.float32)
    filtered[unreadable] = np.nan
    return filtered
