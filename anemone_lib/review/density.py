"""Estimate the number of calls among many events or windows, of which some were reviewed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from anemone_lib.errors import ConfigError

#: Counted into every bin as a call and as none: the prior of Jeffreys for a proportion.
JEFFREYS = 0.5


@dataclass(frozen=True)
class CallDensity:
    """The part of all events, or windows, that are calls.

    Attributes
    ----------
    density, low, high : float in [0, 1], with the credible interval
    n : int, of all events or windows, reviewed or not

    Examples
    --------
    >>> density = CallDensity(0.25, 0.2, 0.3, n=1000)
    >>> density.n_calls, density.n_calls_interval
    (250.0, (200.0, 300.0))
    """

    density: float
    low: float
    high: float
    n: int

    @property
    def n_calls(self) -> float:
        """The estimated number of calls among all."""
        return self.density * self.n

    @property
    def n_calls_interval(self) -> tuple[float, float]:
        """The credible interval of the number of calls."""
        return self.low * self.n, self.high * self.n


def estimate_call_density(
    n_calls: ArrayLike,
    n_reviewed: ArrayLike,
    population: ArrayLike,
    *,
    level: float = 0.95,
    n_draws: int = 10_000,
    seed: int = 0,
) -> CallDensity:
    """Estimate what part of all events, or windows, are calls, without a threshold (Navine et al. 2024).

    The verdicts of each bin of confidence show which part of its events are calls; a bin with more events has more
    weight. Events of a low confidence, which a threshold would drop, count too, by their verdicts.

    Parameters
    ----------
    n_calls, n_reviewed : arrays of int [shape=(n_bins,)], verdicts of each bin that it is a call, and all verdicts
    population : array of int [shape=(n_bins,)], all events or windows of each bin
        All of the season; or of one day or site, if calls are as common there in each bin.
    level : float in (0, 1)
    n_draws : int > 0
    seed : int

    Returns
    -------
    density : CallDensity
        The mean, and the central interval, of draws from the posterior of every bin: Beta(calls + 0.5, others + 0.5).

    Raises
    ------
    ConfigError
        A bin with events has no verdict, or the numbers are impossible.

    Examples
    --------
    >>> density = estimate_call_density([1, 18], [20, 20], [900, 100])
    >>> 0.08 < density.low < density.density < density.high < 0.4
    True
    """
    accepted, reviewed, sizes = _check_bins(n_calls, n_reviewed, population)
    weights = sizes / sizes.sum()
    drawn = np.random.default_rng(seed).beta(
        accepted + JEFFREYS, reviewed - accepted + JEFFREYS, size=(n_draws, len(sizes))
    )
    low, high = np.quantile(drawn @ weights, [(1 - level) / 2, (1 + level) / 2])
    expected = float(((accepted + JEFFREYS) / (reviewed + 2 * JEFFREYS)) @ weights)
    return CallDensity(expected, float(low), float(high), int(sizes.sum()))


def estimate_recall(
    n_calls: ArrayLike,
    n_reviewed: ArrayLike,
    population: ArrayLike,
    *,
    n_missed: int,
    n_quiet_reviewed: int,
    n_quiet: int,
    level: float = 0.95,
    n_draws: int = 10_000,
    seed: int = 0,
) -> CallDensity:
    """Estimate what part of the windows with calls lies in detected events.

    The verdicts on events show how many of their windows count as found. The verdicts on random windows without an
    event show how many of these have a missed call. A window in an event has a call if the event was accepted.

    Parameters
    ----------
    n_calls, n_reviewed : arrays of int [shape=(n_bins,)], accepted and all verdicts on events of each bin of confidence
    population : array of int [shape=(n_bins,)], all windows in events of each bin
    n_missed, n_quiet_reviewed : int, windows without an event in which a call was heard, and all that were reviewed
    n_quiet : int, all windows without an event
    level : float in (0, 1)
    n_draws : int > 0
    seed : int

    Returns
    -------
    recall : CallDensity
        `density` is recall, with its credible interval; `n` is the number of all windows.

    Raises
    ------
    ConfigError
        No window without an event was reviewed, or as in `estimate_call_density`.

    Examples
    --------
    >>> recall = estimate_recall([18], [20], [100], n_missed=1, n_quiet_reviewed=50, n_quiet=1000)
    >>> 0.4 < recall.low < recall.density < recall.high < 1
    True
    """
    if not 0 <= n_missed <= n_quiet_reviewed:
        raise ConfigError(f"{n_missed} missed of {n_quiet_reviewed} windows that were reviewed cannot be")
    if not n_quiet_reviewed:
        raise ConfigError("no window without an event was reviewed; offer some (n_windows)")
    accepted, reviewed, sizes = _check_bins(n_calls, n_reviewed, population)
    rng = np.random.default_rng(seed)
    found = rng.beta(accepted + JEFFREYS, reviewed - accepted + JEFFREYS, size=(n_draws, len(sizes))) @ sizes
    missed = n_quiet * rng.beta(n_missed + JEFFREYS, n_quiet_reviewed - n_missed + JEFFREYS, size=n_draws)
    recall = found / (found + missed)
    low, high = np.quantile(recall, [(1 - level) / 2, (1 + level) / 2])
    return CallDensity(float(recall.mean()), float(low), float(high), int(sizes.sum() + n_quiet))


def _check_bins(
    n_calls: ArrayLike, n_reviewed: ArrayLike, population: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of each bin as arrays, and check them."""
    accepted, reviewed, sizes = (np.asarray(one, float).ravel() for one in (n_calls, n_reviewed, population))
    if not len(accepted) == len(reviewed) == len(sizes):
        raise ConfigError(
            f"{len(accepted)} bins of calls, {len(reviewed)} of verdicts, {len(sizes)} of all; give the same bins"
        )
    if (accepted < 0).any() or (accepted > reviewed).any() or (sizes < 0).any():
        raise ConfigError("more calls than verdicts in a bin, or less than none; count the bins again")
    if not sizes.sum():
        raise ConfigError(
            "there is no event or window from which calls can be estimated; give all events of the season"
        )
    if (unknown := np.flatnonzero((sizes > 0) & (reviewed == 0))).size:
        part = 100 * sizes[unknown].sum() / sizes.sum()
        raise ConfigError(
            f"bin {int(unknown[0]) + 1} of {len(sizes)} has no verdict, and {part:.0f} % of all are in such bins; "
            "review some events of each bin (a stratified sample), or use fewer bins"
        )
    return accepted, reviewed, sizes
