"""Figures of a season: the hours of all days, the course over the day and over the season.

*Conventions.* Every function takes arrays, draws into ``ax`` (a new figure without it) and returns the Axes. Hours are
those of the recorder's own clock. Hours without a recording are grey and never zero.
"""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, to_rgba
from matplotlib.dates import date2num
from matplotlib.patches import Patch

from anemone_lib.plots.axes import SMOOTHED_COLOUR, new_axes
from anemone_lib.plots.timeaxis import set_date_axis

#: Grey of hours without a recording, which is no colour of the scale.
NO_EFFORT_COLOUR = "#C8C8C8"


NIGHT_COLOUR = "#E4E8F1"


#: Days to the left and right of a season's first and last in a figure.
_HALF_DAY = 0.5


def plot_hours(
    values: np.ndarray,
    dates: np.ndarray,
    *,
    label: str,
    masked: np.ndarray | None = None,
    sunrise: np.ndarray | None = None,
    sunset: np.ndarray | None = None,
    moon: np.ndarray | None = None,
    colours: str = "viridis",
    from_zero: bool = True,
    hatch_colour: str = "white",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a value of every hour: days from left to right, hours of the day upwards.

    Parameters
    ----------
    values : np.ndarray [shape=(n_days, 24)], NaN without effort
    dates : np.ndarray [shape=(n_days,)], datetime64[D], without gaps
    label : str, of the scale of colours
    masked : np.ndarray of bool [shape=(n_days, 24)], optional
        Hatched: hours in which a call could not have been heard.
    sunrise, sunset : np.ndarray [shape=(n_days,)], hours of the day, optional
    moon : np.ndarray [shape=(n_days,)], part of the disc that is lit, 0 to 1, optional
        Drawn in a strip above.
    colours : str, a colour map of matplotlib
    from_zero : bool, whether the scale begins at 0
    hatch_colour : str, a colour with contrast to `colours`
    title : str, optional
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    ax : matplotlib.axes.Axes

    Examples
    --------
    >>> dates = np.arange("2023-02-01", "2023-02-11", dtype="M8[D]")
    >>> rates = np.ones((10, 24))
    >>> rates[3] = np.nan
    >>> axes = plot_hours(rates, dates, label="Events an hour of effort")
    >>> axes.get_ylabel()
    'Hour of the day'
    """
    ax = ax or new_axes((10, 4.2))
    edges = _compute_edges(dates)
    known = values[np.isfinite(values)]
    low, high = (
        (0.0 if from_zero else float(known.min(initial=0)), 1.0) if not len(known) else _choose_limits(known, from_zero)
    )
    ax.set_facecolor(NO_EFFORT_COLOUR)
    mesh = ax.pcolormesh(
        edges, np.arange(25), np.ma.masked_invalid(values.T), cmap=colours, vmin=low, vmax=high, rasterized=True
    )
    handles: list[Artist] = []
    if not np.isfinite(values).all():
        handles.append(Patch(facecolor=NO_EFFORT_COLOUR, edgecolor="#777777", label="not recorded"))
    if masked is not None and masked.any():
        _hatch(ax, edges, masked, hatch_colour)
        handles.append(
            Patch(facecolor="#555555", edgecolor="white", hatch="////", label="too loud to hear the reference call")
        )
    for times, name, style in ((sunrise, "sunrise", "-"), (sunset, "sunset", "--")):
        if times is not None and np.isfinite(times).any():
            # A dark line below the light one is seen on every colour.
            ax.plot(date2num(dates), times, color="black", linewidth=3.2, linestyle=style)
            handles += ax.plot(date2num(dates), times, color="white", linewidth=1.6, linestyle=style, label=name)
    ax.set(ylim=(0, 24), xlim=(edges[0], edges[-1]), ylabel="Hour of the day")
    ax.set_yticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    set_date_axis(ax)
    over = "max" if len(known) and known.max() > high else "neither"
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.015, extend=over)
    bar.set_label(label)
    if moon is not None:
        _add_moon(ax, dates, moon)
    if title:
        ax.set_title(title, loc="left", fontsize="medium", pad=30 if moon is not None else 6)
    if handles:
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0, -0.16),
            ncols=4,
            framealpha=1,
            facecolor="#595959",
            labelcolor="white",
            fontsize="small",
        )
    return ax


def plot_diel(
    rate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    sunrise: float | None = None,
    sunset: float | None = None,
    label: str = "Events an hour of effort",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the rate in each hour of the day with its interval, the night shaded.

    Parameters
    ----------
    rate, low, high : np.ndarray [shape=(24,)], NaN where it is not known
        Hours without a rate are grey.
    sunrise, sunset : float, mean hours of the day, optional
    label : str, of the rate
    title : str, optional
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> rate = np.linspace(1, 3, 24)
    >>> axes = plot_diel(rate, rate - 0.5, rate + 0.5, sunrise=6.2, sunset=18.1)
    >>> axes.get_xlabel()
    "Hour of the day (recorder's clock)"
    """
    ax = ax or new_axes((5.6, 3.4))
    edges = np.arange(25)
    if sunrise is not None and sunset is not None and np.isfinite([sunrise, sunset]).all():
        for number, (start, end) in enumerate(_find_night(sunrise, sunset)):
            ax.axvspan(start, end, color=NIGHT_COLOUR, zorder=0, label="night" if number == 0 else None)
    none = ~np.isfinite(rate)
    for number, hour in enumerate(np.flatnonzero(none).tolist()):
        ax.axvspan(hour, hour + 1, color=NO_EFFORT_COLOUR, zorder=0.5, label="not recorded" if number == 0 else None)
    middle = np.arange(24) + 0.5
    ax.stairs(np.where(none, np.nan, rate), edges, color=SMOOTHED_COLOUR, linewidth=1.8, baseline=None, label="rate")
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        ax.vlines(
            middle[known],
            low[known],
            high[known],
            color=SMOOTHED_COLOUR,
            linewidth=5,
            alpha=0.35,
            label="95 % interval",
        )
    ax.set(xlim=(0, 24), xlabel="Hour of the day (recorder's clock)", ylabel=label)
    ax.set_xticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    top = np.nanmax(np.r_[rate[~none], high[known], 0.0])
    ax.set_ylim(0, 1.3 * top if top > 0 else 1.0)
    ax.grid(alpha=0.3, axis="y")
    ax.set_title(title, loc="left", fontsize="medium")
    ax.legend(fontsize="small", ncols=4, loc="upper center")
    return ax


def plot_season(
    dates: np.ndarray,
    rate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    daily: np.ndarray,
    effort_h: np.ndarray,
    label: str = "Events an hour of effort",
    moon: np.ndarray | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the rate around each day with its interval, and each day by itself.

    Parameters
    ----------
    dates : np.ndarray [shape=(n_days,)], datetime64[D], without gaps
    rate, low, high : np.ndarray [shape=(n_days,)], of the running mean
    daily : np.ndarray [shape=(n_days,)], rate of the day alone
    effort_h : np.ndarray [shape=(n_days,)], hours of effort; days with less than 12 are hollow
    label : str, of the rate
    moon : np.ndarray [shape=(n_days,)], part of the disc that is lit, 0 to 1, optional
    title : str, optional
    ax : matplotlib.axes.Axes, optional

    Examples
    --------
    >>> dates = np.arange("2023-02-01", "2023-02-11", dtype="M8[D]")
    >>> one = np.ones(10)
    >>> axes = plot_season(dates, one, one / 2, one * 2, daily=one, effort_h=24 * one)
    >>> axes.get_ylabel()
    'Events an hour of effort'
    """
    ax = ax or new_axes((10, 3.6))
    x = date2num(dates)
    for number, (start, end) in enumerate(_find_runs(effort_h == 0)):
        ax.axvspan(
            x[start] - _HALF_DAY,
            x[end - 1] + _HALF_DAY,
            color=NO_EFFORT_COLOUR,
            zorder=0,
            label="not recorded" if number == 0 else None,
        )
    ax.fill_between(x, low, high, color=SMOOTHED_COLOUR, alpha=0.25, linewidth=0, label="95 % interval")
    ax.plot(x, rate, color=SMOOTHED_COLOUR, linewidth=2, label="mean of 7 days")
    whole = effort_h >= 12
    for chosen, face, name in ((whole, "#444444", "one day"), (~whole, "white", "one day, less than 12 h recorded")):
        if (chosen & np.isfinite(daily)).any():
            ax.plot(
                x[chosen],
                daily[chosen],
                "o",
                clip_on=False,
                markersize=4.5,
                color="#444444",
                markerfacecolor=face,
                label=name,
                zorder=3,
            )
    top = max(values[np.isfinite(values)].max(initial=0.0) for values in (daily, rate))
    # Intervals from two or three days can be very long, so they may go beyond the figure.
    top = max(top, min(high[np.isfinite(high)].max(initial=0.0), 2.5 * top))
    ax.set(xlim=(x[0] - _HALF_DAY, x[-1] + _HALF_DAY), ylim=(0, 1.28 * top if top > 0 else 1.0), ylabel=label)
    ax.grid(alpha=0.3, axis="y")
    set_date_axis(ax)
    if moon is not None:
        _add_moon(ax, dates, moon)
    if title:
        ax.set_title(title, loc="left", fontsize="medium", pad=30 if moon is not None else 6)
    ax.legend(fontsize="small", ncols=5, loc="upper center")
    return ax


# ---------------------------------------------------------------------- inside


def _choose_limits(known: np.ndarray, from_zero: bool) -> tuple[float, float]:
    """Choose the ends of a scale of colours, so that the highest hundredth does not make all others dark."""
    if not len(known):
        return 0.0, 1.0
    if from_zero:
        high = float(np.percentile(known, 99))
        return 0.0, high or float(known.max()) or 1.0
    low, high = (float(value) for value in np.percentile(known, (1, 99)))
    return low, max(high, low + 1)


def _compute_edges(dates: np.ndarray) -> np.ndarray:
    days = date2num(dates)
    return np.r_[days - _HALF_DAY, days[-1] + _HALF_DAY]


def _hatch(ax: Axes, edges: np.ndarray, masked: np.ndarray, colour: str) -> None:
    """Hatch cells; consecutive hours of a day are one patch."""
    clear: Colormap = ListedColormap(["none"])
    mesh = ax.pcolor(edges, np.arange(25), np.ma.masked_where(~masked.T, np.zeros(masked.T.shape)), cmap=clear)
    mesh.set(hatch="////", edgecolor=to_rgba(colour, 0.75), linewidth=0)


def _find_night(sunrise: float, sunset: float) -> list[tuple[float, float]]:
    """Return the hours of the night between 0 and 24, for clocks of any offset."""
    return [(0.0, sunrise), (sunset, 24.0)] if sunrise < sunset else [(sunset, sunrise)]


def _find_runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of True as [start, end)."""
    steps = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(int)))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def _add_moon(ax: Axes, dates: np.ndarray, moon: np.ndarray) -> None:
    """Draw the lit part of the moon in a strip above the axes; full and new moons are marked."""
    strip = ax.inset_axes((0, 1.02, 1, 0.085), sharex=ax)
    x = date2num(dates)
    strip.set_facecolor("#22263A")
    strip.fill_between(x, 0, moon, color="#F4E8B8", linewidth=0, step="mid")
    strip.set(ylim=(0, 1), yticks=[], ylabel="moon lit")
    strip.yaxis.label.set(rotation=0, ha="right", va="center", fontsize="small")
    strip.tick_params(axis="x", bottom=False, labelbottom=False)
    strip.set_xlim(ax.get_xlim())
