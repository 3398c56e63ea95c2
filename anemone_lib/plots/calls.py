"""The calls inside an event: pulses in the waveform, boxes in the spectrogram, distributions over many calls."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from anemone_lib.audio.recording import Recording
from anemone_lib.config import InferenceConfig
from anemone_lib.detection.calls import CALL_BAND_HZ, Call
from anemone_lib.detection.events import Event
from anemone_lib.errors import spell_count, spell_number
from anemone_lib.plots.axes import EVENT_COLOUR, new_figure
from anemone_lib.plots.spectrogram import draw_spectrogram
from anemone_lib.plots.timeaxis import set_time_axis
from anemone_lib.plots.waveform import filter_band, plot_waveform


def plot_calls(
    recording: Recording,
    event: Event,
    config: InferenceConfig,
    *,
    band_hz: tuple[float, float] = CALL_BAND_HZ,
    margin: float = 0.2,
) -> Figure:
    """Draw an event with its calls: the waveform in their band with a tick at each pulse, the spectrogram with a box
    around each call.

    Parameters
    ----------
    recording : Recording
    event : Event, with its calls
    config : InferenceConfig
    band_hz : (low, high), in Hz, in which the calls were measured
    margin : float >= 0, in seconds, shown before and after the event

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib import detect, open_recording
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> found = detect(path)
    >>> with open_recording(path) as recording:
    ...     figure = plot_calls(recording, found.events[0], found.config)
    >>> len(figure.axes)
    2
    """
    rate = recording.sample_rate
    first = max(0, round((event.start_time - margin) * rate))
    stop = min(recording.n_samples, round((event.end_time + margin) * rate))
    calls = event.calls or ()
    figure = new_figure((10, 4.4))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
    samples = filter_band(recording.read(first, stop), rate, band_hz)
    plot_waveform(samples, rate, start_time=first / rate, ax=above)
    height = float(np.nanmax(np.abs(samples), initial=0.0)) or 1.0
    above.set_ylim(-1.15 * height, 1.35 * height)
    onsets = [time for call in calls for time in call.pulse_times]
    above.plot(onsets, [1.2 * height] * len(onsets), "|", color=EVENT_COLOUR, markersize=9, markeredgewidth=1.5)
    counts = f"{spell_count(len(calls), 'call')}, {spell_count(len(onsets), 'pulse')}"
    above.set_title(
        f"{counts} (ticks), waveform from {band_hz[0]:g} to {band_hz[1]:g} Hz", fontsize="small", loc="left"
    )
    above.set_xlabel("")
    above.tick_params(labelbottom=False)
    draw_spectrogram(below, recording.read, recording.n_samples, rate, first, stop, config)
    for call in calls:
        box = (call.start_time, call.low_hz), call.duration, call.high_hz - call.low_hz
        below.add_patch(Rectangle(*box, fill=False, edgecolor=EVENT_COLOUR, linewidth=1.2))
    below.set_ylim(0, min(config.fmax_hz, rate / 2))
    below.set_ylabel("Frequency (Hz)")
    set_time_axis(below, first / rate, stop / rate)
    return figure


def plot_call_measures(calls: Sequence[Call]) -> Figure:
    """Draw how pulse period, dominant frequency and number of pulses are distributed over calls.

    Parameters
    ----------
    calls : sequence of Call, of one or many events

    Returns
    -------
    figure : matplotlib.figure.Figure

    Examples
    --------
    >>> call = Call(1.2, 1.31, 420.0, 610.0, 505.0, (1.2, 1.241, 1.283), 0.0415, 0.018, 14.2, -38.5)
    >>> [ax.get_xlabel() for ax in plot_call_measures([call]).axes]
    ['Pulse period (ms)', 'Dominant frequency (Hz)', 'Pulses in a call']
    """
    figure = new_figure((10, 2.8))
    axes = figure.subplots(1, 3)
    periods = [1000 * call.pulse_period_s for call in calls if call.pulse_period_s is not None]
    _draw_histogram(axes[0], periods, "Pulse period (ms)", bins=np.arange(0, max(periods, default=0) + 20, 10))
    peaks = [call.peak_hz for call in calls]
    low, high = (min(peaks) // 50 * 50, max(peaks) + 100) if peaks else (300, 1000)
    _draw_histogram(axes[1], peaks, "Dominant frequency (Hz)", bins=np.arange(low, high, 50))
    counts = [call.n_pulses for call in calls]
    _draw_histogram(axes[2], counts, "Pulses in a call", bins=np.arange(0.5, max(counts, default=1) + 1.5))
    axes[0].set_ylabel("Calls")
    return figure


def _draw_histogram(ax: Axes, values: Sequence[float], label: str, *, bins: np.ndarray) -> None:
    ax.hist(values, bins=bins.tolist(), color=EVENT_COLOUR, alpha=0.75, edgecolor="white")
    if values:
        ax.axvline(float(np.median(values)), color="black", linestyle="--", linewidth=1)
        ax.set_title(f"median {spell_number(np.median(values))}, {spell_count(len(values), 'call')}", fontsize="small")
    else:
        ax.set_title("no call to measure", fontsize="small")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(label)
    ax.grid(axis="y", alpha=0.3)
