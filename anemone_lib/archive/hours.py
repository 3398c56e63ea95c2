"""Events and effort counted by hour: rates are computed from this table.

*Conventions.* Hours are hours of the recorder's own clock, because a day on the reef follows it. If this clock differs
from UTC by half an hour, its hours begin at half past the hour in UTC. If clocks were changed for daylight saving, an
hour of the clock comes twice, with two starts in UTC, or not at all. Hours in which nothing was recorded have no row,
because nobody knows whether there were calls. Events and effort without a time of day are in no hour; `count_undated`
counts them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from anemone_lib.archive.sky import measure_moon_phase, measure_sun_altitude
from anemone_lib.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

HOUR_MS = 3_600_000


#: What an hour is known by.
KEY = ["site", "hour_utc", "hour_local"]


def count_hours(
    events: "pd.DataFrame",
    effort: "pd.DataFrame",
    *,
    classes: Sequence[str],
    noise: "pd.DataFrame | None" = None,
    places: Mapping[str, tuple[float, float]] | None = None,
) -> "pd.DataFrame":
    """Count events, and the seconds that were analysed, in every hour.

    Parameters
    ----------
    events, effort : pandas.DataFrame, with the columns of `anemone_lib.archive.tables`
    classes : sequence of str
        Every hour has a row for each, also where there is no event of it.
    noise : pandas.DataFrame, optional
        One row a minute: ``site``, ``start_utc``, ``start_local``, ``calls_db`` (the level in the band of the calls),
        ``reference`` (what 0 dB is), and ``class`` where the classes have bands of their own. Without it noise is null.
    places : mapping of site to (latitude, longitude), in degrees, optional
        Sites that are not there have no sun.

    Returns
    -------
    hours : pandas.DataFrame
        The columns of `anemone_lib.archive.schemas.HOURS`, by site, time and class. Of several recorders at a site the
        seconds add up, and so do the events, so that their quotient stays a rate.

    Examples
    --------
    >>> import pandas as pd
    >>> began, ended = pd.to_datetime(["2023-02-10T06:30", "2023-02-10T08:00"])
    >>> effort = pd.DataFrame({"site": ["reef"], "start_utc": [began.tz_localize("UTC")],
    ...     "end_utc": [ended.tz_localize("UTC")], "start_local": [began], "start_s": [0.0], "end_s": [5400.0],
    ...     "analysed": [True]})
    >>> events = pd.DataFrame(columns=["site", "start_utc", "end_utc", "start_local", "start_s", "end_s", "class"])
    >>> hours = count_hours(events, effort, classes=["anemonefish"])
    >>> hours[["hour_local", "effort_s", "events"]].values.tolist()
    [[Timestamp('2023-02-10 06:00:00'), 1800.0, 0], [Timestamp('2023-02-10 07:00:00'), 3600.0, 0]]
    """
    import pandas as pd

    pieces = _split_by_hour(effort.assign(analysed=effort["analysed"].astype(bool)), ["analysed"])
    heard = pieces["analysed"]
    seconds = pieces["seconds"]
    pieces = pieces.assign(effort_s=seconds.where(heard, 0.0), skipped_s=seconds.where(~heard, 0.0))
    listened = pieces.groupby(KEY, observed=True)[["effort_s", "skipped_s"]].sum().reset_index()
    hours = listened.merge(pd.DataFrame({"class": list(classes)}), how="cross")
    keys = [*KEY, "class"]
    hours = hours.merge(_count_events(events), how="left", on=keys)
    hours["events"] = hours["events"].fillna(0).astype("Int32")
    measured = "calls" in events and bool(events["calls"].notna().any() or not len(events))
    calls = hours["calls"].where((hours["events"] > 0) | (not measured), 0)
    hours["calls"] = calls.astype("Int32")
    occupied = hours.pop("occupied_s").fillna(0.0)
    hours["occupancy"] = (occupied / hours["effort_s"].where(hours["effort_s"] > 0)).clip(upper=1.0)
    summary = _summarise_noise(noise)
    hours = hours.merge(summary, how="left", on=[name for name in keys if name in summary])
    hours = _add_sky(hours, places or {})
    return hours.sort_values(keys, kind="stable", ignore_index=True)


def recount_events(hours: "pd.DataFrame", events: "pd.DataFrame", effort: "pd.DataFrame") -> "pd.DataFrame":
    """Count other events in the same hours, like events of a higher confidence, or events that a person confirmed.

    Parameters
    ----------
    hours : pandas.DataFrame, as `count_hours` gives it
    events : pandas.DataFrame, the events to count
    effort : pandas.DataFrame

    Returns
    -------
    hours : pandas.DataFrame
        With the same rows; events, calls and occupancy are new, all else is as it was.

    Examples
    --------
    >>> from anemone_lib.simulation.season import simulate_season
    >>> season = simulate_season(n_days=2, seed=1)
    >>> hours = count_hours(season.events, season.effort, classes=["anemonefish"])
    >>> sure = season.events[season.events["max_confidence"] > 0.9]
    >>> int(recount_events(hours, sure, season.effort)["events"].sum()) == len(sure)
    True
    """
    if hours.empty:
        return hours
    counted = ["events", "calls", "occupancy"]
    keys = [*KEY, "class"]
    new = count_hours(events, effort, classes=hours["class"].unique().tolist())[[*keys, *counted]]
    order = hours.columns
    return hours.drop(columns=counted).merge(new, how="left", on=keys)[order]


def choose_shown(hours: "pd.DataFrame", site: str = "", class_name: str = "") -> tuple[str, str]:
    """Choose the site and the class that are shown: those given or, if a name is empty, the first.

    Parameters
    ----------
    hours : pandas.DataFrame, as `count_hours` gives it
    site, class_name : str

    Returns
    -------
    site, class_name : str

    Raises
    ------
    ConfigError
        The hours do not have them, or there is no hour.

    Examples
    --------
    >>> import pandas as pd
    >>> choose_shown(pd.DataFrame({"site": ["north", "south"], "class": ["anemonefish", "anemonefish"]}))
    ('north', 'anemonefish')
    """
    if hours.empty:
        raise ConfigError(
            "no recording that was analysed has a start time, so there is nothing to show over time; run the archive "
            "again, and say with --start-time-format how dates are written in the names"
        )
    chosen = []
    for column, name in (("site", site), ("class", class_name)):
        names = sorted(hours[column].unique())
        if name and name not in names:
            raise ConfigError(f"{column} is {name!r}, which the tables do not have; they have {', '.join(names)}")
        chosen.append(name or names[0])
    return chosen[0], chosen[1]


def count_undated(events: "pd.DataFrame", effort: "pd.DataFrame") -> tuple[int, int, float]:
    """Count the events and the effort without a time of day, which are in no hour.

    Parameters
    ----------
    events, effort : pandas.DataFrame

    Returns
    -------
    n_recordings, n_events : int
    seconds : float, analysed

    Examples
    --------
    >>> import pandas as pd
    >>> effort = pd.DataFrame({"recording": ["a.wav"], "start_utc": [pd.NaT], "start_s": [0.0], "end_s": [60.0],
    ...     "analysed": [True]})
    >>> count_undated(pd.DataFrame({"start_utc": []}), effort)
    (1, 0, 60.0)
    """
    lost = effort[effort["start_utc"].isna() & effort["end_s"].notna()]
    heard = lost[lost["analysed"].astype(bool)]
    return (
        int(lost["recording"].nunique()),
        int(events["start_utc"].isna().sum()),
        float((heard["end_s"] - heard["start_s"]).sum()),
    )


def _split_by_hour(frame: "pd.DataFrame", keep: Sequence[str]) -> "pd.DataFrame":
    """Cut intervals at the full hours of their own clock: rows with `KEY`, `keep`, ``seconds``, and ``first``.

    Seconds are those of the recording; where its clock ran on through a pause of the recorder, they are spread over the
    time between.
    """
    import pandas as pd

    frame = frame[frame["start_utc"].notna()]
    begin = _to_milliseconds(frame["start_local"])
    offset = begin - _to_milliseconds(frame["start_utc"])
    end = begin + np.maximum(1, _to_milliseconds(frame["end_utc"]) - _to_milliseconds(frame["start_utc"]))
    first, count = begin // HOUR_MS, (end - 1) // HOUR_MS - begin // HOUR_MS + 1
    row = np.repeat(np.arange(len(frame)), count)
    number = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    hour = first[row] + number
    inside = np.minimum(end[row], (hour + 1) * HOUR_MS) - np.maximum(begin[row], hour * HOUR_MS)
    length = (frame["end_s"] - frame["start_s"]).to_numpy(float)
    pieces = frame[["site", *keep]].iloc[row].reset_index(drop=True)
    pieces["hour_utc"] = pd.to_datetime(hour * HOUR_MS - offset[row], unit="ms", utc=True).as_unit("ms")
    pieces["hour_local"] = pd.to_datetime(hour * HOUR_MS, unit="ms").as_unit("ms")
    pieces["seconds"] = inside / (end - begin)[row] * length[row]
    pieces["first"] = number == 0
    return pieces


def _count_events(events: "pd.DataFrame") -> "pd.DataFrame":
    """Events that begin in each hour, their calls, and the seconds of the hour that are in an event."""
    events = events.assign(calls=events.get("calls", np.nan))
    pieces = _split_by_hour(events, ["class", "calls"])
    keys = [*KEY, "class"]
    begun = pieces[pieces["first"]]
    known = begun.groupby(keys, observed=True)["calls"]
    counted = begun.groupby(keys, observed=True).size().rename("events").to_frame()
    # Calls of an hour are known where those of all its events are.
    counted["calls"] = known.sum().astype(float).where(known.count() == counted["events"])
    occupied = pieces.groupby(keys, observed=True)["seconds"].sum().rename("occupied_s")
    return counted.join(occupied, how="outer").reset_index()


def _summarise_noise(noise: "pd.DataFrame | None") -> "pd.DataFrame":
    """Percentiles of the level in the band of the calls over the minutes that begin in each hour."""
    import pandas as pd

    names = ["noise_low_db", "noise_db", "noise_high_db"]
    if noise is not None:
        noise = noise[noise["start_utc"].notna() & noise["calls_db"].notna()]
    if noise is None or not len(noise):
        nothing = {name: pd.Series(dtype=float) for name in names} | {"noise_reference": pd.Series(dtype=object)}
        stamps = {
            "hour_utc": pd.to_datetime([], utc=True).as_unit("ms"),
            "hour_local": pd.to_datetime([]).as_unit("ms"),
        }
        return pd.DataFrame({"site": pd.Series(dtype=object), **stamps, **nothing})
    local = _to_milliseconds(noise["start_local"])
    hour = local // HOUR_MS * HOUR_MS
    utc = hour - (local - _to_milliseconds(noise["start_utc"]))
    keyed = noise.assign(
        hour_utc=pd.to_datetime(utc, unit="ms", utc=True).as_unit("ms"),
        hour_local=pd.to_datetime(hour, unit="ms").as_unit("ms"),
    )
    groups = keyed.groupby([*KEY, "class"] if "class" in noise else KEY, observed=True)
    levels = groups["calls_db"].quantile([0.1, 0.5, 0.9]).unstack()
    levels.columns = pd.Index(names)
    # Levels with and without a calibration cannot be put together: such an hour has none.
    references = groups["reference"]
    levels[references.nunique() > 1] = np.nan
    levels["noise_reference"] = references.first().where(references.nunique() == 1)
    return levels.reset_index()


def _add_sky(hours: "pd.DataFrame", places: Mapping[str, tuple[float, float]]) -> "pd.DataFrame":
    """Add the sun in the middle of every hour, where the place is known, and the moon."""
    middle = hours["hour_utc"].dt.tz_localize(None).to_numpy("datetime64[ms]") + np.timedelta64(HOUR_MS // 2, "ms")
    times, at = np.unique(middle, return_inverse=True)
    phase, illumination = measure_moon_phase(times)
    altitude = np.full(len(hours), np.nan)
    for site, (latitude, longitude) in places.items():
        here = (hours["site"] == site).to_numpy()
        if here.any() and np.isfinite([latitude, longitude]).all():
            seen, where = np.unique(middle[here], return_inverse=True)
            altitude[here] = measure_sun_altitude(seen, latitude, longitude)[where]
    return hours.assign(
        sun_altitude_deg=altitude.round(2),
        moon_phase_deg=phase[at].round(1) % 360,
        moon_illumination=illumination[at].round(3),
    )


def _to_milliseconds(times: "pd.Series") -> np.ndarray:
    """Milliseconds since 1970 [shape=(n,)], int64, of times with or without a zone."""
    naive = times.dt.tz_localize(None) if getattr(times.dtype, "tz", None) is not None else times
    return naive.to_numpy("datetime64[ms]").astype(np.int64)
