"""Estimate from verdicts how often an event of a given confidence is a call, and from which threshold on.

*Conventions.* A confidence is that of an event or a window, from 0 to 1; a verdict is True where a person heard a call.
The choice of the reviewed events may depend on their confidence, as in a stratified sample, but on nothing else. Then
the precision *at* a confidence, or in a bin, is right, no matter how many events of each were reviewed.

*Bins.* Bins are given by their edges, ascending. A confidence at an edge is in the upper bin; the first and the last
bin are open to their sides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from anemone_lib.errors import ConfigError, spell_count
from anemone_lib.evaluation.rates import compute_wilson_interval

#: Fewer verdicts than this say too little of how precision depends on confidence.
MIN_VERDICTS = 10
#: Confidences nearer to 0 or 1 than this are taken to be this far away, because their odds are not finite.
NEAREST = 1e-4


@dataclass(frozen=True)
class PrecisionCurve:
    """The probability that an event is a call, as a logistic function of the odds of its confidence.

    Attributes
    ----------
    intercept, slope : float, ``log odds of a call = intercept + slope · log odds of the confidence``
    covariance : three floats, of the variance of the intercept, their covariance, and the variance of the slope
    lowest, highest : float in [0, 1], the range of the confidences that were reviewed
    n, n_calls : int, verdicts, and those that say that it is a call

    Examples
    --------
    >>> curve = PrecisionCurve(0.0, 1.0, (0.04, 0.0, 0.04), lowest=0.1, highest=0.95, n=100, n_calls=50)
    >>> curve.find_threshold(0.9)
    0.9
    """

    intercept: float
    slope: float
    covariance: tuple[float, float, float]
    lowest: float
    highest: float
    n: int
    n_calls: int

    def predict(self, confidences: ArrayLike, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the probability that events of these confidences are calls.

        Parameters
        ----------
        confidences : array [shape=(n,)], 0 to 1
        level : float in (0, 1)

        Returns
        -------
        precision, low, high : np.ndarray [shape=(n,)], with the interval (Wald, on the log odds)

        Examples
        --------
        >>> curve = PrecisionCurve(0.0, 1.0, (0.04, 0.0, 0.04), lowest=0.1, highest=0.95, n=100, n_calls=50)
        >>> [round(float(value[0]), 2) for value in curve.predict([0.5])]
        [0.5, 0.4, 0.6]
        """
        from scipy.special import expit, ndtri

        odds = _log_odds(confidences)
        centre = self.intercept + self.slope * odds
        first, mixed, second = self.covariance
        half = float(ndtri((1 + level) / 2)) * np.sqrt(first + 2 * mixed * odds + second * odds**2)
        return expit(centre), expit(centre - half), expit(centre + half)

    def find_threshold(self, precision: float) -> float:
        """Return the lowest confidence at which an event is a call with a probability.

        Events above it are calls with a higher probability, so that the precision of all events from it on is at least
        `precision` (Wood & Kahl 2024).

        Parameters
        ----------
        precision : float in (0, 1)

        Returns
        -------
        threshold : float
            Never below the lowest confidence that was reviewed.

        Raises
        ------
        ConfigError
            Precision does not grow with confidence, or no confidence that was reviewed reaches `precision`.
        """
        if not 0 < precision < 1:
            raise ConfigError(f"precision is {precision:g}; it must be more than 0 and less than 1, like 0.9")
        if self.slope <= 0:
            raise ConfigError(
                f"events of a higher confidence are not calls more often ({spell_count(self.n, 'verdict')}): no "
                "threshold raises precision; review more events, or train on the verdicts"
            )
        from scipy.special import expit

        logit = math.log(precision / (1 - precision))
        threshold = float(expit((logit - self.intercept) / self.slope))
        if threshold > self.highest + 1e-9:
            best = float(self.predict([self.highest])[0][0])
            raise ConfigError(
                f"precision {precision:g} is reached at no confidence that was reviewed: at the highest, "
                f"{self.highest:.3f}, it is {best:.2f}; ask for a lower precision, or train on the verdicts"
            )
        return max(self.lowest, round(threshold, 6))

    def to_dict(self) -> dict[str, float | int | list[float]]:
        """Return the curve for programs."""
        return {
            "intercept": self.intercept,
            "slope": self.slope,
            "covariance": list(self.covariance),
            "lowest": self.lowest,
            "highest": self.highest,
            "n": self.n,
            "n_calls": self.n_calls,
        }


def calibrate_precision(confidences: ArrayLike, verdicts: ArrayLike) -> PrecisionCurve:
    """Fit how the probability that an event is a call depends on its confidence.

    This is a logistic regression on the log odds of the confidence, with the penalty of Firth (1993). With the penalty,
    the result is finite even if all verdicts above some confidence are calls and none below, as often happens with few
    verdicts.

    Parameters
    ----------
    confidences : array [shape=(n,)], 0 to 1, such as ``max_confidence`` of events, which thresholds are compared with
    verdicts : array of bool [shape=(n,)], True where a person heard a call

    Returns
    -------
    curve : PrecisionCurve

    Raises
    ------
    ConfigError
        Fewer than `MIN_VERDICTS` verdicts, all of one confidence, or confidences outside 0 to 1.

    Examples
    --------
    >>> confidences = [0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.95]
    >>> curve = calibrate_precision(confidences, [False, False, False, False, True, False, True, True, True, True])
    >>> precision, low, high = curve.predict([0.9])
    >>> [round(float(value[0]), 2) for value in (precision, low, high)]  # ten verdicts say little
    [0.96, 0.2, 1.0]
    >>> 0.5 < curve.find_threshold(0.8) < 0.9
    True
    """
    values, calls = _check_verdicts(confidences, verdicts)
    if len(values) < MIN_VERDICTS:
        raise ConfigError(
            f"{spell_count(len(values), 'verdict')}; precision needs at least {MIN_VERDICTS} verdicts: review more"
        )
    odds = _log_odds(values)
    if np.ptp(odds) < 1e-9:
        raise ConfigError(
            f"all reviewed events have the confidence {values[0]:.3f}; review events of other confidences, too"
        )
    design = np.column_stack([np.ones(len(odds)), odds])
    weights = np.zeros(2)
    for _ in range(200):
        step, _ = _take_step(design, calls, weights)
        step *= min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    _, covariance = _take_step(design, calls, weights)
    return PrecisionCurve(
        intercept=float(weights[0]),
        slope=float(weights[1]),
        covariance=(float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])),
        lowest=float(values.min()),
        highest=float(values.max()),
        n=len(values),
        n_calls=int(calls.sum()),
    )


# ---------------------------------------------------------------------- bins


@dataclass(frozen=True)
class PrecisionBin:
    """Verdicts on events of one range of confidences.

    Attributes
    ----------
    lowest, highest : float in [0, 1], edges of the bin
    n, n_calls : int, verdicts, and those that say that it is a call

    Examples
    --------
    >>> one = PrecisionBin(0.5, 0.75, n=10, n_calls=8)
    >>> one.precision, [round(bound, 2) for bound in one.interval]
    (0.8, [0.49, 0.94])
    """

    lowest: float
    highest: float
    n: int
    n_calls: int

    @property
    def precision(self) -> float:
        """Part of the verdicts that are calls; NaN without a verdict."""
        return self.n_calls / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson; 0 and 1 without a verdict."""
        return compute_wilson_interval(self.n_calls, self.n)


def choose_edges(confidences: ArrayLike, *, n_bins: int = 5) -> list[float]:
    """Choose bins so that each higher bin has half as many events: events of high confidence get their own bins.

    Parameters
    ----------
    confidences : array [shape=(n,)], of all events or windows, 0 to 1
    n_bins : int >= 1

    Returns
    -------
    edges : list of float, at most `n_bins` + 1, from 0 to 1
        Quantiles 1/2, 3/4, 7/8 … (Navine et al. 2024); edges that would be equal become one.

    Examples
    --------
    >>> choose_edges([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], n_bins=3)
    [0.0, 0.45, 0.625, 1.0]
    """
    if n_bins < 1:
        raise ConfigError(f"n_bins is {n_bins}; it must be 1 or more")
    values = np.asarray(confidences, float).ravel()
    if not len(values):
        return [0.0, 1.0]
    inner = np.quantile(values, [1 - 0.5**k for k in range(1, n_bins)]) if n_bins > 1 else []
    kept = {round(float(edge), 6) for edge in inner if 0 < edge < 1}
    return [0.0, *sorted(kept), 1.0]


def count_by_bin(confidences: ArrayLike, edges: Sequence[float]) -> np.ndarray:
    """Count confidences in each bin.

    Parameters
    ----------
    confidences : array [shape=(n,)], 0 to 1
    edges : ascending, at least two

    Returns
    -------
    counts : np.ndarray [shape=(len(edges) - 1,)], int

    Examples
    --------
    >>> count_by_bin([0.1, 0.5, 0.7, 1.0], [0.0, 0.5, 1.0]).tolist()
    [1, 3]
    """
    return np.bincount(_place(confidences, edges), minlength=len(edges) - 1)


def measure_precision(confidences: ArrayLike, verdicts: ArrayLike, edges: Sequence[float]) -> list[PrecisionBin]:
    """Count the verdicts of each bin of confidences.

    Parameters
    ----------
    confidences : array [shape=(n,)], 0 to 1
    verdicts : array of bool [shape=(n,)]
    edges : ascending, at least two, such as those of `choose_edges`

    Returns
    -------
    bins : list of PrecisionBin, by confidence

    Examples
    --------
    >>> bins = measure_precision([0.2, 0.6, 0.8, 0.9], [False, False, True, True], [0.0, 0.5, 1.0])
    >>> [(one.n, one.n_calls) for one in bins]
    [(1, 0), (3, 2)]
    """
    values, calls = _check_verdicts(confidences, verdicts)
    reviewed, accepted = count_by_bin(values, edges), count_by_bin(values[calls], edges)
    rows = zip(edges, edges[1:], reviewed.tolist(), accepted.tolist(), strict=False)
    return [PrecisionBin(float(low), float(high), n, n_calls) for low, high, n, n_calls in rows]


# ---------------------------------------------------------------------- inside


def _log_odds(confidences: ArrayLike) -> np.ndarray:
    values = np.clip(np.asarray(confidences, float), NEAREST, 1 - NEAREST)
    return np.log(values / (1 - values))


def _check_verdicts(confidences: ArrayLike, verdicts: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, calls = np.asarray(confidences, float).ravel(), np.asarray(verdicts, bool).ravel()
    if len(values) != len(calls):
        raise ConfigError(f"{len(values)} confidences and {len(calls)} verdicts; there must be one verdict for each")
    if len(values) and not ((values >= 0) & (values <= 1)).all():
        raise ConfigError("confidences must be numbers from 0 to 1")
    return values, calls


def _place(confidences: ArrayLike, edges: Sequence[float]) -> np.ndarray:
    """Return the number of the bin of each confidence."""
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ConfigError(f"edges are {list(edges)}; they must be two numbers or more, ascending")
    inner = np.asarray(edges[1:-1], float)
    return np.searchsorted(inner, np.asarray(confidences, float).ravel(), side="right")


def _take_step(design: np.ndarray, calls: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of Newton's method on Firth's score, and the covariance (the inverse information) where it starts."""
    from scipy.special import expit

    expected = expit(design @ weights)
    spread = expected * (1 - expected)
    covariance = np.linalg.inv(design.T @ (design * spread[:, None]) + 1e-12 * np.eye(2))
    leverage = spread * np.einsum("ij,jk,ik->i", design, covariance, design)
    return covariance @ design.T @ (calls - expected + leverage * (0.5 - expected)), covariance
