"""Hours in which a call could not have been heard: if such an hour has no event, fish may still have called.

*Conventions.* A call can be heard if its level is far enough above the noise in its band. The limit is the
signal-to-noise ratio at which the model finds half of the calls, by the measures on its card. All levels are in dB with
the same reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

#: Without a known level of calls, one is assumed this far above the noise of the quietest tenth of the hours.
QUIET_SNR_DB = 10.0


@dataclass(frozen=True, eq=False)
class Masking:
    """Which hours were too loud.

    Attributes
    ----------
    masked : np.ndarray of bool, where a call of `call_level_db` could not have been heard
    known : np.ndarray of bool, where the noise was measured
    call_level_db : float, level of the call in its band
    lowest_snr_db : float, signal-to-noise ratio that it takes
    assumed : bool, True where nobody named the level of the call

    Examples
    --------
    >>> one = np.array([True, False])
    >>> Masking(one, one, -50.0, 0.0, assumed=False).limit_db
    -50.0
    """

    masked: np.ndarray
    known: np.ndarray
    call_level_db: float
    lowest_snr_db: float
    assumed: bool

    @property
    def limit_db(self) -> float:
        """Level of the noise above which the call is not heard, in dB."""
        return self.call_level_db - self.lowest_snr_db


def find_lowest_snr(card: Mapping[str, Any], *, recall: float = 0.5) -> float | None:
    """Find the signal-to-noise ratio from which a model finds a part of the calls.

    Parameters
    ----------
    card : mapping, the measures of a model's card, with ``by_snr_db``: level in dB → ``recall``
    recall : float in (0, 1)

    Returns
    -------
    snr_db : float or None
        Between two levels of the card it lies on the line between them. None where the card does not tell.

    Examples
    --------
    >>> find_lowest_snr({"by_snr_db": {"-3": {"recall": 0.3}, "0": {"recall": 0.9}, "3": {"recall": 0.8}}})
    -2.0
    >>> find_lowest_snr({}) is None
    True
    """
    rows = card.get("by_snr_db")
    if not isinstance(rows, Mapping):
        return None
    points = sorted((float(snr), float(row["recall"])) for snr, row in rows.items() if row.get("recall") is not None)
    if not points or points[0][1] >= recall:  # how much lower it goes was not measured
        return points[0][0] if points else None
    for (low, before), (high, after) in pairwise(points):
        if before < recall <= after:
            return low + (high - low) * (recall - before) / (after - before)
    return None


def mark_masked(
    noise_db: np.ndarray,
    *,
    lowest_snr_db: float,
    call_level_db: float | None = None,
    quiet_snr_db: float = QUIET_SNR_DB,
) -> Masking | None:
    """Mark the hours in which a call of a level could not have been heard.

    Parameters
    ----------
    noise_db : np.ndarray, level of the noise in the band of the calls; NaN where it was not measured
    lowest_snr_db : float, as `find_lowest_snr` finds it
    call_level_db : float, optional
        Level of a call in its band where the recorder is. Without it, a call is assumed that is `quiet_snr_db` above
        the noise of the quietest tenth of the hours.
    quiet_snr_db : float, in dB

    Returns
    -------
    masking : Masking, or None where the noise of no hour is known

    Examples
    --------
    >>> masking = mark_masked(np.array([-70.0, -70.0, -55.0, np.nan]), lowest_snr_db=-2.0)
    >>> masking.call_level_db, masking.masked.tolist()
    (-60.0, [False, False, True, False])
    """
    known = np.isfinite(noise_db)
    if not known.any():
        return None
    level = float(np.percentile(noise_db[known], 10)) + quiet_snr_db if call_level_db is None else call_level_db
    masked = known & (np.where(known, noise_db, -np.inf) + lowest_snr_db > level)
    return Masking(masked, known, level, lowest_snr_db, assumed=call_level_db is None)
