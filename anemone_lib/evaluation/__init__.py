"""Events compared with annotations: matching, rates, and the confidence intervals of the rates.

`count_events` is where to start: it matches one to one and gives `Counts`. `intervals` prepares times, `matching`
matches, `rates` has the rates and their confidence intervals, `presence` finds the classes of a window, `windows` and
`segments` judge windows and segments of 3 s. Imports detection and what lies below it.
"""

from anemone_lib.evaluation.intervals import as_intervals, join_intervals, mark_windows
from anemone_lib.evaluation.matching import count_events, match_intervals
from anemone_lib.evaluation.rates import (
    METRICS,
    Counts,
    add_counts,
    bootstrap_interval,
    compute_f_beta,
    compute_rates,
    compute_wilson_interval,
    format_interval,
    format_rate,
)
from anemone_lib.evaluation.windows import (
    Reliability,
    ThresholdCurve,
    count_confusions,
    measure_reliability,
    trace_thresholds,
)

__all__ = [
    "METRICS",
    "Counts",
    "Reliability",
    "ThresholdCurve",
    "add_counts",
    "as_intervals",
    "bootstrap_interval",
    "compute_f_beta",
    "compute_rates",
    "compute_wilson_interval",
    "count_confusions",
    "count_events",
    "format_interval",
    "format_rate",
    "join_intervals",
    "mark_windows",
    "match_intervals",
    "measure_reliability",
    "trace_thresholds",
]
