"""The tables of a season with a known course over the day: for tests and examples that have no season of their own.

*Conventions.* Only tables are made, no sound. The true rate of an hour is that of its site, times the course over the
day, times a factor that differs from day to day; events follow it by chance. Recorders break down and start again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anemone_lib.errors import ConfigError
from anemone_lib.soundscape.minutes import lay_millidecades, lay_third_octaves

if TYPE_CHECKING:
    import pandas as pd

#: Calls an hour over the day, relative to their mean: at dawn, and less at dusk, as damselfish chorus. Chosen.
DIEL = np.array(
    [
        0.2,
        0.2,
        0.2,
        0.3,
        0.8,
        2.6,
        4.2,
        2.9,
        1.4,
        0.9,
        0.7,
        0.6,
        0.5,
        0.5,
        0.6,
        0.8,
        1.2,
        2.1,
        2.2,
        0.9,
        0.4,
        0.3,
        0.3,
        0.2,
    ]
)


#: Level of the noise in the band of the calls over the day, in dB re full scale: boats from 8 to 16 h. Chosen.
NOISE_DB = np.where((np.arange(24) >= 8) & (np.arange(24) < 16), -58.0, -66.0)


@dataclass(frozen=True, eq=False)
class SimulatedSeason:
    """The tables of a simulated season, and its true rates.

    Attributes
    ----------
    events, effort, noise : pandas.DataFrame, with the columns of an archive's tables that the counting of hours reads
    true_rates : dict of np.ndarray [shape=(24,)], expected events per hour of effort, by site

    Examples
    --------
    >>> simulate_season(n_days=2, seed=1).true_rates["north"].shape
    (24,)
    """

    events: "pd.DataFrame"
    effort: "pd.DataFrame"
    noise: "pd.DataFrame"
    true_rates: dict[str, np.ndarray]


def simulate_season(
    *,
    n_days: int,
    seed: int,
    sites: dict[str, float] | None = None,
    first_day: str = "2023-02-01",
    offset_hours: float = 9.0,
    day_spread: float = 0.4,
    outage: float = 0.03,
) -> SimulatedSeason:
    """Simulate the tables of a season: recordings of an hour each, around the clock.

    Parameters
    ----------
    n_days : int > 0
    seed : int >= 0
    sites : dict of site to its mean rate in events an hour, optional
        By default ``{"north": 6.0, "south": 3.0}``.
    first_day : str, the first day of the recorders' clock
    offset_hours : float, of the recorders' clock from UTC
    day_spread : float >= 0, standard deviation of the factor of a day, whose mean is 1
    outage : float in [0, 1), part of the days on which a recorder breaks down, for 6 to 30 hours

    Returns
    -------
    season : SimulatedSeason

    Examples
    --------
    >>> season = simulate_season(n_days=3, seed=1, outage=0)
    >>> len(season.effort), sorted(season.events["site"].unique())
    (144, ['north', 'south'])
    """
    import pandas as pd

    if n_days < 1:
        raise ConfigError(f"n_days is {n_days}; a season has at least one")
    rng = np.random.default_rng(seed)
    rates = {"north": 6.0, "south": 3.0} if sites is None else sites
    parts: dict[str, list[pd.DataFrame]] = {"events": [], "effort": [], "noise": []}
    for site, mean in rates.items():
        rate = mean * DIEL / DIEL.mean()
        hour = np.arange(n_days * 24)
        of_day = rng.gamma(1 / day_spread**2, day_spread**2, n_days) if day_spread else np.ones(n_days)
        kept = _leave_out(hour, rng, outage, n_days)
        count = rng.poisson(rate[hour % 24] * of_day[hour // 24])[kept]
        hour = hour[kept]
        name = np.array([f"{site}/{day}.wav" for day in _name_hours(first_day, hour)])
        whole = _stamp(hour * 3600.0, np.full(len(hour), 3600.0), first_day, offset_hours)
        parts["effort"].append(
            pd.DataFrame({"site": site, "recording": name, **whole, "start_s": 0.0, "end_s": 3600.0, "analysed": True})
        )
        at = np.sort(rng.uniform(0, 3590, count.sum()))
        row = np.repeat(np.arange(len(hour)), count)
        length = rng.uniform(0.6, 3.0, len(row))
        found = _stamp(hour[row] * 3600 + at, length, first_day, offset_hours)
        confidence = 0.5 + 0.5 * rng.beta(1.5, 1.5, len(row))
        about = {"class": "anemonefish", "confidence": 0.9 * confidence, "max_confidence": confidence}
        spans = {"start_s": at, "end_s": at + length}
        parts["events"].append(pd.DataFrame({"site": site, "recording": name[row], **found, **spans, **about}))
        minute = np.repeat(hour * 60, 12) + np.tile(np.arange(0, 60, 5), len(hour))
        level = NOISE_DB[minute // 60 % 24] + rng.normal(0, 2.5, n_days)[minute // 1440] + rng.normal(0, 1, len(minute))
        stamps = _stamp(minute * 60.0, np.full(len(minute), 60.0), first_day, offset_hours)
        parts["noise"].append(pd.DataFrame({"site": site, **stamps, "calls_db": level, "reference": "full scale"}))
    tables = {key: pd.concat(frames, ignore_index=True) for key, frames in parts.items()}
    tables["events"].insert(0, "id", [f"e{number:06d}" for number in range(len(tables["events"]))])
    truth = {site: mean * DIEL / DIEL.mean() for site, mean in rates.items()}
    return SimulatedSeason(tables["events"], tables["effort"], tables["noise"], truth)


def simulate_minutes(season: SimulatedSeason, *, sample_rate: int = 8000, seed: int = 0) -> "pd.DataFrame":
    """Simulate the table of minutes of a season, one minute of each hour: waves, boats by day, and shrimp by night.

    Parameters
    ----------
    season : SimulatedSeason, which gives the noise in the band of the calls
    sample_rate : int > 0, in Hz
    seed : int >= 0

    Returns
    -------
    minutes : pandas.DataFrame
        With the columns of `anemone_lib.archive.schemas.MINUTES`.

    Examples
    --------
    >>> minutes = simulate_minutes(simulate_season(n_days=1, seed=1, outage=0), sample_rate=2000)
    >>> len(minutes), len(minutes["millidecades_db"][0]), bool(minutes["shrimp_db"].isna().all())
    (48, 797, True)
    """
    rng = np.random.default_rng(seed)
    noise = season.noise.iloc[::12].reset_index(drop=True)
    edges = lay_millidecades(sample_rate / 2)
    middle = np.maximum(0.5, (edges[1:] + edges[:-1]) / 2)
    hour = noise["start_local"].dt.hour.to_numpy()[:, None]
    boats = np.where((hour >= 8) & (hour < 16), 12.0, 0.0) * np.exp(-0.5 * (np.log2(middle / 250) / 1.2) ** 2)
    shrimp = np.where((hour < 6) | (hour >= 18), 9.0, 5.0) / (1 + np.exp(-4 * np.log2(middle / 2200)))
    levels = -17 * np.log10(middle / 500) + boats + shrimp + rng.normal(0, 0.5, (len(noise), len(middle)))
    levels += noise["calls_db"].to_numpy()[:, None] - _add_up(levels, edges, [(300.0, 1000.0)])
    _, octaves_hz = lay_third_octaves(sample_rate / 2)
    thirds = _add_up(levels, edges, octaves_hz)
    bands = {"below_db": (20.0, 300.0), "above_db": (1000.0, 2000.0), "shrimp_db": (2000.0, 20_000.0)}
    return noise.assign(
        recording=noise["site"] + "/simulated.wav",
        start_s=0.0,
        seconds=60.0,
        sample_rate_hz=sample_rate,
        **{
            name: _add_up(levels, edges, [band])[:, 0] if band[0] < sample_rate / 2 else np.nan
            for name, band in bands.items()
        },
        third_octaves_db=list(thirds.astype(np.float32)),
        millidecades_db=list(levels.astype(np.float32)),
    )


def _add_up(levels: np.ndarray, edges: np.ndarray, bands_hz: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """Return the levels of wider bands [shape=(n_minutes, n_bands)]."""
    inside = np.diff(np.clip(edges[None], *np.array(bands_hz).T[..., None]), axis=1)
    return 10 * np.log10(10 ** (levels / 10) @ inside.T)


def _leave_out(hour: np.ndarray, rng: np.random.Generator, outage: float, n_days: int) -> np.ndarray:
    """Mark the hours that were recorded."""
    kept = np.ones(len(hour), bool)
    for start in np.flatnonzero(rng.random(n_days) < outage) * 24:
        begin = start + int(rng.integers(0, 24))
        kept[begin : begin + int(rng.integers(6, 31))] = False
    return kept


def _name_hours(first_day: str, hour: np.ndarray) -> list[str]:
    stamps = np.datetime64(first_day, "h") + hour
    return [stamp.strftime("%Y%m%d_%H%M%S") for stamp in stamps.astype("M8[s]").tolist()]


def _stamp(seconds: np.ndarray, length: np.ndarray, first_day: str, offset_hours: float) -> dict[str, "pd.Series"]:
    """Return start and end, in UTC and by the recorder's clock, from seconds since the first midnight of that clock."""
    import pandas as pd

    begin = np.datetime64(first_day, "ms") + np.round(1000 * seconds).astype("m8[ms]")
    stamps: dict[str, pd.Series] = {}
    for edge, local in (("start", begin), ("end", begin + np.round(1000 * length).astype("m8[ms]"))):
        utc = local - np.timedelta64(round(3_600_000 * offset_hours), "ms")
        stamps[f"{edge}_utc"] = pd.Series(utc).dt.tz_localize("UTC")
        stamps[f"{edge}_local"] = pd.Series(local)
    return stamps
