"""A person's verdicts on events, and what they say of the detector.

`Review` is where to start: it keeps the verdicts of one recording in a table. `precision` has how often an event of a
confidence is a call, `density` how many calls there are. Imports tables, evaluation and what lies below them.
"""

from anemone_lib.review.density import CallDensity, estimate_call_density
from anemone_lib.review.precision import (
    PrecisionBin,
    PrecisionCurve,
    calibrate_precision,
    choose_edges,
    count_by_bin,
    measure_precision,
)
from anemone_lib.review.verdicts import Review

__all__ = [
    "CallDensity",
    "PrecisionBin",
    "PrecisionCurve",
    "Review",
    "calibrate_precision",
    "choose_edges",
    "count_by_bin",
    "estimate_call_density",
    "measure_precision",
]
