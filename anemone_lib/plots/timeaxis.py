"""Time axes in seconds, minutes or hours, and the time of day."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, num2date
from matplotlib.ticker import FuncFormatter, MultipleLocator

from anemone_lib.audio.clock import spell_offset
from anemone_lib.audio.gaps import Pause, add_pauses
from anemone_lib.errors import spell_count

# Seconds between two ticks: round numbers, and from a minute on the numbers of a clock.
_STEPS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400),
)


#: Inches that the label of a tick needs: a fixed part, and a part for each character.
LABEL_INCHES, CHARACTER_INCHES = 0.4, 0.06


def format_time(seconds: float, *, longest: float, step: float = 1.0) -> str:
    """Write a time in the unit of the times beside it: ``12.5``, ``2:05.0`` or ``1:02``.

    Parameters
    ----------
    seconds : float
    longest : float, in seconds
        The latest of the times: seconds below two minutes, ``min:s`` below an hour, otherwise ``h:min`` or ``h:min:s``.
    step : float > 0, in seconds
        Smallest difference to show: decimals below 1, and from 60 on no seconds beside hours.

    Examples
    --------
    >>> format_time(125, longest=600), format_time(3725, longest=7200, step=600)
    ('2:05', '1:02')
    """
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9))
    units = round(seconds * 10**decimals)  # rounded once, so that 59.96 never becomes 0:60.0
    whole, fraction = divmod(abs(units), 10**decimals)
    sign, tail = "−" * (units < 0), f".{fraction:0{decimals}d}" if decimals else ""
    if longest < 120:
        return f"{sign}{whole}{tail}"
    minutes, whole = divmod(whole, 60)
    if longest < 3600:
        return f"{sign}{minutes}:{whole:02d}{tail}"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02d}" + (f":{whole:02d}{tail}" if step < 60 else "")


def set_time_axis(ax: Axes, start_time: float, end_time: float) -> None:
    """Let the horizontal axis show `start_time` to `end_time`, in seconds, with round ticks in a fitting unit."""
    step = _step(end_time - start_time, ax, len(format_time(end_time, longest=end_time)))
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: format_time(seconds, longest=end_time, step=step)))
    ax.set_xlim(start_time, end_time)
    unit = "s" if end_time < 120 else "min:s" if end_time < 3600 else "h:min" if step >= 60 else "h:min:s"
    ax.set_xlabel(f"Time ({unit})")


def add_clock_axis(ax: Axes, start_time: float, end_time: float, began: datetime, pauses: Sequence[Pause] = ()) -> None:
    """Show the time of day above the axes, by the clock of a recording that began at `began`, and name its offset.

    It is the clock of ``start_local`` in tables. At a pause of the recorder it jumps, and a tick shows the new time.
    """
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
    seconds = (began - midnight).total_seconds()
    step = max(1, _step(end_time - start_time, ax, len("12:34:56")))
    resumed = [pause.time for pause in pauses if start_time < pause.time < end_time]
    ticks: list[float] = []
    for tick in [*resumed, *_find_round_times([start_time, *resumed, end_time], seconds, step, pauses)]:
        if not resumed or all(abs(tick - other) >= 0.8 * step for other in ticks):
            ticks.append(tick)
    layout = ("%H:%M" if step >= 60 and not resumed else "%H:%M:%S") if step < 43_200 else "%m-%d %H:%M"
    clock = ax.secondary_xaxis("top")
    clock.set_xticks(
        ticks,
        [(began + timedelta(seconds=add_pauses(tick, pauses))).strftime(layout) for tick in ticks],
        fontsize="small",
    )
    first_shown = began + timedelta(seconds=add_pauses(start_time, pauses))
    jumps = f", {spell_count(len(resumed), 'pause')}" if resumed else ""
    clock.set_xlabel(f"{spell_offset(began)}, from {first_shown:%Y-%m-%d %H:%M:%S}{jumps}", fontsize="small")


def _find_round_times(edges: Sequence[float], seconds: float, step: float, pauses: Sequence[Pause]) -> list[float]:
    """Find the seconds at which the clock shows multiples of `step`; the inner `edges` are pauses."""
    found: list[float] = []
    for start, end in pairwise(edges):
        shift = seconds + add_pauses(start, pauses) - start
        first, last = math.ceil((start + shift) / step), math.floor((end + shift) / step)
        found += (np.arange(first, last + 1) * step - shift).tolist()
    return found


def set_date_axis(ax: Axes) -> None:
    """Let the horizontal axis, whose unit is a day of matplotlib, show dates, and name their year below it."""
    first, last = (num2date(edge) for edge in ax.get_xlim())
    locator = AutoDateLocator(minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    span = last - first
    layout = "%d %b\n%H:%M" if span < timedelta(days=3) else "%d %b" if span < timedelta(days=400) else "%b %Y"
    ax.xaxis.set_major_formatter(DateFormatter(layout))
    years = f"{first:%Y}" if first.year == last.year else f"{first:%Y} to {last:%Y}"
    ax.set_xlabel(f"Date, {years}")


def _step(span: float, ax: Axes, characters: int) -> float:
    """Return the seconds between ticks, so that labels of `characters` characters have room."""
    width = ax.get_window_extent().width / ax.figure.dpi
    count = max(2, int(width / (LABEL_INCHES + characters * CHARACTER_INCHES)))
    return next((step for step in _STEPS if span / step <= count), _STEPS[-1] * math.ceil(span / _STEPS[-1] / count))
