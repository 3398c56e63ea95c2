"""Measure how far two reviewers agree."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from anemone_lib.errors import ConfigError
from anemone_lib.tables.verdicts import Verdict


@dataclass(frozen=True)
class Agreement:
    """The agreement of two reviewers on the events that both judged.

    Attributes
    ----------
    kappa : float, agreement beyond chance, at most 1; NaN if both reviewers gave the same verdict to all events
    low, high : float, its 95 % interval; NaN where it is unknown
    agreed : float in [0, 1], part of the events with the same verdict; NaN without an event
    n : int, events that both judged

    Examples
    --------
    >>> print(Agreement(0.8, 0.7, 0.9, 0.95, 100))
    100 judged by both, 95 % alike: kappa 0.80 (0.70 to 0.90)
    >>> print(Agreement(math.nan, math.nan, math.nan, math.nan, 0))
    none judged by both
    """

    kappa: float
    low: float
    high: float
    agreed: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "none judged by both"
        said = f"{self.n} judged by both, {100 * self.agreed:.0f} % alike: "
        if math.isnan(self.kappa):
            return said + "kappa unknown, because all verdicts are the same"
        return (
            said + f"kappa {self.kappa:.2f}" + ("" if math.isnan(self.low) else f" ({self.low:.2f} to {self.high:.2f})")
        )


def compute_kappa(
    first: Sequence[object], second: Sequence[object], *, seed: int = 0, n_resamples: int = 1000
) -> Agreement:
    """Compute Cohen's kappa of the verdicts of two reviewers on the same events (Cohen 1960).

    Parameters
    ----------
    first, second : sequences of verdicts [n], labels or bool, of the same events in the same order
    seed, n_resamples : int, of the bootstrap by event that gives the interval

    Returns
    -------
    agreement : Agreement

    Raises
    ------
    ConfigError
        One has more verdicts than the other.

    Examples
    --------
    >>> first = ["yes"] * 25 + ["no"] * 25
    >>> second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    >>> round(compute_kappa(first, second).kappa, 3)
    0.4
    """
    if len(first) != len(second):
        raise ConfigError(f"{len(first)} verdicts and {len(second)}; both reviewers must have judged the same events")
    n = len(first)
    if not n:
        return Agreement(math.nan, math.nan, math.nan, math.nan, 0)
    names = {label: k for k, label in enumerate(dict.fromkeys([*first, *second]))}
    one, two = (np.array([names[label] for label in labels]) for labels in (first, second))
    table = np.zeros((len(names), len(names)))
    np.add.at(table, (one, two), 1)
    drawn = np.random.default_rng(seed).multinomial(n, (table / n).ravel(), size=n_resamples)
    kappas = np.array([_compute_kappa(row.reshape(table.shape)) for row in drawn])
    kappas = kappas[np.isfinite(kappas)]
    low, high = np.quantile(kappas, [0.025, 0.975]) if len(kappas) > n_resamples / 2 and n > 1 else (math.nan,) * 2
    return Agreement(_compute_kappa(table), float(low), float(high), float(np.trace(table) / n), n)


def compare_reviewers(verdicts: Iterable[Verdict]) -> dict[tuple[str, str], Agreement]:
    """Compare every two reviewers on the events that both judged.

    Parameters
    ----------
    verdicts : iterable of Verdict

    Returns
    -------
    agreements : dict of Agreement by the names of both, on whether it is a call

    Examples
    --------
    >>> said = [
    ...     Verdict(f"e{k}", "reef.wav", k, k + 1, "call", k % 2 == 0, 0.8, reviewer=name)
    ...     for name in ("Ana", "Ben")
    ...     for k in range(4)
    ... ]
    >>> round(compare_reviewers(said)["Ana", "Ben"].kappa, 6)
    1.0
    """
    by_reviewer: dict[str, dict[str, bool]] = {}
    for one in verdicts:
        by_reviewer.setdefault(one.reviewer, {})[one.event_id] = one.is_call
    agreements = {}
    for first, second in combinations(sorted(by_reviewer), 2):
        shared = [event for event in by_reviewer[first] if event in by_reviewer[second]]
        agreements[first, second] = compute_kappa(
            [by_reviewer[first][event] for event in shared], [by_reviewer[second][event] for event in shared]
        )
    return agreements


def _compute_kappa(table: np.ndarray) -> float:
    total = table.sum()
    expected = float((table.sum(axis=0) * table.sum(axis=1)).sum() / total**2)
    return math.nan if expected >= 1 else (float(np.trace(table) / total) - expected) / (1 - expected)
