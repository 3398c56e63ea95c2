"""A person's verdicts on events, and what they show about the detector.

`Review` is where to start for one recording: it keeps the verdicts in a Raven table. `Survey` is for many recordings:
it keeps verdicts on events and quiet windows, which `sampling` draws, in one CSV. `precision` estimates how often an
event of a confidence is a call, `density` how many calls there are, `agreement` how far two reviewers agree. Imports
tables, evaluation and what lies below them.
"""

from anemone_lib.review.agreement import Agreement, compare_reviewers, compute_kappa
from anemone_lib.review.density import CallDensity, estimate_call_density, estimate_recall
from anemone_lib.review.precision import (
    PrecisionBin,
    PrecisionCurve,
    calibrate_precision,
    choose_edges,
    count_by_bin,
    measure_precision,
)
from anemone_lib.review.sampling import ReviewItem, draw_items, draw_windows, list_events, list_quiet_windows
from anemone_lib.review.survey import Survey
from anemone_lib.review.verdicts import Review

__all__ = [
    "Agreement",
    "CallDensity",
    "PrecisionBin",
    "PrecisionCurve",
    "Review",
    "ReviewItem",
    "Survey",
    "calibrate_precision",
    "choose_edges",
    "compare_reviewers",
    "compute_kappa",
    "count_by_bin",
    "draw_items",
    "draw_windows",
    "estimate_call_density",
    "estimate_recall",
    "list_events",
    "list_quiet_windows",
    "measure_precision",
]
