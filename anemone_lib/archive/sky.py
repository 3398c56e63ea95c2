"""The position of the sun and the phase of the moon, by the library astral: its errors are minutes and a degree or two.

*Conventions.* Places are in degrees, north and east positive. The phase of the moon is its elongation from the sun in
degrees: 0 is new, 90 the first quarter, 180 full, 270 the last quarter; it is the same everywhere on Earth.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np

MILLISECONDS_A_DAY = 86_400_000


def measure_sun_altitude(times: np.ndarray, latitude: float, longitude: float) -> np.ndarray:
    """Compute the altitude of the sun.

    Parameters
    ----------
    times : np.ndarray [shape=(n,)], datetime64, in UTC
    latitude, longitude : float, in degrees

    Returns
    -------
    altitude : np.ndarray [shape=(n,)], in degrees above the horizon, negative below

    Examples
    --------
    Noon of the equinox on the equator, and midnight:

    >>> measure_sun_altitude(np.array(["2023-03-20T12:07", "2023-03-20T00:00"], "M8[ms]"), 0.0, 0.0).round().tolist()
    [90.0, -88.0]
    """
    from astral import Observer
    from astral.sun import elevation

    observer = Observer(latitude, longitude)
    moments = times.astype("datetime64[ms]").tolist()
    return np.array([elevation(observer, moment.replace(tzinfo=UTC)) for moment in moments], float)


def measure_moon_phase(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the phase of the moon, and which part of its disc is lit.

    Parameters
    ----------
    times : np.ndarray [shape=(n,)], datetime64, in UTC

    Returns
    -------
    phase : np.ndarray [shape=(n,)], in degrees, 0 up to 360
    illumination : np.ndarray [shape=(n,)], 0 to 1

    Examples
    --------
    The full moon of 5 February 2023 was at 18:29 UTC:

    >>> phase, illumination = measure_moon_phase(np.array(["2023-02-05T18:29"], "M8[ms]"))
    >>> bool(abs(phase[0] - 180) < 3), illumination.round(2).tolist()
    (True, [1.0])
    """
    from astral.moon import phase as read_phase

    if not len(times):
        return np.zeros(0), np.zeros(0)
    # astral knows the phase at noon of each day, in days of a month of 28; between noons it grows evenly.
    days = times.astype("datetime64[ms]").astype(np.int64) / MILLISECONDS_A_DAY - 0.5
    first, last = int(np.floor(days.min())), int(np.floor(days.max())) + 1
    noons = np.arange(first, last + 1)
    phases = [read_phase(date(1970, 1, 1) + timedelta(days=int(day))) * 360 / 28 for day in noons]
    phase = np.interp(days, noons, np.unwrap(phases, period=360)) % 360
    return phase, (1 - np.cos(np.deg2rad(phase))) / 2


def find_sun_times(
    dates: Sequence[date], latitude: float, longitude: float, *, offset_hours: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find when the sun rises and sets, by a clock with a constant offset from UTC.

    Parameters
    ----------
    dates : sequence of datetime.date, days of that clock
    latitude, longitude : float, in degrees
    offset_hours : float, of the clock from UTC

    Returns
    -------
    sunrise, sunset : np.ndarray [shape=(n_dates,)], in hours of the day, 0 to 24
        NaN on days on which the sun does not rise, or does not set.

    Examples
    --------
    >>> sunrise, sunset = find_sun_times([date(2023, 2, 1)], -19.25, 146.8, offset_hours=10)  # Townsville
    >>> sunrise.round(1).tolist(), sunset.round(1).tolist()
    ([6.0], [18.9])
    """
    from astral import Observer
    from astral.sun import sunrise, sunset

    observer, zone = Observer(latitude, longitude), timezone(timedelta(hours=offset_hours))

    def find_hour(event: Callable[..., datetime], day: date) -> float:
        try:
            moment = event(observer, day, tzinfo=zone)
        except ValueError:  # the sun stays above the horizon, or below it
            return float("nan")
        return moment.hour + moment.minute / 60 + moment.second / 3600

    rises, sets = ([find_hour(event, day) for day in dates] for event in (sunrise, sunset))
    return np.array(rises, float), np.array(sets, float)
