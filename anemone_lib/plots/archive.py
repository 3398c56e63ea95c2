"""Figures of an archive: the times of recording, a comparison of sites, the long-term spectrum, verdicts.

*Conventions.* Every function draws into ``ax`` (a new figure without it) and returns the Axes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.patches import Patch

from anemone_lib.plots.axes import SERIES, SMOOTHED_COLOUR, THRESHOLD_COLOUR, new_axes
from anemone_lib.plots.season import NO_EFFORT_COLOUR
from anemone_lib.plots.timeaxis import set_date_axis


def plot_sites(
    names: Sequence[str],
    rate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    label: str = "Events an hour of effort",
    ax: Axes | None = None,
) -> Axes:
    """Draw one rate for each site, with its interval.

    Parameters
    ----------
    names : sequence of str
    rate, low, high : np.ndarray [shape=(n_sites,)]
    label : str
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> axes = plot_sites(["north", "south"], np.array([2.0, 1.0]), np.array([1.5, 0.5]), np.array([2.5, 1.7]))
    >>> [tick.get_text() for tick in axes.get_yticklabels()]
    ['north', 'south']
    """
    ax = ax or new_axes((5.6, 1.0 + 0.45 * len(names)))
    place = np.arange(len(names))
    ax.hlines(place, low, high, color=SMOOTHED_COLOUR, linewidth=6, alpha=0.35)
    ax.plot(rate, place, "o", color=SMOOTHED_COLOUR, markersize=7)
    ax.set_yticks(place, list(names))
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=f"{label} (bar: 95 % interval)")
    ax.set_xlim(left=0)
    ax.grid(alpha=0.3, axis="x")
    return ax


def plot_long_term_spectrum(
    levels_db: np.ndarray, times: np.ndarray, frequencies_hz: np.ndarray, *, label: str, ax: Axes | None = None
) -> Axes:
    """Draw the long-term spectral average: time from left to right, frequency upwards on a logarithmic axis.

    Parameters
    ----------
    levels_db : np.ndarray [shape=(n_times, n_bands)], NaN where nothing was recorded
    times : np.ndarray [shape=(n_times,)], datetime64, evenly spaced
    frequencies_hz : np.ndarray [shape=(n_bands + 1,)], edges of the bands
    label : str, of the scale of colours
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> times = np.arange("2023-02-01T00", "2023-02-01T05", dtype="M8[h]")
    >>> axes = plot_long_term_spectrum(np.zeros((5, 3)), times, np.array([10.0, 100, 1000, 5000]), label="Level (dB)")
    >>> axes.get_yscale()
    'log'
    """
    ax = ax or new_axes((10, 4.2))
    step = np.diff(times).min() if len(times) > 1 else np.timedelta64(1, "h")
    edges = date2num(np.r_[times, times[-1] + step])
    first = int(np.searchsorted(frequencies_hz, 10.0))
    shown, bands = levels_db[:, first:], frequencies_hz[first:]
    known = shown[np.isfinite(shown)]
    low, high = np.percentile(known, (1, 99.5)) if len(known) else (-100.0, -50.0)
    ax.set_facecolor(NO_EFFORT_COLOUR)
    mesh = ax.pcolormesh(
        edges, bands, np.ma.masked_invalid(shown.T), cmap="magma", vmin=low, vmax=max(high, low + 1), rasterized=True
    )
    ax.set_yscale("log")
    ax.set(ylabel="Frequency (Hz)", ylim=(bands[0], bands[-1]))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    set_date_axis(ax)
    ax.figure.colorbar(mesh, ax=ax, pad=0.015, extend="both").set_label(label)
    return ax


def plot_bands(dates: np.ndarray, levels: Mapping[str, np.ndarray], *, label: str, ax: Axes | None = None) -> Axes:
    """Draw the levels of several bands, day by day.

    Parameters
    ----------
    dates : np.ndarray [shape=(n_days,)], datetime64[D], without gaps
    levels : mapping of a band's name to np.ndarray [shape=(n_days,)], in dB; NaN where it is not known
    label : str, of the levels
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> axes = plot_bands(np.arange(3).astype("M8[D]"), {"calls": np.zeros(3)}, label="Level (dB)")
    >>> len(axes.lines)
    1
    """
    ax = ax or new_axes((10, 3.6))
    styles = zip(SERIES, ("-", "--", "-.", ":"), "os^D", strict=False)
    for (name, level), (colour, style, marker) in zip(levels.items(), styles, strict=False):
        if np.isfinite(level).any():
            ax.plot(date2num(dates), level, style, color=colour, marker=marker, markersize=3.5, label=name)
    ax.xaxis_date()
    set_date_axis(ax)
    ax.set_ylabel(label)
    ax.grid(alpha=0.3)
    ax.set_ylim(top=ax.get_ylim()[1] + 0.22 * np.ptp(ax.get_ylim()))  # room for the legend
    if ax.lines:
        ax.legend(fontsize="small", ncols=4, loc="upper center")
    return ax


def plot_third_octaves(
    centres_hz: np.ndarray,
    low: np.ndarray,
    median: np.ndarray,
    high: np.ndarray,
    *,
    label: str,
    band_hz: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the levels of third octaves: their median, and the range of four of five minutes.

    Parameters
    ----------
    centres_hz : np.ndarray [shape=(n_bands,)]
    low, median, high : np.ndarray [shape=(n_bands,)], 10th percentile, median and 90th percentile, in dB
    label : str, of the levels
    band_hz : (low, high), the band of the calls, which is shaded, optional
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> level = np.array([-60.0, -62.0])
    >>> axes = plot_third_octaves(np.array([100.0, 125.9]), level - 3, level, level + 3, label="Level (dB)")
    >>> axes.get_xscale()
    'log'
    """
    ax = ax or new_axes((5.6, 3.4))
    if band_hz is not None:
        ax.axvspan(*band_hz, color="#E8E8E8", zorder=0, label="band of the calls")
    ax.fill_between(centres_hz, low, high, color=SMOOTHED_COLOUR, alpha=0.25, linewidth=0, label="10 % to 90 %")
    ax.plot(centres_hz, median, "o-", color=SMOOTHED_COLOUR, markersize=3.5, label="median")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set(xlabel="Centre of the third octave (Hz)", ylabel=label)
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small", loc="best")
    return ax


def plot_timeline(
    intervals: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    skipped: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    label: str = "analysed",
    ax: Axes | None = None,
) -> Axes:
    """Draw the times of recording: one row for each site, grey between the first and the last recording of all.

    Parameters
    ----------
    intervals : mapping of site to (starts, ends), datetime64, the analysed intervals
    skipped : the same for intervals that were recorded and could not be analysed, optional
    label : str, name of `intervals` in the legend
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> day = np.array(["2023-02-01", "2023-02-03"], "M8[h]")
    >>> axes = plot_timeline({"north": (day, day + np.timedelta64(24, "h"))})
    >>> axes.get_yticklabels()[0].get_text()
    'north'
    """
    ax = ax or new_axes((10, 1.1 + 0.42 * max(1, len(intervals))))
    layers = ((intervals, "#009E73", label), (skipped or {}, THRESHOLD_COLOUR, "skipped"))
    edges = np.concatenate(
        [date2num(edge) for source, _, _ in layers for pair in source.values() for edge in pair] or [[]]
    )
    handles = []
    if len(edges):
        for place in range(len(intervals)):
            ax.broken_barh([(edges.min(), np.ptp(edges))], (place - 0.34, 0.68), color=NO_EFFORT_COLOUR)
    for source, colour, name in layers:
        for place, site in enumerate(intervals):
            if site in source and len(source[site][0]):
                starts, ends = (date2num(edge) for edge in source[site])
                spans = list(zip(starts, np.maximum(ends - starts, 1e-6), strict=True))
                ax.broken_barh(spans, (place - 0.34, 0.68), color=colour)
        if any(len(pair[0]) for pair in source.values()):
            handles.append(Patch(color=colour, label=name))
    handles.append(Patch(facecolor=NO_EFFORT_COLOUR, label="not recorded"))
    ax.set_yticks(range(len(intervals)), list(intervals))
    ax.set_ylim(max(1, len(intervals)) - 0.5, -0.5)
    ax.xaxis_date()
    set_date_axis(ax)
    ax.legend(handles=handles, fontsize="small", ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return ax


def plot_precision_curve(
    confidences: np.ndarray,
    precision: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    threshold: float | None = None,
    target_precision: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often events of a confidence are calls, by the verdicts of a review.

    Parameters
    ----------
    confidences, precision, low, high : np.ndarray [shape=(n,)], 0 to 1
    threshold, target_precision : float, the lowest confidence with this precision, and the precision, optional
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> half = np.full(3, 0.5)
    >>> axes = plot_precision_curve(np.array([0.2, 0.5, 0.9]), half, half - 0.1, half + 0.1)
    >>> axes.get_xlabel()
    'Confidence of the event'
    """
    ax = ax or new_axes((5.6, 3.4))
    ax.fill_between(confidences, low, high, color=SMOOTHED_COLOUR, alpha=0.25, linewidth=0, label="95 % interval")
    ax.plot(confidences, precision, color=SMOOTHED_COLOUR, linewidth=2, label="estimated")
    if threshold is not None and target_precision is not None:
        ax.plot(
            threshold,
            target_precision,
            "o",
            color=THRESHOLD_COLOUR,
            label=f"{target_precision:.0%} from {threshold:.2f} on",
        )
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Confidence of the event", ylabel="Part of the events that are calls")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small", loc="best")
    return ax
