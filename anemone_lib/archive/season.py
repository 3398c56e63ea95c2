"""Rates over the day and over the season, with intervals, and sites compared: statistics on the table of hours.

*Conventions.* A rate is the number of events divided by hours of effort; hours without effort have no rate, and it is
not zero. Intervals show how much days differ: days are drawn at random, in blocks of days that follow each other,
because one day is similar to the next (circular block bootstrap, Politis & Romano 1992; blocks of the cube root of the
number of days). If there are few blocks, percentiles are widened as for Student's t (Hesterberg 2015,
doi:10.1080/00031305.2015.1089789). An interval is never narrower than chance alone makes it (Poisson: Garwood 1936):
ten hours without an event do not mean a rate of exactly zero.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from anemone_lib.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

HOURS_A_DAY = 24


N_RESAMPLES = 2000


#: Days in the running mean of the season.
SEASON_WINDOW_DAYS = 7


@dataclass(frozen=True, eq=False)
class SiteDays:
    """One site's hours as a table of days by hours of the day.

    Attributes
    ----------
    site, class_name : str
    dates : np.ndarray [shape=(n_days,)], datetime64[D], every day from the first to the last of the recorder's clock
    events : np.ndarray [shape=(n_days, 24)], number of events
    effort_h : np.ndarray [shape=(n_days, 24)], hours that were analysed
    noise_db : np.ndarray [shape=(n_days, 24)], median level in the band of the calls; NaN where it is not known

    Examples
    --------
    >>> days = SiteDays("reef", "anemonefish", np.array(["2023-02-10"], "M8[D]"), np.full((1, 24), 3.0),
    ...     np.where(np.arange(24) < 12, 0.5, 0.0)[None], np.full((1, 24), np.nan))
    >>> days.rates[0, [0, 23]].tolist()
    [6.0, nan]
    """

    site: str
    class_name: str
    dates: np.ndarray
    events: np.ndarray
    effort_h: np.ndarray
    noise_db: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """Events an hour of effort [shape=(n_days, 24)], NaN without effort."""
        return _divide(self.events, self.effort_h)


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates with their intervals, of the hours of a day or of the days of a season.

    Attributes
    ----------
    rate, low, high : np.ndarray [shape=(n,)], events an hour of effort
        The rate is NaN without effort; the interval is NaN where too few days were recorded to have one.
    events, effort_h : np.ndarray [shape=(n,)]
    n_days : np.ndarray [shape=(n,)], days with effort
    level : float, the part of such intervals that contain the true rate, 0 to 1

    Examples
    --------
    >>> one = np.ones(1)
    >>> Rates(2 * one, one, 3 * one, events=20 * one, effort_h=10 * one, n_days=5 * one, level=0.95).rate.tolist()
    [2.0]
    """

    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    events: np.ndarray
    effort_h: np.ndarray
    n_days: np.ndarray
    level: float


def arrange_days(hours: "pd.DataFrame", site: str, class_name: str) -> SiteDays:
    """Arrange the hours of a site as days by hours of the day, by the recorder's own clock.

    Parameters
    ----------
    hours : pandas.DataFrame, as `anemone_lib.archive.hours.count_hours` gives it
    site, class_name : str

    Returns
    -------
    days : SiteDays
        An hour that comes twice, when clocks are put back, is one cell with the effort of both.

    Raises
    ------
    ConfigError
        There is no such hour.

    Examples
    --------
    >>> import pandas as pd
    >>> hours = pd.DataFrame({"site": "reef", "class": "anemonefish", "events": [2, 1], "effort_s": [3600.0, 1800.0],
    ...     "hour_local": pd.to_datetime(["2023-02-10T06:00", "2023-02-12T06:00"]), "noise_db": [-60.0, None]})
    >>> days = arrange_days(hours, "reef", "anemonefish")
    >>> days.rates[:, 6].tolist()
    [2.0, nan, 2.0]
    """
    rows = hours[(hours["site"] == site) & (hours["class"] == class_name)]
    if not len(rows):
        raise ConfigError(f"there is no hour of class {class_name!r} at site {site!r} in this table")
    stamps = rows["hour_local"].to_numpy("datetime64[h]")
    day = stamps.astype("datetime64[D]")
    dates = np.arange(day.min(), day.max() + 1)
    at = (day - dates[0]).astype(int), (stamps - day).astype(int)
    events, effort, level, levels = (np.zeros((len(dates), HOURS_A_DAY)) for _ in range(4))
    np.add.at(events, at, rows["events"].to_numpy(float, na_value=0))
    np.add.at(effort, at, rows["effort_s"].to_numpy(float) / 3600)
    noise = rows["noise_db"].to_numpy(float, na_value=np.nan)
    np.add.at(level, at, np.nan_to_num(noise))
    np.add.at(levels, at, np.isfinite(noise))
    return SiteDays(site, class_name, dates, events, effort, _divide(level, levels))


def measure_diel(days: SiteDays, *, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Rates:
    """Measure the rate in each hour of the day, over all days.

    Parameters
    ----------
    days : SiteDays
    level : float in (0, 1)
    n_resamples, seed : int, of the bootstrap

    Returns
    -------
    rates : Rates, of the hours 0 to 23

    Examples
    --------
    >>> events, effort = np.zeros((10, 24)), np.ones((10, 24))
    >>> events[:, 6] = [3, 4, 5, 4, 3, 5, 4, 4, 3, 5]
    >>> diel = measure_diel(SiteDays("reef", "fish", np.arange(10).astype("M8[D]"), events, effort, effort * np.nan))
    >>> float(diel.rate[6]), bool(diel.low[6] < 4 < diel.high[6]), diel.high[:1].round(1).tolist()
    (4.0, True, [0.4])
    """
    return _bootstrap(days.events, days.effort_h, level=level, n_resamples=n_resamples, seed=seed)


def measure_rate(days: SiteDays, *, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Rates:
    """Measure the rate of all hours together; the arrays of the result have one element.

    Parameters
    ----------
    days : SiteDays
    level : float in (0, 1)
    n_resamples, seed : int, of the bootstrap

    Examples
    --------
    >>> one = np.ones((10, 24))
    >>> measure_rate(SiteDays("reef", "fish", np.arange(10).astype("M8[D]"), one, one, one * np.nan)).rate.tolist()
    [1.0]
    """
    events, effort = (table.sum(axis=1, keepdims=True) for table in (days.events, days.effort_h))
    return _bootstrap(events, effort, level=level, n_resamples=n_resamples, seed=seed)


def measure_season(days: SiteDays, *, window_days: int = SEASON_WINDOW_DAYS, level: float = 0.95) -> Rates:
    """Measure the rate around each day, from all hours of a window of days around it.

    A week is too short to draw its days at random. Its interval comes from Student's t on the logarithm of the rate,
    and from how much the days of the window differ.

    Parameters
    ----------
    days : SiteDays
    window_days : int, odd
    level : float in (0, 1)

    Returns
    -------
    rates : Rates, of `days.dates`
        Windows are shorter at both ends of the season. NaN where the day itself has no effort.

    Examples
    --------
    >>> one = np.ones((10, 24))
    >>> season = measure_season(SiteDays("reef", "fish", np.arange(10).astype("M8[D]"), one, one, one * np.nan))
    >>> season.rate.tolist() == [1.0] * 10
    True
    """
    from scipy.special import stdtrit

    if window_days < 1 or window_days % 2 == 0:
        raise ConfigError(f"window_days is {window_days}; it must be an odd number, like 7")
    half = window_days // 2
    # Days beyond the season have no effort, so they weigh nothing.
    tables = (np.pad(table.sum(axis=1), half) for table in (days.events, days.effort_h))
    events, effort = (np.lib.stride_tricks.sliding_window_view(table, window_days) for table in tables)
    total, hours, n_days = events.sum(axis=1), effort.sum(axis=1), (effort > 0).sum(axis=1)
    rate = _divide(total, hours)
    spread = np.square(events - rate[:, None] * effort).sum(axis=1)
    error = _divide(np.sqrt(spread * _divide(n_days, n_days - 1)), total)  # of the logarithm
    half_width = -stdtrit(np.maximum(n_days - 1, 1), (1 - level) / 2) * np.nan_to_num(error)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = rate * np.exp(-half_width), rate * np.exp(half_width)
    unknown = (n_days < 2) | (days.effort_h.sum(axis=1) == 0)
    low[unknown] = high[unknown] = rate[days.effort_h.sum(axis=1) == 0] = np.nan
    return _summarise(rate, low, high, total, hours, n_days, level)


@dataclass(frozen=True)
class SiteRatio:
    """How many times more events one site has than another in the hours in which both were recorded.

    Attributes
    ----------
    first, second : str, the sites
    ratio, low, high : float, rate of the first divided by that of the second; NaN where it is not known
        The interval has no upper bound (infinity) if so few events are at the second that days without any are likely.
    shared_h : float, hours of effort that are compared, of the site that has less
    n_days : int, days on which both were recorded

    Examples
    --------
    >>> SiteRatio("north", "south", 2.0, 1.5, 2.7, shared_h=100.0, n_days=12).ratio
    2.0
    """

    first: str
    second: str
    ratio: float
    low: float
    high: float
    shared_h: float
    n_days: int


def compare_sites(
    first: SiteDays, second: SiteDays, *, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> SiteRatio:
    """Compare two sites in the hours, of the same day and hour of the clock, in which both were recorded.

    Rates of all hours would compare the recorders' timetables: a site that was recorded only at dusk seems loud.

    Parameters
    ----------
    first, second : SiteDays
    level : float in (0, 1)
    n_resamples, seed : int, of the bootstrap over shared days

    Returns
    -------
    ratio : SiteRatio

    Examples
    --------
    >>> one, none = np.ones((9, 24)), np.full((9, 24), np.nan)
    >>> dates = np.arange(9).astype("M8[D]")
    >>> loud, quiet = (SiteDays(name, "fish", dates, n * one, one, none) for name, n in (("a", 2), ("b", 1)))
    >>> ratio = compare_sites(loud, quiet)
    >>> ratio.ratio, ratio.shared_h, ratio.n_days
    (2.0, 216.0, 9)
    """
    dates = np.intersect1d(first.dates, second.dates)
    pair = [(days, np.searchsorted(days.dates, dates)) for days in (first, second)]
    shared = np.all([days.effort_h[row] > 0 for days, row in pair], axis=0)
    used = shared.any(axis=1)
    n_days = int(used.sum())
    effort = np.array([np.where(shared, days.effort_h[row], 0)[used].sum(axis=1) for days, row in pair])
    events = np.array([np.where(shared, days.events[row], 0)[used].sum(axis=1) for days, row in pair])
    shared_h = float(effort.sum(axis=1).min())
    if n_days == 0 or (events.sum(axis=1) == 0).any():
        return SiteRatio(first.site, second.site, math.nan, math.nan, math.nan, shared_h, n_days)
    weights, length = _draw_days(n_days, n_resamples, seed)
    drawn = _divide(events @ weights.T, effort @ weights.T)
    low, high = _bound_ratio(drawn[0], drawn[1], n_days / length, level)
    rate = _divide(events.sum(axis=1), effort.sum(axis=1))
    return SiteRatio(first.site, second.site, float(rate[0] / rate[1]), low, high, shared_h, n_days)


# ---------------------------------------------------------------------- inside


def _bootstrap(events: np.ndarray, effort: np.ndarray, *, level: float, n_resamples: int, seed: int) -> Rates:
    """Rates of columns [shape=(n_days, n_columns)], with intervals from drawing blocks of days again."""
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}; it must be between 0 and 1, like 0.95")
    recorded = effort.sum(axis=1) > 0
    events, effort = events[recorded], effort[recorded]
    weights, length = _draw_days(len(events), n_resamples, seed)
    n_recorded = (effort > 0).sum(axis=0)
    low, high = _take_percentiles(_divide(weights @ events, weights @ effort).T, n_recorded / length, level)
    total, hours = events.sum(axis=0), effort.sum(axis=0)
    return _summarise(_divide(total, hours), low, high, total, hours, n_recorded, level)


def _draw_days(n_days: int, n_resamples: int, seed: int) -> tuple[np.ndarray, int]:
    """How often each day is drawn [shape=(n_resamples, n_days)], and the length of the blocks."""
    length = max(1, round(n_days ** (1 / 3)))
    if n_days == 0:
        return np.zeros((n_resamples, 0)), length
    starts = np.random.default_rng(seed).integers(0, n_days, (n_resamples, -(-n_days // length)))
    drawn = ((starts[..., None] + np.arange(length)) % n_days).reshape(n_resamples, -1)[:, :n_days]
    counted = np.bincount((drawn + n_days * np.arange(n_resamples)[:, None]).ravel(), minlength=n_resamples * n_days)
    return counted.reshape(n_resamples, n_days).astype(float), length


def _summarise(
    rate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    events: np.ndarray,
    effort: np.ndarray,
    n_days: np.ndarray,
    level: float,
) -> Rates:
    """Make intervals at least as wide as chance alone makes them."""
    from scipy.special import gammaincinv

    known = np.isfinite(low)
    tail = (1 - level) / 2
    fewest = _divide(np.where(events > 0, gammaincinv(np.maximum(events, 1), tail), 0), effort)
    most = _divide(gammaincinv(events + 1, 1 - tail), effort)
    low = np.where(known, np.minimum(low, fewest), np.nan)
    high = np.where(known, np.maximum(high, most), np.nan)
    return Rates(rate, low, high, events, effort, n_days, level)


def _take_percentiles(drawn: np.ndarray, n_blocks: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of each row of `drawn`, widened for few blocks; NaN for fewer than two, which show no variation."""
    from scipy.special import ndtr, stdtrit

    low, high = np.full(len(drawn), np.nan), np.full(len(drawn), np.nan)
    for k, (row, blocks) in enumerate(zip(drawn, n_blocks.tolist(), strict=True)):
        row = row[~np.isnan(row)]
        if blocks < 2 or not len(row):
            continue
        tail = float(ndtr(math.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, (1 - level) / 2)))
        low[k], high[k] = np.quantile(row, [tail, 1 - tail])
    return low, high


def _bound_ratio(first: np.ndarray, second: np.ndarray, n_blocks: float, level: float) -> tuple[float, float]:
    """Find the interval of a ratio from drawn rates [shape=(n_resamples,)]; without events it reaches to 0 or infinity.

    Draws in which neither site has an event say nothing of the ratio.
    """
    some = (first > 0) | (second > 0)
    tiny = 1e-12  # stands for a rate of 0, so that its logarithm is a number
    logs = np.log(np.maximum(first[some], tiny)) - np.log(np.maximum(second[some], tiny))
    low, high = (float(bound[0]) for bound in _take_percentiles(logs[None], np.array([n_blocks]), level))
    both = logs[(first[some] > 0) & (second[some] > 0)]
    if not len(both) or math.isnan(low):
        return math.nan, math.nan
    return (
        0.0 if low < both.min() else math.exp(low),
        math.inf if high > both.max() else math.exp(high),
    )


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) != 0)
