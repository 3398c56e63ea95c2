"""Events held against what a person labelled: one-to-one matching, rates, and how far they can be trusted.

*Conventions.* Intervals are arrays [shape=(n, 2)] of start and end in seconds, half-open. `reference` is the truth (a
person's, or a simulation's), `estimated` is what the detector found. Each of either is matched at most once, so that
neither one long event over ten calls nor ten short ones over one call counts for more than one.

*Metrics.* Precision: the part of the estimated events that are matched. Recall: the part of the reference that is. F1:
their harmonic mean, ``2 · matched / (n_reference + n_estimated)``. False alarms per hour: unmatched estimated events
by analysed hours. A rate whose denominator is zero is NaN: where nothing was found, precision is unknown, not perfect.

*Intervals of confidence.* Recordings are the unit: calls of one recording share a reef, a night and a hydrophone, so
they are resampled together (percentile bootstrap; Efron & Tibshirani 1993, chapter 13).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np

#: The rates that `Counts` knows and the bootstrap resamples.
METRICS = ("precision", "recall", "f1", "false_alarms_per_hour")


@dataclass(frozen=True)
class Counts:
    """How many were there, found and matched; counts of several recordings add up.

    Attributes
    ----------
    n_reference, n_estimated, n_matched : int
    duration : float, analysed audio in seconds

    Examples
    --------
    >>> counts = Counts(n_reference=10, n_estimated=8, n_matched=6, duration=1800.0)
    >>> counts.precision, counts.recall, counts.false_alarms_per_hour
    (0.75, 0.6, 4.0)
    >>> (counts + counts).n_matched
    12
    """

    n_reference: int
    n_estimated: int
    n_matched: int
    duration: float

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.n_reference + other.n_reference,
            self.n_estimated + other.n_estimated,
            self.n_matched + other.n_matched,
            self.duration + other.duration,
        )

    @property
    def precision(self) -> float:
        """Matched part of the estimated events, 0 to 1; NaN if there are none."""
        return divide(self.n_matched, self.n_estimated)

    @property
    def recall(self) -> float:
        """Matched part of the reference, 0 to 1; NaN if there is none."""
        return divide(self.n_matched, self.n_reference)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; NaN if there is neither reference nor event."""
        return divide(2 * self.n_matched, self.n_reference + self.n_estimated)

    @property
    def false_alarms_per_hour(self) -> float:
        """Unmatched estimated events by analysed hours."""
        return divide(3600 * (self.n_estimated - self.n_matched), self.duration)

    def to_dict(self) -> dict[str, float | int | None]:
        """The fields and the rates by name, a NaN as None, as JSON wants it."""
        rates = {name: getattr(self, name) for name in METRICS}
        return {
            "n_reference": self.n_reference,
            "n_estimated": self.n_estimated,
            "n_matched": self.n_matched,
            "duration_s": self.duration,
            **{name: None if math.isnan(rate) else rate for name, rate in rates.items()},
        }


def total(counts: Iterable[Counts]) -> Counts:
    """Add up the counts of several recordings: each call weighs the same, whichever recording it is in.

    Examples
    --------
    >>> total([Counts(2, 2, 1, 60.0), Counts(3, 4, 3, 60.0)])
    Counts(n_reference=5, n_estimated=6, n_matched=4, duration=120.0)
    """
    return sum(counts, Counts(0, 0, 0, 0.0))


# ---------------------------------------------------------------------- how far to trust a rate


def bootstrap_interval(
    counts: Sequence[Counts],
    *,
    metric: str = "f1",
    baseline: Sequence[Counts] | None = None,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a rate over several recordings, or of its gain over a baseline.

    Parameters
    ----------
    counts : one Counts a recording
    metric : one of `METRICS`
    baseline : Counts of the same recordings in the same order, optional
        Then the interval is that of ``rate(counts) − rate(baseline)``, both on the same resampled recordings.
    level : float in (0, 1)
    n_resamples : int > 0
    seed : int
        The same seed gives the same interval.

    Returns
    -------
    low, high : float
        NaN for fewer than two recordings: one recording says nothing about the next.

    Examples
    --------
    >>> counts = [Counts(10, 10, matched, 600.0) for matched in (5, 6, 7, 8, 9)]
    >>> low, high = bootstrap_interval(counts, metric="recall")
    >>> 0.5 <= low < total(counts).recall < high <= 0.9
    True
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; it must be one of {', '.join(METRICS)}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be between 0 and 1, like 0.95")
    if baseline is not None and len(baseline) != len(counts):
        raise ValueError(f"{len(counts)} recordings and {len(baseline)} in the baseline do not belong together")
    n = len(counts)
    if n < 2:
        return math.nan, math.nan
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    rates = _rates(weights @ np.array([astuple(one) for one in counts], float))[metric]
    if baseline is not None:
        rates = rates - _rates(weights @ np.array([astuple(one) for one in baseline], float))[metric]
    rates = rates[np.isfinite(rates)]
    if len(rates) == 0:
        return math.nan, math.nan
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compute_wilson_interval(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927): true for small `n` and near 0 and 1 too.

    Parameters
    ----------
    successes, n : int, 0 <= successes <= n
    level : float in (0, 1)

    Returns
    -------
    low, high : float in [0, 1]; 0 and 1 for `n` = 0

    Examples
    --------
    >>> [round(bound, 3) for bound in compute_wilson_interval(8, 10)]  # Wilson 1927
    [0.49, 0.943]
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}; they must be between 0 and the number of trials")
    if n == 0:
        return 0.0, 1.0
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    centre = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    return max(0.0, centre - half), min(1.0, centre + half)


def divide(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _rates(rows: np.ndarray) -> dict[str, np.ndarray]:
    """All rates of counts in rows [shape=(n, 4)]."""
    n_reference, n_estimated, n_matched, duration = rows.astype(float).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": n_matched / n_estimated,
            "recall": n_matched / n_reference,
            "f1": 2 * n_matched / (n_reference + n_estimated),
            "false_alarms_per_hour": (n_estimated - n_matched) / (duration / 3600),
        }
