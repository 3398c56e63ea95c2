"""Rates of a detector, from the counts of matched events and annotations, with their confidence intervals.

*Conventions.* The reference is the truth (a person's annotations, or a simulation's), the estimated events are what the
detector found. Each annotation and each event is matched at most once: one long event over ten calls counts as one
match, and so do ten short events over one call.

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
from numpy.typing import ArrayLike

from anemone_lib.errors import ConfigError, spell_number

#: The rates that `Counts` knows and the bootstrap resamples.
METRICS = ("precision", "recall", "f1", "false_alarms_per_hour")


@dataclass(frozen=True)
class Counts:
    """Numbers of annotations, events and matches; the counts of several recordings can be added.

    Attributes
    ----------
    n_reference : int, annotations (bouts)
    n_estimated : int, events that the detector found
    n_matched : int, pairs of an annotation and an event
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
        return self._get_rate("precision")

    @property
    def recall(self) -> float:
        """Matched part of the reference, 0 to 1; NaN if there is none."""
        return self._get_rate("recall")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; NaN if there is neither reference nor event."""
        return self._get_rate("f1")

    @property
    def false_alarms_per_hour(self) -> float:
        """Unmatched estimated events per analysed hour; NaN without analysed audio."""
        return self._get_rate("false_alarms_per_hour")

    def _get_rate(self, metric: str) -> float:
        return float(compute_rates(*astuple(self))[metric])

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the fields and the rates by name; an unknown rate (NaN) is None, because JSON has no NaN."""
        rates = {name: getattr(self, name) for name in METRICS}
        return {
            "n_reference": self.n_reference,
            "n_estimated": self.n_estimated,
            "n_matched": self.n_matched,
            "duration_s": self.duration,
            **{name: None if math.isnan(rate) else rate for name, rate in rates.items()},
        }


def add_counts(counts: Iterable[Counts]) -> Counts:
    """Add up the counts of several recordings: each call weighs the same, whichever recording it is in.

    Examples
    --------
    >>> add_counts([Counts(2, 2, 1, 60.0), Counts(3, 4, 3, 60.0)])
    Counts(n_reference=5, n_estimated=6, n_matched=4, duration=120.0)
    """
    return sum(counts, Counts(0, 0, 0, 0.0))


def compute_rates(
    n_reference: ArrayLike, n_estimated: ArrayLike, n_matched: ArrayLike, duration: ArrayLike
) -> dict[str, np.ndarray]:
    """Compute every rate of `METRICS` from counts, for one recording or for arrays of them.

    Parameters
    ----------
    n_reference, n_estimated, n_matched : int, or arrays of the same shape
    duration : float or array, analysed audio in seconds

    Returns
    -------
    rates : dict of np.ndarray, float64, by the name of the rate; NaN where the denominator is zero

    Examples
    --------
    >>> rates = compute_rates(n_reference=10, n_estimated=8, n_matched=6, duration=1800)
    >>> {name: round(float(rate), 3) for name, rate in rates.items()}
    {'precision': 0.75, 'recall': 0.6, 'f1': 0.667, 'false_alarms_per_hour': 4.0}
    """
    reference, estimated, matched, seconds = (
        np.asarray(values, float) for values in (n_reference, n_estimated, n_matched, duration)
    )
    return {
        "precision": _divide(matched, estimated),
        "recall": _divide(matched, reference),
        "f1": compute_f_beta(reference, estimated, matched),
        "false_alarms_per_hour": _divide(3600 * (estimated - matched), seconds),
    }


def compute_f_beta(
    n_reference: ArrayLike, n_estimated: ArrayLike, n_matched: ArrayLike, *, beta: float = 1.0
) -> np.ndarray:
    """Compute F-beta from counts: ``(1 + β²) · matched / (β² · reference + estimated)`` (van Rijsbergen 1979).

    Parameters
    ----------
    n_reference, n_estimated, n_matched : int, or arrays of the same shape
    beta : float > 0
        1 is F1. With 2 a missed call costs as much as four false alarms; with 0.5 a false alarm costs as much as four
        missed calls.

    Returns
    -------
    f_beta : np.ndarray, float64, 0 to 1; NaN where there is neither reference nor event

    Examples
    --------
    >>> [round(float(compute_f_beta(10, 8, 6, beta=beta)), 3) for beta in (0.5, 1, 2)]
    [0.714, 0.667, 0.625]
    """
    if not beta > 0:
        raise ConfigError(f"beta is {beta}; it must be more than 0: 1 weighs misses and false alarms alike")
    reference, estimated, matched = (np.asarray(values, float) for values in (n_reference, n_estimated, n_matched))
    return _divide((1 + beta**2) * matched, beta**2 * reference + estimated)


def format_rate(rate: float | None, spec: str = "", *, unknown: str = "–") -> str:
    """Write a rate for people: a number, or a dash where it is unknown. Nobody reads "nan".

    Parameters
    ----------
    rate : float, NaN or None
    spec : str, how to write a number that is known, as in `format`; by default with three digits that count
    unknown : str, what stands for NaN and None, like "–" in a table and "unknown" in a sentence

    Examples
    --------
    >>> format_rate(0.8734), format_rate(0.05, "+.3f"), format_rate(float("nan")), format_rate(None, unknown="unknown")
    ('0.873', '+0.050', '–', 'unknown')
    """
    if rate is None or math.isnan(rate):
        return unknown
    return format(rate, spec) if spec else spell_number(rate)


def format_interval(low: float | None, high: float | None, spec: str = "") -> str:
    """Write an interval of confidence for people, or say that it is unknown.

    Parameters
    ----------
    low, high : float, NaN or None; `high` may be infinite: then the interval has no upper bound
    spec : str, as in `format_rate`

    Examples
    --------
    >>> format_interval(0.61, 0.72), format_interval(float("nan"), float("nan")), format_interval(0.5, float("inf"))
    ('0.61 to 0.72', 'interval unknown', '0.5 or more')
    """
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "interval unknown"
    if math.isinf(high):
        return f"{format_rate(low, spec)} or more"
    return f"{format_rate(low, spec)} to {format_rate(high, spec)}"


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
    """Compute the percentile bootstrap interval of a rate over several recordings, or of its gain over a baseline.

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

    Raises
    ------
    ValueError
        `metric` or `level` is out of range, or `baseline` has another number of recordings.

    Examples
    --------
    >>> counts = [Counts(10, 10, 9, 60.0), Counts(10, 10, 5, 60.0), Counts(10, 10, 7, 60.0)]
    >>> bootstrap_interval(counts, metric="recall")
    (0.5, 0.9)
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
    rates = _resample(weights, counts, metric)
    if baseline is not None:
        rates = rates - _resample(weights, baseline, metric)
    rates = rates[np.isfinite(rates)]
    if len(rates) == 0:
        return math.nan, math.nan
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compute_wilson_interval(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute the Wilson score interval of a proportion (Wilson 1927), which holds for small `n` and near 0 and 1 too.

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


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the denominator is zero."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.full(part.shape, math.nan), where=whole != 0)


def _resample(weights: np.ndarray, counts: Sequence[Counts], metric: str) -> np.ndarray:
    """One rate of every resampled set of recordings [shape=(n_resamples,)]."""
    return compute_rates(*(weights @ np.array([astuple(one) for one in counts], float)).T)[metric]
