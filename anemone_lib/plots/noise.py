"""Figures of the noise in a recording."""

from itertools import cycle

import numpy as np
from matplotlib.axes import Axes

from anemone_lib.plots.axes import EVENT_COLOUR, RAW_COLOUR, SERIES, new_axes
from anemone_lib.plots.timeaxis import set_time_axis
from anemone_lib.soundscape.noise import NoiseContext


def plot_noise(context: NoiseContext, *, duration: float, ax: Axes | None = None) -> Axes:
    """Draw the level of each band over time, and the level above which faint calls are masked.

    Parameters
    ----------
    context : NoiseContext
    duration : float, of the recording, in seconds
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from anemone_lib.simulation import write_recording
    >>> path = Path(mkdtemp(), "reef.wav")
    >>> truth = write_recording(path, duration=10, seed=4, sample_rate=16_000, bouts_per_minute=6)
    >>> from anemone_lib import open_recording
    >>> from anemone_lib.soundscape import describe_noise
    >>> with open_recording(path) as recording:
    ...     axes = plot_noise(describe_noise(recording), duration=recording.duration)
    >>> len(axes.lines) > 0
    True
    """
    ax = ax or new_axes((10, 3.5))
    colours = {"calls": EVENT_COLOUR, "below": RAW_COLOUR, "above": "#CC79A7", "shrimp": "#009E73"}
    styles = {"calls": "-", "below": "--", "above": "-.", "shrimp": ":"}
    for (name, levels), spare in zip(context.levels.items(), cycle(SERIES), strict=False):
        colour, style = colours.get(name, spare), styles.get(name, "-")
        if not np.isfinite(levels).any():  # the band is above half the sample rate
            continue
        width = 2.2 if name == "calls" else 1.4
        low, high = context.bands_hz[name]
        label = f"{name}, {low:g} to {high:g} Hz"
        ax.plot(context.times, levels, color=colour, linestyle=style, linewidth=width, label=label)
    if (limit := context.masking_level) is not None:
        label = f"above {limit:.0f} dB in their band, faint calls are masked"
        ax.axhline(limit, color=colours["calls"], linestyle=(0, (1, 2)), linewidth=1.2, label=label)
    set_time_axis(ax, 0, duration)
    ax.set_ylabel("Level (dB re full scale,\nuncalibrated)")
    ax.grid(alpha=0.3)
    ax.set_ylim(top=ax.get_ylim()[1] + 0.28 * np.ptp(ax.get_ylim()))  # room for the legend
    ax.legend(fontsize="small", ncols=3, loc="upper center")
    return ax
