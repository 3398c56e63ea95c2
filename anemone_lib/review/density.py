"""How many calls there are among many events or windows, of which some were reviewed."""

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

    The verdicts of each bin of confidence say how often a call is in it; the bins weigh as much as they hold. Events of
    a low confidence, which a threshold would drop, count for what the verdicts say of them.

    Parameters
    ----------
    n_calls, n_reviewed : arrays of int [shape=(n_bins,)], verdicts of each bin that it is a call, and all verdicts
    population : array of int [shape=(n_bins,)], all events or windows of each bin
        Those of the season, or of one day or site, if there calls are as common in each bin.
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
        A bin that holds something has no verdict, or numbers that cannot be.

    Examples
    --------
    >>> density = estimate_call_density([1, 18], [20, 20], [900, 100])
    >>> 0.08 < density.low < density.density < density.high < 0.4
    True
    """
    accepted, reviewed, sizes = (np.asarray(one, float).ravel() for one in (n_calls, n_reviewed, population))
    if not len(accepted) == len(reviewed) == len(sizes):
        raise ConfigError(
            f"{len(accepted)} bins of calls, {len(reviewed)} of verdicts, {len(sizes)} of all; give the same bins"
        )
    if (accepted < 0).any() or (accepted > reviewed).any() or (sizes < 0).any():
        raise ConfigError("more calls than verdicts in a bin, or less than none; count the bins again")
    if not sizes.sum():
        raise ConfigError("there is no event or window to estimate the calls of; give all of the season's")
    if (unknown := np.flatnonzero((sizes > 0) & (reviewed == 0))).size:
        part = 100 * sizes[unknown].sum() / sizes.sum()
        raise ConfigError(
            f"bin {int(unknown[0]) + 1} of {len(sizes)} has no verdict, and {part:.0f} % of all are in such bins; "
            "review some of each bin (a stratified sample), or take fewer bins"
        )
    weights = sizes / sizes.sum()
    drawn = np.random.default_rng(seed).beta(
        accepted + JEFFREYS, reviewed - accepted + JEFFREYS, size=(n_draws, len(sizes))
    )
    low, high = np.quantile(drawn @ weights, [(1 - level) / 2, (1 + level) / 2])
    expected = float(((accepted + JEFFREYS) / (reviewed + 2 * JEFFREYS)) @ weights)
    return CallDensity(expected, float(low), float(high), int(sizes.sum()))
